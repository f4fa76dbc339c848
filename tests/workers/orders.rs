//! No order of store calls admits one request too many.

use std::sync::Arc;

use serde_json::json;
use tidegate_policy::host::Host;
use tidegate_policy::http::Verdict;
use tidegate_policy::ratelimit::RateLimit;
use tidegate_policy::time::Span;
use tidegate_sim::explore::Gate;
use tidegate_sim::{explore, SimHost, SimRequest, SimStore, Worker};

const TWO_LIMITS: &str = r#"{"limits": [
    {"name": "wide", "key": [{"constant": "x"}], "requests": 1, "per_ms": 86400000, "burst": 3},
    {"name": "narrow", "key": [{"constant": "x"}], "requests": 1, "per_ms": 86400000, "burst": 1}]}"#;

/// One limit for everybody: a single cell, so that every request meets every other.
fn one_limit(burst: u32) -> String {
    let limit = json!({
        "name": "all", "key": [{"constant": "x"}], "requests": 1, "per_ms": 86_400_000, "burst": burst,
    });
    json!({"limits": [limit]}).to_string()
}

fn admits<H: Host>(worker: &Worker<RateLimit, H>) -> bool {
    matches!(worker.request(&SimRequest::get("/")), Verdict::Continue(_))
}

/// How many of `requests` are admitted by a worker that was started before the run.
fn admitted_by(json: &str, gate: Gate<'_>, requests: usize) -> usize {
    let cells = gate.store();
    let worker = Worker::started_on(cells, json, gate).expect("the configuration is right");
    (0..requests).filter(|_| admits(&worker)).count()
}

/// How many more requests the store's buckets admit, a second later.
fn left_in(store: &SimStore, json: &str) -> usize {
    let host = SimHost::new(Arc::new(store.snapshot()));
    host.set(Span::from_secs(1));
    let worker = Worker::<RateLimit, _>::new(json, host).expect("the configuration is right");
    (0..100).take_while(|_| admits(&worker)).count()
}

#[test]
fn three_workers_admit_one_request_where_one_is_allowed() {
    let json = one_limit(1);
    let work = |_, gate: Gate<'_>| admitted_by(&json, gate, 1);
    let runs = explore(3, Arc::default, work, |admitted, _, order| {
        assert_eq!(admitted.iter().sum::<usize>(), 1, "order {order:?}");
    });
    assert!(runs > 90, "only {runs} orders");
}

#[test]
fn three_workers_admit_exactly_the_burst() {
    let json = one_limit(2);
    let work = |_, gate: Gate<'_>| admitted_by(&json, gate, 1);
    let runs = explore(3, Arc::default, work, |admitted, _, order| {
        assert_eq!(admitted.iter().sum::<usize>(), 2, "order {order:?}");
    });
    assert!(runs > 90, "only {runs} orders");
}

#[test]
fn two_workers_of_two_requests_admit_exactly_the_burst() {
    let json = one_limit(3);
    let work = |_, gate: Gate<'_>| admitted_by(&json, gate, 2);
    let runs = explore(2, Arc::default, work, |admitted, _, order| {
        assert_eq!(admitted.iter().sum::<usize>(), 3, "order {order:?}");
    });
    assert!(runs > 70, "only {runs} orders");
}

#[test]
fn workers_that_start_together_share_one_table() {
    let json = one_limit(1);
    let work = |_, gate: Gate<'_>| {
        let worker = Worker::<RateLimit, _>::new(&json, gate).expect("the configuration is right");
        admits(&worker)
    };
    let runs = explore(2, Arc::default, work, |admitted, _, order| {
        assert_eq!(admitted.iter().filter(|yes| **yes).count(), 1, "order {order:?}");
    });
    assert!(runs > 250, "only {runs} orders");
}

/// A request that the narrow limit refuses must not use up the wide one, even if another worker
/// charged the wide one in between.
#[test]
fn a_refusal_takes_back_what_other_limits_charged() {
    let work = |_, gate: Gate<'_>| admitted_by(TWO_LIMITS, gate, 1);
    let wide_only = TWO_LIMITS.replace("\"narrow\"", "\"another\"").replace("\"burst\": 1", "\"burst\": 99");
    let runs = explore(2, Arc::default, work, |admitted, store, order| {
        assert_eq!(admitted.iter().sum::<usize>(), 1, "order {order:?}");
        assert_eq!(left_in(store, &wide_only), 2, "left of three after one, order {order:?}");
    });
    assert!(runs > 70, "only {runs} orders");
}

/// What a worker remembers of a refusal must not outlive by much what made it right: here
/// the charge of a request that another limit then refused.
#[test]
fn a_refusal_is_not_remembered_for_longer_than_a_moment() {
    let store = Arc::new(SimStore::default());
    let worker = |json: &str| Worker::<RateLimit, _>::new(json, SimHost::new(store.clone())).unwrap();
    let json = one_limit(1);
    let (first, second) = (worker(&json), worker(&json));
    assert!(admits(&first) && !admits(&second));
    // As if the first worker had taken its charge back: every cell as it was.
    for name in store.names().iter().filter(|name| name.ends_with("0000")) {
        store.put(name, &[0; 280]);
    }
    assert!(!admits(&second), "it remembers");
    second.host.set(Span::from_millis(100));
    assert!(admits(&second), "and asks again");
}

/// A worker that stops for good before any of its calls leaves nothing locked: the others
/// get exactly what is left.
#[test]
fn a_worker_that_dies_half_way_blocks_no_other() {
    let json = one_limit(2);
    for survives in 0..3 {
        let work = |worker, gate: Gate<'_>| {
            if worker == 0 {
                gate.die_after(survives);
            }
            admitted_by(&json, gate, 1)
        };
        explore(3, Arc::default, work, |admitted, store, order| {
            let others: usize = admitted[1..].iter().sum();
            let left = left_in(store, &json);
            assert!(others + left == 2 || others + left == 1, "order {order:?}: {others} + {left}");
            assert!(others >= 1, "order {order:?}");
        });
    }
}
