//! An endpoint fails, and no client notices.

use serde_json::json;
use tidegate_tests::{eventually, Answer, Client, DeadPort, Port, Upstream};

use super::setup::{
    assert_all_answered, assert_calm, assert_metrics, both_places, counts, endpoint, endpoints, load_on,
    metrics, numbered, orders, orders_of, start, storm, three, under_load, with_1_2_and_4_workers, SOON,
};
use crate::setup::with;

#[test]
fn an_endpoint_that_dies_under_load_causes_no_client_error() {
    with_1_2_and_4_workers(|workers| {
        let mut upstreams = Vec::from(numbered::<3>());
        let envoy = start(&both_places(&orders_of(&upstreams, &three())), workers);
        let reports = under_load(&envoy, || {
            eventually("traffic", SOON, || upstreams.iter().all(|upstream| upstream.count() > 50));
            drop(upstreams.remove(1));
            eventually("its ejection", SOON, || metrics(&envoy)["healthy"] == 2);
            let before = upstreams[0].count();
            eventually("more traffic", SOON, || upstreams[0].count() > before + 100);
        });
        assert_all_answered(&reports);
        assert_calm(&envoy);
    });
}

/// With the filter's default budget, and with as many retries in Envoy's cluster as the documents have: three
/// at one time were too few for the part of one endpoint.
#[test]
fn an_endpoint_that_dies_under_any_load_causes_no_client_error() {
    for connections in [4, 16, 256] {
        let mut upstreams = Vec::from(numbered::<3>());
        let envoy = start(&both_places(&orders_of(&upstreams, &json!({"attempts": 2}))), 2);
        let reports = load_on(envoy.addr(), connections, || {
            eventually("traffic", SOON, || upstreams.iter().all(|upstream| upstream.count() > 500));
            drop(upstreams.remove(1));
            let before = upstreams[0].count();
            eventually("more traffic", SOON, || upstreams[0].count() > before + 1_000);
        });
        assert_all_answered(&reports);
        assert_metrics(&envoy, &[("retries_refused", 0)]);
        assert_calm(&envoy);
    }
}

/// A host that is off refuses nothing: connections to it take until the cluster's `connect_timeout`. Nothing was
/// sent then, as after a refused one: the next attempt is free, and one such connection is enough to know.
#[test]
fn a_host_that_is_off_costs_no_client_an_error_and_no_retry_budget() {
    let upstreams = numbered::<2>();
    let off = DeadPort::new();
    let mut all = endpoints(&upstreams);
    all.insert(1, endpoint(off.addr()));
    let retry = json!({"budget": {"budget_percent": 0, "min_retry_concurrency": 0}});
    let fields = json!({"attempts": 2, "outlier_detection": false, "retry": retry});
    let envoy = start(&both_places(&orders(&all, &fields)), 2);
    let report = storm(&envoy, 60);
    assert_eq!(report.count(200), 60, "{:?}", report.by_status());
    // As many as were on their way when the first one timed out.
    eventually("one to eight that failed", SOON, || {
        let all = metrics(&envoy);
        all["requests"] == 60 && (1..=8).contains(&all["failures"]) && all["retries"] == all["failures"]
    });
    assert_metrics(&envoy, &[("retries_refused", 0)]);
    assert_calm(&envoy);
}

/// Each kind of failure, on one of three endpoints that are never ejected.
#[test]
fn one_failing_endpoint_causes_no_client_error() {
    let refusing = Port::reserve();
    #[rustfmt::skip]
    let cases = [
        ("refuses connections", None,                               json!({})),
        ("says 503",            Some(Answer::new(503, "sick")),     json!({})),
        ("says 502",            Some(Answer::new(502, "sick")),     json!({})),
        ("hangs up",            Some(Answer::hang_up()),            json!({})),
        ("says nonsense",       Some(Answer::raw("no HTTP\r\n\r\n")), json!({})),
        ("is silent",           Some(Answer::silence()),            json!({"per_try_timeout_ms": 50})),
    ];
    for (name, answer, retry) in cases {
        let upstreams = numbered::<3>();
        let mut all = endpoints(&upstreams);
        match answer {
            Some(answer) => upstreams[1].switch(answer),
            None => all[1] = endpoint(refusing.addr()),
        }
        let retry = with(three()["retry"].clone(), &retry);
        let fields = with(three(), &json!({"outlier_detection": false, "retry": retry}));
        let envoy = start(&both_places(&orders(&all, &fields)), 2);
        let report = storm(&envoy, 60);
        assert_eq!(report.count(200), 60, "{name}: {:?}", report.by_status());
        // One that refuses connections is known by the first, for a second, though nothing is ejected.
        let failures = if name == "refuses connections" { 1..=10 } else { 18..=22 };
        eventually(&format!("{name}: {failures:?} to be counted as failed"), SOON, || {
            let all = metrics(&envoy);
            all["requests"] == 60 && failures.contains(&all["failures"])
        });
        assert_calm(&envoy);
    }
}

/// Two of three fail, and each request is tried at each endpoint at most once.
#[test]
fn no_request_reaches_an_endpoint_twice() {
    let upstreams = numbered::<3>();
    upstreams[..2].iter().for_each(|upstream| upstream.switch(Answer::new(503, "sick")));
    let fields = with(three(), &json!({"outlier_detection": false, "balance": "random"}));
    let envoy = start(&both_places(&orders_of(&upstreams, &fields)), 2);
    let mut client = Client::connect(envoy.addr());
    for request in 0..60 {
        assert_eq!(client.get(&format!("/{request}"), &[]).text(), "2", "request {request}");
    }
    for upstream in &upstreams {
        let mut paths: Vec<_> = upstream.seen().into_iter().map(|seen| seen.path).collect();
        let all = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), all, "some request came twice");
    }
    let attempts = upstreams.iter().map(Upstream::count).sum::<usize>() as u64;
    let failed = attempts - 60;
    assert_metrics(
        &envoy,
        &[("requests", 60), ("attempts", attempts), ("failures", failed), ("retries", failed)],
    );
    assert_calm(&envoy);
}

/// There is no other endpoint: the same one gets the retry.
#[test]
fn a_lone_endpoint_is_retried() {
    let [only] = numbered();
    only.switch(Answer::new(503, "sick"));
    let fields = with(three(), &json!({"outlier_detection": false}));
    let envoy = start(&both_places(&orders_of(std::slice::from_ref(&only), &fields)), 1);
    assert_eq!(Client::connect(envoy.addr()).get("/", &[]).status, 503);
    assert_eq!(only.count(), 3);
    assert_metrics(&envoy, &[("requests", 1), ("attempts", 3), ("failures", 3), ("retries", 2)]);
    assert_calm(&envoy);
}

/// What becomes of a request when all fail: the last answer is the client's.
#[test]
fn when_all_fail_the_client_gets_the_last_response() {
    let upstreams = numbered::<3>();
    upstreams.iter().for_each(|upstream| upstream.switch(Answer::new(503, "sick").header("x-who", "me")));
    let envoy = start(&both_places(&orders_of(&upstreams, &three())), 1);
    let answer = Client::connect(envoy.addr()).get("/", &[]);
    let who = answer.header("x-who");
    assert_eq!((answer.status, answer.text().as_str(), who.as_deref()), (503, "sick", Some("me")));
    assert_eq!(counts(&upstreams), [1, 1, 1]);
    assert_calm(&envoy);
}
