//! Behind the other filters: a limit, a route that chooses a service and part of it, a breaker.

use serde_json::{json, Value};
use tidegate_tests::paths::module;
use tidegate_tests::{eventually, Answer, Bootstrap, Client, Envoy, Upstream, WasmFilter};

use super::setup::{
    answers, assert_calm, assert_metrics, counts, filter, labelled, numbered, orders, orders_of, start,
    storm, SOON,
};
use crate::setup::{by_key, with};

fn ratelimit(burst: u64) -> WasmFilter {
    WasmFilter::new(module("ratelimit")).config(&json!({"limits": [by_key("each", burst)]}))
}

fn breaker(name: &str) -> WasmFilter {
    let one = json!({"name": name, "target": {"cluster": "to"}, "base_open_ms": 60_000, "jitter_percent": 0});
    WasmFilter::new(module("breaker")).config(&json!({"breakers": [one]}))
}

/// Requests with `x-want: name` are for this service.
fn wanting(name: &str, service: &Value, fields: &Value) -> Value {
    let variants = json!([{"name": "only", "service": service}]);
    let matches = json!([{"headers": [{"name": "x-want", "exact": name}]}]);
    with(json!({"name": name, "match": matches, "variants": variants}), fields)
}

fn routing() -> WasmFilter {
    let retry = json!({"retry": {"retry_on": ["gateway-error"], "attempts": 3}});
    let routes = json!([
        wanting("v1", &json!({"name": "orders", "tag": "v1"}), &json!({})),
        wanting("gold", &json!({"name": "orders", "metadata": {"tier": "gold"}}), &json!({})),
        wanting("gold-v2", &json!({"name": "orders", "tag": "v2", "metadata": {"tier": "gold"}}), &json!({})),
        wanting("v9", &json!({"name": "orders", "tag": "v9"}), &json!({})),
        wanting("nobody", &json!({"name": "nobody"}), &json!({})),
        wanting("any", &json!({"name": "orders"}), &json!({})),
        wanting("any-again", &json!({"name": "orders"}), &retry),
        wanting("v1-again", &json!({"name": "orders", "tag": "v1"}), &retry),
    ]);
    let config = json!({"routes": routes, "headers": {"variant": "x-variant", "bucket": "x-bucket"}});
    WasmFilter::new(module("routing")).config(&config)
}

/// Three endpoints: `v1` gold, `v2`, `v2` gold. The service takes what routing sends it, or `/direct`.
fn document(upstreams: &[Upstream], fields: &Value) -> Value {
    let endpoints = [
        labelled(&upstreams[0], &json!({"tags": ["v1"], "metadata": {"tier": "gold"}})),
        labelled(&upstreams[1], &json!({"tags": ["v2"]})),
        labelled(&upstreams[2], &json!({"tags": ["v2"], "metadata": {"tier": "gold"}})),
    ];
    let mut config = orders(&endpoints, fields);
    config["services"][0].as_object_mut().unwrap().remove("match");
    config["services"][0]["outlier_detection"] = json!(false);
    config
}

const LOG: &str = "%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %FILTER_STATE(wasm.tidegate.discovery:PLAIN)%";

/// A limit, a route, a breaker, and who finds endpoints.
fn chain(config: &Value, workers: u32) -> Envoy {
    let filters = [ratelimit(1_000), routing(), breaker("orders"), filter(config)];
    let bootstrap = filters.iter().fold(Bootstrap::new().balanced(), Bootstrap::wasm);
    let bootstrap = bootstrap.access_log(LOG).original_dst_cluster("to").forward("/", "to");
    start(&bootstrap, workers)
}

/// Who answers requests that want this, each once.
fn who(client: &mut Client, want: &str) -> Vec<String> {
    let mut all: Vec<_> = (0..12).map(|_| client.get("/", &[("x-want", want)]).text()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn a_route_chooses_the_service_and_its_subset() {
    let upstreams = numbered::<3>();
    let envoy = chain(&document(&upstreams, &json!({})), 2);
    let mut client = Client::connect(envoy.addr());
    #[rustfmt::skip]
    let cases = [
        ("v1",       &["0"][..]),
        ("gold",     &["0", "2"]),
        ("gold-v2",  &["2"]),
        ("any",      &["0", "1", "2"]),
    ];
    for (want, expected) in cases {
        assert_eq!(who(&mut client, want), expected, "{want}");
    }
    let refused = client.get("/", &[("x-want", "v9")]);
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains(r#""reason":"none_in_subset""#), "{}", refused.text());
    // Not a service of ours, and no service at all.
    assert_eq!(client.get("/", &[("x-want", "nobody")]).status, 503);
    assert_eq!(client.get("/", &[]).status, 503);
    assert_metrics(&envoy, &[("requests", 49), ("attempts", 48), ("refused", 1)]);
    assert_eq!(envoy.stat("wasmcustom.tidegate.discovery.unmatched"), 2);

    let line = eventually("the access log", SOON, || {
        let log = envoy.access_log();
        (log.lines().count() == 51).then(|| log.lines().next().map(str::to_owned)).flatten()
    });
    // Behind it is the request's ticket, which begins at a draw.
    let expected = format!("200 via_upstream orders {} 0.", upstreams[0].addr());
    let ticket = line.strip_prefix(&expected).unwrap_or_default();
    assert!(!ticket.is_empty() && ticket.bytes().all(|byte| byte.is_ascii_digit()), "{line}");
    let line = "503 tidegate_discovery_none_in_subset:orders orders - none_in_subset";
    assert_eq!(
        envoy.access_log().lines().filter(|logged| *logged == line).count(),
        1,
        "{}",
        envoy.access_log()
    );
    assert_calm(&envoy);
}

/// The cookie that the routing filter makes is in the first request when discovery hashes it.
#[test]
fn a_visitor_has_one_endpoint_from_the_first_request_on() {
    let upstreams = numbered::<4>();
    let balance = json!({"maglev": {"hash_key": [{"cookie": "tg"}]}});
    let mut config = orders_of(&upstreams, &json!({"balance": balance}));
    config["services"][0].as_object_mut().unwrap().remove("match");
    let sticky = json!({"experiment": "e", "cookie": {"name": "tg"}});
    let route = with(wanting("any", &json!({"name": "orders"}), &json!({})), &json!({"sticky": sticky}));
    let routing = WasmFilter::new(module("routing")).config(&json!({"routes": [route]}));
    let bootstrap = [routing, filter(&config)].iter().fold(Bootstrap::new().balanced(), Bootstrap::wasm);
    let envoy = start(&bootstrap.original_dst_cluster("to").forward("/", "to"), 2);
    let mut clients = [(); 4].map(|()| Client::connect(envoy.addr()));
    let mut moved = 0;
    for visitor in 0..40 {
        let first = clients[visitor % 4].get("/", &[("x-want", "any")]);
        let cookie = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let headers = [("x-want", "any"), ("cookie", cookie.as_str())];
        let stays = |client: &mut Client| client.get("/", &headers).text() == first.text();
        moved += usize::from(!clients.iter_mut().all(stays));
    }
    assert_eq!(moved, 0);
    assert_calm(&envoy);
}

/// Discovery removes what clients say of endpoints, and nothing of what routing says.
#[test]
fn headers_that_routing_sets_for_upstreams_stay() {
    let upstreams = numbered::<3>();
    let envoy = chain(&document(&upstreams, &json!({})), 1);
    Client::connect(envoy.addr()).get("/", &[("x-want", "v1"), ("x-variant", "forged")]);
    let seen = upstreams[0].seen().remove(0);
    assert_eq!(seen.header("x-variant").as_deref(), Some("only"));
    assert!(seen.header("x-bucket").is_some());
    assert_eq!(seen.header("x-envoy-original-dst-host"), Some(upstreams[0].addr().to_string()));
    assert_calm(&envoy);
}

/// With one attempt the document has no opinion on retries, and the route's count: for a part of the
/// service as for all of it.
#[test]
fn the_retries_of_a_route_stay() {
    let upstreams = numbered::<3>();
    upstreams.iter().for_each(|upstream| upstream.switch(Answer::new(503, "sick")));
    let envoy = chain(&document(&upstreams, &json!({})), 1);
    for (want, expected) in [("any", 1), ("any-again", 3), ("v1-again", 3), ("v1", 1)] {
        let before = counts(&upstreams).iter().sum::<usize>();
        assert_eq!(Client::connect(envoy.addr()).get("/", &[("x-want", want)]).status, 503);
        assert_eq!(counts(&upstreams).iter().sum::<usize>() - before, expected, "{want}");
    }
}

/// Where the subset that routing chose is empty, the service's own subset may serve, or any endpoint.
#[test]
fn a_service_configures_the_fallback_of_an_empty_subset() {
    let own = |fallback: &str| json!({"subset": {"tags": ["v2"], "fallback": fallback}});
    let cases = [("default_subset", &["1", "2"][..]), ("any_endpoint", &["0", "1", "2"])];
    for (fallback, expected) in cases {
        let upstreams = numbered::<3>();
        let envoy = chain(&document(&upstreams, &own(fallback)), 1);
        let mut client = Client::connect(envoy.addr());
        assert_eq!(who(&mut client, "v9"), expected, "{fallback}");
        assert_eq!(who(&mut client, "v1"), ["0"], "{fallback}");
        assert_calm(&envoy);
    }
}

#[test]
fn a_limit_in_front_spares_the_service() {
    let upstreams = numbered::<3>();
    let filters = [ratelimit(3), routing(), filter(&document(&upstreams, &json!({})))];
    let bootstrap = filters.iter().fold(Bootstrap::new().balanced(), Bootstrap::wasm);
    let envoy = start(&bootstrap.original_dst_cluster("to").forward("/", "to"), 2);
    let mut client = Client::connect(envoy.addr());
    let statuses = [(); 5].map(|()| client.get("/", &[("x-key", "a"), ("x-want", "any")]).status);
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    assert_metrics(&envoy, &[("requests", 3)]);
    assert_eq!(counts(&upstreams).iter().sum::<usize>(), 3);
}

/// The breaker sees what endpoints answer, and once it is open no endpoint is.
#[test]
fn a_breaker_in_front_opens_when_the_endpoints_fail() {
    let upstreams = numbered::<3>();
    upstreams.iter().for_each(|upstream| upstream.switch(Answer::new(503, "sick")));
    let mut config = document(&upstreams, &json!({}));
    config["services"][0]["match"] = json!({"path": {"prefix": "/"}});
    let filters = [breaker("orders"), filter(&config)];
    let bootstrap = filters.iter().fold(Bootstrap::new().balanced(), Bootstrap::wasm);
    let envoy = start(&bootstrap.original_dst_cluster("to").forward("/", "to"), 2);
    let mut client = Client::connect(envoy.addr());
    assert_eq!(answers(&mut client, 5), "sick".repeat(5));
    let refused = client.get("/", &[]);
    assert_eq!((refused.status, refused.header("x-tidegate-breaker").as_deref()), (503, Some("open")));
    assert_eq!(storm(&envoy, 50).count(503), 50);
    assert_eq!(counts(&upstreams).iter().sum::<usize>(), 5);
}
