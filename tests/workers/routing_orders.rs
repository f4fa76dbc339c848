//! No order of store calls, and no death between two of them, breaks a ramp.

use std::sync::Arc;

use tidegate_policy::host::Store;
use tidegate_policy::routing::ramp::{Phase, State, BYTES};
use tidegate_policy::routing::tally::{self, Tally};
use tidegate_policy::routing::Routing;
use tidegate_policy::time::Span;
use tidegate_sim::explore::Gate;
use tidegate_sim::{explore, SimRequest, SimResponse, SimStore, Worker};

use crate::routing::{cluster, Workers};
use crate::routing_ramp::{crowd, ramping, run, start, weight, BADLY, WELL};

fn started<'a>(json: &str, gate: Gate<'a>) -> Worker<Routing, Gate<'a>> {
    let cells = gate.store();
    Worker::started_on(cells, json, gate).expect("the configuration is right")
}

fn cell(store: &SimStore, size: usize) -> Vec<u8> {
    let mut cells = store.names().into_iter().filter_map(|name| Some(store.load(&name).ok()??.0));
    cells.find(|bytes| bytes.len() == size).expect("a cell of this size")
}

fn state(store: &SimStore) -> State {
    State::decode(&cell(store, BYTES))
}

/// Requests of the canary and of the baseline that the interval has, and those that failed.
fn published(store: &SimStore, interval: u64) -> [u64; 4] {
    let Tally { variant, baseline, .. } = Tally::read(&cell(store, tally::BYTES), state(store).tag, interval);
    let (canary, stable) = (variant.sample(), baseline.sample());
    [canary.total, canary.failed, stable.total, stable.failed]
}

fn moves(store: &SimStore, json: &str) -> u64 {
    let host = tidegate_sim::SimHost::new(Arc::new(store.snapshot()));
    let worker = Worker::<Routing, _>::new(json, host).expect("the configuration is right");
    store.raised(worker.counter("tidegate.routing.route.r.moves"))
}

/// A store after two seconds: the second interval went as the letter says, and is not judged yet.
fn after(json: &str, letter: &str) -> Arc<SimStore> {
    let workers = Workers::new(1, json);
    run(&workers, 1, &format!("+{letter}"));
    workers.store
}

#[test]
fn exactly_one_step_is_taken_in_any_order() {
    #[rustfmt::skip]
    let cases = [
        // second  abort                  phase            passed  failed  moves
        ("+",      "",                    Phase::Ramping,  2,      0,      2),
        ("-",      "",                    Phase::Ramping,  1,      1,      1),
        ("-",      r#", "max_failed": 1"#, Phase::Aborted, 1,      1,      2),
        (".",      "",                    Phase::Ramping,  1,      0,      1),
    ];
    for (letter, abort, phase, passed, failed, expected) in cases {
        let json = ramping("", abort);
        let before = after(&json, letter);
        let setup = || Arc::new(before.snapshot());
        // Three that stop after the write, two that go on to tell: more have too many orders.
        for (workers, lives) in [(3, 3), (2, u64::MAX)] {
            let work = |_, gate: Gate<'_>| {
                gate.set(Span::from_millis(3_250));
                gate.die_after(lives);
                started(&json, gate).tick();
            };
            let runs = explore(workers, setup, work, |_, store, order| {
                let state = state(store);
                assert_eq!((state.phase, state.checked), (phase, 2), "{letter}{abort} {order:?}");
                assert_eq!((state.passed, state.failed), (passed, failed), "{letter}{abort} {order:?}");
                if lives > 3 {
                    assert_eq!(moves(store, &json), expected, "{letter}{abort} {order:?}");
                }
            });
            assert!(runs > 30, "only {runs} orders");
        }
    }
}

#[test]
fn a_ramp_begins_once_in_any_order() {
    let json = ramping("", "").replace(&format!("{},", start(1_000)), "");
    let work = |worker: usize, gate: Gate<'_>| {
        // Their clocks are not quite together.
        gate.set(Span::from_millis(1_000 + 10 * worker as u64));
        started(&json, gate).tick();
    };
    let runs = explore(2, Arc::default, work, |_, store, order| {
        let state = state(store);
        assert_eq!((state.phase, state.checked, state.passed), (Phase::Ramping, 0, 0), "{order:?}");
        assert_eq!(moves(store, &json), 1, "{order:?}");
    });
    assert!(runs > 30, "only {runs} orders");
}

/// Alice is the baseline's and zoe the canary's; each worker has one of each, and fails one.
#[test]
fn what_all_workers_count_adds_up_in_any_order() {
    let json = ramping("", "");
    let workers = Workers::new(1, &json);
    workers.at(1_300).tick();
    let people = ["stable", "canary"].map(|name| {
        let cluster_of = if name == "stable" { "one" } else { "two" };
        let mut names = (0..100).map(|n: u32| n.to_string());
        let is = |user: &String| {
            cluster(&workers.all[0], &SimRequest::get("/").header("x-user", user.as_bytes())) == cluster_of
        };
        names.find(is).expect("a name in that bucket")
    });
    let work = |worker: usize, gate: Gate<'_>| {
        gate.set(Span::from_millis(1_400));
        let worker_of = started(&json, gate);
        for (user, status) in people.iter().zip([200, [200, 500][worker % 2]]) {
            let (_, open) = worker_of.begin(&SimRequest::get("/").header("x-user", user.as_bytes()));
            let _ = worker_of.end(open, &SimResponse::upstream(status));
        }
        worker_of.tick();
    };
    for dead_after in [None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(5), Some(6)] {
        let work = |worker: usize, gate: Gate<'_>| {
            if let (0, Some(calls)) = (worker, dead_after) {
                gate.die_after(calls);
            }
            work(worker, gate);
        };
        let setup = || Arc::new(workers.store.snapshot());
        let mut seen = std::collections::BTreeSet::new();
        explore(2, setup, work, |_, store, _| {
            seen.insert(published(store, 0));
        });
        let seen: Vec<_> = seen.into_iter().collect();
        match dead_after {
            None => assert_eq!(seen, [[2, 1, 2, 0]]),
            // All of the dead worker's counts are there, or none is.
            Some(calls) => {
                assert!(
                    seen.iter().all(|told| [[1, 1, 1, 0], [2, 1, 2, 0]].contains(told)),
                    "{calls}: {seen:?}"
                );
            }
        }
    }
}

/// A worker that dies after each number of store calls of its turn, with another beside it.
#[test]
fn a_worker_that_dies_in_its_turn_does_not_block_the_ramp() {
    for (letter, abort, expected) in [("+", "", 50), ("-", r#", "max_failed": 1"#, 0)] {
        let json = ramping("", abort);
        let store = after(&json, letter);
        let mut judged = 0;
        for (workers, lives) in (0..=8).flat_map(|lives| [(1, lives), (2, lives)]) {
            let work = |worker: usize, gate: Gate<'_>| {
                gate.set(Span::from_millis(3_250));
                if worker == 0 {
                    gate.die_after(lives);
                }
                started(&json, gate).tick();
            };
            let setup = || Arc::new(store.snapshot());
            explore(workers, setup, work, |_, store, order| {
                judged += usize::from(state(store).checked == 2);
                let later = Workers::on(&Arc::new(store.snapshot()), 2, &json);
                later.at(3_300).tick();
                let story = format!("{letter}, {workers} workers, dead after {lives}, {order:?}");
                assert_eq!((state(&later.store).checked, weight(&later.all[1])), (2, expected), "{story}");
                let seen = later.all.iter().map(|worker| crowd(worker, 3_300, WELL, BADLY));
                assert_eq!(seen.sum::<usize>() == 0, expected == 0, "{story}");
            });
        }
        assert!(judged > 0);
    }
}

/// Whoever moved it died before it could tell: the others find out with their next tick.
#[test]
fn an_abort_that_was_not_announced_is_found_by_the_next_tick() {
    let json = ramping("", r#", "max_failed": 1"#);
    let store = after(&json, "-");
    let mut untold = 0;
    for lives in 0..=8 {
        let work = |_, gate: Gate<'_>| {
            gate.set(Span::from_millis(3_250));
            gate.die_after(lives);
            started(&json, gate).tick();
        };
        let setup = || Arc::new(store.snapshot());
        explore(1, setup, work, |_, store, _| {
            if state(store).phase != Phase::Aborted || moves(store, &json) != 1 {
                return;
            }
            untold += 1;
            let later = Workers::on(&Arc::new(store.snapshot()), 2, &json);
            later.at(3_300).tick();
            assert_eq!(crowd(&later.all[1], 3_300, WELL, WELL), 0, "dead after {lives}");
        });
    }
    assert!(untold > 0, "no worker died between the state and the counter");
}
