//! A limit that is configured anew, on the table it had before.

use std::sync::Arc;

use tidegate_policy::http::Verdict;
use tidegate_policy::ratelimit::RateLimit;
use tidegate_policy::time::Span;
use tidegate_sim::{SimHost, SimRequest, SimStore, Worker};

/// Two requests every `per_ms`, all of them at once.
fn worker(store: &Arc<SimStore>, per_ms: u64) -> Worker<RateLimit, SimHost> {
    let json = format!(
        r#"{{"limits": [{{"name": "a", "key": [{{"constant": "x"}}], "requests": 2, "per_ms": {per_ms}}}]}}"#
    );
    Worker::new(&json, SimHost::new(store.clone())).unwrap()
}

fn admits(worker: &Worker<RateLimit, SimHost>, at_ms: u64) -> bool {
    worker.host.set(Span::from_millis(at_ms));
    matches!(worker.request(&SimRequest::get("/")), Verdict::Continue(_))
}

/// What a client owed to a slow limit used to be cut to the capacity of a faster one as of
/// each of its requests, and written by none, because refusals wrote nothing: whoever kept
/// asking was refused for as long as by the slow limit.
#[test]
fn a_faster_rate_admits_a_client_that_kept_asking() {
    let store = Arc::new(SimStore::default());
    let slow = worker(&store, 86_400_000);
    assert_eq!([0, 1, 2].map(|at| admits(&slow, at)), [true, true, false]);
    let fast = worker(&store, 1_000);
    // Owes a second as of 100 ms, so the first of its two is back after half of it.
    assert_eq!([100, 300, 599, 600, 601].map(|at| admits(&fast, at)), [false, false, false, true, false]);
    // Another worker finds the same.
    assert_eq!([1_099, 1_100, 1_101].map(|at| admits(&worker(&store, 1_000), at)), [false, true, false]);
}

/// The old configuration may serve for minutes beside the new one, on connections that it
/// had. Whichever of the two is the faster one used to cut what the client owed to the
/// slower: one request to it, and the other limit was as new.
#[test]
fn a_superseded_configuration_cuts_nothing() {
    for (old, new) in [(1_000, 86_400_000), (86_400_000, 1_000)] {
        let store = Arc::new(SimStore::default());
        let old = worker(&store, old);
        assert_eq!([0, 1, 2].map(|at| admits(&old, at)), [true, true, false]);
        let new = worker(&store, new);
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
    let store = Arc::new(SimStore::default());
    let old = worker(&store, 1_000);
    let new = worker(&store, 3_600_000);
    let admitted = (0..3_600).filter(|second| {
        let _ = admits(&old, second * 1_000);
        admits(&new, second * 1_000 + 500)
    });
    assert!(admitted.count() <= 4, "two at once and two an hour");
}
