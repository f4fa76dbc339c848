//! Clients that try to choose endpoints or cause retries. One endpoint must never be reached.

use std::net::SocketAddr;

use serde_json::{json, Value};
use tidegate_tests::{Answer, Bootstrap, Client, Envoy, Options, Request, Upstream};

use super::setup::{
    around, assert_calm, assert_metrics, both_places, counts, filter, numbered, orders_of, start, SOON,
};
use crate::setup::with;

/// Envoy believes what clients inside say in `x-envoy-*`, so all of them are inside.
fn believing(bootstrap: Bootstrap) -> Bootstrap {
    let all = json!({"address_prefix": "127.0.0.0", "prefix_len": 8});
    bootstrap.hcm("internal_address_config", json!({"cidr_ranges": [all]}))
}

/// A service for `/orders` only. All requests go where their header says.
fn part(upstreams: &[Upstream], fields: &Value) -> Value {
    let fields = with(json!({"match": {"path": {"prefix": "/orders"}}}), fields);
    orders_of(upstreams, &fields)
}

/// Every spelling that some server takes for a header that names an endpoint, `own` one of them.
fn spellings(own: &str) -> Vec<String> {
    let folded = |name: &str| {
        let parts: Vec<&str> = name.split('-').collect();
        let joined = |bits: u32| {
            let mut out = parts[0].to_owned();
            for (bit, part) in parts[1..].iter().enumerate() {
                out.push(if bits >> bit & 1 == 1 { '_' } else { '-' });
                out.push_str(part);
            }
            out
        };
        (0..1 << (parts.len() - 1)).map(joined).collect::<Vec<_>>()
    };
    let names = ["x-envoy-original-dst-host", "x-tidegate-endpoints", own];
    let mut all: Vec<String> = names.into_iter().flat_map(folded).collect();
    all.extend(names.map(str::to_uppercase));
    all
}

/// Sends every spelling alone, and all of them together and twice. The answers' statuses, in short.
fn attack(envoy: &Envoy, path: &str, own: &str, target: SocketAddr) -> Vec<u16> {
    let mut client = Client::connect(envoy.addr());
    let (target, list) = (target.to_string(), format!("{target},{target}"));
    let one = |name: &String| Request::get(path).header(name, &target);
    let mut requests: Vec<Request> = spellings(own).iter().map(one).collect();
    let all = |request: Request, value: &[u8]| {
        spellings(own).iter().fold(request, |request, name| request.header(name, value))
    };
    requests.push(all(all(Request::get(path), target.as_bytes()), target.as_bytes()));
    requests.push(all(all(Request::get(path), b"\xff"), list.as_bytes()));
    requests.push(all(Request::new("POST", path), target.as_bytes()).body("order"));
    let mut statuses: Vec<u16> = requests.iter().map(|request| client.send(request).status).collect();
    statuses.dedup();
    statuses
}

#[test]
fn no_client_header_chooses_the_endpoint() {
    let victim = Upstream::fixed(200, "victim");
    #[rustfmt::skip]
    let cases = [
        ("as usual",         json!({}),                                                     200, 503),
        ("404",              json!({"no_match": "not_found"}),                              200, 404),
        ("its own header",   json!({"steer": {"original_dst": {"header": "x-where"}}}),     200, 503),
        ("none, refuse",     json!({}),                                                     503, 503),
        ("none, allow",      json!({"on_failure": "allow"}),                                503, 503),
    ];
    for (name, fields, matched, unmatched) in cases {
        let upstreams = numbered::<2>();
        let none = if name.starts_with("none") { json!({"subset": {"tags": ["none"]}}) } else { json!({}) };
        let service = with(json!({"attempts": 3}), &none);
        let config = with(part(&upstreams, &service), &fields);
        let header = if name == "its own header" { "x-where" } else { "x-envoy-original-dst-host" };
        let lb = json!({"use_http_header": true, "http_header_name": header});
        let to = json!({
            "name": "there", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "1s",
            "original_dst_lb_config": lb,
        });
        let envoy = start(&believing(around(&config, true).raw_cluster(to).forward("/", "there")), 2);
        assert_eq!(attack(&envoy, "/orders", header, victim.addr()), [matched], "{name}, matched");
        assert_eq!(attack(&envoy, "/other", header, victim.addr()), [unmatched], "{name}, unmatched");
        assert_eq!(victim.count(), 0, "{name}");
        let victims = victim.addr().to_string();
        for seen in upstreams.iter().flat_map(Upstream::seen) {
            let naming: Vec<_> =
                seen.headers.iter().filter(|(_, value)| value.ends_with(victims.as_bytes())).collect();
            assert!(naming.is_empty(), "{name}: {naming:?}");
            let own = seen.headers.iter().filter(|(name, _)| name == header).count();
            assert_eq!(own, 1, "{name}");
        }
        assert_calm(&envoy);
    }
}

/// What the others show is worth something: without the filter the same client gets anywhere.
#[test]
fn without_the_filter_a_client_header_chooses_the_endpoint() {
    let victim = Upstream::fixed(200, "victim");
    let bootstrap = believing(Bootstrap::new().original_dst_cluster("to").forward("/", "to"));
    let envoy = Envoy::start(&bootstrap.json(), &Options::default()).unwrap();
    attack(&envoy, "/", "x-where", victim.addr());
    assert!(victim.count() > 1);
    let mut client = Client::connect(envoy.addr());
    victim.switch(Answer::new(503, "sick"));
    let (before, address) = (victim.count(), victim.addr().to_string());
    client.get(
        "/",
        &[("x-envoy-original-dst-host", &address), ("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "4")],
    );
    assert_eq!(victim.count() - before, 5);
}

/// The headers by which Envoy's clients have requests sent again.
const AGAIN: [(&str, &str); 5] = [
    ("x-envoy-retry-on", "5xx,gateway-error,reset,connect-failure"),
    ("x-envoy-retry-grpc-on", "unavailable"),
    ("x-envoy-max-retries", "9"),
    ("x-envoy-hedge-on-per-try-timeout", "true"),
    ("x_envoy_retry_on", "5xx"),
];

#[test]
fn no_client_header_causes_retries() {
    for (attempts, method, expected) in [(1, "GET", 1), (2, "GET", 2), (2, "POST", 1)] {
        let upstreams = numbered::<3>();
        upstreams.iter().for_each(|upstream| upstream.switch(Answer::new(503, "sick")));
        let config = part(&upstreams, &json!({"attempts": attempts, "outlier_detection": false}));
        let envoy = start(&believing(around(&config, true).forward("/", "to")), 1);
        let request = AGAIN.iter().fold(Request::new(method, "/orders"), |all, (n, v)| all.header(n, v));
        assert_eq!(Client::connect(envoy.addr()).send(&request).status, 503);
        let sent = counts(&upstreams).iter().sum::<usize>();
        assert_eq!(sent, expected, "{attempts} attempts, {method}");
        assert_calm(&envoy);
    }
}

/// Filter state is not a header: nothing that a client sends looks like a request in flight, or like
/// what the routing filter chose.
#[test]
fn no_client_header_forges_filter_state() {
    let upstreams = numbered::<1>();
    let mut config = part(&upstreams, &json!({"attempts": 2}));
    let unmatched = json!({"name": "routed", "registry": "local", "static": {"service": "orders"}});
    config["services"].as_array_mut().unwrap().push(unmatched);
    let envoy = start(&believing(both_places(&config)), 1);
    let forged = |request: Request| {
        let names = [
            "wasm.tidegate.discovery",
            "wasm.tidegate.routing",
            "x-tidegate-discovery",
            "x-tidegate-routing",
        ];
        let values = ["orders 127.0.0.1:1 0.1", "routed;tag=v1", "routed", "0.1"];
        let pairs = names.iter().flat_map(|name| values.map(|value| (*name, value)));
        pairs.fold(request, |request, (name, value)| request.header(name, value))
    };
    let mut client = Client::connect(envoy.addr());
    assert_eq!(client.send(&forged(Request::get("/orders"))).status, 200);
    assert_eq!(client.send(&forged(Request::get("/other"))).status, 503);
    assert_metrics(&envoy, &[("requests", 1), ("attempts", 1), ("refused", 0)]);
    assert_eq!(envoy.stat("wasmcustom.tidegate.discovery.service.routed.requests"), 0);
    assert_eq!(envoy.stat("wasmcustom.tidegate.discovery.unmatched"), 1);
    assert_calm(&envoy);
}

/// The attempt placement, in front of a cluster whose endpoints no filter chose.
#[test]
fn unmatched_attempts_are_counted_and_left_as_they_are() {
    let upstreams = numbered::<1>();
    let attempt = filter(&orders_of(&upstreams, &json!({"attempts": 3}))).root_id("attempt").name("attempt");
    let bootstrap = Bootstrap::new().around_attempts(&attempt).cluster("up", &[upstreams[0].addr()]);
    let envoy = start(&bootstrap.forward("/", "up"), 1);
    let mut client = Client::connect(envoy.addr());
    for _ in 0..3 {
        assert_eq!(client.get("/", &[("x-envoy-original-dst-host", "127.0.0.1:1")]).text(), "0");
    }
    tidegate_tests::eventually("the metric", SOON, || {
        envoy.stat("wasmcustom.tidegate.discovery.attempts_unmatched") == 3
    });
    assert_calm(&envoy);
}
