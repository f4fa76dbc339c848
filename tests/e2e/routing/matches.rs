//! Which route a request takes.

use serde_json::{json, Value};
use tidegate_tests::{Client, Envoy, Request, Upstream};

use super::setup::{assert_calm, filter, start, steered};
use crate::setup::with;

/// Routes that all go to one upstream, and an answer that says which it was.
fn told(upstream: &Upstream, matches: &[(&str, Value)], more: &Value) -> Envoy {
    let routes: Vec<_> = matches.iter().map(|(name, matches)| to_up(name, matches)).collect();
    let config = with(json!({"routes": routes, "headers": {"response": "x-taken"}}), more);
    start(&steered(&[filter(&config)]).cluster("up", &[upstream.addr()]), 1)
}

fn to_up(name: &str, matches: &Value) -> Value {
    let mut route = json!({"name": name, "variants": [{"name": name, "cluster": "up"}]});
    if !matches.is_null() {
        route["match"] = matches.clone();
    }
    route
}

/// The route of a request, or the status that it gets without one.
fn taken(client: &mut Client, request: &Request) -> String {
    let answer = client.send(request);
    answer.header("x-taken").unwrap_or_else(|| answer.status.to_string())
}

fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("exact", json!({"path": {"exact": "/shop"}})),
        ("prefix", json!({"path": {"prefix": "/shop"}})),
        ("longer", json!({"path": {"prefix": "/shop/cart"}})),
        ("starts", json!({"path": {"starts_with": "/sho"}})),
        ("template", json!({"path": {"template": "/users/{id}/orders"}})),
        ("method", json!({"path": {"prefix": "/shop"}, "method": "POST"})),
        ("header", json!({"path": {"prefix": "/shop"}, "headers": [{"name": "x-tier", "exact": "gold"}]})),
        (
            "headers",
            json!({"path": {"prefix": "/shop"}, "headers": [{"name": "x-tier", "exact": "gold"}, {"name": "x-b", "prefix": "b"}]}),
        ),
        ("query", json!({"path": {"prefix": "/shop"}, "query": [{"name": "v", "exact": "2"}]})),
        ("cookie", json!({"path": {"prefix": "/shop"}, "cookies": [{"name": "beta", "exact": "yes"}]})),
        ("address", json!({"path": {"prefix": "/shop"}, "client_address": ["127.0.0.9/32"]})),
        ("host", json!({"host": "shop.test"})),
        ("wildcard", json!({"host": "*.test", "path": {"exact": "/wild"}})),
        ("none", json!({"path": {"prefix": "/no"}, "not": [{"headers": [{"name": "x-yes"}]}]})),
        ("several", json!([{"path": {"exact": "/one"}}, {"path": {"exact": "/two"}}])),
    ]
}

/// The order of the document does not matter.
#[test]
fn the_narrowest_match_wins_wherever_it_stands() {
    let get = Request::get;
    #[rustfmt::skip]
    let cases = [
        ("exact",    get("/shop")),
        ("exact",    get("/shop?v=2")),
        ("prefix",   get("/shop/")),
        ("prefix",   get("/shop/else?v=1")),
        ("longer",   get("/shop/cart")),
        ("longer",   get("/shop/cart/1?v=2")),
        ("starts",   get("/shops")),
        ("template", get("/users/7/orders")),
        ("404",      get("/users//orders")),
        ("method",   Request::new("POST", "/shop/x").header("x-tier", "gold")),
        ("header",   get("/shop/x?v=2").header("x-tier", "gold")),
        ("header",   get("/shop/x").header("x-tier", "tin").header("x-tier", "gold")),
        ("headers",  get("/shop/x").header("x-tier", "gold").header("x-b", "bee")),
        ("query",    get("/shop/x?a=b&v=2").header("cookie", "beta=yes")),
        ("cookie",   get("/shop/x?v=1").header("cookie", "a=b; beta=yes")),
        ("prefix",   get("/shop/x").header("cookie", "beta=no")),
        ("host",     get("/shop").header("host", "shop.test")),
        ("host",     get("/wild").header("host", "SHOP.test:8080")),
        ("wildcard", get("/wild").header("host", "a.b.test")),
        ("404",      get("/wild").header("host", "test")),
        ("none",     get("/no/x")),
        ("404",      get("/no/x").header("x-yes", "")),
        ("several",  get("/one")),
        ("several",  get("/two")),
        ("404",      get("/")),
    ];
    let upstream = Upstream::fixed(200, "");
    let mut matches = all();
    for order in ["as written", "the other way round"] {
        let envoy = told(&upstream, &matches, &json!({"no_match": "not_found"}));
        let mut client = Client::connect(envoy.addr());
        for (expected, request) in &cases {
            let text = String::from_utf8_lossy(&request.bytes()).into_owned();
            assert_eq!(taken(&mut client, request), *expected, "{order}: {text}");
        }
        let mut other = Client::from_source(envoy.addr(), std::net::Ipv4Addr::new(127, 0, 0, 9));
        assert_eq!(taken(&mut other, &get("/shop/x")), "address");
        assert_calm(&envoy);
        matches.reverse();
    }
}

#[test]
fn the_first_match_wins_where_that_is_configured() {
    let upstream = Upstream::fixed(200, "");
    let matches = [
        ("prefix", json!({"path": {"prefix": "/shop"}})),
        ("exact", json!({"path": {"exact": "/shop"}})),
        ("rest", Value::Null),
        ("never", json!({"host": "tidegate.test", "path": {"exact": "/"}})),
    ];
    let envoy = told(&upstream, &matches, &json!({"order": "first_match"}));
    let mut client = Client::connect(envoy.addr());
    let taken = ["/shop", "/shop/x", "/", "/else"].map(|path| taken(&mut client, &Request::get(path)));
    assert_eq!(taken, ["prefix", "prefix", "rest", "rest"]);
}

#[test]
fn a_share_of_the_requests_can_be_a_match() {
    let upstream = Upstream::fixed(200, "");
    let matches = [("some", json!({"percent": 25})), ("rest", Value::Null)];
    let envoy = told(&upstream, &matches, &json!({}));
    let report = super::setup::storm(&envoy, 2_000, &Request::get("/"));
    assert_eq!(report.count(200), 2_000);
    let some = super::setup::metrics(&envoy, "some");
    assert!(some.contains_key("variant.some.requests"), "{some:?}");
    tidegate_tests::eventually("the counters", super::setup::SOON, || {
        let some = super::setup::metrics(&envoy, "some")["variant.some.requests"];
        let rest = super::setup::metrics(&envoy, "rest")["variant.rest.requests"];
        // Six standard deviations of a quarter of 2,000.
        (some + rest == 2_000).then(|| assert!(some.abs_diff(500) <= 117, "{some} of 2,000"))
    });
}

#[test]
fn what_no_route_takes_goes_on_as_it_is_or_is_not_found() {
    let upstream = Upstream::fixed(200, "");
    let only = [("only", json!({"path": {"exact": "/only"}}))];
    let envoy = told(&upstream, &only, &json!({}));
    let mut client = Client::connect(envoy.addr());
    assert_eq!(client.get("/", &[]).text(), "plain");
    assert_eq!(client.get("/", &[("x-tidegate-cluster", "up")]).text(), "plain");
    assert_eq!(taken(&mut client, &Request::get("/only")), "only");

    let envoy = told(&upstream, &only, &json!({"no_match": "not_found"}));
    let mut client = Client::connect(envoy.addr());
    let answer = client.get("/", &[("x-tidegate-cluster", "up")]);
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("content-type").as_deref(), Some("application/problem+json"));
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let expected = json!({"type": "about:blank", "title": "No route takes this request", "status": 404});
    assert_eq!(body, expected);
    assert_eq!(upstream.count(), 1);
    tidegate_tests::eventually("the counter", super::setup::SOON, || {
        envoy.stat("wasmcustom.tidegate.routing.unmatched") == 1
    });
}
