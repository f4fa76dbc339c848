//! Endpoints that fail are ejected, by all workers.

use std::sync::Arc;

use tidegate_policy::discovery::stage::Discovery;
use tidegate_policy::http::{Attribute, Verdict};
use tidegate_sim::explore::Gate;
use tidegate_sim::{explore, SimHost, SimRequest, SimResponse, Worker};

use crate::discovery::{answer, fixed, polled, reached, word, Sim, Workers};
use crate::discovery_both::{Both, FOUR};

/// One request to this endpoint, answered so; others get 200 until it has its turn.
fn one_to(worker: &Sim, endpoint: &str, response: &SimResponse) {
    one_as(worker, &SimRequest::get("/"), endpoint, response);
}

/// The same of other requests.
fn one_as(worker: &Sim, request: &SimRequest<'_>, endpoint: &str, response: &SimResponse) {
    for _ in 0..50 {
        let (verdict, exchange) = worker.begin(request);
        let there = word(&verdict) == endpoint;
        if there {
            worker.end(exchange, response);
            return;
        }
        // Neither good nor bad for the others.
        worker.abort(exchange, &SimResponse::none());
    }
    panic!("{endpoint} is never chosen");
}

fn fails(worker: &Sim, endpoint: &str, times: usize) {
    (0..times).for_each(|_| one_to(worker, endpoint, &SimResponse::upstream(503)));
}

#[test]
fn five_consecutive_failures_eject_an_endpoint_for_all_workers() {
    let workers = Workers::new(2, &fixed(&FOUR, ""));
    let [first, second] = &workers.all[..] else { panic!("two workers") };
    assert_eq!(reached(second), "1 2 3 4");
    fails(first, FOUR[0], 4);
    one_to(first, FOUR[0], &SimResponse::upstream(200));
    fails(first, FOUR[0], 4);
    assert_eq!((reached(second).as_str(), workers.changes()), ("1 2 3 4", 0));
    // A request that got 200 in between began a new run.
    fails(first, FOUR[1], 5);
    assert_eq!(
        (reached(second).as_str(), reached(first).as_str()),
        ("1 3 4", "1 3 4"),
        "at the next request"
    );
    assert_eq!(workers.changes(), 1);
    assert_eq!(workers.notes(), ["service orders: endpoint 10.0.0.2:80 ejected for 30000 ms"]);
    workers.at(29_999);
    assert_eq!(reached(second), "1 3 4");
    workers.at(30_000).tick();
    assert_eq!((reached(second).as_str(), reached(first).as_str()), ("1 2 3 4", "1 2 3 4"), "by time");
    assert_eq!((workers.count("ejections"), workers.count("healthy")), (1, 8), "each shows what it knows");
}

#[test]
fn each_ejection_is_longer() {
    let workers = Workers::new(2, &fixed(&FOUR, ""));
    let mut now = 0;
    for span in [30_000, 60_000, 90_000] {
        fails(&workers.all[0], FOUR[0], 5);
        workers.at(now + span - 1);
        assert_eq!(reached(&workers.all[1]), "2 3 4", "{span}");
        now += span;
        workers.at(now);
        assert_eq!(reached(&workers.all[1]), "1 2 3 4", "{span}");
    }
}

#[test]
fn at_most_half_are_ejected_and_one_always_may_be() {
    #[rustfmt::skip]
    let cases = [
        // endpoints  fields                                               left
        (4,           "",                                                  2),
        (3,           "",                                                  2),
        (2,           "",                                                  1),
        (1,           "",                                                  0),
        (4,           r#""max_ejection_percent": 10"#,                     3),
        (4,           r#""max_ejection_percent": 10, "always_eject_one_endpoint": false"#, 4),
        (4,           r#""max_ejection_percent": 100"#,                    0),
        (4,           r#""max_ejection_percent": 75"#,                     1),
    ];
    for (endpoints, fields, left) in cases {
        let fields = format!(r#""panic_threshold_percent": 0, "outlier_detection": {{{fields}}}"#);
        let workers = Workers::new(2, &fixed(&FOUR[..endpoints], &fields));
        for _ in 0..100 {
            let (verdict, exchange) = workers.all[0].begin(&SimRequest::get("/"));
            if matches!(verdict, Verdict::Continue(_)) {
                workers.all[0].end(exchange, &SimResponse::upstream(503));
            }
        }
        let there = reached(&workers.all[1]);
        let there = if there.starts_with("503") { 0 } else { there.split(' ').count() };
        assert_eq!(there, left, "{endpoints} {fields}");
    }
}

#[test]
fn only_failures_of_the_endpoint_count_towards_an_ejection() {
    let local = |details: &str, flags| SimResponse::local(503, details, flags);
    let grpc = |status: &str| SimResponse::upstream(200).header("grpc-status", status);
    #[rustfmt::skip]
    let cases = [
        // name                     fields                                  response                          ejected
        ("500",                     r#""consecutive_5xx": 1"#,              SimResponse::upstream(500),       true),
        ("404",                     r#""consecutive_5xx": 1"#,              SimResponse::upstream(404),       false),
        ("500 is no gateway's",     r#""consecutive_5xx": 0, "consecutive_gateway_failure": 1"#, SimResponse::upstream(500), false),
        ("502 is",                  r#""consecutive_5xx": 0, "consecutive_gateway_failure": 1"#, SimResponse::upstream(502), true),
        ("neither",                 r#""consecutive_5xx": 0, "consecutive_gateway_failure": 0"#, SimResponse::upstream(503), false),
        ("no connection",           r#""consecutive_5xx": 1"#,              local("upstream_reset", 1 << 5),  true),
        ("too slow",                r#""consecutive_5xx": 1"#,              local("response_timeout", 1 << 2), true),
        ("gRPC: unavailable",       r#""consecutive_5xx": 1"#,              grpc("14"),                       true),
        ("gRPC: not found",         r#""consecutive_5xx": 1"#,              grpc("5"),                        false),
        ("200 that is not gRPC",    r#""consecutive_5xx": 1"#,              grpc("14"),                       false),
        ("another filter's reply",  r#""consecutive_5xx": 1"#,              local("direct_response", 0),      false),
    ];
    for (name, fields, response, ejected) in cases {
        let workers = Workers::new(1, &fixed(&FOUR, &format!(r#""outlier_detection": {{{fields}}}"#)));
        let request = SimRequest::get("/");
        let request = match name.starts_with("gRPC") {
            true => request.header("content-type", b"application/grpc"),
            false => request,
        };
        one_as(&workers.all[0], &request, FOUR[0], &response);
        assert_eq!(workers.changes() == 1, ejected, "{name}");
        assert_eq!(workers.memory(), 0, "{name}");
    }
    let workers = Workers::new(1, &fixed(&FOUR, r#""outlier_detection": false"#));
    fails(&workers.all[0], FOUR[0], 20);
    assert_eq!(workers.changes(), 0);
}

/// Attempts that were in flight when their endpoint was ejected do not prolong the ejection.
#[test]
fn requests_in_flight_do_not_prolong_an_ejection() {
    let both = Both::new(&fixed(&FOUR, r#""attempts": 2, "outlier_detection": {"consecutive_5xx": 1}"#));
    let in_flight: Vec<_> = (0..12)
        .map(|_| {
            let mut call = both.begin();
            (both.attempt(&mut call), call)
        })
        .collect();
    let bad = in_flight[0].0.went.clone();
    for (one, call) in in_flight {
        let status = if one.went == bad { 503 } else { 200 };
        both.answered(one, status);
        both.end(call, status);
    }
    assert_eq!(both.ejections(), 1);
    both.edge.at(30_000);
    assert_eq!(reached(&both.edge.all[0]), "1 2 3 4");
}

/// An ejected endpoint that is gone does not count among those that are there.
#[test]
fn endpoints_gone_from_the_registry_do_not_count_as_ejected() {
    let json = polled(r#""ttl_ms": 1000"#, r#""outlier_detection": {"consecutive_5xx": 1}"#);
    let old = ["10.0.0.5:80", "10.0.0.6:80", "10.0.0.7:80", "10.0.0.8:80"];
    let workers = Workers::knowing(2, &json, &old);
    fails(&workers.all[0], old[0], 1);
    fails(&workers.all[0], old[1], 1);
    assert_eq!(reached(&workers.all[1]), "7 8");
    workers.run(100, 3_000, &mut |_, question| Some(answer(question, 11, &[&old[..2], &FOUR[..]].concat())));
    workers.run(3_100, 6_000, &mut |_, question| Some(answer(question, 12, &FOUR)));
    assert_eq!(reached(&workers.all[0]), "1 2 3 4");
    fails(&workers.all[0], FOUR[0], 1);
    fails(&workers.all[0], FOUR[1], 1);
    assert_eq!(reached(&workers.all[1]), "3 4");
    // And it is still ejected when it is back.
    workers.run(6_100, 9_000, &mut |_, question| Some(answer(question, 13, &[&old[..], &FOUR[..]].concat())));
    assert_eq!(reached(&workers.all[1]), "3 4 7 8");
}

/// A new configuration with the same service knows the ejected endpoints.
#[test]
fn an_ejection_outlives_a_configuration() {
    let first = Workers::new(1, &fixed(&FOUR, ""));
    fails(&first.all[0], FOUR[0], 5);
    let next = Workers::on(&first.store, 1, &fixed(&FOUR, r#""attempts": 2"#));
    assert_eq!(reached(&next.all[0]), "2 3 4");
}

/// Two endpoints fail for two workers at once; one must stay.
#[test]
fn two_workers_do_not_eject_more_than_half_in_any_order() {
    let json =
        fixed(&FOUR[..2], r#""panic_threshold_percent": 0, "outlier_detection": {"consecutive_5xx": 1}"#);
    let work = |at: usize, gate: Gate<'_>| {
        let cells = gate.store();
        let worker = Worker::<Discovery, _>::started_on(cells, &json, gate).expect("a right configuration");
        for _ in 0..20 {
            let (verdict, exchange) = worker.begin(&SimRequest::get("/"));
            if word(&verdict) == FOUR[at] {
                worker.end(exchange, &SimResponse::upstream(503));
                return;
            }
            worker.abort(exchange, &SimResponse::none());
        }
    };
    let runs = explore(2, Arc::default, work, |_, store, order| {
        let fresh = Workers::on(&Arc::new(store.snapshot()), 1, &json);
        assert_eq!(reached(&fresh.all[0]).split(' ').count(), 1, "{order:?}");
    });
    assert!(runs >= 20, "only {runs} orders");
}

/// An endpoint that another worker's Envoy cluster reports does not matter.
#[test]
fn an_unknown_endpoint_is_not_ejected() {
    let json = fixed(&FOUR, r#""outlier_detection": {"consecutive_5xx": 1}"#)
        .replace(r#""allow":"#, r#""steer": "override_host", "allow":"#);
    let both = Both::new(&json);
    let call = both.begin();
    for endpoint in ["10.9.9.9:80", "nonsense", ""] {
        let request = SimRequest::get("/").attribute(Attribute::Discovered, call.state.as_bytes());
        let request = request.attribute(Attribute::Endpoint, endpoint.as_bytes());
        let (verdict, exchange) = both.around.begin(&request);
        assert_eq!(verdict, Verdict::Continue(Vec::new()));
        both.around.end(exchange, &SimResponse::upstream(503));
    }
    let request = SimRequest::get("/").attribute(Attribute::Discovered, call.state.as_bytes());
    let (_, exchange) = both.around.begin(&request.attribute(Attribute::Endpoint, b"10.0.0.3:80"));
    both.around.end(exchange, &SimResponse::upstream(503));
    let fresh = Worker::<Discovery, _>::new(&fixed(&FOUR, ""), SimHost::new(both.edge.store.clone()));
    assert_eq!((both.ejections(), reached(&fresh.expect("right")).as_str()), (1, "1 2 4"));
}
