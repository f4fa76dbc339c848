//! No order of store calls, and no death between two of them, has two workers ask at a time or takes
//! an answer back.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegate_policy::discovery::stage::Discovery;
use tidegate_policy::host::{Host, Store};
use tidegate_policy::time::Span;
use tidegate_policy::watch::status::Status;
use tidegate_sim::explore::Gate;
use tidegate_sim::{explore, SimHost, SimQuestion, SimRequest, SimStore, Worker};

use crate::discovery::{answer, config, polled, question, sent, word, Numbers, Workers};
use crate::discovery_choice::cells;

type Gated<'a> = Worker<Discovery, Gate<'a>>;

/// Without a cell for ejections, whose reads would only make for more orders.
fn json() -> String {
    polled("", r#""outlier_detection": false"#)
}

fn started<'a>(json: &str, gate: Gate<'a>) -> Gated<'a> {
    let cells = gate.store();
    Worker::started_on(cells, json, gate).expect("the configuration is right")
}

/// Ticks, and has each question answered with this endpoint. How many there were.
fn polls(worker: &Gated<'_>, endpoint: &str) -> usize {
    worker.tick();
    let questions = worker.host.take_questions();
    questions.iter().for_each(|question| worker.answer(&answer(question, 10, &[endpoint])));
    questions.len()
}

fn goes<H: Host>(worker: &Worker<Discovery, H>) -> String {
    word(&worker.request(&SimRequest::get("/")))
}

/// Where a worker that is new to these cells sends a request.
fn served(store: &SimStore) -> String {
    let host = SimHost::new(Arc::new(store.snapshot()));
    sent(&Worker::new(&json(), host).expect("the configuration is right"))
}

#[test]
fn in_any_order_one_of_several_workers_queries() {
    let json = json();
    let work = |_, gate: Gate<'_>| {
        let worker = started(&json, gate);
        worker.tick();
        worker.host.take_questions().len()
    };
    let runs = explore(3, Arc::default, work, |asked, _, order| {
        assert_eq!(asked.iter().sum::<usize>(), 1, "{order:?}");
    });
    assert!(runs >= 100, "only {runs} orders");
}

#[test]
fn in_any_order_all_workers_get_the_answer_of_one() {
    let json = json();
    let work = |worker: usize, gate: Gate<'_>| {
        let endpoint = format!("10.0.0.{worker}:80");
        let worker = started(&json, gate);
        (polls(&worker, &endpoint), endpoint)
    };
    let runs = explore(2, Arc::default, work, |polled, store, order| {
        let asked: Vec<_> = polled.iter().filter(|(times, _)| *times > 0).collect();
        assert_eq!(asked.len(), 1, "{order:?}");
        assert_eq!(served(store), asked[0].1, "{order:?}");
    });
    assert!(runs >= 100, "only {runs} orders");
}

/// A worker that reads while another writes twice.
#[test]
fn workers_see_answers_in_order() {
    let json = json();
    let setup = || Workers::knowing(1, &json, &["10.0.0.1:80"]).store;
    let work = |worker: usize, gate: Gate<'_>| {
        gate.set(Span::from_secs(20));
        let it = started(&json, gate);
        if worker == 0 {
            it.tick();
            let first = it.host.take_questions();
            it.answer(&answer(&first[0], 11, &["10.0.0.2:80"]));
            it.host.set(Span::from_secs(22));
            it.tick();
            return Vec::new();
        }
        let first = goes(&it);
        // The other may do something in between.
        let _ = it.host.load("");
        vec![first, goes(&it)]
    };
    let mut seen = BTreeSet::new();
    let runs = explore(2, setup, work, |words, _, order| {
        assert!(words[1].is_sorted() && words[1][0].starts_with("10.0.0."), "{order:?}: {words:?}");
        seen.insert(words[1].clone());
    });
    assert!(runs >= 100 && seen.len() == 3, "{runs} orders, {seen:?}");
}

#[test]
fn a_dead_worker_delays_queries_by_no_more_than_its_lease() {
    let json = json();
    let (mut found, mut known) = (BTreeSet::new(), BTreeSet::new());
    for (workers, most) in [(1, 10), (2, 8)] {
        for lives in 0..=most {
            let work = |worker: usize, gate: Gate<'_>| {
                if worker == 0 {
                    gate.die_after(lives);
                }
                polls(&started(&json, gate), "10.0.0.1:80")
            };
            explore(workers, Arc::default, work, |_, store, order| {
                let cells = store.names();
                let cells: Vec<_> = cells.iter().map(|name| store.load(name).unwrap().unwrap().0).collect();
                if !known.insert(cells) {
                    return;
                }
                found.insert(served(store));
                let survivors = Workers::on(&Arc::new(store.snapshot()), 2, &json);
                let before = [sent(&survivors.all[0]), sent(&survivors.all[1])];
                let asked =
                    survivors.run(0, 20_000, &mut |_, question| Some(answer(question, 11, &["10.0.0.2:80"])));
                let story = format!("dead after {lives} of {workers}, {order:?}: {before:?}, {asked:?}");
                // Not before the lease ends; the answer serves for its time.
                let latest = if before[0] == "waits" { 3_000 } else { 12_100 };
                assert!(asked.first().is_some_and(|ms| *ms <= latest), "{story}");
                let after = [sent(&survivors.all[0]), sent(&survivors.all[1])];
                assert_eq!(after, ["10.0.0.2:80", "10.0.0.2:80"], "{story}");
            });
        }
    }
    assert_eq!(Vec::from_iter(found), ["10.0.0.1:80", "waits"], "it died too early or too late each time");
}

/// A worker dies between writing and announcing; the next one gets the same answer.
#[test]
fn an_answer_that_a_dead_worker_did_not_publish_is_published() {
    let json = json();
    for lives in 0..=10 {
        let work = |_, gate: Gate<'_>| {
            gate.set(Span::from_secs(20));
            gate.die_after(lives);
            polls(&started(&json, gate), "10.0.0.2:80");
        };
        // One that knows what was before, and sees no counter move when the other dies.
        let setup = || Workers::knowing(1, &json, &["10.0.0.1:80"]).store;
        explore(1, setup, work, |_, store, _| {
            let survivors = Workers::on(&Arc::new(store.snapshot()), 2, &json);
            let _ = sent(&survivors.all[1]);
            survivors.run(20_000, 40_000, &mut |_, question| Some(answer(question, 12, &["10.0.0.2:80"])));
            assert_eq!(sent(&survivors.all[1]), "10.0.0.2:80", "dead after {lives}");
        });
    }
}

/// The same, for a worker that read the snapshot before: the version that it knows did not move.
#[test]
fn a_snapshot_that_a_dead_worker_did_not_announce_is_announced() {
    let json = json();
    let mut workers = Workers::knowing(2, &json, &["10.0.0.1:80"]);
    let (_, cell, hash) = cells(&workers.store);
    assert_eq!(sent(&workers.all[1]), "10.0.0.1:80");
    drop(workers.all.remove(0));
    let other = Workers::knowing(1, &json, &["10.0.0.2:80"]);
    let (bytes, _) = other.store.load(&cell).unwrap().unwrap();
    assert!(tidegate_policy::discovery::cells::snapshot::decode(&bytes, hash).is_some());
    workers.store.put(&cell, &bytes);
    let asked = workers.run(20_000, 30_000, &mut |_, question| Some(answer(question, 12, &["10.0.0.2:80"])));
    assert!(!asked.is_empty());
    assert_eq!(sent(&workers.all[0]), "10.0.0.2:80");
}

/// One gets its answer just before its lease ends, another takes over just after; the first is slow.
#[test]
fn a_late_answer_of_a_deposed_worker_changes_nothing() {
    let json = json();
    let work = |worker: usize, gate: Gate<'_>| {
        if worker == 1 {
            gate.set(Span::from_millis(3_100));
            return polls(&started(&json, gate), "10.0.0.2:80");
        }
        let slow = started(&json, gate);
        slow.tick();
        let questions = slow.host.take_questions();
        slow.host.set(Span::from_millis(2_900));
        questions.iter().for_each(|question| slow.answer(&answer(question, 10, &["10.0.0.1:80"])));
        questions.len()
    };
    let mut both = 0;
    let runs = explore(2, Arc::default, work, |asked, store, order| {
        // An answer from just before the lease ended need not be queried again.
        let expected = if asked[1] > 0 { "10.0.0.2:80" } else { "10.0.0.1:80" };
        assert_eq!(served(store), expected, "{order:?}");
        both += usize::from(asked == [1, 1]);
    });
    assert!(runs >= 100 && both >= 50, "in {both} of {runs} orders both ask");
}

#[test]
fn a_deposed_worker_does_not_query_before_it_checked_the_lease() {
    let workers = Workers::knowing(2, &config("", ""), &["10.0.0.1:80"]);
    let [slow, other] = &workers.all[..] else { panic!("two workers") };
    let held = question(slow);
    workers.at(5_000);
    other.tick();
    other.answer(&answer(&question(other), 11, &["10.0.0.2:80"]));
    // Its answer says what it knows, so that it would wait for the next at once.
    slow.answer(&answer(&held, 10, &["10.0.0.1:80"]));
    assert!(slow.host.take_questions().is_empty(), "two ask at a time");
    slow.tick();
    assert!(slow.host.take_questions().is_empty());
    assert_eq!((sent(slow).as_str(), sent(other).as_str()), ("10.0.0.2:80", "10.0.0.2:80"));
}

/// Workers that stop for seconds, answers that come late or never: only the holder of the lease
/// queries, and no request goes to an older endpoint than the one before.
#[test]
fn in_any_schedule_one_worker_queries_and_no_worker_goes_back() {
    for seed in 1..=60 {
        let workers = Workers::new(3, &config(r#""ttl_ms": 1000"#, ""));
        let cell = workers.store.names().into_iter().find(|name| name.contains("d1w") && name.len() > 20);
        let (cell, hash) = cell.map(|name| (name.clone(), name[name.len() - 16..].to_owned())).unwrap();
        let hash = u64::from_str_radix(&hash, 16).unwrap();
        let mut numbers = Numbers(seed);
        let mut in_flight: Vec<(usize, u64, SimQuestion)> = Vec::new();
        let (mut now, mut last) = (0, [0; 3]);
        for step in 1..600_u64 {
            now += numbers.below(700) as u64;
            workers.at(now);
            let at = numbers.below(3);
            match numbers.below(3) {
                0 => workers.all[at].tick(),
                1 if !in_flight.is_empty() => {
                    let (at, then, asked) = in_flight.swap_remove(numbers.below(in_flight.len()));
                    // As it was when it was asked.
                    let endpoint = format!("10.0.0.1:{}", 1_000 + then);
                    workers.all[at].answer(&match numbers.below(6) {
                        0 => asked.failure(),
                        _ => answer(&asked, then, &[&endpoint]),
                    });
                }
                _ => {}
            }
            for (at, worker) in workers.all.iter().enumerate() {
                for asked in worker.host.take_questions() {
                    let (bytes, _) = workers.store.load(&cell).unwrap().unwrap();
                    let lease = Status::decode(&bytes, hash).lease;
                    assert_eq!(lease.holder, at as u64 + 1, "seed {seed}, step {step}");
                    in_flight.push((at, step, asked));
                }
            }
            let went = sent(&workers.all[at]);
            let port = went.rsplit_once(':').map_or(0, |(_, port)| port.parse().unwrap());
            assert!(port >= last[at], "seed {seed}, step {step}: {port} after {}", last[at]);
            last[at] = port;
        }
        assert!(last.iter().all(|port| *port > 1_100), "seed {seed}: {last:?}");
    }
}
