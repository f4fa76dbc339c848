//! Configurations, and what Envoy says about itself.

use std::collections::BTreeMap;

use serde_json::{json, Value};
use tidegate_tests::stats::{family, numbers, text_value, Sample};
use tidegate_tests::{Bootstrap, WasmFilter};

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

#[test]
fn filters_around_attempts_are_the_routers() {
    let filter = WasmFilter::new("dist/tidegate-breaker.wasm").root_id("attempt");
    let listener = Bootstrap::new().lua("-- one").around_attempts(&filter).listener();
    let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
    let attempt = &manager["http_filters"][1]["typed_config"]["upstream_http_filters"];
    assert_eq!(attempt[0]["typed_config"]["config"]["root_id"], "attempt");
    assert_eq!(attempt[1]["name"], "envoy.filters.http.upstream_codec");
}
