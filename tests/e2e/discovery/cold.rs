//! Requests that come before the first answer of a registry.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::{json, Value};
use tidegate_tests::{eventually, Answer, Bootstrap, Call, Client, Port, Registry, Request, Upstream};

use super::asked::{asking, assert_alive, document, of_orders, polled, said, with_1_2_or_4_workers};
use super::setup::{assert_metrics, filter, numbered, start, with_1_2_and_4_workers, SOON};
use crate::setup::with;

/// The filter, whose registry is there or not, behind a stream that may be idle for longer than the
/// filter holds it.
fn cold(service: &Value, registry: SocketAddr) -> Bootstrap {
    asking(&document(&polled(&json!({})), service), registry).hcm("stream_idle_timeout", json!("60s"))
}

#[test]
fn a_request_is_held_for_hold_ms_and_then_refused() {
    let absent = Port::reserve();
    for envoy in with_1_2_or_4_workers(&cold(&json!({"hold_ms": 700}), absent.addr())) {
        let asked = Instant::now();
        let refused = Client::connect(envoy.addr()).get("/", &[]);
        let held = asked.elapsed();
        assert!((700..3_000).contains(&held.as_millis()), "{held:?}");
        assert_eq!(refused.status, 503);
        assert_eq!(refused.header("content-type").as_deref(), Some("application/problem+json"));
        assert_eq!(refused.header("retry-after").as_deref(), Some("1"));
        let problem: Value = serde_json::from_slice(&refused.body).unwrap();
        let expected = json!({
            "type": "about:blank",
            "title": "The registry has not answered yet",
            "status": 503,
            "service": "orders",
            "reason": "not_known_yet",
        });
        assert_eq!(problem, expected);
        assert_metrics(&envoy, &[("requests", 1), ("held", 1), ("refused", 1), ("attempts", 0)]);
        assert_alive(&envoy);
    }
}

#[test]
fn without_hold_ms_no_request_is_held() {
    let absent = Port::reserve();
    let envoy = start(&cold(&json!({"hold_ms": 0}), absent.addr()), 2);
    assert_eq!(Client::connect(envoy.addr()).get("/", &[]).status, 503);
    assert_metrics(&envoy, &[("held", 0), ("refused", 1)]);
}

#[test]
fn held_requests_go_on_once_the_registry_answers() {
    with_1_2_and_4_workers(|workers| {
        let (port, upstreams) = (Port::reserve(), numbered::<1>());
        let envoy = start(&cold(&json!({"hold_ms": 20_000}), port.addr()), workers);
        let client = Client::connect(envoy.addr());
        let calls = [(); 4].map(|()| client.begin(&Request::get("/")));
        eventually("requests that are held", SOON, || of_orders(&envoy, "held") == 4);
        let _registry = Registry::at(&port, said(&upstreams, 1));
        for answer in calls.map(|call| call.answer().unwrap()) {
            assert_eq!((answer.status, &*answer.text()), (200, "0"));
        }
        assert_metrics(&envoy, &[("requests", 4), ("held", 4), ("refused", 0), ("attempts", 4)]);
        assert_alive(&envoy);
    });
}

#[test]
fn a_client_that_leaves_while_it_is_held_affects_no_other() {
    with_1_2_and_4_workers(|workers| {
        let (port, upstreams) = (Port::reserve(), numbered::<1>());
        let envoy = start(&cold(&json!({"hold_ms": 20_000}), port.addr()), workers);
        let client = Client::connect(envoy.addr());
        let leaving = [(); 4].map(|()| client.begin(&Request::get("/")));
        eventually("requests that are held", SOON, || of_orders(&envoy, "held") == 4);
        let staying = client.begin(&Request::get("/"));
        leaving.into_iter().for_each(Call::leave);
        let _registry = Registry::at(&port, said(&upstreams, 1));
        assert_eq!(staying.answer().unwrap().text(), "0");
        assert_eq!(upstreams[0].count(), 1);
        assert_alive(&envoy);
    });
}

#[test]
fn requests_may_pass_before_the_first_answer() {
    let (absent, upstream) = (Port::reserve(), Upstream::fixed(200, "as Envoy routes"));
    let config = document(&polled(&json!({})), &json!({"hold_ms": 200}));
    let config = with(config, &json!({"on_failure": "allow"}));
    let bootstrap = Bootstrap::new().balanced().wasm(&filter(&config)).cluster("registry", &[absent.addr()]);
    let envoy = start(&bootstrap.cluster("up", &[upstream.addr()]).forward("/", "up"), 2);
    let mut client = Client::connect(envoy.addr());
    let passed = client.get("/", &[("x-envoy-original-dst-host", "127.0.0.1:1")]);
    assert_eq!((passed.status, &*passed.text()), (200, "as Envoy routes"));
    let seen = upstream.take_seen();
    assert_eq!(
        seen[0].header("x-envoy-original-dst-host"),
        None,
        "an endpoint that a client names does not count"
    );
    assert_metrics(&envoy, &[("held", 1), ("refused", 1)]);
    assert_alive(&envoy);
}

#[test]
fn a_service_that_the_registry_does_not_know_is_refused_at_once() {
    let registry = Registry::new(Answer::new(404, "no such service"));
    let envoy = start(&cold(&json!({"hold_ms": 20_000}), registry.addr()), 2);
    let refused = Client::connect(envoy.addr()).get("/", &[]);
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("\"reason\":\"unknown_service\""), "{}", refused.text());
    assert_alive(&envoy);
}
