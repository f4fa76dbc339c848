//! Which worker queries, from one worker and one configuration to the next.

use tidegate_policy::host::CalloutError;
use tidegate_policy::http::Stage;

use crate::discovery::{answer, config, polled, question, reached, sent, sent_as, Workers};
use tidegate_sim::SimRequest;

/// Lets time pass for several configurations' workers, each of whose questions is answered with this
/// endpoint unless it waits for a change. Who asked when.
fn run(all: &[&Workers], from: u64, to: u64, endpoint: &str) -> Vec<(u64, usize)> {
    let mut asked = Vec::new();
    for ms in (from..=to).step_by(100) {
        for (at, workers) in all.iter().enumerate() {
            let times = workers.run(ms, ms, &mut |_, question| {
                let waits = question.subject().contains("index=");
                (!waits).then(|| answer(question, 10 + ms, &[endpoint]))
            });
            asked.extend(times.iter().map(|ms| (*ms, at)));
        }
    }
    asked
}

fn stop(workers: &Workers) {
    workers.all.iter().for_each(|worker| worker.stage().stop(&worker.host));
}

#[test]
fn a_failing_worker_gives_the_lease_back() {
    let workers = Workers::new(2, &polled("", ""));
    // There is no way from this one to the registry.
    workers.all[0].host.refuse_questions(Some(CalloutError::NotSent));
    let asked = workers.run(0, 20_000, &mut |_, question| Some(answer(question, 10, &["10.0.0.1:80"])));
    assert!(!asked.is_empty());
    assert_eq!((reached(&workers.all[0]).as_str(), reached(&workers.all[1]).as_str()), ("1", "1"));
    let failures = |at: usize| {
        let worker = &workers.all[at];
        worker.host.count(worker.counter("tidegate.discovery.registry.main.failures"))
    };
    assert!((3..=5).contains(&failures(0)) && failures(1) == 0, "{} {}", failures(0), failures(1));
}

#[test]
fn a_healthy_worker_keeps_the_lease() {
    let workers = Workers::new(3, &polled("", ""));
    workers.run(0, 60_000, &mut |_, question| Some(answer(question, 10, &["10.0.0.1:80"])));
    let of = |at: usize| {
        workers.all[at].host.count(workers.all[at].counter("tidegate.discovery.registry.main.queries"))
    };
    assert!(of(0) >= 5, "asked {} times", of(0));
    assert_eq!((of(1), of(2)), (0, 0));
}

/// One failure now and then is no reason.
#[test]
fn two_failures_do_not_give_the_lease_back() {
    let workers = Workers::new(2, &polled("", ""));
    let mut count = 0;
    workers.run(0, 120_000, &mut |_, question| {
        count += 1;
        Some(if count % 3 == 0 { answer(question, 10, &["10.0.0.1:80"]) } else { question.failure() })
    });
    let other = &workers.all[1];
    assert_eq!(other.host.count(other.counter("tidegate.discovery.registry.main.queries")), 0);
}

#[test]
fn the_newer_configuration_queries_and_the_older_takes_over_when_it_stops() {
    for (new_json, name) in [(config(r#""ttl_ms": 9000"#, ""), "another"), (config("", ""), "the same")] {
        let old = Workers::new(2, &config("", ""));
        run(&[&old], 0, 5_000, "10.0.0.1:80");
        let new = Workers::on(&old.store, 2, &new_json);
        let asked = run(&[&old, &new], 5_100, 30_000, "10.0.0.2:80");
        if name == "another" {
            // The lease was renewed within the last second, and is handed over within the next.
            assert!(asked.iter().all(|(ms, who)| *who == 1 && *ms <= 7_200), "{asked:?}");
            assert_eq!(sent(&old.all[1]), "10.0.0.2:80", "the answer serves the older as well");
        } else {
            assert_eq!(asked, [], "nothing changed, so that the same worker waits on");
        }
        stop(&new);
        let asked = run(&[&old], 30_100, 40_000, "10.0.0.3:80");
        if name == "another" {
            assert!(asked.first().is_some_and(|(ms, _)| *ms <= 31_200), "{asked:?}");
            assert_eq!(sent(&old.all[0]), "10.0.0.3:80");
        }
    }
}

/// How long the older one would have waited does not bind the newer one.
#[test]
fn a_shorter_period_is_followed_soon() {
    let old = Workers::new(1, &polled(r#""ttl_ms": 86400000"#, ""));
    run(&[&old], 0, 5_000, "10.0.0.1:80");
    let new = Workers::on(&old.store, 1, &polled(r#""ttl_ms": 1000"#, ""));
    stop(&old);
    run(&[&new], 5_100, 66_000, "10.0.0.2:80");
    assert_eq!(sent(&new.all[0]), "10.0.0.2:80");
}

/// A token that is wrong, a cluster that is not there.
#[test]
fn a_newer_configuration_that_always_fails_yields_to_the_older() {
    let old = Workers::new(1, &polled("", ""));
    run(&[&old], 0, 5_000, "10.0.0.1:80");
    let new = Workers::on(&old.store, 1, &polled("", r#""attempts": 2"#));
    new.all[0].host.refuse_questions(Some(CalloutError::NoCluster));
    run(&[&old, &new], 5_100, 40_000, "10.0.0.2:80");
    assert_eq!((sent(&old.all[0]).as_str(), sent(&new.all[0]).as_str()), ("10.0.0.2:80", "10.0.0.2:80"));
    assert!(new.asked("failures") >= 3, "{}", new.asked("failures"));
}

#[test]
fn an_older_configuration_that_stops_removes_nothing() {
    let old = Workers::new(2, &config("", ""));
    run(&[&old], 0, 5_000, "10.0.0.1:80");
    let new = Workers::on(&old.store, 2, &config("", r#""attempts": 2"#));
    assert_eq!(sent(&new.all[0]), "10.0.0.1:80", "it begins with what is known");
    stop(&old);
    drop(old);
    let asked = run(&[&new], 5_100, 60_000, "10.0.0.2:80");
    assert!(asked.len() == 2 && asked[0].0 <= 5_200, "at once, and then waits: {asked:?}");
    assert_eq!(sent(&new.all[1]), "10.0.0.2:80");
}

#[test]
fn a_configuration_that_is_rolled_back_to_queries_again() {
    let (first, second) = (config("", ""), config("", r#""attempts": 2"#));
    let old = Workers::new(2, &first);
    run(&[&old], 0, 5_000, "10.0.0.1:80");
    let new = Workers::on(&old.store, 2, &second);
    run(&[&old, &new], 5_100, 10_000, "10.0.0.1:80");
    stop(&old);
    let again = Workers::on(&old.store, 2, &first);
    let asked = run(&[&new, &again], 10_100, 20_000, "10.0.0.2:80");
    assert!(asked.first().is_some_and(|(ms, who)| *who == 1 && *ms <= 12_200), "{asked:?}");
    assert!(asked.iter().all(|(_, who)| *who == 1), "{asked:?}");
    stop(&new);
    assert_eq!(run(&[&again], 20_100, 30_000, "10.0.0.2:80"), []);
}

/// The newer one's workers die without a word, whether or not they ever asked.
#[test]
fn a_vanished_configuration_delays_queries_only_briefly() {
    for asks in [true, false] {
        let old = Workers::new(1, &config("", ""));
        run(&[&old], 0, 5_000, "10.0.0.1:80");
        let new = Workers::on(&old.store, 1, &config("", r#""attempts": 2"#));
        if asks {
            run(&[&old, &new], 5_100, 8_000, "10.0.0.2:80");
        }
        drop(new);
        let asked = run(&[&old], 8_100, 30_000, "10.0.0.3:80");
        assert!(
            asked.first().is_some_and(|(ms, _)| *ms <= 8_000 + 3_000 + 3_000 + 1_100),
            "{asks}: {asked:?}"
        );
        assert_eq!(sent(&old.all[0]), "10.0.0.3:80", "{asks}");
    }
}

/// Of two services, as `name` and what asks Consul.
fn two(first: &str, second: &str) -> String {
    let service = |name: &str, query: &str| {
        format!(
            r#"{{"name": "{name}", "registry": "main", "match": {{"path": {{"prefix": "/{name}"}}}}, "consul": {query}}}"#
        )
    };
    format!(
        r#"{{"registries": {{"main": {{"consul": {{"cluster": "consul"}}}}}}, "allow": ["10.0.0.0/8:1-65535"],
            "services": [{}, {}]}}"#,
        service("a", first),
        service("b", second)
    )
}

#[test]
fn each_question_is_queried_once_and_answers_never_mix() {
    let (a, b) = (SimRequest::get("/a"), SimRequest::get("/b"));
    let workers = Workers::new(1, &two(r#"{"service": "orders"}"#, r#"{"service": "orders"}"#));
    let worker = &workers.all[0];
    workers.tick();
    worker.answer(&answer(&question(worker), 10, &["10.0.0.1:80"]));
    assert_eq!((sent_as(worker, &a).as_str(), sent_as(worker, &b).as_str()), ("10.0.0.1:80", "10.0.0.1:80"));
    let others = [
        (r#"{"service": "a"}"#, r#"{"service": "b"}"#),
        (r#"{"service": "a"}"#, r#"{"service": "a", "tags": ["b"]}"#),
        (r#"{"service": "a", "tags": ["x", "y"]}"#, r#"{"service": "a", "tags": ["xy"]}"#),
        (r#"{"service": "a"}"#, r#"{"service": "a", "datacenter": "b"}"#),
    ];
    for (first, second) in others {
        let workers = Workers::new(1, &two(first, second));
        let worker = &workers.all[0];
        workers.tick();
        let questions = worker.host.take_questions();
        assert_eq!(questions.len(), 2, "{first} {second}");
        // The second one's answer is there first.
        worker.answer(&answer(&questions[1], 10, &["10.0.0.2:80 passing b xy"]));
        assert_eq!(sent_as(worker, &a), "waits", "{first} {second}");
        worker.answer(&answer(&questions[0], 10, &["10.0.0.1:80 passing x y"]));
        let went = (sent_as(worker, &a), sent_as(worker, &b));
        assert_eq!((went.0.as_str(), went.1.as_str()), ("10.0.0.1:80", "10.0.0.2:80"), "{first} {second}");
    }
}
