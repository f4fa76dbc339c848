//! Breakers of services and variants, in the layouts of the documents.

use serde_json::{json, Value};
use tidegate_tests::paths::module;
use tidegate_tests::{Answer, Bootstrap, Client, Envoy, Upstream, WasmFilter};

use super::setup::{assert_metrics, counts, filter, numbered, orders_of, start};
use crate::setup::with;

fn breaker(target: &Value, fields: &Value) -> WasmFilter {
    let one = json!({"name": "a", "target": target, "base_open_ms": 60_000, "jitter_percent": 0});
    WasmFilter::new(module("breaker")).config(&json!({"breakers": [with(one, fields)]}))
}

fn routing(variant: &Value) -> WasmFilter {
    let only = with(json!({"name": "only"}), variant);
    let route = json!({"name": "shop", "variants": [only]});
    WasmFilter::new(module("routing")).config(&json!({"routes": [route]}))
}

/// A route for requests with a header.
fn having(header: &str, route: &Value) -> Value {
    let headers = json!([{"name": header, "present_match": true}]);
    json!({"match": {"prefix": "/", "headers": headers}, "route": route})
}

/// Filters in front of the routes of `envoy-config/discovery.yaml`, the one of a fallback first.
fn documented(filters: &[WasmFilter]) -> Bootstrap {
    let bootstrap = filters.iter().fold(Bootstrap::new().balanced(), Bootstrap::wasm);
    bootstrap
        .original_dst_cluster("discovered")
        .route(having("x-tidegate-cluster", &json!({"cluster_header": "x-tidegate-cluster"})))
        .route(having("x-envoy-original-dst-host", &json!({"cluster": "discovered"})))
        .direct_response("/", 404, "no such service")
}

fn sick<const N: usize>() -> [Upstream; N] {
    let upstreams = numbered::<N>();
    upstreams.iter().for_each(|upstream| upstream.switch(Answer::new(503, "sick")));
    upstreams
}

/// Who answers each of eight requests: the upstream, or the breaker.
fn eight(envoy: &Envoy) -> String {
    let mut client = Client::connect(envoy.addr());
    let one = |_| {
        let response = client.get("/", &[]);
        match response.header("x-tidegate-breaker").as_deref() {
            Some("open") => "open".to_owned(),
            _ => response.text(),
        }
    };
    (0..8).map(one).collect::<Vec<_>>().join(" ")
}

const OPENED: &str = "sick sick sick sick sick open open open";

#[test]
fn a_breaker_behind_discovery_opens_for_a_service_that_fails() {
    let upstreams = sick::<2>();
    let breaker = breaker(&json!({"service": "orders"}), &json!({}));
    let envoy = start(&documented(&[filter(&orders_of(&upstreams, &json!({}))), breaker]), 2);
    assert_eq!(eight(&envoy), OPENED);
    assert_eq!(counts(&upstreams).iter().sum::<usize>(), 5);
    // What the breaker refused is no endpoint's.
    assert_metrics(&envoy, &[("requests", 8), ("failures", 5)]);
}

#[test]
fn a_breaker_before_discovery_opens_for_a_service_that_routing_chose() {
    let upstreams = sick::<2>();
    let mut config = orders_of(&upstreams, &json!({}));
    config["services"][0].as_object_mut().unwrap().remove("match");
    let routing = routing(&json!({"service": {"name": "orders"}}));
    let breaker = breaker(&json!({"service": "orders"}), &json!({}));
    let envoy = start(&documented(&[routing, breaker, filter(&config)]), 2);
    assert_eq!(eight(&envoy), OPENED);
    assert_eq!(counts(&upstreams).iter().sum::<usize>(), 5);
    assert_metrics(&envoy, &[("requests", 5), ("failures", 5)]);
}

/// The routes that a `VirtualService` makes of two matches on the header.
#[test]
fn a_breaker_of_a_variant_opens_where_routes_match_the_value_of_the_header() {
    let [upstream] = sick::<1>();
    let long = "outbound|80|v2|shop.prod.svc.cluster.local";
    let filters = [routing(&json!({"cluster": "v2"})), breaker(&json!({"variant": "shop/only"}), &json!({}))];
    let headers = json!([{"name": "x-tidegate-cluster", "string_match": {"exact": "v2"}}]);
    let matched = json!({"match": {"prefix": "/", "headers": headers}, "route": {"cluster": long}});
    let bootstrap = filters.iter().fold(Bootstrap::new().balanced(), Bootstrap::wasm);
    let bootstrap =
        bootstrap.cluster(long, &[upstream.addr()]).route(matched).direct_response("/", 404, "none");
    let envoy = start(&bootstrap, 2);
    assert_eq!(eight(&envoy), OPENED);
    assert_eq!(upstream.count(), 5);
}

/// In both placements of discovery: what the fallback's cluster answers is not the endpoints'.
#[test]
fn a_service_falls_back_to_a_cluster_and_no_endpoint_is_blamed_for_it() {
    for around_attempts in [false, true] {
        let (upstreams, backup) = (sick::<1>(), Upstream::fixed(500, "backup"));
        let config = orders_of(
            &upstreams,
            &json!({"outlier_detection": {"consecutive_5xx": 6, "consecutive_gateway_failure": 6}}),
        );
        let fallback = json!({"fallback": [{"cluster": "backup"}], "failure_statuses": [503]});
        let filters = [filter(&config), breaker(&json!({"service": "orders"}), &fallback)];
        let mut bootstrap = documented(&filters).cluster("backup", &[backup.addr()]);
        if around_attempts {
            bootstrap = bootstrap.around_attempts(&filter(&config).root_id("attempt").name("attempt"));
        }
        let envoy = start(&bootstrap, 1);
        assert_eq!(eight(&envoy), "sick sick sick sick sick backup backup backup", "{around_attempts}");
        assert_eq!((counts(&upstreams), backup.count()), (vec![5], 3), "{around_attempts}");
        assert_metrics(&envoy, &[("requests", 8), ("failures", 5), ("ejections", 0)]);
    }
}
