//! What goes on over the snapshots of a service that changes all the time.

use std::collections::BTreeMap;

use tidegate_sim::{SimRequest, SimResponse};

use crate::discovery::{answer, config, question, sent, word, Workers};

/// Requests that each endpoint of `size` gets, when one tag changes before every `between`th request.
fn shares(size: usize, requests: usize, between: usize, service: &str) -> BTreeMap<String, usize> {
    let list = |turn: usize| -> Vec<String> {
        let tag = |n: usize| if n == turn % size { format!("v{turn}") } else { "v".to_owned() };
        (0..size).map(|n| format!("10.0.1.{}:80 passing {}", 10 + n, tag(n))).collect()
    };
    let texts = |all: &[String]| -> Vec<String> { all.to_vec() };
    let first = texts(&list(0));
    let workers =
        Workers::knowing(1, &config("", service), &first.iter().map(String::as_str).collect::<Vec<_>>());
    let worker = &workers.all[0];
    let mut shares = BTreeMap::new();
    for n in 0..requests {
        if n % between == 0 && n > 0 {
            let turn = n / between;
            workers.at(2_000 * turn as u64).tick();
            let now = list(turn);
            let texts: Vec<&str> = now.iter().map(String::as_str).collect();
            worker.answer(&answer(&question(worker), 10 + turn as u64, &texts));
        }
        *shares.entry(sent(worker)).or_insert(0) += 1;
    }
    shares
}

/// Each table began with the same endpoint: of 60, four or five got none of 1,200 requests.
#[test]
fn round_robin_goes_on_over_changes() {
    for (between, requests) in [(40, 1_200), (7, 1_200), (1, 120)] {
        let all = shares(60, requests, between, "");
        assert_eq!(all.len(), 60, "every {between}");
        assert!(all.values().all(|n| *n == requests / 60), "every {between}: {all:?}");
    }
}

/// By weight, and where turns are drawn: not exactly even, and nobody is left out.
#[test]
fn nobody_is_left_out_by_changes() {
    let slow = r#""slow_start": {"window_ms": 60000}"#;
    for (name, service) in [("slow start", slow), ("least request", r#""balance": "least_request""#)] {
        let all = shares(20, 1_200, 10, service);
        assert!(all.len() == 20 && all.values().all(|n| *n >= 20), "{name}: {all:?}");
    }
}

/// An endpoint that is dropped and named again has the requests that are still in flight to it.
#[test]
fn requests_in_flight_outlive_a_snapshot_without_their_endpoint() {
    let two = ["10.0.0.1:80", "10.0.0.2:80"];
    let workers = Workers::knowing(1, &config("", r#""balance": "least_request""#), &two);
    let worker = &workers.all[0];
    let (verdict, kept) = worker.begin(&SimRequest::get("/"));
    let busy = word(&verdict);
    let other = *two.iter().find(|one| **one != busy).expect("two endpoints");
    for (index, list) in [(11, &[other][..]), (12, &two[..])] {
        workers.at(1_000 * index).tick();
        worker.answer(&answer(&question(worker), index, list));
        assert_eq!(sent(worker), other, "{list:?}");
    }
    assert!((0..20).all(|_| sent(worker) == other), "the first one has a request in flight");
    drop(worker.end(kept, &SimResponse::upstream(200)));
    assert!((0..20).any(|_| sent(worker) == busy));
}

/// Each answer that has an endpoint again began a new run of its failures, and it was never ejected.
#[test]
fn what_is_known_of_an_endpoint_outlives_answers_without_it() {
    let all = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"];
    let workers = Workers::knowing(1, &config(r#""flap_damping": false"#, ""), &all);
    let worker = &workers.all[0];
    let mut failures = 0;
    for turn in 0..20_u64 {
        for _ in 0..4 {
            let (verdict, exchange) = worker.begin(&SimRequest::get("/"));
            let fails = word(&verdict) == all[3];
            failures += u32::from(fails);
            worker.end(exchange, &SimResponse::upstream(if fails { 503 } else { 200 }));
        }
        workers.at(1_000 * (turn + 1)).tick();
        let list = if turn % 2 == 0 { &all[..3] } else { &all[..] };
        worker.answer(&answer(&question(worker), 11 + turn, list));
    }
    assert_eq!((failures, workers.count("ejections")), (5, 1));
}
