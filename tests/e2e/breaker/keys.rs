//! Targets besides clusters: a state for each key, one for a route, and only some requests.

use std::time::Duration;

use serde_json::json;
use tidegate_tests::{eventually, Answer, Bootstrap, Client, Request, Upstream};

use super::setup::{
    assert_metrics, breaker, filter, guarded, is_refusal, metrics, refuses_everywhere, start, storm,
    transitions, with_1_2_and_4_workers, IN_FLIGHT, SOON,
};

fn tenant(name: &str) -> Request {
    Request::get("/").header("x-tenant", name)
}

/// Fails for the tenants `bad` and `worse`.
fn moody() -> Upstream {
    Upstream::new(|seen| match seen.header("x-tenant").as_deref() {
        Some("bad" | "worse") => Answer::new(503, "no"),
        _ => Answer::new(200, "well"),
    })
}

#[test]
fn each_key_has_a_state_that_all_workers_see() {
    with_1_2_and_4_workers(|workers| {
        let upstream = moody();
        let by_tenant = breaker("tenants", &json!({"target": {"key": [{"header": "x-tenant"}]}}));
        let envoy = start(&guarded(&[by_tenant], upstream.addr()), workers);
        for (already, name) in ["bad", "worse"].into_iter().enumerate() {
            assert_metrics(&envoy, "tenants", &[("open", already as u64)]);
            storm(&envoy, 100, &tenant(name));
            let reached = upstream.count_where(|seen| seen.header("x-tenant").as_deref() == Some(name));
            assert!((5..=5 + IN_FLIGHT).contains(&reached), "{name}: {reached}");
            assert!(refuses_everywhere(&envoy, &tenant(name)), "{name}");
            assert_eq!(storm(&envoy, 50, &tenant("good")).count(200), 50, "beside {name}");
        }
        // Whoever has no key passes.
        assert_eq!(storm(&envoy, 50, &Request::get("/")).count(200), 50);
        let counted = [("open", 2), ("transitions", 2), ("transitions.consecutive", 2), ("untracked", 0)];
        assert_metrics(&envoy, "tenants", &counted);
        assert_eq!(transitions(&envoy).len(), 2, "{}", envoy.log());
    });
}

#[test]
fn a_key_recovers_by_its_own_probes() {
    with_1_2_and_4_workers(|workers| {
        let upstream = moody();
        let fields = json!({
            "target": {"key": [{"header": "x-tenant"}]}, "base_open_ms": 200, "half_open_permits": 2,
            "consecutive_failures": 3,
        });
        let envoy = start(&guarded(&[breaker("tenants", &fields)], upstream.addr()), workers);
        for name in ["bad", "worse"] {
            storm(&envoy, 30, &tenant(name));
        }
        upstream.switch(Answer::new(200, "well"));
        for name in ["bad", "worse"] {
            let mut client = Client::connect(envoy.addr());
            eventually("recovery", SOON, || {
                storm(&envoy, 20, &tenant(name)).count(200) == 20 && client.send(&tenant(name)).status == 200
            });
        }
        assert_metrics(&envoy, "tenants", &[("open", 0), ("transitions.probes_passed", 2)]);
        let metrics = metrics(&envoy, "tenants");
        assert_eq!(metrics["transitions.consecutive"], 2, "{metrics:?}");
    });
}

#[test]
fn a_key_that_fails_for_good_is_only_probed() {
    let upstream = moody();
    let fields = json!({
        "target": {"key": [{"header": "x-tenant"}]}, "base_open_ms": 100, "half_open_permits": 1,
        "backoff_multiplier_percent": 100,
    });
    let envoy = start(&guarded(&[breaker("tenants", &fields)], upstream.addr()), 2);
    storm(&envoy, 30, &tenant("bad"));
    let mut client = Client::connect(envoy.addr());
    eventually("three rounds of probes", Duration::from_secs(20), || {
        client.send(&tenant("bad"));
        metrics(&envoy, "tenants")["transitions.probes_failed"] >= 3
    });
    let metrics = metrics(&envoy, "tenants");
    let bad = upstream.count() as u64;
    assert!(bad <= 13 + metrics["probes"] + 1, "{bad} reached it; {metrics:?}");
}

#[test]
fn a_route_is_a_target_by_its_name() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::new(|seen| Answer::new(if seen.path == "/cart" { 503 } else { 200 }, "up"));
        let route = |name: &str| json!({"name": name, "match": {"prefix": format!("/{name}")}, "route": {"cluster": "up"}});
        let target = |name: &str| breaker(name, &json!({"target": {"route": name}}));
        let bootstrap = Bootstrap::new()
            .balanced()
            .wasm(&filter(&[target("cart"), target("list")]))
            .cluster("up", &[upstream.addr()])
            .route(route("cart"))
            .route(route("list"));
        let envoy = start(&bootstrap, workers);
        storm(&envoy, 60, &Request::get("/cart"));
        let reached = upstream.count();
        assert!((5..=5 + IN_FLIGHT).contains(&reached), "{reached}");
        assert!(refuses_everywhere(&envoy, &Request::get("/cart")));
        assert_eq!(storm(&envoy, 50, &Request::get("/list")).count(200), 50);
        assert_metrics(&envoy, "cart", &[("state", 1)]);
        assert_metrics(&envoy, "list", &[("state", 0), ("admitted", 50), ("succeeded", 50)]);
    });
}

#[test]
fn a_breaker_with_a_match_leaves_other_requests_alone() {
    let upstream = Upstream::fixed(503, "no");
    let matching = json!({"match": {"path": {"prefix": "/api"}}});
    let envoy = start(&guarded(&[breaker("up", &matching)], upstream.addr()), 2);
    let mut client = Client::connect(envoy.addr());
    for _ in 0..6 {
        assert_eq!(client.get("/other", &[]).text(), "no");
    }
    for _ in 0..5 {
        assert_eq!(client.get("/api/a", &[]).text(), "no");
    }
    assert!(is_refusal(&client.get("/api/b", &[])));
    assert_eq!(client.get("/other", &[]).text(), "no");
}
