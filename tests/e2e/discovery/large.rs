//! As many endpoints and services as one proxy may well have.

use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::consul::entry;
use tidegate_tests::{eventually, Answer, Bootstrap, Client, Envoy, Load, Options, Registry, Request};

use super::asked::{asking, assert_alive, consul, document, of_orders, of_registry};
use super::setup::{assert_calm, assert_metrics, both_places, endpoint, one_place, orders, start, SOON};

/// An Envoy that answers on all of 127.0.0.0/8, and says where. Its port.
pub(super) fn everywhere() -> (Envoy, u16) {
    let route = json!({
        "match": {"prefix": "/"},
        "direct_response": {"status": 200},
        "response_headers_to_add": [{"header": {"key": "x-at", "value": "%DOWNSTREAM_LOCAL_ADDRESS%"}}],
    });
    let any = json!({"socket_address": {"address": "0.0.0.0", "port_value": 0}});
    let bootstrap = Bootstrap::new().route(route).listener_field("address", any);
    let envoy = Envoy::start(&bootstrap.json(), &Options::default()).unwrap();
    let port = envoy.addr().port();
    (envoy, port)
}

/// The address with this number.
pub(super) fn at(number: usize) -> String {
    format!("127.1.{}.{}", number / 250, number % 250 + 1)
}

#[test]
fn a_thousand_endpoints_get_a_request_each() {
    let (_servers, port) = everywhere();
    let all: Vec<Value> = (0..1_000).map(|n| json!({"address": at(n), "port": port})).collect();
    let began = Instant::now();
    let envoy = start(&one_place(&orders(&all, &json!({}))), 1);
    println!("up after {:?}", began.elapsed());
    let mut client = Client::connect(envoy.addr());
    let mut got: Vec<_> = (0..1_000).map(|_| client.get("/", &[]).header("x-at").unwrap()).collect();
    got.sort_unstable();
    got.dedup();
    assert_eq!(got.len(), 1_000);
    assert_metrics(&envoy, &[("endpoints", 1_000), ("healthy", 1_000), ("requests", 1_000), ("failures", 0)]);
    assert_calm(&envoy);
}

/// A hundred of a thousand are gone. With ten attempts no client notices: one request in 10¹⁰.
#[test]
fn a_tenth_of_a_thousand_endpoints_may_be_gone() {
    let (_servers, port) = everywhere();
    let gone = tidegate_tests::Port::reserve();
    let one = |n: usize| match n % 10 {
        // The reserved port is on one address, and free on the others.
        0 => json!({"address": at(n), "port": gone.addr().port()}),
        _ => json!({"address": at(n), "port": port}),
    };
    let all: Vec<Value> = (0..1_000).map(one).collect();
    let retry = json!({"budget": {"budget_percent": 100, "min_retry_concurrency": 100}});
    let envoy = start(&both_places(&orders(&all, &json!({"attempts": 10, "retry": retry}))), 2);
    let report = Load::new(envoy.addr()).connections(8).threads(2).requests(3_000).repeat(&Request::get("/"));
    assert_eq!(report.count(200), 3_000, "{:?}", report.by_status());
    assert_metrics(&envoy, &[("endpoints", 1_000), ("requests", 3_000)]);
    assert_calm(&envoy);
}

/// Each service by its path, with five endpoints of its own.
#[test]
fn two_hundred_services_answer() {
    let (_servers, port) = everywhere();
    let name = |n: usize| format!("service-{n}");
    let mut all = serde_json::Map::new();
    for service in 0..200 {
        let own = |n| json!({"address": at(5 * service + n), "port": port});
        all.insert(name(service), (0..5).map(own).collect());
    }
    let service =
        |n| json!({"name": name(n), "registry": "local", "match": {"path": {"prefix": format!("/{n}")}}});
    let config = json!({
        "registries": {"local": {"static": {"services": all}}},
        "services": (0..200).map(service).collect::<Vec<_>>(),
        "allow": ["127.0.0.0/8:1-65535"],
    });
    let began = Instant::now();
    let envoy = start(&both_places(&config), 2);
    println!("up after {:?}", began.elapsed());
    let mut client = Client::connect(envoy.addr());
    for n in 0..200 {
        let got = client.get(&format!("/{n}/order"), &[]).header("x-at").unwrap();
        let own: Vec<String> = (0..5).map(|k| format!("{}:{port}", at(5 * n + k))).collect();
        assert!(own.contains(&got), "/{n}: {got} is none of {own:?}");
    }
    // 200 services cost little without requests.
    let (before, since) = (envoy.cpu(), Instant::now());
    tidegate_tests::eventually("an idle second", Duration::from_secs(5), || {
        since.elapsed().as_millis() > 1_000
    });
    let busy = envoy.cpu() - before;
    assert!(busy < Duration::from_millis(300), "{busy:?} of an idle second");
    assert_calm(&envoy);
}

/// As Consul says it, with 32 tags each: 16 MB, more than the default of `max_bytes`.
#[test]
fn five_thousand_instances_of_a_consul_are_endpoints() {
    let (_servers, port) = everywhere();
    let said = |count: usize, generation: usize| {
        let body = entry::instances(count, port, generation);
        Answer::new(200, body).header("x-consul-index", &(10 + generation).to_string())
    };
    let registry = Registry::new(Answer::silence());
    registry.script([said(5_000, 0)]);
    let mut main = consul(&json!({}));
    main["cache"] = json!({"max_bytes": 16 << 20});
    let envoy = start(&asking(&document(&main, &json!({})), registry.addr()), 2);
    let mut client = Client::connect(envoy.addr());
    eventually("the endpoints", 3 * SOON, || {
        client.get("/", &[]).status == 200 && of_orders(&envoy, "endpoints") == 5_000
    });
    let (before, since) = (envoy.cpu(), Instant::now());
    registry.switch(said(4_999, 1));
    eventually("the change", 3 * SOON, || {
        client.get("/", &[]).status == 200 && of_orders(&envoy, "endpoints") == 4_999
    });
    println!("a change after {:?} and {:?} of a processor", since.elapsed(), envoy.cpu() - before);
    assert_eq!(of_registry(&envoy, "failures"), 0, "{}", envoy.log());
    assert_alive(&envoy);
}

/// One endpoint for all services, on one address: nothing of it is a service's own.
#[test]
fn services_may_share_an_endpoint() {
    let [upstream] = super::setup::numbered();
    let one = endpoint(upstream.addr());
    let service = |name: &str| json!({"name": name, "registry": "local", "match": {"path": {"prefix": format!("/{name}")}}});
    let config = json!({
        "registries": {"local": {"static": {"services": {"orders": [one], "users": [one]}}}},
        "services": [service("orders"), service("users")],
        "allow": ["127.0.0.1:1-65535"],
    });
    let envoy = start(&one_place(&config), 1);
    upstream.switch(tidegate_tests::Answer::new(503, "sick"));
    let mut client = Client::connect(envoy.addr());
    (0..5).for_each(|_| assert_eq!(client.get("/orders", &[]).status, 503));
    assert_metrics(&envoy, &[("failures", 5), ("ejections", 1), ("healthy", 0)]);
    assert_eq!(envoy.stat("wasmcustom.tidegate.discovery.service.users.ejections"), 0);
    assert_calm(&envoy);
}
