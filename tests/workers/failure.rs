//! When the filter's own machinery fails: the cells cannot be read or written.

use std::cell::Cell;
use std::sync::Arc;

use tidegate_policy::host::{
    Callout, CalloutError, Clock, Journal, Meter, Question, Store, StoreError, Token, Version,
};
use tidegate_policy::http::{Reply, Verdict};
use tidegate_policy::ratelimit::RateLimit;
use tidegate_policy::time::Timestamp;
use tidegate_sim::{SimHost, SimRequest, SimStore, Worker};

fn worker(on_failure: &str, mode: &str) -> (Arc<SimStore>, Worker<RateLimit, SimHost>) {
    let json = format!(
        r#"{{"log_admitted": true, "on_failure": "{on_failure}", "limits": [{{"name": "a", "key": [{{"header": "k"}}], "mode": "{mode}",
            "requests": 1, "per_ms": 86400000}}]}}"#
    );
    let store = Arc::new(SimStore::default());
    let worker = Worker::new(&json, SimHost::new(store.clone())).unwrap();
    (store, worker)
}

fn ask(worker: &Worker<RateLimit, SimHost>) -> (Option<Reply>, String) {
    let (verdict, _, outcome) = worker.exchange(&SimRequest::get("/").header("k", b"x"));
    let reply = match verdict {
        Verdict::Await(_) | Verdict::Continue(_) => None,
        Verdict::Reply(reply) => Some(reply),
    };
    (reply, outcome.unwrap_or_default())
}

fn failed(worker: &Worker<RateLimit, SimHost>) -> u64 {
    worker.host.count(worker.counter("tidegate.ratelimit.limit.a.failed"))
}

#[test]
fn requests_pass_by_default_while_cells_fail() {
    let (store, worker) = worker("allow", "enforce");
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
    let (store, worker) = worker("refuse", "enforce");
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
    let (store, worker) = worker("refuse", "observe");
    store.set_broken(true);
    assert_eq!(ask(&worker), (None, "failed".to_owned()));
}

#[test]
fn a_refusal_that_is_remembered_needs_no_cell() {
    let (store, worker) = worker("allow", "enforce");
    assert_eq!(ask(&worker).1, "admitted");
    assert_eq!(ask(&worker).1, "refused:a");
    store.set_broken(true);
    assert_eq!(ask(&worker).1, "refused:a");
}

#[test]
fn a_cell_of_rubbish_is_an_empty_cell() {
    let (store, worker) = worker("allow", "enforce");
    for name in store.names().iter().filter(|name| !name.ends_with("secret")) {
        store.put(name, b"rubbish");
    }
    assert_eq!(ask(&worker).1, "admitted");
    assert_eq!(ask(&worker).1, "refused:a");
}

/// A host on which other workers win the next few writes.
struct Losing {
    host: SimHost,
    losses: Cell<u32>,
}

impl Clock for Losing {
    fn now(&self) -> Timestamp {
        self.host.now()
    }

    fn wall(&self) -> Timestamp {
        self.host.wall()
    }
}

impl Meter for Losing {
    fn add(&self, index: usize, n: u64) {
        self.host.add(index, n);
    }

    fn raise(&self, index: usize) {
        self.host.raise(index);
    }

    fn read(&self, index: usize) -> u64 {
        self.host.read(index)
    }

    fn set(&self, index: usize, value: u64) {
        Meter::set(&self.host, index, value);
    }
}

impl Callout for Losing {
    fn ask(&self, question: &Question<'_>) -> Result<Token, CalloutError> {
        self.host.ask(question)
    }
}

impl Journal for Losing {
    fn note(&self, line: &str) {
        self.host.note(line);
    }
}

impl Store for Losing {
    fn load(&self, cell: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.host.load(cell)
    }

    fn replace(&self, cell: &str, bytes: &[u8], version: Version) -> Result<(), StoreError> {
        match self.losses.get().checked_sub(1) {
            Some(left) => {
                self.losses.set(left);
                Err(StoreError::Stale)
            }
            None => self.host.replace(cell, bytes, version),
        }
    }

    fn create(&self, cell: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        self.host.create(cell, bytes)
    }
}

#[test]
fn a_worker_that_keeps_losing_tries_again_and_charges() {
    let json = r#"{"limits": [{"name": "a", "key": [{"header": "k"}], "requests": 1, "per_ms": 86400000}]}"#;
    let host = Losing { host: SimHost::new(Arc::default()), losses: Cell::new(0) };
    let worker = Worker::<RateLimit, _>::new(json, host).unwrap();
    worker.host.losses.set(40);
    let request = SimRequest::get("/").header("k", b"x");
    let verdicts = [(); 2].map(|()| matches!(worker.request(&request), Verdict::Continue(_)));
    assert_eq!(verdicts, [true, false]);
    let count = |word: &str| {
        let name = format!("tidegate.ratelimit.limit.a.{word}");
        worker.host.host.count(worker.counter(&name))
    };
    assert_eq!((count("contended"), count("failed")), (40, 0));
}
