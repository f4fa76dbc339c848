//! When the filter's own machinery fails: the cells cannot be read or written.

use std::cell::Cell;
use std::sync::Arc;

use serde_json::json;
use tidegate_policy::host::StoreError;
use tidegate_policy::http::{Reply, Verdict};
use tidegate_sim::{SimHost, SimRequest, SimStore, StoreCall, Worker};

use crate::limits::{in_both, Limits};

fn worker<S: Limits>(on_failure: &str, mode: &str) -> (Arc<SimStore>, Worker<S, SimHost>) {
    let limit = json!({
        "name": "a", "key": [{"header": "k"}], "mode": mode, "requests": 1, "per_ms": 86_400_000,
    });
    let json = json!({"log_admitted": true, "on_failure": on_failure, "limits": [limit]}).to_string();
    let store = Arc::new(SimStore::default());
    let worker = Worker::new(&S::document(&json), SimHost::new(store.clone())).unwrap();
    (store, worker)
}

fn ask<S: Limits>(worker: &Worker<S, SimHost>) -> (Option<Reply>, String) {
    let (verdict, _, outcome) = worker.exchange(&SimRequest::get("/").header("k", b"x"));
    let reply = match verdict {
        Verdict::Await(_) | Verdict::Continue(_) => None,
        Verdict::Reply(reply) => Some(reply),
    };
    (reply, outcome.unwrap_or_default())
}

fn failed<S: Limits>(worker: &Worker<S, SimHost>) -> u64 {
    worker.host.count(worker.counter("tidegate.ratelimit.limit.a.failed"))
}

#[test]
fn requests_pass_by_default_while_cells_fail() {
    in_both!(requests_pass_by_default_while_cells_fail_in);
}

fn requests_pass_by_default_while_cells_fail_in<S: Limits>() {
    let (store, worker) = worker::<S>("allow", "enforce");
    store.set_broken(true);
    for _ in 0..3 {
        assert_eq!(ask(&worker), (None, "failed".to_owned()));
    }
    assert_eq!(failed(&worker), 3);
    store.set_broken(false);
    assert_eq!(ask(&worker).1, "admitted");
    assert_eq!(ask(&worker).1, "refused:a");
}

#[test]
fn requests_get_503_while_cells_fail_when_so_configured() {
    in_both!(requests_get_503_while_cells_fail_when_so_configured_in);
}

fn requests_get_503_while_cells_fail_when_so_configured_in<S: Limits>() {
    let (store, worker) = worker::<S>("refuse", "enforce");
    store.set_broken(true);
    let (reply, outcome) = ask(&worker);
    let reply = reply.expect("a reply");
    assert_eq!((reply.status, reply.grpc_status, outcome.as_str()), (503, 14, "failed"));
    assert_eq!(reply.details, "tidegate_ratelimit_failed");
    assert!(reply.headers.contains(&("retry-after".to_owned(), "1".to_owned())));
    assert!(reply.body.contains("temporary-reduced-capacity"), "{}", reply.body);
    assert_eq!(failed(&worker), 1);
}

#[test]
fn a_limit_that_observes_never_refuses_even_when_it_fails() {
    in_both!(a_limit_that_observes_never_refuses_even_when_it_fails_in);
}

fn a_limit_that_observes_never_refuses_even_when_it_fails_in<S: Limits>() {
    let (store, worker) = worker::<S>("refuse", "observe");
    store.set_broken(true);
    assert_eq!(ask(&worker), (None, "failed".to_owned()));
}

#[test]
fn a_refusal_that_is_remembered_needs_no_cell() {
    in_both!(a_refusal_that_is_remembered_needs_no_cell_in);
}

fn a_refusal_that_is_remembered_needs_no_cell_in<S: Limits>() {
    let (store, worker) = worker::<S>("allow", "enforce");
    assert_eq!(ask(&worker).1, "admitted");
    assert_eq!(ask(&worker).1, "refused:a");
    store.set_broken(true);
    assert_eq!(ask(&worker).1, "refused:a");
}

#[test]
fn a_cell_of_rubbish_is_an_empty_cell() {
    in_both!(a_cell_of_rubbish_is_an_empty_cell_in);
}

fn a_cell_of_rubbish_is_an_empty_cell_in<S: Limits>() {
    let (store, worker) = worker::<S>("allow", "enforce");
    for name in store.names().iter().filter(|name| !name.ends_with("secret")) {
        store.put(name, b"rubbish");
    }
    assert_eq!(ask(&worker).1, "admitted");
    assert_eq!(ask(&worker).1, "refused:a");
}

#[test]
fn a_worker_that_keeps_losing_tries_again_and_charges() {
    in_both!(a_worker_that_keeps_losing_tries_again_and_charges_in);
}

fn a_worker_that_keeps_losing_tries_again_and_charges_in<S: Limits>() {
    let json = r#"{"limits": [{"name": "a", "key": [{"header": "k"}], "requests": 1, "per_ms": 86400000}]}"#;
    let worker = Worker::<S, _>::new(&S::document(json), SimHost::new(Arc::default())).unwrap();
    // Other workers win the next few writes.
    let left = Cell::new(40);
    worker.host.fail(move |call, _| {
        let loses = call == StoreCall::Replace && left.get() > 0;
        left.set(left.get() - u32::from(loses));
        loses.then_some(StoreError::Stale)
    });
    let request = SimRequest::get("/").header("k", b"x");
    let verdicts = [(); 2].map(|()| matches!(worker.request(&request), Verdict::Continue(_)));
    assert_eq!(verdicts, [true, false]);
    let count = |word: &str| {
        let name = format!("tidegate.ratelimit.limit.a.{word}");
        worker.host.count(worker.counter(&name))
    };
    assert_eq!((count("contended"), count("failed")), (40, 0));
}
