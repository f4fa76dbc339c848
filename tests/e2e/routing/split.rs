//! Shares without stickiness.

use serde_json::json;
use tidegate_tests::{Client, Request};

use super::setup::{
    assert_about, assert_calm, assert_metrics, route, storm, variant, with_1_2_and_4_workers, Pair,
};

/// One request in ten has a standard deviation of 30 among 10,000. Six of them are exceeded once in
/// 500 million runs.
#[test]
fn nine_in_ten_of_10_000_requests_are_stable() {
    with_1_2_and_4_workers(|workers| {
        let pair = Pair::new();
        let envoy = pair.start(route(&json!({})), workers);
        let report = storm(&envoy, 10_000, &Request::get("/"));
        assert_eq!((report.count(200), report.lost), (10_000, 0));
        let (stable, canary) = pair.counts();
        assert_eq!(stable + canary, 10_000);
        assert_about("requests of the canary", canary, 1_000, 180);
        let counted =
            [("variant.stable.requests", stable as u64), ("variant.canary.requests", canary as u64)];
        assert_metrics(&envoy, "shop", &counted);
        assert_metrics(
            &envoy,
            "shop",
            &[
                ("variant.stable.weight", 90),
                ("variant.canary.weight", 10),
                ("sticky", 0),
                ("forced", 0),
                ("undecided", 0),
            ],
        );
        assert_calm(&envoy);
    });
}

#[test]
fn a_variant_without_weight_gets_nothing() {
    let pair = Pair::new();
    let variants = json!([variant("stable", 1), variant("canary", 0)]);
    let envoy = pair.start(route(&json!({"variants": variants})), 2);
    assert_eq!(storm(&envoy, 1_000, &Request::get("/")).count(200), 1_000);
    assert_eq!(pair.counts(), (1_000, 0));
}

/// A client that repeats an id, or sends two, gets both variants.
#[test]
fn an_id_that_a_client_sends_decides_no_draw() {
    let pair = Pair::new();
    let variants = json!([variant("stable", 50), variant("canary", 50)]);
    let bootstrap = pair.behind(&super::setup::routes(&[route(&json!({"variants": variants}))]));
    let bootstrap = bootstrap.hcm("preserve_external_request_id", json!(true));
    let envoy = super::setup::start(&bootstrap, 2);
    let mut client = Client::connect(envoy.addr());
    for headers in [&[("x-request-id", "a")][..], &[("x-request-id", "a"), ("x-request-id", "b")]] {
        let canary = (0..64).filter(|_| client.get("/", headers).text() == "canary").count();
        assert_about("requests of the canary", canary, 32, 24);
    }
}

#[test]
fn a_route_that_observes_leaves_requests_alone() {
    let pair = Pair::new();
    let envoy = pair.start(route(&json!({"mode": "observe"})), 1);
    for _ in 0..5 {
        assert_eq!(Client::connect(envoy.addr()).get("/", &[]).text(), "plain");
    }
    assert_metrics(&envoy, "shop", &[("observed", 5), ("variant.stable.requests", 0)]);
}
