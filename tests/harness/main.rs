//! The harness itself, as far as it needs no Envoy.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{json, Value};
use tidegate_tests::stats::{family, numbers, text_value, Sample};
use tidegate_tests::{eventually, Answer, Bootstrap, Client, Load, Request, Upstream, WasmFilter};

// === stats ===

#[test]
fn numbers_leave_out_text_and_histograms() {
    let text = "cluster.a.upstream_rq_total: 12\n\
                listener.127.0.0.1_0.http: 3\n\
                listener_manager.lds.version_text: \"7\"\n\
                http.main.time: P0(nan,1) P50(nan,2)\n\
                wasmcustom.tidegate.held: 0\n";
    let expected = [
        ("cluster.a.upstream_rq_total", 12),
        ("listener.127.0.0.1_0.http", 3),
        ("wasmcustom.tidegate.held", 0),
    ];
    assert_eq!(numbers(text), expected.map(|(name, value)| (name.to_owned(), value)).into());
    assert_eq!(text_value(text, "listener_manager.lds.version_text"), Some("7"));
    assert_eq!(text_value(text, "lds.version_text"), None);
}

#[test]
fn family_takes_exactly_its_own_samples() {
    let text = "# TYPE tidegate_refused counter\n\
                tidegate_refused{} 1\n\
                tidegate_refused{limit=\"a\",note=\"x,\\\"y\\\"=\\\\\\n\"} 2.5\n\
                tidegate_refused 3\n\
                tidegate_refused_total{limit=\"a\"} 9\n";
    let labels = [("limit", "a"), ("note", "x,\"y\"=\\\n")];
    let labelled = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let expected = [
        Sample { labels: BTreeMap::new(), value: 1.0 },
        Sample { labels: labelled, value: 2.5 },
        Sample { labels: BTreeMap::new(), value: 3.0 },
    ];
    assert_eq!(family(text, "tidegate_refused"), expected);
    assert_eq!(family(text, "tidegate"), []);
}

// === bootstrap ===

#[test]
fn wasm_configuration_travels_as_a_string() {
    let filter =
        WasmFilter::new("dist/tidegate-ratelimit.wasm").config(&json!({"limits": []})).vm_id("cells");
    let plugin = &filter.json()["typed_config"]["config"];
    let configuration =
        json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "{\"limits\":[]}"});
    assert_eq!(plugin["configuration"], configuration);
    assert_eq!(plugin["failure_policy"], "FAIL_RELOAD");
    assert_eq!(plugin["reload_config"]["backoff"]["base_interval"], "0.1s");
    assert_eq!(plugin["vm_config"]["code"]["local"]["filename"], "dist/tidegate-ratelimit.wasm");
    assert_eq!(plugin["vm_config"]["vm_id"], "cells");
    assert_eq!(plugin["root_id"], "tidegate-ratelimit");

    let plain = filter.failure_policy("FAIL_CLOSED").json();
    assert_eq!(plain["typed_config"]["config"]["reload_config"], Value::Null);
}

#[test]
fn filters_keep_their_order_and_the_router_ends_it() {
    let listener = Bootstrap::new().lua("-- one").local_rate_limit(5, "1s").lua("-- two").listener();
    let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
    let names: Vec<_> = manager["http_filters"].as_array().unwrap().iter().map(|f| &f["name"]).collect();
    let expected =
        ["lua", "local_ratelimit", "lua", "router"].map(|name| format!("envoy.filters.http.{name}"));
    assert_eq!(names, expected.each_ref());
}

// === client and upstream ===

#[test]
fn client_reads_every_kind_of_body() {
    let long = "0123456789".repeat(5_000);
    let body = long.clone();
    let upstream = Upstream::new(move |seen| match seen.path.as_str() {
        "/chunked" => Answer::new(200, &body).chunked(),
        "/close" => Answer::new(200, &body).until_close(),
        "/none" => Answer::new(204, ""),
        _ => Answer::new(200, &body),
    });
    let mut client = Client::connect(upstream.addr());
    let cases = [
        // path        status  body   connections so far
        ("/chunked", 200, &*long, 1),
        ("/length", 200, &*long, 1),
        ("/none", 204, "", 1),
        ("/close", 200, &*long, 1),
        ("/chunked", 200, &*long, 2),
    ];
    for (path, status, body, opened) in cases {
        let response = client.get(path, &[]);
        assert_eq!((response.status, response.text().as_str()), (status, body), "{path}");
        assert_eq!(client.opened(), opened, "{path}");
    }
    let head = client.send(&Request::new("HEAD", "/length"));
    assert_eq!((head.header("content-length").as_deref(), head.body.len()), (Some("50000"), 0));
    assert_eq!(client.get("/none", &[]).status, 204, "after HEAD");
}

#[test]
fn client_sends_any_bytes() {
    let upstream = Upstream::fixed(200, "");
    let mut client = Client::from_source(upstream.addr(), Ipv4Addr::new(127, 0, 0, 7));
    let request = Request::new("PUT", "/a?b=c").header("x", b"\xff\x80").header("X", "2").body([0, 255]);
    assert_eq!(client.send(&request).status, 200);
    let seen = upstream.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("PUT", "/a?b=c"));
    let x: Vec<_> =
        seen[0].headers.iter().filter(|(name, _)| name == "x").map(|(_, value)| &value[..]).collect();
    assert_eq!(x, [&b"\xff\x80"[..], b"2"]);
    assert_eq!(seen[0].body, [0, 255]);
}

#[test]
fn client_sends_again_only_on_a_kept_connection() {
    // Answers the first request, then hangs up on the second and third.
    let requests = AtomicUsize::new(0);
    let upstream = Upstream::new(move |_| match requests.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::new(200, ""),
        _ => Answer::hang_up(),
    });
    let mut client = Client::connect(upstream.addr());
    client.get("/", &[]);
    assert!(client.try_send(&Request::get("/")).is_err());
    assert_eq!((upstream.count(), client.opened()), (3, 2));
}

#[test]
fn upstream_stops_when_dropped() {
    let upstream = Upstream::fixed(200, "");
    let mut client = Client::connect(upstream.addr());
    client.get("/", &[]);
    drop(upstream);
    eventually("refused connections", Duration::from_secs(5), || {
        client.try_send(&Request::get("/")).is_err()
    });
}

// === load ===

#[test]
fn load_sends_exactly_what_it_is_told_to() {
    #[rustfmt::skip]
    let cases = [
        // name                      connections  threads  requests
        ("one after the other",      1,           1,       100),
        ("fewer than connections",   8,           2,       5),
        ("not a multiple",           3,           2,       1_000),
        ("more threads than needed", 2,           9,       11),
        ("nothing",                  2,           2,       0),
    ];
    for (name, connections, threads, requests) in cases {
        let upstream = Upstream::fixed(200, "ok");
        let load = Load::new(upstream.addr()).connections(connections).threads(threads);
        let report = load.requests(requests).run(|_, number, out| {
            out.extend_from_slice(&Request::get(&format!("/{number}")).bytes());
        });
        assert_eq!((report.count(200), report.answered(), report.lost), (requests, requests, 0), "{name}");
        assert_eq!(report.per_connection.len(), connections, "{name}");
        let mut paths: Vec<usize> =
            upstream.seen().iter().map(|seen| seen.path[1..].parse().unwrap()).collect();
        paths.sort_unstable();
        assert_eq!(paths, Vec::from_iter(0..usize::try_from(requests).unwrap()), "{name}");
    }
}

#[test]
fn load_counts_by_status_and_survives_closed_connections() {
    let upstream = Upstream::new(|seen| match seen.path.as_str() {
        "/0" | "/1" => Answer::hang_up(),
        "/2" => Answer::new(200, "until the end").until_close(),
        "/3" => Answer::new(429, "chunks").chunked(),
        _ => Answer::new(200, "ok"),
    });
    let report = Load::new(upstream.addr()).connections(2).requests(10).run(|_, number, out| {
        out.extend_from_slice(&Request::get(&format!("/{number}")).bytes());
    });
    assert_eq!((report.count(200), report.count(429), report.lost), (7, 1, 2));
}

#[test]
fn load_stops_in_time() {
    let upstream = Upstream::fixed(200, "ok");
    let report = Load::new(upstream.addr()).duration(Duration::from_millis(50)).repeat(&Request::get("/"));
    assert!(report.elapsed >= Duration::from_millis(50));
    assert_eq!(usize::try_from(report.answered()).unwrap(), upstream.count());
}

// === eventually ===

#[test]
fn eventually_returns_what_it_found() {
    let mut looks = 0;
    let found = eventually("a third look", Duration::from_secs(5), || {
        looks += 1;
        (looks == 3).then_some(looks)
    });
    assert_eq!(found, 3);
}

#[test]
#[should_panic(expected = "in vain for a miracle")]
fn eventually_says_what_it_waited_for() {
    eventually("a miracle", Duration::ZERO, || false);
}
