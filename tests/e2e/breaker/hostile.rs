//! Requests that nobody would send by accident.

use serde_json::json;
use tidegate_tests::{grpc, Client, Envoy, Request, Upstream};

use super::setup::{assert_metrics, assert_transitions, breaker, filter, metrics, start};

/// Breakers that look at every part of a request, and one that looks at none.
fn curious(upstream: &Upstream) -> Envoy {
    let keys = [
        json!({"header": "x-key"}),
        json!({"cookie": "sid"}),
        json!({"query_parameter": "k"}),
        json!({"path_segment": 1}),
        json!("method"),
        json!("host"),
        json!({"client_address": {"trusted_hops": 1, "peer_appended": true}}),
    ];
    let by_key = |(at, key): (usize, _)| breaker(&format!("key-{at}"), &json!({"target": {"key": [key]}}));
    let mut breakers: Vec<_> = keys.into_iter().enumerate().map(by_key).collect();
    breakers[0]["match"] = json!([
        {"path": {"template": "/{one}/**"}, "host": "*.test", "headers": [{"name": "x-key", "prefix": "k"}]},
        {"path": {"prefix": "/"}},
    ]);
    breakers.push(breaker("up", &json!({})));
    breakers.push(breaker("route", &json!({"target": {"route": "any"}})));
    let bootstrap = tidegate_tests::Bootstrap::new().balanced().large_headers().wasm(&filter(&breakers));
    let route = json!({"name": "any", "match": {"prefix": "/"}, "route": {"cluster": "up"}});
    start(&bootstrap.cluster("up", &[upstream.addr()]).route(route), 2)
}

/// The breaker that looks at no header.
fn blind(upstream: &Upstream) -> Envoy {
    let bootstrap = tidegate_tests::Bootstrap::new().balanced().large_headers();
    let bootstrap = bootstrap.wasm(&filter(&[breaker("up", &json!({}))]));
    start(&bootstrap.cluster("up", &[upstream.addr()]).forward("/", "up"), 2)
}

fn cases() -> Vec<(&'static str, Request)> {
    let get = Request::get;
    let many = |name: &str, count: usize| (0..count).fold(get("/"), |all, n| all.header(name, n.to_string()));
    let numbered = (0..1_990).fold(get("/"), |all, n| all.header(&format!("x-{n}"), "v"));
    let any_byte: Vec<u8> = (0x20..=0xff).filter(|byte| *byte != 0x7f).collect();
    #[rustfmt::skip]
    let cases = vec![
        ("not UTF-8",               get("/").header("x-key", b"\xff\xfe\x80")),
        ("every byte",              get("/").header("x-key", &any_byte).header("cookie", &any_byte)),
        ("gRPC not UTF-8",          get("/").header("te", b"\xff").header("content-type", b"application/grpc\xff")),
        ("a cluster not UTF-8",     get("/").header("x-tidegate-cluster", b"\xff\x80")),
        ("an empty cluster",        get("/").header("x-tidegate-cluster", "")),
        ("many clusters",           many("x-tidegate-cluster", 900)),
        ("a cluster of 60 kB",      get("/").header("x-tidegate-cluster", "c".repeat(60 << 10))),
        ("steering not UTF-8",      get("/").header("x-tidegate-anything", b"\xff").header("x_tidegate_cluster", b"\xff")),
        ("addresses not UTF-8",     get("/").header("x-forwarded-for", b"\xff, \xff,,\xff")),
        ("a key of 60 kB",          get("/").header("x-key", "k".repeat(60 << 10))),
        ("a cookie of semicolons",  get("/").header("cookie", ";".repeat(60 << 10))),
        ("a path of 60 kB",         get(&format!("/{}", "a/".repeat(30 << 10)))),
        ("2,000 headers",           numbered),
        ("900 keys",                many("x-key", 900)),
        ("strange paths",           get("//..//%00/%ff/%2e%2e/;a=b?&&=&k&k=%zz?k=1")),
        ("not ASCII",               get("/\u{e9}/\u{1f600}?k=\u{fffd}")),
        ("a host of colons",        get("/").header("host", "::::")),
        ("a method of its own",     Request::new("M-SEARCH", "/")),
    ];
    cases
}

#[test]
fn no_request_hurts_the_vm() {
    for envoy_for in [curious, blind] {
        let upstream = Upstream::fixed(200, "ok");
        let envoy = envoy_for(&upstream);
        let mut clients = [0, 1].map(|_| Client::connect(envoy.addr()));
        let mut passed = 0;
        for (name, request) in &cases() {
            for client in &mut clients {
                let status = client.send(request).status;
                // Some are more than Envoy itself lets in.
                assert!(matches!(status, 200 | 400 | 431), "{name}: {status}");
                passed += usize::from(status == 200);
                assert_eq!(client.get("/", &[]).status, 200, "after {name}");
            }
        }
        assert!(passed >= 2 * cases().len() * 3 / 4, "{passed} of {}", 2 * cases().len());
        let reply = grpc::unary(envoy.addr(), "/\u{ff}", &[("x-key", b"\xff"), ("cookie", b"\xff")]);
        assert_eq!(reply.http_status, 200);
        assert_metrics(&envoy, "up", &[("undecided", 0), ("failed", 0), ("refused", 0)]);
        assert_transitions(&envoy, &[]);
    }
}

/// Answers may be as strange as requests, and steering never reaches an upstream.
#[test]
fn no_upstream_hurts_the_vm() {
    let upstream = Upstream::new(|_| {
        let answer = tidegate_tests::Answer::new(503, "no").header("grpc-status", "\u{e9}");
        (0..50).fold(answer, |all, _| all.header("grpc-status", "99999999999999999999"))
    });
    let envoy = blind(&upstream);
    let mut client = Client::connect(envoy.addr());
    let call = Request::get("/").header("te", "trailers").header("content-type", "application/grpc");
    for _ in 0..3 {
        client.send(&call);
    }
    assert_eq!(metrics(&envoy, "up")["undecided"], 0);
    assert_metrics(&envoy, "up", &[("admitted", 3)]);
    assert_transitions(&envoy, &[]);
}
