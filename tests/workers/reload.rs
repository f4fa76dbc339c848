//! A limit that is configured anew, on the table it had before.

use std::sync::Arc;

use serde_json::json;
use tidegate_policy::http::Verdict;
use tidegate_policy::time::Span;
use tidegate_sim::{SimHost, SimRequest, SimStore, Worker};

use crate::limits::{in_both, Limits};

/// Two requests every `per_ms`, all of them at once.
fn worker<S: Limits>(store: &Arc<SimStore>, per_ms: u64) -> Worker<S, SimHost> {
    let limit = json!({"name": "a", "key": [{"constant": "x"}], "requests": 2, "per_ms": per_ms});
    let json = json!({"limits": [limit]}).to_string();
    Worker::new(&S::document(&json), SimHost::new(store.clone())).unwrap()
}

fn admits<S: Limits>(worker: &Worker<S, SimHost>, at_ms: u64) -> bool {
    worker.host.set(Span::from_millis(at_ms));
    matches!(worker.request(&SimRequest::get("/")), Verdict::Continue(_))
}

/// What a client owed to a slow limit used to be cut to the capacity of a faster one as of
/// each of its requests, and written by none, because refusals wrote nothing: a client that kept
/// asking was refused for as long as by the slow limit.
#[test]
fn a_faster_rate_admits_a_client_that_kept_asking() {
    in_both!(a_faster_rate_admits_a_client_that_kept_asking_in);
}

fn a_faster_rate_admits_a_client_that_kept_asking_in<S: Limits>() {
    let store = Arc::new(SimStore::default());
    let slow = worker::<S>(&store, 86_400_000);
    assert_eq!([0, 1, 2].map(|at| admits(&slow, at)), [true, true, false]);
    let fast = worker::<S>(&store, 1_000);
    // Owes a second as of 100 ms, so the first of its two is back after half of it.
    assert_eq!([100, 300, 599, 600, 601].map(|at| admits(&fast, at)), [false, false, false, true, false]);
    // Another worker finds the same.
    assert_eq!([1_099, 1_100, 1_101].map(|at| admits(&worker::<S>(&store, 1_000), at)), [false, true, false]);
}

/// A key that owes nothing is admitted by both, whichever of the two has used its block.
#[test]
fn both_configurations_admit_a_key_without_debt() {
    in_both!(both_configurations_admit_a_key_without_debt_in);
}

fn both_configurations_admit_a_key_without_debt_in<S: Limits>() {
    for (old, new) in [(1_000, 86_400_000), (86_400_000, 1_000)] {
        for first in [0, 1] {
            let store = Arc::new(SimStore::default());
            let workers = [old, new].map(|per_ms| by_key::<S>(&store, per_ms));
            assert!(asks(&workers[first], "one", 0), "{old} and {new}, {first} first");
            assert!(asks(&workers[1 - first], "another", 1), "{old} and {new}, {first} first");
        }
    }
}

/// Rolled back while it still drained, a configuration is not configured anew: Envoy has it
/// still. When the one in between goes, the first must be in force again.
#[test]
fn a_configuration_that_comes_back_is_in_force_again() {
    in_both!(a_configuration_that_comes_back_is_in_force_again_in);
}

fn a_configuration_that_comes_back_is_in_force_again_in<S: Limits>() {
    let store = Arc::new(SimStore::default());
    let (slow, fast) = (by_key::<S>(&store, 86_400_000), by_key::<S>(&store, 100));
    assert!(asks(&fast, "one", 0));
    fast.stage().stop(&fast.host);
    let admitted = (1..10_000).filter(|at| asks(&slow, "another", *at)).count();
    assert_eq!(admitted, 2, "by a limit of two a day");
}

/// Two requests every `per_ms` for each value of the header `k`, all in one block.
fn by_key<S: Limits>(store: &Arc<SimStore>, per_ms: u64) -> Worker<S, SimHost> {
    let limit = json!({"name": "a", "key": [{"header": "k"}], "requests": 2, "per_ms": per_ms});
    let json = json!({"limits": [limit], "table": {"keys": 16}}).to_string();
    Worker::new(&S::document(&json), SimHost::new(store.clone())).unwrap()
}

fn asks<S: Limits>(worker: &Worker<S, SimHost>, key: &str, at_ms: u64) -> bool {
    worker.host.set(Span::from_millis(at_ms));
    matches!(worker.request(&SimRequest::get("/").header("k", key.as_bytes())), Verdict::Continue(_))
}

/// The old configuration may serve for minutes beside the new one, on connections that it
/// had. Whichever of the two is the faster one used to cut what the client owed to the
/// slower: one request to it, and the other limit was as new.
#[test]
fn a_superseded_configuration_cuts_nothing() {
    in_both!(a_superseded_configuration_cuts_nothing_in);
}

fn a_superseded_configuration_cuts_nothing_in<S: Limits>() {
    for (old, new) in [(1_000, 86_400_000), (86_400_000, 1_000)] {
        let store = Arc::new(SimStore::default());
        let old = worker::<S>(&store, old);
        assert_eq!([0, 1, 2].map(|at| admits(&old, at)), [true, true, false]);
        let new = worker::<S>(&store, new);
        let mut passed = 0;
        for at in 3..200 {
            passed += usize::from(admits(&new, at)) + usize::from(admits(&old, at));
        }
        assert!(passed <= 1, "{passed} passed while the client was over both limits");
    }
}

/// Old fast, new slow, over an hour of alternating: no more than the slow one allows.
#[test]
fn a_fast_old_configuration_does_not_feed_a_slow_new_one() {
    in_both!(a_fast_old_configuration_does_not_feed_a_slow_new_one_in);
}

fn a_fast_old_configuration_does_not_feed_a_slow_new_one_in<S: Limits>() {
    let store = Arc::new(SimStore::default());
    let old = worker::<S>(&store, 1_000);
    let new = worker::<S>(&store, 3_600_000);
    let admitted = (0..3_600).filter(|second| {
        let _ = admits(&old, second * 1_000);
        admits(&new, second * 1_000 + 500)
    });
    assert!(admitted.count() <= 4, "two at once and two an hour");
}

/// A client that had used up 10 a day was refused by the 1,000 a day that it was raised to, too,
/// for its debt was kept as time: 0 of 20 passed.
#[test]
fn a_raised_limit_admits_what_it_was_raised_by() {
    in_both!(a_raised_limit_admits_what_it_was_raised_by_in);
}

fn a_raised_limit_admits_what_it_was_raised_by_in<S: Limits>() {
    let store = Arc::new(SimStore::default());
    let a_day = |requests: u32| {
        let limit =
            json!({"name": "a", "key": [{"constant": "x"}], "requests": requests, "per_ms": 86_400_000});
        let json = json!({"limits": [limit], "leases": {"units": 0}}).to_string();
        Worker::<S, _>::new(&S::document(&json), SimHost::new(store.clone())).unwrap()
    };
    let admitted = |worker: &Worker<S, SimHost>, at_ms| (0..1_100).filter(|_| admits(worker, at_ms)).count();
    let ten = a_day(10);
    assert_eq!(admitted(&ten, 1), 10);
    let thousand = a_day(1_000);
    assert_eq!(admitted(&thousand, 1), 990);
    // The old configuration drains beside it and admits nothing more.
    assert_eq!(admitted(&ten, 1), 0);
    // Lowered again: all of it is owed.
    assert_eq!(admitted(&a_day(10), 1), 0);
}
