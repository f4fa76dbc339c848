//! An endpoint that fails is ejected, by all workers, for a while.

use serde_json::{json, Value};
use tidegate_tests::{eventually, Answer, Client, Load, Request, Upstream};

use super::setup::{
    answers, assert_calm, assert_metrics, both_places, counts, metrics, numbered, one_place, orders_of,
    start, storm, with_1_2_and_4_workers, SOON,
};

fn resting(fields: &Value) -> Value {
    json!({"outlier_detection": fields})
}

/// One worker has the failures, and no other sends a single request.
#[test]
fn an_endpoint_that_one_worker_ejects_gets_requests_from_none() {
    with_1_2_and_4_workers(|workers| {
        let upstreams = numbered::<3>();
        upstreams[2].switch(Answer::new(503, "sick"));
        let config = orders_of(&upstreams, &json!({}));
        let envoy = start(&if workers == 2 { both_places(&config) } else { one_place(&config) }, workers);
        let mut client = Client::connect(envoy.addr());
        assert_eq!(answers(&mut client, 30).matches("sick").count(), 5);
        assert_eq!((client.opened(), upstreams[2].count()), (1, 5));
        let report = storm(&envoy, 400);
        assert_eq!((report.count(200), upstreams[2].count()), (400, 5));
        let expected =
            [("requests", 430), ("failures", 5), ("ejections", 1), ("endpoints", 3), ("healthy", 2)];
        assert_metrics(&envoy, &expected);
        let line = format!("service orders: endpoint {} ejected for 30000 ms", upstreams[2].addr());
        assert_eq!(envoy.log().matches(&line).count(), 1, "{}", envoy.log());
        assert_calm(&envoy);
    });
}

#[test]
fn an_ejected_endpoint_returns_and_its_next_ejection_is_longer() {
    let upstreams = numbered::<2>();
    upstreams[0].switch(Answer::new(503, "sick"));
    let rules = json!({"consecutive_5xx": 2, "base_ejection_time_ms": 200});
    let envoy = start(&one_place(&orders_of(&upstreams, &resting(&rules))), 2);
    let ejections = || envoy.log().matches(" ejected for ").count();
    for (times, ms) in [(1, 200), (2, 400)] {
        eventually("an ejection", SOON, || {
            storm(&envoy, 10);
            ejections() == times
        });
        assert!(envoy.log().contains(&format!("ejected for {ms} ms")), "{}", envoy.log());
    }
    upstreams[0].switch(Answer::new(200, "0"));
    let before = upstreams[0].count();
    eventually("its return", SOON, || {
        assert_eq!(storm(&envoy, 10).count(200), 10);
        upstreams[0].count() > before
    });
    assert_metrics(&envoy, &[("ejections", 2), ("healthy", 2)]);
    assert_eq!(storm(&envoy, 100).count(200), 100);
    assert_calm(&envoy);
}

/// An endpoint that succeeds in between has no five consecutive failures.
#[test]
fn only_consecutive_failures_count() {
    let upstreams: [Upstream; 2] = numbered();
    let envoy = start(&one_place(&orders_of(&upstreams, &json!({}))), 1);
    let mut client = Client::connect(envoy.addr());
    for _ in 0..4 {
        upstreams[0].switch(Answer::new(503, "s"));
        assert_eq!(answers(&mut client, 8).matches('s').count(), 4);
        upstreams[0].switch(Answer::new(404, "0"));
        assert_eq!(answers(&mut client, 2).matches('0').count(), 1, "what is not there is no failure");
    }
    assert_metrics(&envoy, &[("failures", 16), ("ejections", 0), ("healthy", 2)]);
    assert_calm(&envoy);
}

/// An application's errors are told apart from a gateway's, when that is configured.
#[test]
fn the_configuration_says_which_failures_count() {
    #[rustfmt::skip]
    let cases = [
        ("off",              json!(false),                                                     500, 10),
        ("off for both",     json!({"consecutive_5xx": 0, "consecutive_gateway_failure": 0}),  503, 10),
        ("500, gateways",    json!({"consecutive_5xx": 0, "consecutive_gateway_failure": 3}),  500, 10),
        ("503, gateways",    json!({"consecutive_5xx": 0, "consecutive_gateway_failure": 3}),  503, 3),
        ("500, any",         json!({"consecutive_5xx": 2, "consecutive_gateway_failure": 0}),  500, 2),
    ];
    for (name, rules, status, expected) in cases {
        let upstreams = numbered::<2>();
        upstreams[0].switch(Answer::new(status, "s"));
        let envoy = start(&one_place(&orders_of(&upstreams, &resting(&rules))), 1);
        let sick = answers(&mut Client::connect(envoy.addr()), 20).matches('s').count();
        assert_eq!(sick, expected, "{name}");
        assert_calm(&envoy);
    }
}

/// Half of them stay, however many fail: some endpoint must have the requests.
#[test]
fn not_all_endpoints_are_ejected_at_one_time() {
    let upstreams = numbered::<4>();
    upstreams.iter().for_each(|upstream| upstream.switch(Answer::new(503, "sick")));
    let rules = json!({"consecutive_5xx": 1});
    let envoy = start(&one_place(&orders_of(&upstreams, &resting(&rules))), 2);
    storm(&envoy, 100);
    assert_metrics(&envoy, &[("endpoints", 4), ("healthy", 2), ("ejections", 2)]);
    let before = counts(&upstreams);
    assert_eq!(storm(&envoy, 100).count(503), 100);
    let asked = counts(&upstreams).iter().zip(before).filter(|(now, before)| *now > before).count();
    assert_eq!(asked, 2, "those that are not ejected");
    assert_calm(&envoy);
}

/// An ejection holds for all workers: a request of each of many connections finds it.
#[test]
fn a_dead_endpoint_of_two_costs_each_worker_five_requests_at_most() {
    let upstreams = Vec::from(numbered::<2>());
    let envoy = start(&one_place(&orders_of(&upstreams, &json!({}))), 4);
    upstreams[0].switch(Answer::hang_up());
    let report = Load::new(envoy.addr()).connections(8).threads(8).requests(400).repeat(&Request::get("/"));
    // Two connections in each of four workers, and the requests in flight when it happened.
    assert!(report.count(503) <= 5 * 4 + 8, "{:?}", report.by_status());
    assert_eq!(metrics(&envoy)["endpoints"], 2);
    assert_eq!(storm(&envoy, 200).count(200), 200);
    assert_calm(&envoy);
}

/// The headers of a response that is cut say that all is well.
#[test]
fn an_endpoint_that_cuts_every_body_is_ejected() {
    let cut = Answer::new(200, vec![7; 1_000]).cut_after(5);
    let chunked = "HTTP/1.1 200 Status\r\ntransfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n";
    for (answer, both) in [(cut.clone(), false), (cut, true), (Answer::raw(chunked), true)] {
        let upstreams = numbered::<2>();
        upstreams[0].switch(answer);
        let config = orders_of(&upstreams, &json!({}));
        let envoy = start(&if both { both_places(&config) } else { one_place(&config) }, 1);
        let whole = || Client::connect(envoy.addr()).try_send(&Request::get("/")).is_ok();
        let count = (0..40).filter(|_| whole()).count();
        assert_eq!((count, counts(&upstreams)), (35, vec![5, 35]), "both places: {both}");
        assert_metrics(&envoy, &[("failures", 5), ("ejections", 1), ("healthy", 1)]);
        assert_calm(&envoy);
    }
}

#[test]
fn one_hanging_endpoint_of_two_is_ejected_when_its_clients_leave_after_the_patience() {
    for both in [false, true] {
        let upstreams = numbered::<2>();
        upstreams[0].switch(Answer::silence());
        let config = orders_of(&upstreams, &resting(&json!({"patience_ms": 500})));
        let envoy = start(&if both { both_places(&config) } else { one_place(&config) }, 1);
        for round in 0..8 {
            let seen = upstreams[0].count();
            let calls: Vec<_> =
                (0..2).map(|_| Client::connect(envoy.addr()).begin(&Request::get("/"))).collect();
            if round < 5 {
                eventually("a request at the endpoint that hangs", SOON, || upstreams[0].count() > seen);
            }
            std::thread::sleep(std::time::Duration::from_millis(700));
            drop(calls);
            eventually("Envoy to drop them", SOON, || upstreams[0].held() == 0);
        }
        assert_eq!(upstreams[0].count(), 5, "both places: {both}");
        assert_metrics(&envoy, &[("failures", 5), ("ejections", 1), ("healthy", 1)]);
        assert_calm(&envoy);
    }
}
