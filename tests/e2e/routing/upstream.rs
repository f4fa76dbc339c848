//! What the filter makes Envoy's router do: mirror, split, time out, retry.

use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::{eventually, Answer, Bootstrap, Client, Request, Upstream};

use super::setup::{
    assert_about, assert_calm, crowd, filter, route, routes, start, storm, variant, Pair, SOON,
};
use crate::setup::with;

/// A route that sends copies where the filter says, and to no cluster but `up`.
fn mirroring(config: &Value, up: &Upstream, shadow: &Upstream) -> Bootstrap {
    let mirror = json!([{"cluster_header": "x-tidegate-mirror"}]);
    Bootstrap::new()
        .balanced()
        .wasm(&filter(config))
        .route(json!({
            "match": {"prefix": "/"},
            "route": {"cluster_header": "x-tidegate-cluster", "request_mirror_policies": mirror},
        }))
        .cluster("stable", &[up.addr()])
        .cluster("shadow", &[shadow.addr()])
}

fn all_to_stable(more: &Value) -> Value {
    route(&with(json!({"variants": [variant("stable", 1)]}), more))
}

/// A quarter of 2,000 requests has a standard deviation of 19.4.
#[test]
fn the_configured_share_of_requests_is_mirrored() {
    let (up, shadow) = (Upstream::fixed(200, "up"), Upstream::fixed(500, "shadow"));
    let config = routes(&[all_to_stable(&json!({"mirror": {"cluster": "shadow", "percent": 25}}))]);
    let envoy = start(&mirroring(&config, &up, &shadow), 2);
    assert_eq!(
        storm(&envoy, 2_000, &Request::get("/").header("x-tidegate-mirror", "shadow")).count(200),
        2_000
    );
    assert_eq!(up.count(), 2_000);
    let copies = up.count_where(|seen| seen.header("x-tidegate-mirror").as_deref() == Some("shadow"));
    assert_about("copies", copies, 500, 117);
    eventually("the copies", SOON, || shadow.count() == copies);
    assert_calm(&envoy);
}

#[test]
fn clients_cannot_have_requests_mirrored() {
    let (up, shadow) = (Upstream::fixed(200, "up"), Upstream::fixed(500, "shadow"));
    let envoy = start(&mirroring(&routes(&[all_to_stable(&json!({}))]), &up, &shadow), 1);
    let forged =
        Request::get("/").header("x-tidegate-mirror", "shadow").header("x_tidegate_mirror", "shadow");
    assert_eq!(storm(&envoy, 100, &forged).count(200), 100);
    assert_eq!(envoy.stat("cluster.shadow.upstream_rq_total"), 0);
    assert_eq!(shadow.count(), 0);
}

/// Without `cluster_header`: Envoy splits by a number that it takes from a header.
#[test]
fn weighted_clusters_split_by_the_bucket() {
    let pair = Pair::new();
    let sticky = json!({"experiment": "e", "by": [{"header": "x-user"}]});
    let config =
        with(routes(&[route(&json!({"sticky": sticky}))]), &json!({"headers": {"random": "x-random"}}));
    let parts = json!([{"name": "stable", "weight": 9_000}, {"name": "canary", "weight": 1_000}]);
    let weighted = json!({"clusters": parts, "header_name": "x-random"});
    let bootstrap = Bootstrap::new().balanced().wasm(&filter(&config));
    let bootstrap =
        bootstrap.route(json!({"match": {"prefix": "/"}, "route": {"weighted_clusters": weighted}}));
    let envoy = start(&pair.join(bootstrap), 2);
    assert_eq!(crowd(&envoy, 2_000, "x-user").count(200), 2_000);
    let bucket =
        |seen: &tidegate_tests::upstream::Seen| seen.header("x-random").unwrap().parse::<u32>().unwrap();
    assert!(pair.stable.seen().iter().all(|seen| bucket(seen) < 9_000));
    assert!(pair.canary.seen().iter().all(|seen| bucket(seen) >= 9_000));
    let (_, once) = pair.counts();
    assert_about("users of the canary", once, 200, 81);
    assert_eq!(crowd(&envoy, 2_000, "x-user").count(200), 2_000);
    assert_eq!(pair.canary.count(), 2 * once, "the same users are on the canary");

    let forged = Request::get("/").header("x-user", "user-0").header("x-random", "9999");
    let answer = Client::connect(envoy.addr()).send(&forged).text();
    assert_eq!(answer, Client::connect(envoy.addr()).get("/", &[("x-user", "user-0")]).text());
}

#[test]
fn a_request_times_out_as_the_route_says() {
    let pair = Pair::new();
    pair.stable.switch(Answer::silence());
    let envoy = pair.start(all_to_stable(&json!({"timeouts": {"request_ms": 50}})), 1);
    let start = Instant::now();
    let answer = Client::connect(envoy.addr()).get("/", &[("x-envoy-upstream-rq-timeout-ms", "60000")]);
    assert_eq!(answer.status, 504);
    assert!(start.elapsed() >= Duration::from_millis(50));
    // Envoy's own default is 15 s, and the harness gives up after ten.
    assert_eq!(envoy.stat("cluster.stable.upstream_rq_timeout"), 1);
    eventually("the end of the request", SOON, || pair.stable.held() == 0);
}

#[test]
fn a_request_is_tried_again_as_the_route_says() {
    let pair = Pair::new();
    pair.stable.switch(Answer::new(503, "no"));
    let retried = all_to_stable(&json!({"retry": {"retry_on": ["5xx"], "attempts": 3}}));
    let envoy = pair.start(retried, 1);
    assert_eq!(Client::connect(envoy.addr()).get("/", &[]).status, 503);
    assert_eq!(pair.stable.count(), 3);

    let by_status =
        json!({"retry": {"retry_on": ["retriable-status-codes"], "statuses": [418], "attempts": 2}});
    let envoy = pair.start(all_to_stable(&by_status), 1);
    assert_eq!(Client::connect(envoy.addr()).get("/", &[]).status, 503);
    assert_eq!(pair.stable.count(), 4);
    pair.stable.switch(Answer::new(418, "tea"));
    assert_eq!(Client::connect(envoy.addr()).get("/", &[]).status, 418);
    assert_eq!(pair.stable.count(), 6);
    assert_calm(&envoy);
}

#[test]
fn a_try_has_a_timeout_of_its_own() {
    let pair = Pair::new();
    pair.stable.switch(Answer::silence());
    let fields = json!({
        "timeouts": {"request_ms": 5_000, "per_try_timeout_ms": 250},
        "retry": {"retry_on": ["gateway-error"], "attempts": 3},
    });
    let envoy = pair.start(all_to_stable(&fields), 1);
    assert_eq!(Client::connect(envoy.addr()).get("/", &[]).status, 504);
    assert_eq!(pair.stable.count(), 3);
    assert_eq!(envoy.stat("cluster.stable.upstream_rq_per_try_timeout"), 3);
}
