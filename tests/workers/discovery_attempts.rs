//! Requests and their attempts: where each goes, which endpoint is blamed, what is left at the end.

use tidegate_policy::discovery::stage::Discovery;
use tidegate_policy::http::{Attribute, Verdict};
use tidegate_sim::{SimRequest, SimResponse};

use crate::discovery::{attempts, fixed, Numbers, Sim, Workers};
use crate::discovery_both::{flags, Both, Call, Try, FOUR};

/// A budget that bounds nothing here.
const PLENTY: &str = r#""retry": {"budget": {"min_retry_concurrency": 1000}}"#;

#[test]
fn each_attempt_goes_to_another_endpoint() {
    for (endpoints, attempts, expected) in [(4, 4, 4), (4, 3, 3), (4, 2, 2), (2, 4, 2), (1, 3, 1)] {
        let json = fixed(
            &FOUR[..endpoints],
            &format!(r#""attempts": {attempts}, "outlier_detection": false, {PLENTY}"#),
        );
        let both = Both::new(&json);
        for _ in 0..10 {
            let mut call = both.begin();
            let mut went = Vec::new();
            for _ in 0..attempts {
                let one = both.attempt(&mut call);
                went.push(one.went.clone());
                if went.len() == attempts {
                    assert_eq!(one.verdict, Verdict::Continue(Vec::new()), "there is no next one");
                }
                both.answered(one, 503);
            }
            both.end(call, 503);
            let distinct: std::collections::BTreeSet<&String> = went.iter().collect();
            assert_eq!(distinct.len(), expected, "{went:?}");
            // When there is no other, the last one is tried again.
            assert!(went[expected..].iter().all(|one| *one == went[expected - 1]), "{went:?}");
        }
        assert_eq!((both.count("attempts"), both.in_flight()), (10 * attempts as u64, 0));
        assert_eq!(
            (both.count("retries"), both.count("failures")),
            (10 * (attempts as u64 - 1), 10 * attempts as u64)
        );
    }
}

/// One failure is enough, so that a blamed endpoint is ejected.
fn strict(more: &str) -> String {
    fixed(&FOUR, &format!(r#""attempts": 3, "outlier_detection": {{"consecutive_5xx": 1}}{more}"#))
}

#[test]
fn a_broken_attempt_is_blamed_once_a_retry_shows_that_the_client_stayed() {
    let both = Both::new(&strict(""));
    let mut call = both.begin();
    let first = both.attempt(&mut call);
    both.broken(first, &SimResponse::none());
    assert_eq!(both.ejections(), 0, "the client may have left");
    let second = both.attempt(&mut call);
    assert_eq!(both.ejections(), 1, "it did not");
    both.answered(second, 200);
    both.end(call, 200);
    assert_eq!((both.ejections(), both.in_flight(), both.count("failures")), (1, 0, 1));
}

#[test]
fn the_end_of_the_exchange_decides_who_is_blamed_for_the_last_attempt() {
    #[rustfmt::skip]
    let cases = [
        // name                          flags       blamed
        ("nothing is known",             0,          0),
        ("no healthy host",              1 << 1,     0),
        ("it took too long",             1 << 2,     1),
        ("reset by the host",            1 << 3,     1),
        ("reset by the upstream",        1 << 4,     1),
        ("no connection",                1 << 5,     1),
        ("the connection broke",         1 << 6,     1),
        ("the client left",              1 << 14,    0),
    ];
    for (name, bits, blamed) in cases {
        let both = Both::new(&strict(""));
        let mut call = both.begin();
        let one = both.attempt(&mut call);
        both.broken(one, &SimResponse::none());
        both.gone(call, &flags(bits));
        assert_eq!((both.ejections(), both.count("failures")), (blamed, blamed), "{name}");
        assert_eq!(both.in_flight(), 0, "{name}");
        // The exchange may be over first.
        let both = Both::new(&strict(""));
        let mut call = both.begin();
        let one = both.attempt(&mut call);
        both.gone(call, &flags(0));
        both.broken(one, &SimResponse::none());
        assert_eq!((both.ejections(), both.in_flight()), (0, 0), "{name}");
    }
}

#[test]
fn a_failed_connection_is_blamed_at_once() {
    let both = Both::new(&strict(""));
    let mut call = both.begin();
    let one = both.attempt(&mut call);
    both.broken(one, &SimResponse::none().attribute(Attribute::TransportFailure, b"connection refused"));
    assert_eq!(both.ejections(), 1);
    both.gone(call, &flags(1 << 5));
    assert_eq!((both.ejections(), both.count("failures")), (1, 1), "and counts once");
}

/// What an attempt's answer says of its endpoint.
#[test]
fn only_failures_of_the_endpoint_are_blamed() {
    let grpc = |status: &str| SimResponse::upstream(200).header("grpc-status", status);
    #[rustfmt::skip]
    let cases = [
        ("200",                 SimResponse::upstream(200),  0),
        ("404",                 SimResponse::upstream(404),  0),
        ("500",                 SimResponse::upstream(500),  1),
        ("503",                 SimResponse::upstream(503),  1),
        ("gRPC: OK",            grpc("0"),                   0),
        ("gRPC: not found",     grpc("5"),                   0),
        ("gRPC: unavailable",   grpc("14"),                  1),
        ("not gRPC",            grpc("14"),                  0),
    ];
    for (name, response, blamed) in cases {
        let both = Both::new(&strict(""));
        let request = SimRequest::get("/");
        let request = match name.starts_with("gRPC") {
            true => request.header("content-type", b"application/grpc"),
            false => request,
        };
        let mut call = both.begin_as(&request);
        let one = both.attempt(&mut call);
        both.around.end(one.exchange, &response);
        both.end(call, 200);
        assert_eq!(both.ejections(), blamed, "{name}");
    }
}

/// A transcoder, or the filter for gRPC of browsers, stands between the two placements.
#[test]
fn an_attempt_that_became_grpc_on_its_way_is_judged_by_its_grpc_status() {
    for (media, blamed) in [(&b"application/grpc"[..], 1), (b"application/json", 0)] {
        let both = Both::new(&strict(""));
        let mut call = both.begin_as(&SimRequest::get("/").header("content-type", b"application/json"));
        let request = SimRequest::get("/").header("te", b"trailers").header("content-type", media);
        let one = both.attempt_as(&mut call, request);
        both.around.end(one.exchange, &SimResponse::upstream(200).header("grpc-status", "14"));
        both.end(call, 200);
        assert_eq!(both.ejections(), blamed, "{}", String::from_utf8_lossy(media));
    }
}

/// The exchange's response is the last attempt's, and counts once.
#[test]
fn a_failure_is_blamed_by_the_attempt_or_the_exchange_but_not_by_both() {
    let both = Both::new(&fixed(&FOUR[..1], r#""attempts": 2, "outlier_detection": {"consecutive_5xx": 3}"#));
    for failures in 1..=3 {
        let mut call = both.begin();
        let one = both.attempt(&mut call);
        both.answered(one, 503);
        both.end(call, 503);
        assert_eq!((both.count("failures"), both.ejections()), (failures, failures / 3));
    }
    assert_eq!((both.count("attempts"), both.count("requests")), (3, 3));
}

/// Whether any request counts as in flight to an endpoint.
fn busy(worker: &Sim) -> bool {
    let Discovery::Downstream { requests, .. } = worker.stage() else { panic!("around attempts") };
    requests.views()[0].in_flight() > 0
}

#[test]
fn a_placement_that_sees_attempts_counts_them_in_flight() {
    let json = fixed(&FOUR, r#""attempts": 3, "outlier_detection": false"#);
    let alone = Workers::new(1, &json);
    let worker = &alone.all[0];
    assert!(!busy(worker));
    let (_, exchange) = worker.begin(&SimRequest::get("/"));
    assert!(busy(worker), "the exchange counts");
    worker.end(exchange, &SimResponse::upstream(200));
    assert!(!busy(worker));
    let both = Both::new(&json);
    let worker = &both.edge.all[0];
    let mut call = both.begin();
    assert!(!busy(worker), "no attempt has begun");
    let one = both.attempt(&mut call);
    assert!(busy(worker));
    // One that ends without an attempt takes nothing away.
    let other = both.begin();
    both.gone(other, &flags(0));
    assert!(busy(worker));
    both.answered(one, 200);
    assert!(!busy(worker));
    both.end(call, 200);
    assert!(!busy(worker));
}

#[test]
fn unmatched_attempts_change_nothing() {
    let both = Both::new(&strict(""));
    let mut call = both.begin();
    let forged = [
        "",
        "orders",
        "orders 10.0.0.9:80 0",
        "orders 10.0.0.9:80 0.",
        "orders 10.0.0.9:80 .1",
        "orders 10.0.0.9:80 0.999",
        "orders 10.0.0.9:80 1.1",
        "orders 10.0.0.9:80 4294967295.4294967295",
        "orders 10.0.0.9:80 99999999999.1",
        "orders 10.0.0.9:80 -0.1",
        "orders 10.0.0.9:80 0.1 ",
    ];
    for state in forged {
        let request = SimRequest::get("/").attribute(Attribute::Discovered, state.as_bytes());
        let (verdict, exchange) = both.around.begin(&request);
        assert_eq!(verdict, Verdict::Continue(Vec::new()), "{state:?}");
        both.around.end(exchange, &SimResponse::upstream(503));
    }
    let (verdict, exchange) = both.around.begin(&SimRequest::get("/"));
    assert_eq!(verdict, Verdict::Continue(Vec::new()));
    both.around.abort(exchange, &SimResponse::none());
    let unmatched = both.around.host.count(both.around.counter("tidegate.discovery.attempts_unmatched"));
    assert_eq!((unmatched, both.ejections(), both.in_flight()), (forged.len() as u64 + 1, 0, 1));
    // The real one is none the worse for it.
    let one = both.attempt(&mut call);
    both.answered(one, 200);
    let state = call.state.clone();
    both.end(call, 200);
    let late = SimRequest::get("/").attribute(Attribute::Discovered, state.as_bytes());
    assert_eq!(both.around.request(&late), Verdict::Continue(Vec::new()), "and it is over");
    assert_eq!(both.count("attempts"), 1);
}

/// A request that began under one configuration goes on under it, whichever has its attempts.
#[test]
fn a_new_configuration_in_the_same_vm_knows_the_requests_of_the_old_one() {
    let old = Both::new(&strict(""));
    let mut call = old.begin();
    let json = fixed(&["10.0.0.9:80"], "");
    let host = tidegate_sim::SimHost::new(old.edge.store.clone());
    let new = Sim::beside(&old.edge.all[0], &json, tidegate_policy::http::Placement::Downstream, host);
    let new = new.expect("a right configuration");
    assert_eq!(crate::discovery::sent(&new), "10.0.0.9:80");
    let mixed = Both { around: attempts(&new, &json), edge: old.edge };
    let first = mixed.attempt(&mut call);
    let next = call.next.clone();
    assert!(next != first.went && FOUR.contains(&next.as_str()), "{} then {next}", first.went);
    mixed.answered(first, 503);
    assert_eq!(mixed.ejections(), 1);
    let second = mixed.attempt(&mut call);
    mixed.answered(second, 200);
    mixed.end(call, 200);
    assert_eq!((mixed.in_flight(), new.memory().count()), (0, 0));
    assert_eq!(crate::discovery::reached(&mixed.edge.all[0]).split(' ').count(), 3);
}

/// Requests and attempts that begin and end in any order, as often as it goes.
#[test]
fn no_request_is_taken_for_another_and_no_flight_leaks() {
    for seed in 1..=40 {
        let both = Both::new(&fixed(&FOUR, r#""attempts": 3, "outlier_detection": false"#));
        let mut numbers = Numbers(seed);
        let (mut calls, mut tries): (Vec<Call>, Vec<Try>) = (Vec::new(), Vec::new());
        for step in 0..400 {
            match numbers.below(5) {
                0 | 1 if calls.len() < 20 => {
                    let call = both.begin();
                    assert!(calls.iter().all(|other| ticket(other) != ticket(&call)), "seed {seed}, {step}");
                    assert!(call.state.starts_with(&format!("orders {} ", call.next)), "{}", call.state);
                    calls.push(call);
                }
                2 if !calls.is_empty() => {
                    let at = numbers.below(calls.len());
                    tries.push(both.attempt(&mut calls[at]));
                }
                3 if !tries.is_empty() => {
                    let one = tries.swap_remove(numbers.below(tries.len()));
                    if numbers.below(2) == 0 {
                        both.answered(one, 200);
                    } else {
                        both.broken(one, &SimResponse::none());
                    }
                }
                4 if !calls.is_empty() => {
                    let call = calls.swap_remove(numbers.below(calls.len()));
                    if numbers.below(2) == 0 {
                        both.end(call, 200);
                    } else {
                        both.gone(call, &flags(0));
                    }
                }
                _ => {}
            }
            assert_eq!(both.in_flight(), calls.len(), "seed {seed}, {step}");
        }
        calls.into_iter().for_each(|call| both.end(call, 200));
        tries.into_iter().for_each(|one| both.answered(one, 200));
        assert_eq!(both.in_flight(), 0, "seed {seed}");
        let unmatched = both.around.host.count(both.around.counter("tidegate.discovery.attempts_unmatched"));
        assert_eq!(unmatched, 0, "seed {seed}");
        assert!(!busy(&both.edge.all[0]), "seed {seed}: a request counts as in flight");
    }
}

fn ticket(call: &Call) -> &str {
    call.state.rsplit(' ').next().unwrap_or_default()
}
