//! Who may steer: the filter, and callers that it trusts. Nobody else.

use std::net::Ipv4Addr;

use serde_json::{json, Value};
use tidegate_tests::{eventually, Bootstrap, Client, Envoy, Request};

use super::setup::{
    assert_calm, assert_metrics, filter, metrics, route, routes, start, storm, variant, Pair, SOON,
};
use crate::setup::with;

const SECRET: &str = "0123456789abcdef";

/// All to `stable`, unless somebody says otherwise.
fn stable_only() -> Value {
    route(&json!({"variants": [variant("stable", 1), variant("canary", 0)]}))
}

fn forcing(pair: &Pair, force: &Value, workers: u32) -> Envoy {
    let config = with(routes(&[stable_only()]), &json!({"force": force}));
    start(&pair.behind(&config), workers)
}

#[test]
fn steering_headers_of_clients_are_ignored_and_go_no_further() {
    let pair = Pair::new();
    let headers = json!({
        "cluster": "x-tidegate-cluster", "mirror": "x-shadow", "variant": "x-variant", "bucket": "x-bucket",
        "random": "x-random", "response": "x-told",
    });
    let force = json!({"header": "x-want", "secret_header": "x-knows", "secret": SECRET});
    let config = with(routes(&[stable_only()]), &json!({"headers": headers, "force": force}));
    let envoy = start(&pair.behind(&config), 1);
    let steering = [
        "x-tidegate-cluster",
        "X-Tidegate-Cluster",
        "x_tidegate_cluster",
        "x-tidegate_cluster",
        "x-tidegate-mirror",
        "X_TIDEGATE-WEIGHT",
        "x-tidegate-",
        "x-shadow",
        "X_Shadow",
        "x-variant",
        "x_variant",
        "x-bucket",
        "x-random",
        "x_random",
        "x-want",
        "x_want",
        "x-knows",
        "x_knows",
    ];
    let harmless = ["x-tidegate", "x-tidegates", "xx-tidegate-cluster", "x-wants", "x-told", "x_other"];
    let request =
        steering.iter().chain(&harmless).fold(Request::get("/"), |all, name| all.header(name, "canary"));
    // Each of them twice, so that removing the first is not enough.
    let request = steering.iter().fold(request, |all, name| all.header(name, b"canary\xff"));
    let answer = Client::connect(envoy.addr()).send(&request);
    assert_eq!((answer.text().as_str(), answer.header("x-told").as_deref()), ("stable", Some("stable")));

    let seen = pair.stable.seen().remove(0);
    let left = seen.headers.iter().filter(|(_, value)| value.starts_with(b"canary"));
    let mut left: Vec<_> = left.map(|(name, _)| name.as_str()).collect();
    left.sort_unstable();
    let mut expected = harmless;
    expected.sort_unstable();
    assert_eq!(left, expected);
    assert_eq!(seen.header("x-variant").as_deref(), Some("stable"));
    assert_eq!(seen.header("x-tidegate-cluster").as_deref(), Some("stable"));
    assert_eq!(seen.header("x-bucket"), seen.header("x-random"));
    assert!(seen.header("x-bucket").unwrap().parse::<u32>().unwrap() < 10_000);
    assert_eq!(seen.header("x-shadow"), None);
    assert_calm(&envoy);
}

/// A client that names a cluster gets no further where nothing is routed: neither by a route that
/// observes nor by none at all.
#[test]
fn steering_headers_are_removed_from_what_is_not_routed() {
    let pair = Pair::new();
    let elsewhere = with(stable_only(), &json!({"name": "else", "match": {"path": {"exact": "/else"}}}));
    let observed =
        with(stable_only(), &json!({"mode": "observe", "match": {"path": {"exact": "/observed"}}}));
    let envoy = start(&pair.behind(&routes(&[elsewhere, observed])), 1);
    let mut client = Client::connect(envoy.addr());
    for path in ["/", "/observed"] {
        let forged = client.get(path, &[("x-tidegate-cluster", "canary"), ("x-tidegate-mirror", "canary")]);
        assert_eq!(forged.text(), "plain", "{path}");
    }
    assert_eq!(pair.counts(), (0, 0));
}

#[test]
fn only_who_knows_the_secret_names_a_variant() {
    let pair = Pair::new();
    let envoy = forcing(&pair, &json!({"secret": SECRET}), 1);
    let mut client = Client::connect(envoy.addr());
    let (wish, secret) = ("x-force-variant", "x-force-secret");
    let long = format!("{SECRET}0");
    #[rustfmt::skip]
    let cases: [(&[(&str, &str)], &str); 10] = [
        (&[(wish, "canary"), (secret, SECRET)],                      "canary"),
        (&[(wish, "stable"), (secret, SECRET)],                      "stable"),
        (&[(wish, "canary")],                                        "stable"),
        (&[(wish, "canary"), (secret, "")],                          "stable"),
        (&[(wish, "canary"), (secret, "0123456789abcdeF")],          "stable"),
        (&[(wish, "canary"), (secret, &SECRET[..15])],               "stable"),
        (&[(wish, "canary"), (secret, &long)],                       "stable"),
        (&[(wish, "nobody"), (secret, SECRET)],                      "stable"),
        (&[(wish, "canary"), (wish, "canary"), (secret, SECRET)],    "stable"),
        (&[("x_force_variant", "canary"), ("x_force_secret", SECRET)], "stable"),
    ];
    for (headers, expected) in cases {
        assert_eq!(client.get("/", headers).text(), expected, "{headers:?}");
    }
    for seen in pair.stable.seen().iter().chain(&pair.canary.seen()) {
        let told = seen.headers.iter().find(|(name, _)| name.replace('_', "-").starts_with("x-force-"));
        assert_eq!(told, None, "an upstream was told of a wish");
    }
    assert_metrics(&envoy, "shop", &[("forced", 2), ("variant.canary.requests", 1)]);
    assert!(!envoy.log().contains(SECRET));
    assert_calm(&envoy);
}

#[test]
fn callers_from_trusted_addresses_need_no_secret() {
    let pair = Pair::new();
    let envoy = forcing(&pair, &json!({"header": "x-want", "from": ["127.0.0.8/31"]}), 2);
    let want = |last: u8| {
        let mut client = Client::from_source(envoy.addr(), Ipv4Addr::new(127, 0, 0, last));
        client.get("/", &[("x-want", "canary"), ("x-forwarded-for", "127.0.0.8")]).text()
    };
    assert_eq!([7, 8, 9, 10].map(want), ["stable", "canary", "canary", "stable"]);
    assert!(pair.stable.seen().iter().all(|seen| seen.header("x-want").is_none()));
}

/// All variants end up in one cluster, and nothing said so.
#[test]
fn a_variant_without_a_route_is_counted_and_told_once() {
    let pair = Pair::new();
    let halves = json!([variant("stable", 50), variant("canary", 50)]);
    let bootstrap =
        Bootstrap::new().balanced().wasm(&filter(&routes(&[route(&json!({"variants": halves}))])));
    let bootstrap = bootstrap.forward("/", "stable").cluster("stable", &[pair.stable.addr()]);
    let envoy = start(&bootstrap.cluster("canary", &[pair.canary.addr()]), 1);
    let misrouted =
        |variant: &str| metrics(&envoy, "shop").get(&format!("variant.{variant}.misrouted")).copied();
    eventually("a request that is asked", SOON, || {
        assert_eq!(storm(&envoy, 50, &Request::get("/")).count(200), 50);
        misrouted("canary") > Some(2)
    });
    assert_eq!((misrouted("stable"), pair.canary.count()), (Some(0), 0));
    let log = envoy.log();
    let told = log.lines().filter(|line| {
        line.contains(
            "routing: shop/canary: a request for cluster canary went to cluster stable: Envoy needs a route, before the others, that matches",
        )
    });
    assert_eq!(told.count(), 1, "{log}");
}
