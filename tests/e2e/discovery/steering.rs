//! How Envoy learns the endpoint: by an `ORIGINAL_DST` cluster, or by the `override_host` policy.

use std::net::SocketAddr;

use serde_json::{json, Value};
use tidegate_tests::bootstrap::cluster;
use tidegate_tests::{eventually, Answer, Bootstrap, Client, Envoy, Port, Request, Upstream};

use super::setup::{
    answers, assert_about, assert_all_answered, assert_calm, assert_metrics, counts, endpoint, endpoints,
    filter, metrics, numbered, orders, orders_of, start, storm, three, under_load, SOON,
};
use crate::setup::with;

const POLICIES: &str = "type.googleapis.com/envoy.extensions.load_balancing_policies";

/// A cluster of these addresses that obeys `x-tidegate-endpoints`, and takes turns without it.
fn obeying(addrs: &[SocketAddr]) -> Value {
    let policy = |name: &str, config: Value| {
        let extension =
            json!({"name": format!("envoy.load_balancing_policies.{name}"), "typed_config": config});
        json!({"policies": [{"typed_extension_config": extension}]})
    };
    let turns = policy("round_robin", json!({"@type": format!("{POLICIES}.round_robin.v3.RoundRobin")}));
    let obey = json!({
        "@type": format!("{POLICIES}.override_host.v3.OverrideHost"),
        "override_host_sources": [{"header": "x-tidegate-endpoints"}],
        "fallback_policy": turns,
    });
    let retries = json!({"budget_percent": {"value": 100.0}, "min_retry_concurrency": 100});
    let more = json!({
        "load_balancing_policy": policy("override_host", obey),
        "circuit_breakers": {"thresholds": [{"retry_budget": retries}]},
    });
    with(cluster("all", addrs), &more)
}

/// The filter in both places, in front of such a cluster.
fn overriding(config: &Value, addrs: &[SocketAddr]) -> Bootstrap {
    let filter = filter(&with(config.clone(), &json!({"steer": "override_host"})));
    let attempt = filter.clone().root_id("attempt").name("attempt");
    let bootstrap = Bootstrap::new().balanced().wasm(&filter).around_attempts(&attempt);
    bootstrap.raw_cluster(obeying(addrs)).forward("/", "all")
}

fn addrs(upstreams: &[Upstream]) -> Vec<SocketAddr> {
    upstreams.iter().map(Upstream::addr).collect()
}

#[test]
fn override_host_obeys_the_header() {
    let upstreams = numbered::<4>();
    // Envoy knows all four, the document three.
    let config = orders_of(&upstreams[..3], &json!({"attempts": 2}));
    let envoy = start(&overriding(&config, &addrs(&upstreams)), 2);
    assert_eq!(storm(&envoy, 300).count(200), 300);
    assert_about(&counts(&upstreams), &[100, 100, 100, 0], 2);
    // As many as there are attempts, the one who got it first.
    let list = upstreams[1].seen()[0].header("x-tidegate-endpoints").unwrap();
    let list: Vec<_> = list.split(',').map(str::to_owned).collect();
    let [one, two, three] = [0, 1, 2].map(|n: usize| upstreams[n].addr().to_string());
    assert!(list == [two.clone(), one] || list == [two, three], "{list:?}");
    assert_metrics(&envoy, &[("requests", 300), ("attempts", 300), ("failures", 0), ("retries", 0)]);
    assert_calm(&envoy);
}

#[test]
fn override_host_goes_on_to_the_next_address() {
    let refusing = Port::reserve();
    let upstreams = numbered::<3>();
    upstreams[0].switch(Answer::new(503, "sick"));
    let mut all = endpoints(&upstreams);
    all.push(endpoint(refusing.addr()));
    let mut known = addrs(&upstreams);
    known.push(refusing.addr());
    let fields = with(three(), &json!({"outlier_detection": false}));
    let envoy = start(&overriding(&orders(&all, &fields), &known), 2);
    let report = storm(&envoy, 120);
    assert_eq!(report.count(200), 120, "{:?}", report.by_status());
    eventually("a third to be counted as failed", SOON, || {
        let all = metrics(&envoy);
        // The one that refuses connections is left alone.
        all["requests"] == 120 && all["failures"] >= 38 && all["retries"] == all["failures"]
    });
    assert_calm(&envoy);
}

#[test]
fn with_override_host_an_endpoint_that_dies_causes_no_client_error() {
    let mut upstreams = Vec::from(numbered::<3>());
    let all = addrs(&upstreams);
    let envoy = start(&overriding(&orders_of(&upstreams, &three()), &all), 2);
    let reports = under_load(&envoy, || {
        eventually("traffic", SOON, || upstreams.iter().all(|upstream| upstream.count() > 50));
        drop(upstreams.remove(1));
        eventually("its ejection", SOON, || metrics(&envoy)["healthy"] == 2);
    });
    assert_all_answered(&reports);
    assert_calm(&envoy);
}

/// Endpoints that Envoy's cluster lacks are passed over, and counted as what they were not.
#[test]
fn addresses_that_the_cluster_lacks_fall_back() {
    let upstreams = numbered::<2>();
    let (known, unknown) = upstreams.split_at(1);
    let envoy = start(&overriding(&orders_of(unknown, &json!({"attempts": 2})), &addrs(known)), 1);
    assert_eq!(answers(&mut Client::connect(envoy.addr()), 10), "0000000000");
    assert_eq!(counts(&upstreams), [10, 0]);
    assert_calm(&envoy);
}

/// The client's own list has no effect.
#[test]
fn with_override_host_only_the_filter_chooses() {
    let upstreams = numbered::<2>();
    let (ours, theirs) = upstreams.split_at(1);
    let config = orders_of(ours, &json!({"match": {"path": {"prefix": "/orders"}}}));
    let envoy = start(&overriding(&config, &addrs(&upstreams)), 1);
    let mut client = Client::connect(envoy.addr());
    let forged = theirs[0].addr().to_string();
    for name in ["x-tidegate-endpoints", "X_Tidegate_Endpoints", "x-envoy-original-dst-host"] {
        let request = Request::get("/orders").header(name, &forged).header(name, &forged);
        assert_eq!(client.send(&request).text(), "0", "{name}");
    }
    // For no service: the cluster's own turns.
    let mut turns: Vec<_> =
        (0..4).map(|_| client.get("/", &[("x-tidegate-endpoints", &forged)]).text()).collect();
    turns.sort_unstable();
    assert_eq!(turns, ["0", "0", "1", "1"]);
    assert_calm(&envoy);
}

/// The document may name another header, for a cluster that has it.
#[test]
fn an_original_dst_cluster_may_name_its_own_header() {
    let upstreams = numbered::<2>();
    let steer = json!({"steer": {"original_dst": {"header": "x-where"}}});
    let config = with(orders_of(&upstreams, &json!({})), &steer);
    let named = json!({
        "name": "named", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "1s",
        "original_dst_lb_config": {"use_http_header": true, "http_header_name": "x-where"},
    });
    let bootstrap = Bootstrap::new().wasm(&filter(&config)).raw_cluster(named).forward("/", "named");
    let envoy: Envoy = start(&bootstrap, 1);
    assert_eq!(storm(&envoy, 100).count(200), 100);
    assert_about(&counts(&upstreams), &[50, 50], 1);
    let seen = upstreams[0].seen().remove(0);
    assert_eq!(seen.header("x-where"), Some(upstreams[0].addr().to_string()));
    assert_eq!(seen.header("x-envoy-original-dst-host"), None);
}
