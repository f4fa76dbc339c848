//! Several workers over time: how many requests pass together, when each sees a transition, and
//! reloads.

use std::sync::Arc;

use tidegate_policy::http::{Placement, Stage};
use tidegate_sim::{SimHost, SimStore};

use crate::breaker::{ask, calls, config, end, up, Exchange, Sim, Workers};

/// A generator of the same numbers on every run (xorshift64*, Vigna 2016).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

/// Requests in flight, each with its worker.
type UnderWay = Vec<(usize, Exchange)>;

/// One random step: a request, or an outcome. The answer, if it was a request.
fn step(
    workers: &Workers,
    numbers: &mut Numbers,
    under_way: &mut UnderWay,
    most: usize,
    letter: char,
) -> char {
    let begins = under_way.is_empty() || (under_way.len() < most && numbers.below(2) == 0);
    if begins {
        let worker = numbers.below(workers.all.len());
        let (word, exchange) = ask(&workers.all[worker], &up());
        if word != '-' {
            under_way.push((worker, exchange));
        }
        word
    } else {
        let (worker, exchange) = under_way.swap_remove(numbers.below(under_way.len()));
        end(&workers.all[worker], exchange, letter);
        ' '
    }
}

#[test]
fn a_dead_upstream_gets_no_more_than_the_run_and_requests_in_flight() {
    for workers_count in [1, 2, 3, 4] {
        for seed in 1..=40 {
            let json = config(r#""consecutive_failures": 5"#);
            let workers = Workers::new(workers_count, &json);
            let mut numbers = Numbers(seed);
            let (mut under_way, mut passed) = (UnderWay::new(), 0);
            let most = 1 + numbers.below(16);
            for at in 0..400 {
                workers.at(at);
                if at % 100 == 99 {
                    workers.tick();
                }
                passed += usize::from(step(&workers, &mut numbers, &mut under_way, most, 'F') == '+');
            }
            let story = format!("{workers_count} workers, seed {seed}, {most} at a time");
            assert!(passed < 5 + most, "{passed} passed: {story}");
            assert_eq!(workers.count("transitions"), 1, "{story}");
            assert_eq!(workers.notes().len(), 1, "{story}");
        }
    }
}

#[test]
fn exactly_the_permitted_probes_are_in_flight_together() {
    for workers_count in [2, 3, 4] {
        for seed in 1..=40 {
            let fields = r#""consecutive_failures": 1, "half_open_permits": 3, "base_open_ms": 1000, "failure_rate_percent": 100"#;
            let workers = Workers::new(workers_count, &config(fields));
            assert_eq!(workers.calls("F"), "+");
            workers.at(1_000);
            let mut numbers = Numbers(seed);
            let (mut under_way, mut largest) = (UnderWay::new(), 0);
            for at in 0..300 {
                workers.at(1_000 + at);
                // Nothing is learnt, so it stays half-open and permits come back.
                let word = step(&workers, &mut numbers, &mut under_way, 4, 'C');
                assert_ne!(word, '+', "seed {seed}");
                assert!(word != '-' || under_way.len() == 3, "seed {seed}: refused {}", under_way.len());
                largest = largest.max(under_way.len());
            }
            assert_eq!(
                (largest, workers.count("transitions")),
                (3, 2),
                "{workers_count} workers, seed {seed}"
            );
        }
    }
}

#[test]
fn every_transition_reaches_all_workers_at_once_and_the_log_once() {
    for workers_count in [2, 3, 4] {
        let fields = r#""consecutive_failures": 2, "half_open_permits": 1, "base_open_ms": 1000"#;
        let workers = Workers::new(workers_count, &config(fields));
        let last = workers.all.last().unwrap();
        let ask_all = || -> String { workers.all.iter().map(|worker| ask(worker, &up()).0).collect() };
        assert_eq!(ask_all(), "+".repeat(workers_count));
        assert_eq!(workers.calls("FF"), "++");
        assert_eq!(ask_all(), "-".repeat(workers_count), "open");
        workers.at(1_000);
        let (word, probe) = ask(last, &up());
        assert_eq!((word, ask_all()), ('p', "-".repeat(workers_count)), "half-open");
        end(last, probe, 'S');
        assert_eq!(ask_all(), "+".repeat(workers_count), "closed");
        assert_eq!((workers.notes().len(), workers.count("transitions")), (3, 3));
    }
}

#[test]
fn consecutive_failures_of_several_workers_add_up() {
    let workers = Workers::new(3, &config(r#""consecutive_failures": 6"#));
    let one = |worker: usize, letters| calls(&workers.all[worker], &up(), letters);
    for worker in [0, 1, 2, 0, 1] {
        assert_eq!(one(worker, "F"), "+");
    }
    // A success between, merged at once because there was a run.
    workers.tick();
    assert_eq!(one(2, "S"), "+");
    for worker in [0, 1, 2, 0, 1, 2] {
        assert_eq!(one(worker, "F"), "+");
    }
    assert_eq!([0, 1, 2].map(|worker| one(worker, "S")), ["-", "-", "-"]);
}

#[test]
fn the_rate_is_of_all_workers_together() {
    let workers = Workers::new(4, &config(r#""consecutive_failures": 0, "minimum_calls": 40"#));
    for worker in &workers.all {
        assert_eq!(calls(worker, &up(), "SFSFSFSFS"), "+++++++++");
    }
    workers.at(100).tick();
    assert_eq!(workers.count("transitions"), 0, "36 calls are too few");
    assert_eq!(calls(&workers.all[2], &up(), "FFFFS"), "++++-");
    assert_eq!(workers.count("transitions.failure_rate"), 1);
}

const SMALL: &str = r#""consecutive_failures": 1, "base_open_ms": 10000, "half_open_permits": 1"#;

#[test]
fn a_reload_with_the_same_parameters_keeps_the_state() {
    for (target, request) in [(r#"{"cluster": "up"}"#, up()), (r#"{"key": [{"constant": "x"}]}"#, up())] {
        let json = crate::breaker::of(target, SMALL);
        let store: Arc<SimStore> = Arc::default();
        let old = Workers::on(&store, 2, &json);
        assert_eq!(calls(&old.all[0], &request, "F"), "+");
        let new = Workers::on(&store, 2, &json);
        new.at(9_999).tick();
        assert_eq!(new.all.iter().map(|w| ask(w, &request).0).collect::<String>(), "--", "{target}");
        new.at(10_000);
        assert_eq!(calls(&new.all[1], &request, "SS"), "p+", "{target}");
    }
}

#[test]
fn a_reload_with_other_parameters_starts_closed() {
    for target in [r#"{"cluster": "up"}"#, r#"{"key": [{"constant": "x"}]}"#] {
        let store: Arc<SimStore> = Arc::default();
        let old = Workers::on(&store, 1, &crate::breaker::of(target, SMALL));
        assert_eq!(old.calls("FS"), "+-", "{target}");
        let changed = SMALL.replace("10000", "20000");
        let new = Workers::on(&store, 2, &crate::breaker::of(target, &changed));
        assert_eq!(new.calls("SF"), "++", "{target}");
        assert_eq!(new.at(19_999).calls("S"), "-", "{target}: and has its own times");
        assert_eq!(new.at(20_000).calls("S"), "p", "{target}");
    }
}

/// A configuration that drains serves for minutes beside the new one. Both have the same record,
/// and neither undoes what the other did.
#[test]
fn an_old_configuration_does_not_reset_the_record_of_the_new_one() {
    for target in [r#"{"cluster": "up"}"#, r#"{"key": [{"constant": "x"}]}"#] {
        let store: Arc<SimStore> = Arc::default();
        let old = Workers::on(&store, 1, &crate::breaker::of(target, SMALL));
        assert_eq!(old.calls("S"), "+");
        let new = Workers::on(&store, 1, &crate::breaker::of(target, &SMALL.replace("10000", "20000")));
        assert_eq!(new.calls("F"), "+");
        let mut transitions = 0;
        for at in (100..15_000).step_by(100) {
            old.at(at).tick();
            new.at(at).tick();
            assert_eq!([old.calls("S"), new.calls("S")], ["-", "-"], "{target} at {at}");
            transitions = new.count("transitions") + old.count("transitions");
        }
        assert_eq!(transitions, 1, "{target}");
        old.all[0].stage().stop(&old.all[0].host);
        assert_eq!(new.at(20_000).calls("SS"), "p+", "{target}");
    }
}

/// What a gauge of a breaker shows: `state`, `open`.
fn shown(workers: &Workers) -> (u64, u64) {
    (workers.count("state"), workers.count("open"))
}

/// Its gauges stayed 1 for ever, and the alert on them.
#[test]
fn gauges_of_a_breaker_that_is_removed_while_it_is_open_go_to_zero() {
    for target in [r#"{"cluster": "up"}"#, r#"{"key": [{"constant": "x"}]}"#] {
        let old = Workers::new(1, &crate::breaker::of(target, SMALL));
        let (_, late) = ask(&old.all[0], &up());
        assert_eq!(old.calls("F"), "+");
        old.tick();
        assert_eq!(shown(&old).1, 1, "{target}");
        old.all[0].stage().stop(&old.all[0].host);
        assert_eq!(shown(&old), (0, 0), "{target}");
        // What is still in flight sets nothing any more, nor does a tick that was due.
        end(&old.all[0], late, 'F');
        old.at(20_000).tick();
        assert_eq!(calls(&old.all[0], &up(), "F"), "p");
        assert_eq!(shown(&old), (0, 0), "{target}");
    }
}

/// The old and the new configuration of a worker are there at the same time, and may be for long.
#[test]
fn gauges_stay_while_any_configuration_of_the_worker_has_the_breaker() {
    let json = config(SMALL);
    let old = Workers::new(1, &json);
    assert_eq!(old.calls("F"), "+");
    old.tick();
    let new =
        Sim::beside(&old.all[0], &json, Placement::Downstream, SimHost::new(old.store.clone())).unwrap();
    old.all[0].stage().stop(&old.all[0].host);
    assert_eq!(shown(&old), (1, 1), "the new one sets them");
    new.stage().stop(&old.all[0].host);
    assert_eq!(shown(&old), (0, 0));
}

#[test]
fn a_new_window_layout_has_a_record_of_its_own() {
    let store: Arc<SimStore> = Arc::default();
    let old = Workers::on(&store, 1, &config(SMALL));
    assert_eq!(old.calls("FS"), "+-");
    let new = Workers::on(&store, 1, &config(&format!(r#"{SMALL}, "window_slots": 20"#)));
    assert_eq!([new.calls("S"), old.calls("S")], ["+", "-"]);
}
