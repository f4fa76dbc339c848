//! Ramps of several workers, of several Envoys, and across configurations.

use tidegate_sim::SimRequest;

use crate::routing::{cluster, exchange, Workers};
use crate::routing_ramp::{crowd, ramping, run, start, weight, BADLY, WELL};

/// How many of forty users each worker shows the canary, without a tick.
fn seen(workers: &Workers, ms: u64) -> Vec<usize> {
    workers.all.iter().map(|worker| crowd(worker, ms, WELL, WELL)).collect()
}

#[test]
fn one_worker_moves_it_for_all_and_logs_it_once() {
    let workers = Workers::new(4, &ramping("", ""));
    assert_eq!(run(&workers, 1, "+++++"), "25 25 50 50 50");
    let metrics = ["advanced", "promoted", "aborted", "moves"].map(|what| workers.count(what));
    assert_eq!(metrics, [2, 1, 0, 3]);
    assert_eq!(workers.notes().len(), 3);
    assert!(workers.all.iter().all(|worker| weight(worker) == 50));
}

/// Only one worker ticks after the interval in which the canary failed.
#[test]
fn no_request_gets_the_variant_after_an_abort() {
    let workers = Workers::new(3, &ramping("", r#", "max_failed": 1"#));
    run(&workers, 1, "+-");
    assert!(seen(&workers, 3_200).iter().all(|seen| *seen > 0));
    let judge = &workers.at(3_250).all[1];
    judge.tick();
    assert_eq!(workers.count("aborted"), 1);
    assert_eq!(seen(&workers, 3_250), [0, 0, 0]);
    workers.at(3_300).tick();
    assert_eq!(seen(&workers, 9_000), [0, 0, 0]);
}

#[test]
fn an_exchange_that_ends_after_the_abort_disturbs_nothing() {
    let workers = Workers::new(2, &ramping("", r#", "max_failed": 1"#));
    run(&workers, 1, "+");
    let request = SimRequest::get("/").header("x-user", b"alice");
    let (_, open) = workers.all[0].begin(&request);
    run(&workers, 2, "-+");
    let _ = workers.all[0].end(open, &tidegate_sim::SimResponse::upstream(200));
    workers.at(5_000).tick();
    assert_eq!((workers.count("aborted"), seen(&workers, 5_000)), (1, vec![0, 0]));
}

#[test]
fn it_survives_a_reload_with_the_same_schedule() {
    let workers = Workers::new(2, &ramping("", ""));
    run(&workers, 1, "+++");
    // Other demands, other weights without the ramp, another order of fields: the same schedule.
    let other =
        ramping("", r#", "max_failed": 7"#).replace(r#""weight": 90"#, r#""weight": 90, "baseline": true"#);
    let anew = Workers::on(&workers.store, 2, &other);
    assert!(seen(&anew, 3_950).iter().all(|seen| *seen > 12), "the second step");
    assert_eq!(run(&anew, 4, "+++"), "50 50 50");
    assert_eq!((anew.count("promoted"), anew.count("advanced")), (1, 0));
}

#[test]
fn an_abort_survives_a_reload_with_the_same_schedule() {
    let json = ramping("", r#", "max_failed": 1"#);
    let workers = Workers::new(1, &json);
    assert_eq!(run(&workers, 1, "+-+"), "25 25 0");
    let anew = Workers::on(&workers.store, 2, &json);
    assert_eq!(seen(&anew, 4_000), [0, 0]);
    assert_eq!(run(&anew, 4, "++"), "0 0");
}

#[test]
fn another_schedule_starts_over() {
    let workers = Workers::new(1, &ramping("", r#", "max_failed": 1"#));
    assert_eq!(run(&workers, 1, "+-+"), "25 25 0");
    let anew = Workers::on(&workers.store, 1, &ramping(&start(5_000), ""));
    assert_eq!(run(&anew, 4, "++++++"), "10 25 25 50 50 50");
}

/// The workers of a configuration that drains go on ticking, and still have requests. What they
/// counted used to lie in the cell of the new schedule, under intervals far ahead of its own, and
/// nothing that the new one counted went in before those were over.
#[test]
fn a_draining_configuration_does_not_disturb_the_one_that_follows() {
    let old = Workers::new(2, &ramping("", ""));
    assert_eq!(run(&old, 1, "++.........."), "25 25 50 50 50 50 50 50 50 50 50 50");
    let anew = Workers::on(&old.store, 2, &ramping(&start(13_000), ""));
    let mut weights = Vec::new();
    for second in 13..18 {
        for tenth in 0..10 {
            let ms = second * 1_000 + tenth * 100;
            for workers in [&old, &anew] {
                workers.at(ms);
                // Whatever the old one counts, it must not count for the new one.
                let ends = if std::ptr::eq(workers, &old) { BADLY } else { WELL };
                workers.all.iter().for_each(|worker| _ = crowd(worker, ms, WELL, ends));
                workers.tick();
            }
        }
        weights.push((weight(&old.all[0]), weight(&anew.all[0])));
    }
    assert_eq!(weights, [(50, 25), (50, 25), (50, 50), (50, 50), (50, 50)]);
    assert_eq!((anew.count("promoted"), anew.count("aborted")), (1, 0));
}

/// A configuration that drains ticks for as long as its listeners drain, ten minutes by default. It
/// used to move the ramp on by its own rules, so that pausing by reload paused nothing.
#[test]
fn the_rules_are_those_of_the_latest_configuration() {
    #[rustfmt::skip]
    let cases = [
        // old                        new fields             new abort              seconds  weights
        ("",                          r#""paused": true"#,   "",                    "++++",  "25 25 25 25"),
        (r#", "max_failed": 1"#,      "",                    r#", "max_failed": 9"#, "--++", "25 25 25 50"),
    ];
    for (old_abort, fields, abort, seconds, expected) in cases {
        let old = Workers::new(1, &ramping("", old_abort));
        run(&old, 1, "+");
        let anew = Workers::on(&old.store, 1, &ramping(fields, abort));
        let store = old.store;
        let both = Workers { store, all: old.all.into_iter().chain(anew.all).collect() };
        assert_eq!(run(&both, 2, seconds), expected, "{fields} {abort}");
    }
}

#[test]
fn replicas_with_one_start_are_on_one_step() {
    let json = ramping(&start(2_000), "");
    let (one, other) = (Workers::new(1, &json), Workers::new(2, &json));
    let mut weights = Vec::new();
    for second in 0..8 {
        // The other is not ticked at the same moments, and begins when the ramp has begun.
        let first = run(&one, second, "+");
        let late = if second < 4 { "-".to_owned() } else { run(&other, second, "+") };
        weights.push(format!("{first}/{late}"));
    }
    assert_eq!(weights, ["10/-", "10/-", "25/-", "25/-", "50/50", "50/50", "50/50", "50/50"]);
}

#[test]
fn without_a_date_it_begins_with_the_first_tick() {
    let json = ramping("", "").replace(&format!("{},", start(1_000)), "");
    let workers = Workers::new(2, &json);
    assert!(seen(&workers, 500).iter().all(|seen| *seen < 12));
    assert_eq!(run(&workers, 1, "+++++"), "25 25 50 50 50");
}

/// The shortest interval that can be configured is still judged by what was counted in it.
#[test]
fn the_shortest_interval_is_judged() {
    let least = (1..=1_000_u64).find(|ms| {
        let json = ramping("", "").replace(r#""interval_ms": 1000"#, &format!(r#""interval_ms": {ms}"#));
        tidegate_policy::routing::Policy::parse(json.as_bytes()).is_ok()
    });
    let interval = format!(r#""interval_ms": {}"#, least.unwrap());
    let workers = Workers::new(3, &ramping("", "").replace(r#""interval_ms": 1000"#, &interval));
    assert_eq!(run(&workers, 1, "++++++"), "25 25 50 50 50 50");
    assert_eq!(workers.count("halted"), 0);
}

/// What a worker could not tell because the cells did not answer, it tells later.
#[test]
fn counts_that_could_not_be_published_are_published_later() {
    let workers = Workers::new(1, &ramping("", r#", "max_failed": 1"#));
    run(&workers, 1, "+");
    let worker = &workers.at(2_000).all[0];
    (0..4).for_each(|_| _ = crowd(worker, 2_000, WELL, BADLY));
    workers.store.set_broken(true);
    workers.at(2_100).tick();
    assert_eq!(workers.count("undecided"), 1);
    workers.store.set_broken(false);
    workers.at(2_200).tick();
    workers.at(3_250).tick();
    assert_eq!((workers.count("aborted"), weight(worker)), (1, 0));
}

#[test]
fn a_store_that_fails_leaves_the_routing_as_it_was_or_refuses() {
    for (on_failure, passes) in [("allow", true), ("refuse", false)] {
        let json = ramping("", "").replacen('{', &format!(r#"{{"on_failure": "{on_failure}", "#), 1);
        let workers = Workers::new(2, &json);
        let request = SimRequest::get("/").header("x-user", b"alice").header("x-tidegate-cluster", b"evil");
        let [one, other] = workers.all.as_slice() else { panic!("two workers") };
        let _ = one.request(&request);
        workers.store.set_broken(true);
        assert_eq!(cluster(one, &request), "one", "it knows the weights");
        // The other one never read them.
        let verdict = other.request(&request);
        assert_eq!(workers.count("undecided"), 1, "{on_failure}");
        if passes {
            assert_eq!(crate::routing::onward(&request, verdict).get("x-tidegate-cluster"), "");
            assert_eq!(exchange(other, &request, 200), (String::new(), Vec::new()));
        } else {
            let refused = crate::routing::reply(verdict);
            assert_eq!((refused.status, refused.grpc_status), (503, 14));
            assert_eq!(refused.details, "tidegate_routing_undecided");
        }
        workers.tick();
        workers.store.set_broken(false);
        assert_eq!(cluster(other, &request), "one", "and works again");
    }
}

#[test]
fn a_route_that_observes_never_refuses() {
    let json = ramping("", "").replacen('{', r#"{"on_failure": "refuse", "mode": "observe", "#, 1);
    let workers = Workers::new(1, &json);
    workers.store.set_broken(true);
    assert_eq!(cluster(&workers.all[0], &SimRequest::get("/").header("x-user", b"alice")), "-");
    assert_eq!(workers.count("undecided"), 1);
}

#[test]
fn cells_of_rubbish_and_cells_that_are_gone_harm_no_request() {
    let json = ramping("", "");
    let names: Vec<String> =
        Workers::new(1, &json).store.names().into_iter().filter(|name| !name.ends_with("secret")).collect();
    assert_eq!(names.len(), 3);
    let mut soup = vec![1, 1, 0, 0];
    soup.resize(3_000, 0xff);
    for name in &names {
        for size in [0, 1, 8, 39, 40, 41, 2_345, 3_000] {
            let workers = Workers::new(2, &json);
            run(&workers, 1, "+");
            workers.store.put(name, &soup[..size]);
            run(&workers, 2, "++");
            let anew = Workers::on(&workers.store, 2, &json);
            assert!(["10", "25", "50"].contains(&run(&anew, 4, "+").as_str()), "{size} bytes");
        }
        let workers = Workers::new(2, &json);
        workers.at(1_300).tick();
        workers.store.take(name);
        let _ = seen(&workers, 1_300);
        workers.at(1_400).tick();
        // Which routes have had requests decides none.
        assert_eq!(workers.count("undecided") > 0, !name.ends_with("used"), "{name}");
    }
}
