//! Consul.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tidegate_tests::consul::Service;
use tidegate_tests::{eventually, Bootstrap, Client, Consul, Envoy, Options, Request, Response};

use super::{is_silent, SOON};

const WEB: &str = "/v1/health/service/web";

fn addr(port: u16) -> SocketAddr {
    ([127, 0, 0, 7], port).into()
}

fn json(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    serde_json::from_slice(&response.body).unwrap()
}

fn index(response: &Response) -> u64 {
    response.header("x-consul-index").unwrap().parse().unwrap()
}

/// The ids of the services, in order.
fn ids(response: &Response) -> Vec<String> {
    let mut ids: Vec<String> = json(response)
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["Service"]["ID"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

fn shows(consul: &Consul, path: &str, expected: &[&str]) {
    eventually(&format!("{expected:?}"), SOON, || ids(&consul.get(path)) == expected);
}

#[test]
fn a_blocking_query_returns_with_the_change() {
    let consul = Consul::start();
    let one = Service::new("web", addr(8080)).tag("v1").meta("zone", "a").weights(10, 2);
    consul.register(&one);
    shows(&consul, WEB, &["web-8080"]);
    let first = consul.get(WEB);
    let entry = json(&first)[0]["Service"].clone();
    assert_eq!((&entry["Address"], &entry["Port"]), (&"127.0.0.7".into(), &8080.into()));
    assert_eq!((&entry["Tags"][0], &entry["Meta"]["zone"]), (&"v1".into(), &"a".into()));
    assert_eq!(entry["Weights"], serde_json::json!({"Passing": 10, "Warning": 2}));

    let blocking = format!("{WEB}?index={}&wait=9s", index(&first));
    let call = Client::connect(consul.addr()).begin(&Request::get(&blocking));
    consul.register(&Service::new("web", addr(8081)).with_id("second"));
    let second = call.answer().unwrap();
    assert_eq!(ids(&second), ["second", "web-8080"]);
    assert!(index(&second) > index(&first));

    consul.deregister("second");
    shows(&consul, WEB, &["web-8080"]);
}

#[test]
fn health_follows_the_check_and_maintenance() {
    let consul = Consul::start();
    let service = Service::new("web", addr(8080)).ttl(Duration::from_secs(60));
    let healthy = format!("{WEB}?passing=true");
    consul.register(&service);
    shows(&consul, &healthy, &["web-8080"]);
    consul.fail(service.id());
    shows(&consul, &healthy, &[]);
    assert_eq!(ids(&consul.get(WEB)), ["web-8080"]);
    consul.pass(service.id());
    shows(&consul, &healthy, &["web-8080"]);
    consul.warn(service.id());
    shows(&consul, &healthy, &[]);
    consul.pass(service.id());
    shows(&consul, &healthy, &["web-8080"]);
    consul.maintain(service.id(), true);
    shows(&consul, &healthy, &[]);
    consul.maintain(service.id(), false);
    shows(&consul, &healthy, &["web-8080"]);

    consul.register(&Service::new("web", addr(8081)).ttl(Duration::from_millis(300)));
    shows(&consul, WEB, &["web-8080", "web-8081"]);
    shows(&consul, &healthy, &["web-8080"]);
}

#[test]
fn two_datacenters_see_each_other() {
    let mut one = Consul::start();
    let two = one.datacenter("dc2");
    two.register(&Service::new("web", addr(8080)));
    shows(&one, &format!("{WEB}?dc=dc2"), &["web-8080"]);
    assert_eq!(ids(&one.get(WEB)), [""; 0]);
    one.register(&Service::new("web", addr(8081)));
    shows(&two, &format!("{WEB}?dc=dc1"), &["web-8081"]);

    one.restart();
    eventually("the other datacenter again", Duration::from_secs(20), || {
        one.get(&format!("{WEB}?dc=dc2")).status == 200 && two.get(&format!("{WEB}?dc=dc1")).status == 200
    });
    assert_eq!(ids(&two.get(&format!("{WEB}?dc=dc1"))), [""; 0]);
}

#[test]
fn a_consul_that_comes_back_is_empty() {
    let mut consul = Consul::start();
    let envoy = Bootstrap::new().cluster("consul", &[consul.addr()]).forward("/", "consul").json();
    let envoy = Envoy::start(&envoy, &Options::default()).unwrap();
    let mut client = Client::connect(envoy.addr());
    consul.register(&Service::new("web", addr(8080)));
    eventually("the service", SOON, || ids(&client.get(WEB, &[])) == ["web-8080"]);

    consul.pause();
    assert!(is_silent(consul.addr(), &Request::get(WEB)));
    consul.resume();
    assert_eq!(ids(&client.get(WEB, &[])), ["web-8080"]);

    consul.stop();
    assert_eq!(client.get(WEB, &[]).status, 503);
    consul.restart();
    eventually("an answer", SOON, || client.get(WEB, &[]).status == 200);
    assert_eq!(ids(&client.get(WEB, &[])), [""; 0]);
}

#[test]
fn access_control_empties_lists_instead_of_refusing() {
    let consul = Consul::with_acls();
    consul.register(&Service::new("web", addr(8080)));
    shows(&consul, WEB, &["web-8080"]);
    let ask = |token: &str| Client::connect(consul.addr()).get(WEB, &[("x-consul-token", token)]);
    let nodes = r#"node_prefix "" { policy = "read" }"#;
    let reader = consul.token(&format!("service \"web\" {{ policy = \"read\" }}\n{nodes}"));
    assert_eq!(ids(&ask(&reader)), ["web-8080"]);

    let stranger = consul.token(nodes);
    let hidden = ask(&stranger);
    assert_eq!(ids(&hidden), [""; 0]);
    assert_eq!(hidden.header("x-consul-results-filtered-by-acls").as_deref(), Some("true"));
    let anonymous = Client::connect(consul.addr()).get(WEB, &[]);
    assert_eq!(ids(&anonymous), [""; 0]);
    assert_eq!(anonymous.header("x-consul-results-filtered-by-acls"), None);
    assert_eq!(ask("no-such-token").status, 403);
}
