//! Each endpoint by itself, where the filter stands around every attempt.

use std::collections::BTreeMap;

use serde_json::{json, Value};
use tidegate_tests::{eventually, Answer, Bootstrap, Client, Envoy, Port, Request, Upstream};

use super::setup::{
    assert_metrics, breaker, filter, is_refusal, metrics_when, start, storm, transitions,
    with_1_2_and_4_workers, IN_FLIGHT, SOON,
};

const REQUESTS: u64 = 300;

/// A breaker of each endpoint of `up` that opens after three failures.
fn endpoints(fields: &Value) -> Value {
    let target = json!({"target": {"endpoint": "up"}, "consecutive_failures": 3});
    breaker("endpoints", &crate::setup::with(target, fields))
}

/// These breakers in both places, in front of a cluster `up` of these endpoints.
fn both_places(breakers: &[Value], addrs: &[std::net::SocketAddr]) -> Bootstrap {
    let filter = filter(breakers);
    let attempt = filter.clone().root_id("attempt").name("attempt");
    Bootstrap::new().balanced().wasm(&filter).around_attempts(&attempt).cluster("up", addrs)
}

/// Three endpoints of which the first so many fail.
fn three(failing: usize) -> [Upstream; 3] {
    [0, 1, 2].map(|at| if at < failing { Upstream::fixed(503, "no") } else { Upstream::fixed(200, "well") })
}

fn behind(breakers: &[Value], upstreams: &[Upstream], workers: u32) -> Envoy {
    let addrs: Vec<_> = upstreams.iter().map(Upstream::addr).collect();
    start(&both_places(breakers, &addrs).forward("/", "up"), workers)
}

#[test]
fn the_endpoint_that_fails_is_spared_and_the_others_serve() {
    with_1_2_and_4_workers(|workers| {
        let upstreams = three(1);
        let all = breaker("all", &json!({"target": {"cluster": "up"}}));
        let envoy = behind(&[all, endpoints(&json!({}))], &upstreams, workers);
        let report = storm(&envoy, REQUESTS, &Request::get("/"));
        let [bad, good, best] = upstreams.each_ref().map(Upstream::count);
        assert!((3..=3 + IN_FLIGHT).contains(&bad), "{bad} reached the one that fails");
        assert_eq!(report.count(200), (good + best) as u64);
        // Envoy takes turns, so each had about a third.
        assert!(good.min(best) >= 80, "{good} and {best} of {REQUESTS}");
        let refused = REQUESTS - (bad + good + best) as u64;
        let counted =
            [("refused", refused), ("admitted", REQUESTS - refused), ("open", 1), ("transitions", 1)];
        assert_metrics(&envoy, "endpoints", &counted);
        assert_metrics(&envoy, "endpoints", &[("failed", bad as u64), ("capped", 0)]);
        // Our own refusal of an attempt is no failure of the cluster, which sees its own.
        assert_metrics(&envoy, "all", &[("failed", bad as u64), ("ignored", refused), ("transitions", 0)]);
        let lines = transitions(&envoy);
        assert_eq!(lines.len(), 1, "{}", envoy.log());
        assert!(lines[0].starts_with("endpoints: closed -> open (consecutive)"), "{}", lines[0]);
    });
}

#[test]
fn an_endpoint_that_refuses_connections_is_spared() {
    with_1_2_and_4_workers(|workers| {
        let (port, good) = (Port::reserve(), Upstream::fixed(200, "well"));
        let bootstrap = both_places(&[endpoints(&json!({}))], &[port.addr(), good.addr()]);
        let envoy = start(&bootstrap.forward("/", "up"), workers);
        storm(&envoy, REQUESTS, &Request::get("/"));
        assert_metrics(&envoy, "endpoints", &[("open", 1), ("transitions", 1)]);
        let asked = |metrics: &BTreeMap<String, u64>| metrics["admitted"] + metrics["refused"] == REQUESTS;
        let failed = metrics_when(&envoy, "endpoints", asked)["failed"];
        assert!((3..=3 + IN_FLIGHT as u64).contains(&failed), "{failed} attempts at it");
    });
}

/// An attempt that ends without an answer may have been left by whoever waited; not so if that took
/// longer than a slow call.
#[test]
fn an_endpoint_that_is_silent_is_spared_and_one_that_callers_leave_is_not() {
    let upstreams = [(); 2].map(|()| Upstream::new(|_| Answer::silence()));
    let addrs = upstreams.each_ref().map(Upstream::addr);
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "2s"}});
    let bootstrap = both_places(&[endpoints(&json!({"slow_call_ms": 1000}))], &addrs).route(route);
    let envoy = start(&bootstrap, 2);
    let held = || upstreams.iter().map(Upstream::held).sum::<usize>();
    let client = Client::connect(envoy.addr());
    let calls = [(); 8].map(|()| client.begin(&Request::get("/")));
    eventually("all requests at the endpoints", SOON, || held() == 8);
    for call in calls {
        call.leave();
    }
    eventually("Envoy to drop them", SOON, || held() == 0);
    assert_metrics(&envoy, "endpoints", &[("ignored", 8), ("failed", 0), ("open", 0), ("transitions", 0)]);

    upstreams[1].switch(Answer::new(200, "well"));
    storm(&envoy, 40, &Request::get("/"));
    assert_metrics(&envoy, "endpoints", &[("open", 1), ("transitions.consecutive", 1)]);
}

/// Where the attempt is seen, its end looks like that of one whose caller left; behind it the reason
/// is known.
#[test]
fn the_endpoint_that_hangs_up_is_spared() {
    with_1_2_and_4_workers(|workers| {
        let upstreams = three(0);
        upstreams[0].switch(Answer::hang_up());
        let envoy = behind(&[endpoints(&json!({}))], &upstreams, workers);
        let report = storm(&envoy, REQUESTS, &Request::get("/"));
        let [bad, good, best] = upstreams.each_ref().map(Upstream::count);
        assert!((3..=3 + IN_FLIGHT).contains(&bad), "{bad} reached the one that hangs up");
        assert_eq!(report.count(200), (good + best) as u64);
        assert_metrics(&envoy, "endpoints", &[("open", 1), ("transitions.consecutive", 1)]);
    });
}

#[test]
fn an_endpoint_recovers_by_its_own_probes() {
    with_1_2_and_4_workers(|workers| {
        let upstreams = three(1);
        let brief = json!({"base_open_ms": 200, "half_open_permits": 2});
        let envoy = behind(&[endpoints(&brief)], &upstreams, workers);
        storm(&envoy, 60, &Request::get("/"));
        assert_metrics(&envoy, "endpoints", &[("transitions.consecutive", 1)]);
        upstreams[0].switch(Answer::new(200, "well"));
        eventually("recovery", SOON, || storm(&envoy, 30, &Request::get("/")).count(200) == 30);
        assert_metrics(&envoy, "endpoints", &[("open", 0), ("transitions.probes_passed", 1)]);
    });
}

#[test]
fn only_so_many_endpoints_are_out_at_once_and_one_always_stays() {
    with_1_2_and_4_workers(|workers| {
        #[rustfmt::skip]
        let cases = [
            // max_ejection_percent  failing  out
            (50,                     2,       1),
            (70,                     2,       2),
            (100,                    3,       2),
            (1,                      3,       1),
        ];
        for (percent, failing, out) in cases {
            let upstreams = three(failing);
            let envoy = behind(&[endpoints(&json!({"max_ejection_percent": percent}))], &upstreams, workers);
            storm(&envoy, REQUESTS, &Request::get("/"));
            assert_metrics(&envoy, "endpoints", &[("open", out), ("transitions", out)]);
            println!("{percent} % of 3, {failing} fail");
            let asked = |all: &BTreeMap<String, u64>| all["admitted"] + all["refused"] == REQUESTS;
            let metrics = metrics_when(&envoy, "endpoints", asked);
            assert_eq!(metrics["capped"] > 0, out < failing as u64, "{metrics:?}");
            let busy = upstreams.iter().filter(|upstream| upstream.count() >= 80).count();
            assert_eq!(busy as u64, 3 - out, "{percent} % of 3, {failing} fail");
        }
    });
}

/// Each attempt counts for its endpoint, and the request's last one for the cluster.
#[test]
fn retries_count_for_endpoints_and_their_end_for_the_cluster() {
    let upstreams = three(1);
    let all = breaker("all", &json!({"target": {"cluster": "up"}, "consecutive_failures": 1}));
    let addrs = upstreams.each_ref().map(Upstream::addr);
    let retry = json!({"retry_on": "5xx", "num_retries": 1});
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "up", "retry_policy": retry}});
    let envoy = start(&both_places(&[all, endpoints(&json!({}))], &addrs).route(route), 1);
    let mut client = Client::connect(envoy.addr());
    // Whatever the first attempt brings, the second goes to the next endpoint, which is well.
    let before = eventually("the endpoint to be out", SOON, || {
        let answer = client.get("/", &[]);
        (!is_refusal(&answer)).then(|| assert_eq!(answer.text(), "well"));
        is_refusal(&answer).then(|| upstreams[0].count())
    });
    assert_eq!(before, 3);
    assert_metrics(&envoy, "all", &[("failed", 0), ("ignored", 1), ("state", 0)]);
    assert_metrics(&envoy, "endpoints", &[("failed", 3), ("refused", 1), ("open", 1)]);
    // A refused attempt is not tried elsewhere.
    assert_eq!(envoy.stat("cluster.up.upstream_rq_retry"), 3);
}
