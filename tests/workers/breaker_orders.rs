//! No order of store calls, and no death between two of them, breaks a breaker.

use std::sync::{Arc, Mutex};

use tidegate_policy::breaker::cells::block;
use tidegate_policy::breaker::cells::index::Index;
use tidegate_policy::breaker::stage::CircuitBreaker;
use tidegate_policy::breaker::{BreakerParams, Record, State};
use tidegate_policy::host::{Host, Store};
use tidegate_policy::http::{Stage, Verdict};
use tidegate_policy::time::Span;
use tidegate_sim::explore::Gate;
use tidegate_sim::{explore, SimRequest, SimResponse, SimStore, Worker};

use crate::breaker::{ask, config, of, up, Exchange, Workers};

type Gated<'a> = Worker<CircuitBreaker, Gate<'a>>;

/// The fields of all of these; the key is a constant, so that all requests have the same target.
const KEY: &str = r#"{"key": [{"constant": "x"}]}"#;
const CLUSTER: &str = r#"{"cluster": "up"}"#;

fn json(target: &str, consecutive: u32, permits: u32) -> String {
    let fields = format!(
        r#""consecutive_failures": {consecutive}, "half_open_permits": {permits}, "base_open_ms": 1000,
           "max_half_open_ms": 5000, "table": {{"keys": 16}}"#
    );
    let fields = if target == KEY { fields } else { fields.replace(r#", "table": {"keys": 16}"#, "") };
    of(target, &fields)
}

fn started<'a>(json: &str, gate: Gate<'a>) -> Gated<'a> {
    let cells = gate.store();
    Worker::started_on(cells, json, gate).expect("the configuration is right")
}

/// Asks, and ends with the status if it may pass; whether it might.
fn exchange<H: Host>(worker: &Worker<CircuitBreaker, H>, status: u32) -> bool {
    let (verdict, exchange) = worker.begin(&up());
    let passes = matches!(verdict, Verdict::Continue(_));
    if passes {
        worker.end(exchange, &SimResponse::upstream(status));
    }
    passes
}

/// A store as one worker left it that got these statuses, at 0.
fn after(json: &str, statuses: &[u32]) -> Arc<SimStore> {
    let workers = Workers::new(1, json);
    statuses.iter().for_each(|status| assert!(exchange(&workers.all[0], *status)));
    workers.store
}

/// The record of the only target, wherever it lies.
fn record(store: &SimStore) -> Record {
    let params = BreakerParams::default();
    let records = store.names().into_iter().filter_map(|name| {
        let (bytes, _) = store.load(&name).ok()??;
        if bytes.len() == Record::size(params.slots) {
            return Some(Record::decode(&bytes, &params));
        }
        (bytes.len() == block::size(params.slots)).then(|| {
            (0..block::WAYS).map(|way| block::record(&bytes, way, &params)).max_by_key(|r| r.generation)
        })?
    });
    records.max_by_key(|record| record.generation).expect("a record")
}

/// The index of the only table, if there is one.
fn index(store: &SimStore, json: &str) -> Option<Index> {
    let worker =
        Worker::<CircuitBreaker, _>::new(json, tidegate_sim::SimHost::new(Arc::new(store.snapshot())));
    let name = worker.ok()?.stage().cells().next()?.name;
    let (bytes, _) = store.load(&name).ok()??;
    (bytes.len() == tidegate_policy::breaker::cells::index::BYTES).then(|| Index::decode(&bytes))
}

/// The counter by which workers see that a cell changed.
fn transitions(store: &SimStore, json: &str) -> u64 {
    let host = tidegate_sim::SimHost::new(Arc::new(store.snapshot()));
    let worker = Worker::<CircuitBreaker, _>::new(json, host).expect("the configuration is right");
    store.raised(worker.counter("tidegate.breaker.breaker.a.transitions"))
}

#[test]
fn enough_failures_open_it_once_in_any_order() {
    for (target, workers) in [(CLUSTER, 3), (KEY, 2)] {
        let json = json(target, workers, 1);
        let setup = || after(&json, &[200]);
        let work = |_, gate: Gate<'_>| {
            let worker = started(&json, gate);
            exchange(&worker, 503)
        };
        let runs = explore(workers as usize, setup, work, |passed, store, order| {
            assert!(passed.iter().all(|passes| *passes), "{target} {order:?}");
            let record = record(store);
            assert_eq!((record.state, record.streak), (State::Open, 1), "{target} {order:?}");
            assert_eq!(transitions(store, &json), 1, "{target} {order:?}");
            if let Some(index) = index(store, &json) {
                assert_eq!(index.len(), 1, "{order:?}");
            }
        });
        assert!(runs >= 20, "only {runs} orders");
    }
}

#[test]
fn exactly_the_permitted_probes_pass_in_any_order() {
    for (target, workers) in [(CLUSTER, 3), (KEY, 2)] {
        for permits in [1, 2] {
            let json = json(target, 1, permits);
            let setup = || after(&json, &[503]);
            let work = |_, gate: Gate<'_>| {
                gate.set(Span::from_secs(1));
                let worker = started(&json, gate);
                matches!(worker.request(&up()), Verdict::Continue(_))
            };
            let runs = explore(workers, setup, work, |passed, store, order| {
                let probes = passed.iter().filter(|passes| **passes).count();
                assert_eq!(probes, permits as usize, "{target} {order:?}");
                assert_eq!(record(store).state, State::HalfOpen, "{target} {order:?}");
                assert_eq!(transitions(store, &json), 2, "{target} {order:?}");
            });
            assert!(runs > 90, "only {runs} orders");
        }
    }
}

#[test]
fn the_outcomes_of_three_probes_count_in_any_order() {
    #[rustfmt::skip]
    let cases = [
        // target  statuses         state           streak
        (CLUSTER,  [200, 200, 200], State::Closed,  0),
        (CLUSTER,  [200, 503, 200], State::Closed,  0),
        (CLUSTER,  [503, 200, 503], State::Open,    2),
        (KEY,      [200, 200, 200], State::Closed,  0),
        (KEY,      [503, 200, 503], State::Open,    2),
    ];
    for (target, statuses, state, streak) in cases {
        let json = json(target, 1, 3);
        // All have asked before the first of them ends.
        let asked: Mutex<Vec<Exchange>> = Mutex::default();
        let setup = || {
            let store = after(&json, &[503]);
            let workers = Workers::on(&store, 1, &json);
            workers.at(1_000);
            let probes =
                (0..3).map(|_| ask(&workers.all[0], &up())).inspect(|(word, _)| assert_eq!(*word, 'p'));
            *asked.lock().unwrap() = probes.map(|(_, exchange)| exchange).collect();
            store
        };
        let work = |worker: usize, gate: Gate<'_>| {
            gate.set(Span::from_secs(1));
            let exchange = asked.lock().unwrap().pop().unwrap();
            started(&json, gate).end(exchange, &SimResponse::upstream(statuses[worker]));
        };
        let runs = explore(3, setup, work, |_, store, order| {
            let record = record(store);
            assert_eq!((record.state, record.streak), (state, streak), "{statuses:?} {order:?}");
            assert_eq!(transitions(store, &json), 3, "{statuses:?} {order:?}");
        });
        assert!(runs >= 90, "only {runs} orders");
    }
}

/// Both endpoints fail for two workers at once; one must stay.
#[test]
fn two_workers_do_not_eject_the_last_endpoint() {
    let json = of(r#"{"endpoint": "up"}"#, r#""consecutive_failures": 1, "max_ejection_percent": 100"#);
    let attempt = |worker: &Gated<'_>, address: &str| {
        let attribute = tidegate_policy::http::Attribute::Endpoint;
        let request = up().attribute(attribute, address.as_bytes());
        let (verdict, exchange) = worker.begin(&request);
        let passes = matches!(verdict, Verdict::Continue(_));
        if passes {
            let hosts = tidegate_policy::http::Attribute::Endpoints;
            worker.end(exchange, &SimResponse::upstream(503).attribute(hosts, &2_u64.to_le_bytes()));
        }
        passes
    };
    let work = |worker: usize, gate: Gate<'_>| {
        let worker_of = attempt_worker(&json, gate);
        attempt(&worker_of, ["a:1", "b:1"][worker])
    };
    explore(2, Arc::default, work, |_, store, order| {
        let workers = Workers::attempts_on(&Arc::new(store.snapshot()), 1, &json);
        let left = ["a:1", "b:1"].into_iter().filter(|address| {
            let endpoint = tidegate_policy::http::Attribute::Endpoint;
            ask(&workers.all[0], &up().attribute(endpoint, address.as_bytes())).0 == '+'
        });
        assert_eq!(left.count(), 1, "{order:?}");
    });
}

fn attempt_worker<'a>(json: &str, gate: Gate<'a>) -> Gated<'a> {
    let cells = gate.store();
    Worker::attempt_started_on(cells, json, gate).expect("the configuration is right")
}

/// A worker that dies after each number of its store calls, while another goes on and two more come
/// later: it opens, is probed and closes all the same, and all workers see it.
#[test]
fn a_worker_that_dies_in_a_transition_leaves_no_breaker_stuck() {
    let (one, two): (&[u32], &[u32]) = (&[503], &[503, 503]);
    for (target, workers, statuses) in [(CLUSTER, 2, one), (KEY, 2, one), (CLUSTER, 2, two), (KEY, 1, two)] {
        let json = json(target, 2, 1);
        for lives in 0..=MOST_CALLS {
            let work = |worker, gate: Gate<'_>| {
                if worker == 0 {
                    gate.die_after(lives);
                }
                let worker = started(&json, gate);
                for status in statuses {
                    exchange(&worker, *status);
                }
            };
            explore(
                workers,
                || after(&json, &[200]),
                work,
                |_, store, order| {
                    recovers(store, &json, "FF", &format!("{target} dead after {lives}, {order:?}"));
                },
            );
        }
    }
}

/// More than a worker needs for two exchanges.
const MOST_CALLS: u64 = 12;

/// Whoever probes an open breaker dies after each number of store calls.
#[test]
fn a_worker_that_dies_with_a_probe_leaves_no_breaker_stuck() {
    // Of a key the other workers come later: two at once have too many orders.
    for (target, workers) in [(CLUSTER, 2), (KEY, 1)] {
        let json = json(target, 1, 1);
        for status in [200, 503] {
            for lives in 0..=MOST_CALLS {
                let work = |worker, gate: Gate<'_>| {
                    gate.set(Span::from_secs(1));
                    if worker == 0 {
                        gate.die_after(lives);
                    }
                    exchange(&started(&json, gate), status);
                };
                explore(
                    workers,
                    || after(&json, &[503]),
                    work,
                    |_, store, order| {
                        recovers(
                            store,
                            &json,
                            "F",
                            &format!("{target}, {status}, dead after {lives}, {order:?}"),
                        );
                    },
                );
            }
        }
    }
}

/// Two workers that come later: failures open it for both within a tick, its time passes, a
/// probe closes it, everything passes, and the index is empty.
fn recovers(store: &SimStore, json: &str, failures: &str, story: &str) {
    let workers = Workers::on(&Arc::new(store.snapshot()), 2, json);
    let all = |letters: &str| -> String {
        let one = |worker| crate::breaker::calls(worker, &up(), letters);
        workers.all.iter().map(one).collect()
    };
    // Out of whatever state it was left in: from now on everything goes well.
    for now in [2_000, 8_000, 20_000, 40_000] {
        workers.at(now).tick();
        all("S");
    }
    let now = 60_000;
    workers.at(now).tick();
    assert_eq!(all("SS"), "++++", "{story}: closes");
    assert_eq!(index(&workers.store, json).map_or(0, |index| index.len()), 0, "{story}: index");
    let now = now + 20_000;
    workers.at(now).tick();
    // One that was open and listed nowhere is found by the first failure and probed by the next.
    let passed = crate::breaker::calls(&workers.all[0], &up(), failures);
    assert!(!passed.contains('-'), "{story}: {passed}");
    assert_eq!(crate::breaker::calls(&workers.all[0], &up(), "S"), "-", "{story}: opens");
    assert_eq!(crate::breaker::calls(&workers.all[1], &up(), "S"), "-", "{story}: for all");
    workers.at(now + 5_000).tick();
    assert_eq!(all("SS"), "p+++", "{story}: and closes again");
}

/// Whoever opened a key died before it could list it: the first failure after it does.
#[test]
fn an_unlisted_open_key_is_listed_by_the_next_failure() {
    let json = json(KEY, 1, 1);
    let mut found = 0;
    for lives in 0..=MOST_CALLS {
        let work = |_, gate: Gate<'_>| {
            gate.die_after(lives);
            exchange(&started(&json, gate), 503);
        };
        explore(
            1,
            || after(&json, &[200]),
            work,
            |_, store, _| {
                if record(store).state != State::Open || index(store, &json).is_some_and(|i| !i.is_empty()) {
                    return;
                }
                found += 1;
                let workers = Workers::on(&Arc::new(store.snapshot()), 2, &json);
                workers.at(10).tick();
                assert_eq!(workers.calls("FS"), "+-", "dead after {lives}");
                workers.at(110).tick();
                let request = SimRequest::get("/");
                assert_eq!(ask(&workers.all[1], &request).0, '-', "dead after {lives}");
            },
        );
    }
    assert!(found > 0, "no worker died between the record and the index");
}

/// The simulator stops a worker between the two writes of a transition, too: here it does.
#[test]
fn a_worker_that_dies_may_leave_a_transition_unpublished() {
    let json = config(r#""consecutive_failures": 1"#);
    let mut published = Vec::new();
    for lives in 0..=6 {
        let work = |_, gate: Gate<'_>| {
            gate.die_after(lives);
            exchange(&started(&json, gate), 503);
        };
        explore(
            1,
            || after(&json, &[200]),
            work,
            |_, store, _| {
                published.push((record(store).state == State::Open, transitions(store, &json)));
            },
        );
    }
    assert!(published.contains(&(true, 0)) && published.contains(&(true, 1)), "{published:?}");
}
