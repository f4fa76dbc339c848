//! A store that fails, or has garbage in it: the last table serves, and workers recover afterwards.

use std::sync::Arc;

use tidegate_policy::discovery::stage::Discovery;
use tidegate_policy::host::StoreError;
use tidegate_policy::http::{Stage, Verdict};
use tidegate_policy::time::Span;
use tidegate_sim::{SimHost, SimRequest, SimResponse, SimStore, Worker};

use crate::discovery::{answer, config, fixed, polled, question, reached, sent, word, Workers};
use crate::discovery_both::FOUR;

/// Has so many calls of the store fail, from the `first` one after this on.
fn fail(host: &SimHost, first: u64, count: u64) {
    let which =
        move |_, call: u64| (call >= first && call - first < count).then_some(StoreError::Unavailable);
    host.fail(which);
}

/// Where a request goes that its endpoint fails.
fn goes(worker: &Worker<Discovery, SimHost>) -> String {
    let (verdict, exchange) = worker.begin(&SimRequest::get("/"));
    if matches!(verdict, Verdict::Continue(_)) {
        worker.end(exchange, &SimResponse::upstream(503));
    }
    word(&verdict)
}

/// Ten seconds of a worker that asks, is answered and sends requests.
fn ten_seconds(worker: &Worker<Discovery, SimHost>, from: u64, endpoint: &str, words: &mut Vec<String>) {
    for ms in (from..from + 10_000).step_by(100) {
        worker.host.set(Span::from_millis(ms));
        worker.tick();
        for question in worker.host.take_questions() {
            worker.answer(&answer(&question, 10 + ms, &[endpoint, "10.0.0.9:80"]));
        }
        words.push(goes(worker));
    }
}

#[test]
fn workers_recover_from_any_failed_store_call() {
    let json = polled(r#""ttl_ms": 1000"#, r#""outlier_detection": {"consecutive_5xx": 40}"#);
    for count in [1, 3, 40] {
        for first in 0..60 {
            let store = Workers::knowing(1, &json, &["10.0.0.1:80", "10.0.0.9:80"]).store;
            let worker = Worker::<Discovery, _>::started_on(&*store, &json, SimHost::new(store.clone()));
            let worker = worker.expect("a right configuration");
            assert!(goes(&worker).starts_with("10.0.0."));
            fail(&worker.host, first, count);
            let mut words = Vec::new();
            ten_seconds(&worker, 10_000, "10.0.0.2:80", &mut words);
            ten_seconds(&worker, 20_000, "10.0.0.2:80", &mut words);
            let story = format!("{count} calls fail after {first}");
            assert!(words.iter().all(|word| word.starts_with("10.0.0.")), "{story}: {words:?}");
            if count <= 5 {
                // The same answer again is enough.
                assert_eq!(after_ejections(&store, &json), "2 9", "{story}");
            }
            fail(&worker.host, 0, 0);
            ten_seconds(&worker, 60_000, "10.0.0.3:80", &mut Vec::new());
            assert_eq!(after_ejections(&store, &json), "3 9", "{story}");
        }
    }
}

/// Where a new worker's requests go when all ejections are over.
fn after_ejections(store: &Arc<SimStore>, json: &str) -> String {
    let fresh = Workers::on(store, 1, json);
    fresh.at(400_000);
    reached(&fresh.all[0])
}

/// A worker that takes over and cannot read the snapshot has nothing to compare an empty answer with.
#[test]
fn a_failed_store_call_makes_no_empty_answer_serve() {
    let json = polled("", "");
    for first in 0..20 {
        let store = Workers::knowing(1, &json, &FOUR).store;
        let worker = Worker::<Discovery, _>::started_on(&*store, &json, SimHost::new(store.clone()));
        let worker = worker.expect("a right configuration");
        fail(&worker.host, first, 1);
        for ms in (20_000..40_000).step_by(100) {
            worker.host.set(Span::from_millis(ms));
            worker.tick();
            for question in worker.host.take_questions() {
                worker.answer(&answer(&question, 10 + ms, &[]));
            }
        }
        assert_eq!(after_ejections(&store, &json), "1 2 3 4", "call {first} failed");
    }
}

#[test]
fn without_a_store_known_endpoints_serve() {
    let workers = Workers::knowing(2, &polled("", ""), &FOUR);
    let all = |expected: &str| {
        workers.all.iter().for_each(|worker| assert_eq!(reached(worker), expected));
    };
    all("1 2 3 4");
    workers.store.set_broken(true);
    // Others have something new, and it cannot be read.
    workers.store.raise(workers.all[0].counter("tidegate.discovery.changes"));
    workers.run(100, 60_000, &mut |_, question| Some(answer(question, 11, &FOUR[..3])));
    all("1 2 3 4");
    workers.store.set_broken(false);
    workers.run(60_100, 80_000, &mut |_, question| Some(answer(question, 11, &FOUR[..3])));
    all("1 2 3");
}

/// A change is announced once.
#[test]
fn a_failed_read_is_repeated_by_the_next_request() {
    let workers = Workers::knowing(2, &config("", ""), &FOUR);
    let [first, second] = &workers.all[..] else { panic!("two workers") };
    assert_eq!(reached(second), "1 2 3 4");
    first.answer(&answer(&question(first), 11, &FOUR[..3]));
    workers.store.set_broken(true);
    assert_eq!(reached(second), "1 2 3 4");
    workers.store.set_broken(false);
    assert_eq!(reached(second), "1 2 3");
}

#[test]
fn without_a_store_and_an_answer_requests_wait_and_are_refused() {
    let workers = Workers::new(1, &config("", ""));
    workers.store.set_broken(true);
    let worker = &workers.all[0];
    worker.tick();
    assert!(worker.host.take_questions().is_empty(), "no worker knows who has the lease");
    let (first, mut exchange) = worker.begin(&SimRequest::get("/"));
    assert_eq!(word(&first), "waits");
    workers.at(2_000);
    assert_eq!(word(&worker.wait(&mut exchange)), "503 not_known_yet");
    workers.store.set_broken(false);
    workers.at(3_100).tick();
    worker.answer(&answer(&question(worker), 10, &FOUR));
    assert_eq!(reached(worker), "1 2 3 4");
}

#[test]
fn an_ejection_that_cannot_be_written_does_not_happen_and_the_next_does() {
    let workers = Workers::new(2, &fixed(&FOUR[..2], r#""outlier_detection": {"consecutive_5xx": 2}"#));
    let fail = |times: usize| {
        for _ in 0..times {
            let (verdict, exchange) = workers.all[0].begin(&SimRequest::get("/"));
            let status = if word(&verdict) == FOUR[0] { 503 } else { 200 };
            workers.all[0].end(exchange, &SimResponse::upstream(status));
        }
    };
    assert_eq!((reached(&workers.all[0]).as_str(), reached(&workers.all[1]).as_str()), ("1 2", "1 2"));
    workers.store.set_broken(true);
    fail(20);
    assert_eq!((reached(&workers.all[0]).as_str(), workers.changes()), ("1 2", 0));
    workers.store.set_broken(false);
    fail(20);
    assert_eq!((reached(&workers.all[1]).as_str(), workers.changes()), ("2", 1));
}

#[test]
fn garbage_in_a_cell_removes_no_endpoint_and_is_overwritten() {
    let json = polled("", "");
    let names = Workers::new(1, &json).store.names();
    for rubbish in [&b""[..], b"rubbish", &[0; 64], &[0xff; 64], &[1; 100]] {
        for name in names.iter().filter(|name| !name.ends_with("secret")) {
            let workers = Workers::knowing(2, &json, &FOUR);
            assert_eq!(reached(&workers.all[1]), "1 2 3 4");
            workers.store.put(name, rubbish);
            workers.store.raise(workers.all[0].counter("tidegate.discovery.changes"));
            assert_eq!(reached(&workers.all[1]), "1 2 3 4", "{name} {rubbish:?}");
            workers.run(100, 40_000, &mut |_, question| Some(answer(question, 11, &FOUR[..3])));
            assert_eq!(reached(&workers.all[1]), "1 2 3", "{name} {rubbish:?}");
            assert_eq!(reached(&Workers::on(&workers.store, 1, &json).all[0]), "1 2 3", "{name} {rubbish:?}");
        }
    }
}

#[test]
fn a_missing_cell_removes_no_endpoint() {
    let workers = Workers::knowing(2, &polled("", ""), &FOUR);
    assert_eq!(reached(&workers.all[1]), "1 2 3 4");
    let names: Vec<String> = workers.all[0].stage().cells().map(|cell| cell.name).collect();
    for name in names {
        workers.store.take(&name);
        workers.store.raise(workers.all[0].counter("tidegate.discovery.changes"));
        workers.run(100, 2_000, &mut |_, question| Some(question.failure()));
        assert_eq!(sent(&workers.all[1]).len(), "10.0.0.1:80".len(), "{name}");
    }
    assert_eq!(reached(&workers.all[1]), "1 2 3 4");
}
