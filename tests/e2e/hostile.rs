//! Requests that nobody would send by accident. None may hurt the VM, whose end would be
//! the end of service for all others.

use std::time::Duration;

use serde_json::json;
use tidegate_tests::{eventually, grpc, Bootstrap, Client, Envoy, Load, Options, Request, Upstream};

use crate::setup::{assert_counters, assert_unhurt, filter, limit};

/// Limits that look at every part of a request.
fn curious() -> serde_json::Value {
    let keys = [
        json!({"header": "x-key"}),
        json!({"cookie": "sid"}),
        json!({"query_parameter": "k"}),
        json!({"path_segment": 1}),
        json!("method"),
        json!("host"),
        json!({"client_address": {"trusted_hops": 1, "peer_appended": true}}),
    ];
    let mut limits: Vec<_> =
        keys.iter().enumerate().map(|(index, key)| limit(&format!("limit-{index}"), key, 50_000)).collect();
    limits[0]["match"] = json!([
        {"path": {"template": "/{one}/**"}, "host": "*.test", "headers": [{"name": "x-key", "prefix": "k"}]},
        {"path": {"prefix": "/"}},
    ]);
    // Of a thousand keys in one request the usual rule admits none, as `tests/workers/keys.rs` says.
    limits[0]["repeated"] = json!("first");
    json!({"limits": limits, "headers_on_admitted": true})
}

/// An Envoy that admits large headers, logs what became of each request, and forwards.
fn envoy(upstream: &Upstream) -> Envoy {
    let bootstrap = Bootstrap::new().balanced().large_headers().wasm(&filter(&curious()));
    let bootstrap =
        bootstrap.cluster("up", &[upstream.addr()]).forward("/", "up").access_log("%RESPONSE_CODE_DETAILS%");
    Envoy::start(&bootstrap.json(), &Options::workers(2)).unwrap()
}

#[test]
fn no_request_hurts_the_vm() {
    let get = Request::get;
    let many = |name: &str, count: usize| (0..count).fold(get("/"), |all, n| all.header(name, n.to_string()));
    let numbered = (0..1_000).fold(get("/"), |all, n| all.header(&format!("x-{n}"), "v"));
    let kilobytes = |count: usize| "k".repeat(count << 10);
    let any_byte: Vec<u8> = (0x20..=0xff).filter(|byte| *byte != 0x7f).collect();
    #[rustfmt::skip]
    let cases = [
        ("not UTF-8",             get("/").header("x-key", b"\xff\xfe\x80")),
        ("half a character",      get("/").header("x-key", b"k\xc3")),
        ("every byte",            get("/").header("x-key", &any_byte).header("cookie", &any_byte)),
        ("a cookie not UTF-8",    get("/").header("cookie", b"sid=\xff; \xff=\xff;;=;sid")),
        ("other names' values",   get("/").header("x-other", b"\xff").header("content-type", b"application/grpc\xff")),
        ("addresses not UTF-8",   get("/").header("x-forwarded-for", b"\xff, \xff,,\xff")),
        ("60 kB",                 get("/").header("x-key", kilobytes(60))),
        ("a 60 kB cookie",        get("/").header("cookie", format!("{}; sid=1", kilobytes(60)))),
        ("a cookie of semicolons", get("/").header("cookie", ";".repeat(60 << 10))),
        ("60 kB of addresses",    get("/").header("x-forwarded-for", "1.1.1.1,".repeat(7_500))),
        ("a 60 kB path",          get(&format!("/{}", "a/".repeat(30 << 10)))),
        ("a 60 kB query",         get(&format!("/?{}", "k=&".repeat(20 << 10)))),
        ("1,000 headers",         numbered),
        ("1,000 keys",            many("x-key", 1_000)),
        ("1,000 cookies",         many("cookie", 1_000)),
        ("an empty key",          get("/").header("x-key", "")),
        ("empty values",          get("/").header("cookie", "").header("x-forwarded-for", "").header("host", "")),
        ("nothing",               get("/")),
        ("strange paths",         get("//..//%00/%ff/%2e%2e/;a=b?&&=&k&k=%zz?k=1")),
        ("not ASCII",             get("/\u{e9}/\u{1f600}?k=\u{fffd}")),
        ("an address of IPv6",    get("/").header("host", "[::1]:80").header("x-forwarded-for", "[::1]:1, ::ffff:1.2.3.4")),
        ("a host of colons",      get("/").header("host", "::::")),
        ("a method of its own",   Request::new("M-SEARCH", "/")),
        ("a query alone",         get("/?")),
    ];
    let upstream = Upstream::fixed(200, "ok");
    let envoy = envoy(&upstream);
    let mut clients = [0, 1].map(|_| Client::connect(envoy.addr()));
    let mut passed = 0;
    for (name, request) in &cases {
        for client in &mut clients {
            let status = client.send(request).status;
            // Some are more than Envoy itself lets in.
            assert!(matches!(status, 200 | 400), "{name}: {status}");
            passed += usize::from(status == 200);
            assert_eq!(client.get("/", &[]).status, 200, "after {name}");
        }
    }
    println!("{passed} of {} passed on", 2 * cases.len());
    assert!(passed >= 2 * cases.len() * 3 / 4, "{passed} of {}", 2 * cases.len());
    let reply = grpc::unary(envoy.addr(), "/\u{ff}", &[("x-key", b"\xff"), ("cookie", b"\xff")]);
    assert_eq!(reply.http_status, 200);

    let lines = 2 * 2 * cases.len() + 1;
    eventually("the access log", Duration::from_secs(5), || envoy.access_log().lines().count() == lines);
    assert!(!envoy.access_log().contains("wasm_fail_stream"), "{}", envoy.access_log());
    let asked: u64 = (passed + 2 * cases.len() + 1).try_into().unwrap();
    assert_counters(&envoy, "limit-4", &[("admitted", asked), ("failed", 0), ("refused", 0)]);
    assert_unhurt(&envoy);
}

#[test]
fn thousands_of_keys_hurt_nobody() {
    let upstream = Upstream::fixed(200, "ok");
    let envoy = envoy(&upstream);
    let report = Load::new(envoy.addr()).connections(8).threads(2).requests(20_000).run(|_, number, out| {
        let path = format!("/{number}/{number}?k={number}");
        let request = Request::get(&path).header("x-key", number.to_be_bytes().map(|byte| byte | 0x80));
        let request =
            request.header("cookie", format!("sid={number}")).header("host", format!("{number}.test"));
        out.extend_from_slice(&request.bytes());
    });
    assert_eq!((report.count(200), report.lost), (20_000, 0), "{:?}", report.by_status());
    for limit in 0..7 {
        assert_counters(
            &envoy,
            &format!("limit-{limit}"),
            &[("admitted", 20_000), ("refused", 0), ("failed", 0)],
        );
    }
    assert_unhurt(&envoy);
}

#[test]
fn headers_that_steer_us_do_not_come_from_clients() {
    let upstream = Upstream::fixed(200, "ok");
    let envoy = envoy(&upstream);
    let steering = [
        "x-tidegate-cluster",
        "X-Tidegate-Anything",
        "x_tidegate_cluster",
        "x-tidegate_cluster",
        "X_TIDEGATE-WEIGHT",
        "x-tidegate-",
    ];
    let harmless = ["x-tidegate", "x-tidegates", "xx-tidegate-cluster", "x_other_header", "tidegate-x"];
    let request =
        steering.iter().chain(&harmless).fold(Request::get("/"), |all, name| all.header(name, "evil"));
    // Each of them twice, so that removing the first is not enough.
    let request = steering.iter().fold(request, |all, name| all.header(name, b"\xff"));
    assert_eq!(Client::connect(envoy.addr()).send(&request).status, 200);

    let seen = upstream.seen().remove(0);
    let mut evil: Vec<_> =
        seen.headers.iter().filter(|(_, value)| value == b"evil").map(|(name, _)| name.as_str()).collect();
    evil.sort_unstable();
    let mut expected = harmless;
    expected.sort_unstable();
    assert_eq!(evil, expected);
    assert!(!seen.headers.iter().any(|(_, value)| value == b"\xff"), "{seen:?}");
    assert_unhurt(&envoy);
}
