//! Together with the other filters, in either order.

use serde_json::{json, Value};
use tidegate_tests::paths::module;
use tidegate_tests::{eventually, Answer, Bootstrap, Client, Envoy, Request, Upstream, WasmFilter};

use super::setup::{
    assert_metrics, filter, moves, ramping, route, routes, start, storm, with_1_2_and_4_workers, Pair, SOON,
};
use crate::setup::by_key;

/// A breaker of the cluster `canary` that opens after five failures and stays open.
fn breaker() -> WasmFilter {
    let canary = json!({"name": "canary", "target": {"cluster": "canary"}, "base_open_ms": 60_000, "jitter_percent": 0});
    WasmFilter::new(module("breaker")).config(&json!({"breakers": [canary]}))
}

/// Routing with a ramp that is given up by the breaker alone: no interval ever has enough requests.
fn routing() -> WasmFilter {
    let ramp = json!({"steps": [{"weight": 50, "hold_ms": 86_400_000}]});
    let abort = json!({"breaker": "canary", "min_samples": 1_000_000_000});
    filter(&routes(&[route(&json!({"variants": ramping(&ramp, &abort)}))]))
}

/// The canary fails, its breaker opens, and the ramp is given up long before it is judged.
fn breaker_ends_ramp(bootstrap: &Bootstrap, pair: &Pair, workers: u32) -> Envoy {
    let envoy = start(bootstrap, workers);
    eventually("traffic of the canary", SOON, || {
        storm(&envoy, 200, &Request::get("/"));
        pair.canary.count() > 0
    });
    pair.canary.switch(Answer::new(503, "no"));
    eventually("the end of the ramp", SOON, || {
        storm(&envoy, 50, &Request::get("/"));
        moves(&envoy)
            .iter()
            .any(|line| line.contains("ramp aborted: its breaker is open; weight 50 -> 0 of 100"))
    });
    let last = pair.canary.count();
    assert_eq!(storm(&envoy, 1_000, &Request::get("/")).count(200), 1_000, "nobody meets the open breaker");
    assert_eq!(pair.canary.count(), last);
    assert_metrics(&envoy, "shop", &[("aborted", 1), ("variant.canary.weight", 0)]);
    envoy
}

#[test]
fn a_ramp_ends_when_the_breaker_of_its_variant_opens() {
    with_1_2_and_4_workers(|workers| {
        let pair = Pair::new();
        let envoy = breaker_ends_ramp(&pair.behind_all(&[routing(), breaker()]), &pair, workers);
        assert_eq!(envoy.stats(r"^wasm\..*vm_reload.*$").values().sum::<u64>(), 0);
    });
}

/// The state of a breaker is a gauge of the process: it does not matter which VMs look at it.
#[test]
fn a_breaker_ends_a_ramp_from_another_vm() {
    let pair = Pair::new();
    let filters = [routing().vm_id("routing-of-its-own"), breaker().vm_id("breaker-of-its-own")];
    breaker_ends_ramp(&pair.behind_all(&filters), &pair, 2);
}

fn halves() -> Value {
    let sticky = json!({"experiment": "e", "by": [{"header": "x-user"}]});
    let variants = json!([super::setup::variant("stable", 50), super::setup::variant("canary", 50)]);
    route(&json!({"sticky": sticky, "variants": variants}))
}

/// The breaker knows the cluster that routing chose, and leaves the header with it alone.
#[test]
fn a_breaker_guards_the_cluster_that_routing_chose() {
    let pair = Pair::new();
    let envoy = start(&pair.behind_all(&[filter(&routes(&[halves()])), breaker()]), 2);
    let users = super::setup::seats(&envoy, 32);
    let [stable, canary] = ['s', 'c'].map(|variant| format!("user-{}", users.find(variant).unwrap()));
    pair.canary.switch(Answer::new(503, "no"));
    let mut client = Client::connect(envoy.addr());
    for _ in 0..5 {
        assert_eq!(client.get("/", &[("x-user", &canary)]).text(), "no");
    }
    for forged in ["x-forged", "x-tidegate-cluster"] {
        let refused = client.get("/", &[("x-user", &canary), (forged, "stable")]);
        assert_eq!((refused.status, refused.header("x-tidegate-breaker").as_deref()), (503, Some("open")));
    }
    assert_eq!(client.get("/", &[("x-user", &stable)]).text(), "stable");
    let seen = pair.stable.seen();
    assert!(seen.iter().all(|seen| seen.header("x-tidegate-cluster").as_deref() == Some("stable")));
}

/// A breaker that falls back overrides what routing chose.
#[test]
fn a_fallback_takes_the_place_of_the_cluster_that_routing_chose() {
    let pair = Pair::new();
    let spare = Upstream::fixed(200, "spare");
    let guarded = json!({
        "name": "canary", "target": {"cluster": "canary"}, "base_open_ms": 60_000,
        "fallback": [{"cluster": "spare"}],
    });
    let guard = WasmFilter::new(module("breaker")).config(&json!({"breakers": [guarded]}));
    let all = json!([super::setup::variant("stable", 0), super::setup::variant("canary", 1)]);
    let routing = filter(&routes(&[route(&json!({"variants": all}))]));
    let envoy = start(&pair.behind_all(&[routing, guard]).cluster("spare", &[spare.addr()]), 2);
    pair.canary.switch(Answer::new(503, "no"));
    let mut client = Client::connect(envoy.addr());
    let answers = [(); 7].map(|()| client.get("/", &[]).text());
    assert_eq!(answers, ["no", "no", "no", "no", "no", "spare", "spare"]);
}

#[test]
fn a_rate_limit_comes_before_routing_and_breaker() {
    let pair = Pair::new();
    let limit = WasmFilter::new(module("ratelimit")).config(&json!({"limits": [by_key("each", 3)]}));
    let envoy = start(&pair.behind_all(&[limit, filter(&routes(&[halves()])), breaker()]), 2);
    let mut client = Client::connect(envoy.addr());
    let mut statuses = |key: &str| [(); 5].map(|()| client.get("/", &[("x-key", key)]).status);
    assert_eq!(statuses("a"), [200, 200, 200, 429, 429]);
    assert_eq!(statuses("b"), [200, 200, 200, 429, 429]);
    assert_eq!(pair.stable.count() + pair.canary.count(), 6);
    assert_metrics(&envoy, "shop", &[("undecided", 0)]);
}
