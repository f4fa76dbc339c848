//! Which requests are retried, where, how often; and which never are.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{json, Value};
use tidegate_tests::{eventually, Answer, Client, Envoy, Load, Port, Request, Upstream};

use super::setup::{
    answers, assert_calm, assert_metrics, both_places, counts, endpoint, metrics, numbered, one_place,
    orders, orders_of, start, storm, three, SOON,
};
use crate::setup::with;

/// [`three`] attempts at endpoints that are never ejected, with these fields added to `retry`.
fn tireless(retry: &Value) -> Value {
    let retry = with(three()["retry"].clone(), retry);
    with(three(), &json!({"outlier_detection": false, "retry": retry}))
}

/// Its address is what Envoy knows: here the one that a trusted proxy forwards.
#[test]
fn a_client_whose_requests_always_fail_leaves_others_their_retries() {
    let ill_once = Arc::new(Mutex::new(BTreeSet::new()));
    let upstream = || {
        let ill_once = Arc::clone(&ill_once);
        Upstream::new(move |seen| {
            let fails = seen.path == "/ill"
                || (seen.path.ends_with('7') && ill_once.lock().unwrap().insert(seen.path.clone()));
            if fails {
                Answer::new(503, "ill")
            } else {
                Answer::new(200, "well")
            }
        })
    };
    let upstreams = [upstream(), upstream(), upstream()];
    let service = json!({"attempts": 2, "outlier_detection": false});
    let bootstrap = both_places(&orders_of(&upstreams, &service));
    let bootstrap = bootstrap.hcm("use_remote_address", json!(true)).hcm("xff_num_trusted_hops", json!(1));
    let envoy = start(&bootstrap, 1);
    let mut client = Client::connect(envoy.addr());
    let mut ill = 0;
    for n in 0..600 {
        ill += usize::from(client.get("/ill", &[("x-forwarded-for", "203.0.113.7")]).status == 503);
        let other = format!("192.0.2.{}", n % 250);
        let answer = client.get(&format!("/{n}"), &[("x-forwarded-for", other.as_str())]);
        assert_eq!((answer.status, n), (200, n), "{}", answer.text());
    }
    assert_eq!(ill, 600);
    eventually("all metrics", SOON, || {
        let all = metrics(&envoy);
        all["requests"] == 1_200 && (150..=260).contains(&all["retries"])
    });
    assert_calm(&envoy);
}

/// An order that must not be placed twice.
fn post(path: &str) -> Request {
    Request::new("POST", path).body("an order")
}

#[test]
fn a_post_is_sent_once_whatever_its_outcome() {
    for (name, answer) in [("503", Answer::new(503, "sick")), ("reset", Answer::hang_up())] {
        let upstreams = numbered::<2>();
        upstreams.iter().for_each(|upstream| upstream.switch(answer.clone()));
        let envoy = start(&both_places(&orders_of(&upstreams, &tireless(&json!({})))), 2);
        let mut client = Client::connect(envoy.addr());
        for request in 1..=10 {
            assert_eq!(client.send(&post("/")).status, 503, "{name}");
            assert_eq!(counts(&upstreams).iter().sum::<usize>(), request, "{name}");
        }
        assert_metrics(&envoy, &[("requests", 10), ("attempts", 10), ("failures", 10), ("retries", 0)]);
        assert_calm(&envoy);
    }
}

#[test]
fn a_post_that_no_endpoint_has_seen_is_retried() {
    let refusing = Port::reserve();
    let [well] = numbered();
    let all = [endpoint(refusing.addr()), endpoint(well.addr())];
    let envoy = start(&both_places(&orders(&all, &tireless(&json!({})))), 2);
    let mut client = Client::connect(envoy.addr());
    for _ in 0..10 {
        assert_eq!(client.send(&post("/")).text(), "0");
    }
    assert!(well.seen().iter().all(|seen| seen.body == b"an order"));
    // The first refused connection is enough for a second.
    eventually("all metrics", SOON, || {
        let all = metrics(&envoy);
        all["requests"] == 10 && (1..=5).contains(&all["failures"]) && all["retries"] == all["failures"]
    });
    assert_calm(&envoy);
}

/// The configuration may name other methods, and requests that are safe whatever their method.
#[test]
fn the_configuration_says_which_requests_are_repeatable() {
    let upstreams = numbered::<2>();
    upstreams.iter().for_each(|upstream| upstream.switch(Answer::new(503, "sick")));
    let safe = json!({"safe": {"headers": [{"name": "idempotency-key"}]}, "methods": ["GET", "PATCH"]});
    let envoy = start(&both_places(&orders_of(&upstreams, &with_two(&safe))), 1);
    #[rustfmt::skip]
    let cases = [
        ("safe by header",   post("/").header("idempotency-key", "1"), 2),
        ("not safe",         post("/"),                                1),
        ("safe by method",   Request::new("PATCH", "/").body("more"),  2),
        ("the usual one",    Request::get("/"),                        2),
        ("not any more",     Request::new("PUT", "/").body("all"),     1),
    ];
    let mut client = Client::connect(envoy.addr());
    for (name, request, expected) in cases {
        let before = counts(&upstreams).iter().sum::<usize>();
        assert_eq!(client.send(&request).status, 503);
        assert_eq!(counts(&upstreams).iter().sum::<usize>() - before, expected, "{name}");
    }
    assert_calm(&envoy);
}

fn with_two(retry: &Value) -> Value {
    with(tireless(retry), &json!({"attempts": 2}))
}

/// All fail, slowly enough that many requests are in flight: as many retries as the
/// budget has, a fifth of them and one in each worker.
#[test]
fn the_budget_bounds_the_load_of_a_failing_service() {
    for workers in [1, 2] {
        let upstreams = numbered::<3>();
        let sick = Answer::new(503, "sick").after(Duration::from_millis(20));
        upstreams.iter().for_each(|upstream| upstream.switch(sick.clone()));
        let budget = json!({"budget": {"budget_percent": 20, "min_retry_concurrency": 1}});
        let envoy = start(&both_places(&orders_of(&upstreams, &tireless(&budget))), workers);
        let load = Load::new(envoy.addr()).connections(40).threads(40).requests(1_000);
        assert_eq!(load.repeat(&Request::get("/")).count(503), 1_000);
        let attempts = counts(&upstreams).iter().sum::<usize>();
        println!("{attempts} attempts for 1000 requests, {workers} workers");
        assert!((1_050..=1_300).contains(&attempts), "{attempts} attempts for 1000 requests");
        let refused = eventually("all metrics", SOON, || {
            let all = metrics(&envoy);
            (all["attempts"] == attempts as u64 && all["requests"] == 1_000).then(|| all["retries_refused"])
        });
        assert!(refused > 200, "{refused} retries refused");
        assert_calm(&envoy);
    }
}

/// With a budget of nothing, nothing is sent again.
#[test]
fn without_a_budget_nothing_is_retried() {
    let upstreams = numbered::<2>();
    upstreams[0].switch(Answer::new(503, "sick"));
    let budget = json!({"budget": {"budget_percent": 0, "min_retry_concurrency": 0}});
    let envoy = start(&both_places(&orders_of(&upstreams, &tireless(&budget))), 1);
    let all = answers(&mut Client::connect(envoy.addr()), 10);
    assert_eq!((all.matches("sick").count(), all.matches('1').count()), (5, 5), "{all}");
    assert_metrics(&envoy, &[("attempts", 10), ("failures", 5), ("retries", 0)]);
    assert_calm(&envoy);
}

/// Without the filter around attempts, what becomes of the one attempt is seen around the exchange.
#[test]
fn a_single_attempt_needs_one_placement() {
    let refusing = Port::reserve();
    let upstreams = numbered::<3>();
    let mut all = super::setup::endpoints(&upstreams);
    all.push(endpoint(refusing.addr()));
    let envoy = start(&one_place(&orders(&all, &json!({}))), 1);
    let (well, ill) = storm_one(&envoy, 60);
    assert!((1..=3).contains(&ill), "{well} of 60");
    assert_metrics(&envoy, &[("failures", ill), ("ejections", 0), ("retries", 0)]);
    assert_calm(&envoy);

    let envoy = start(&one_place(&orders_of(&upstreams, &json!({}))), 1);
    upstreams[1].switch(Answer::new(500, "sick"));
    assert_until_rest(&envoy, "says 500");
    assert_metrics(&envoy, &[("healthy", 2), ("failures", 5), ("ejections", 1), ("retries", 0)]);
    assert_calm(&envoy);
}

/// Five requests fail, and then none.
fn assert_until_rest(envoy: &Envoy, name: &str) {
    let report = storm_one(envoy, 60);
    assert_eq!(report, (55, 5), "{name}");
    assert_eq!(storm_one(envoy, 60), (60, 0), "{name}");
}

/// How many of so many requests, one after the other, got 200, and how many something else.
fn storm_one(envoy: &Envoy, requests: u64) -> (u64, u64) {
    let report = Load::new(envoy.addr()).requests(requests).repeat(&Request::get("/"));
    (report.count(200), report.answered() - report.count(200))
}

/// No placement leads the next attempt: it goes to the same endpoint, which is judged by the last answer.
#[test]
fn without_the_attempt_placement_all_attempts_reach_one_endpoint() {
    let upstreams = numbered::<2>();
    upstreams[0].switch(Answer::new(503, "sick"));
    let ejection = json!({"outlier_detection": {"consecutive_5xx": 3}});
    let envoy = start(&one_place(&orders_of(&upstreams, &with(three(), &ejection))), 1);
    let (well, ill) = storm_one(&envoy, 20);
    assert_eq!((well, ill, upstreams[0].count()), (17, 3, 9));
    assert_metrics(&envoy, &[("requests", 20), ("attempts", 20), ("failures", 3), ("ejections", 1)]);
    assert_calm(&envoy);
}

/// A silent endpoint costs each request the time of one attempt, and is ejected for it.
#[test]
fn a_silent_endpoint_times_out() {
    let upstreams = numbered::<3>();
    upstreams[0].switch(Answer::silence());
    let retry = with(three()["retry"].clone(), &json!({"per_try_timeout_ms": 60}));
    let envoy = start(&both_places(&orders_of(&upstreams, &with(three(), &json!({"retry": retry})))), 2);
    let report = storm(&envoy, 200);
    assert_eq!(report.count(200), 200, "{:?}", report.by_status());
    assert_metrics(&envoy, &[("healthy", 2), ("ejections", 1)]);
    assert!(upstreams[0].count() <= 18, "{} came to it", upstreams[0].count());
    eventually("Envoy to give them up", SOON, || upstreams[0].held() == 0);
    assert_calm(&envoy);
}

/// A timeout of the route is a failure of the endpoint that was silent.
#[test]
fn an_endpoint_that_is_silent_until_the_end_is_blamed() {
    for attempts in [1, 2] {
        let upstreams: [Upstream; 1] = numbered();
        upstreams[0].switch(Answer::silence());
        let fields = json!({"attempts": attempts, "outlier_detection": {"consecutive_5xx": 2}});
        let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "to", "timeout": "0.1s"}});
        let config = orders_of(&upstreams, &fields);
        let envoy = start(&super::setup::around(&config, attempts > 1).route(route), 1);
        assert_eq!(storm_one(&envoy, 2), (0, 2));
        assert_metrics(&envoy, &[("attempts", 2), ("failures", 2), ("ejections", 1)]);
        assert_calm(&envoy);
    }
}
