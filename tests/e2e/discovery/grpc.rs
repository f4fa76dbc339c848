//! gRPC services: HTTP/2 all the way, and failures in headers.

use serde_json::{json, Value};
use tidegate_tests::{grpc, Bootstrap, Envoy};

use super::setup::{assert_calm, assert_metrics, endpoint, filter, orders, start};

const METHOD: &str = "/shop.Orders/Place";

fn services<const N: usize>() -> [grpc::Upstream; N] {
    std::array::from_fn(|_| grpc::Upstream::new(grpc::Answer::status(0)))
}

/// The filter in both places in front of a cluster that goes where it says, in HTTP/2.
fn behind(upstreams: &[grpc::Upstream], fields: &Value) -> Envoy {
    let endpoints: Vec<Value> = upstreams.iter().map(|upstream| endpoint(upstream.addr())).collect();
    let config = orders(&endpoints, fields);
    let filter = filter(&config);
    let kind = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let options = json!({"@type": kind, "explicit_http_config": {"http2_protocol_options": {}}});
    let to = json!({
        "name": "to", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "1s",
        "original_dst_lb_config": {"use_http_header": true},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    });
    let attempt = filter.clone().root_id("attempt").name("attempt");
    let bootstrap = Bootstrap::new().wasm(&filter).around_attempts(&attempt).raw_cluster(to);
    start(&bootstrap.forward("/", "to"), 1)
}

/// The statuses of this many calls.
fn calls(envoy: &Envoy, count: usize) -> Vec<Option<u32>> {
    (0..count).map(|_| grpc::unary(envoy.addr(), METHOD, &[]).grpc_status).collect()
}

#[test]
fn calls_take_turns() {
    let upstreams = services::<3>();
    let envoy = behind(&upstreams, &json!({"attempts": 2}));
    assert_eq!(calls(&envoy, 9), [Some(0); 9]);
    assert_eq!(upstreams.each_ref().map(grpc::Upstream::count), [3; 3]);
    assert_metrics(&envoy, &[("requests", 9), ("attempts", 9), ("failures", 0)]);
    assert_calm(&envoy);
}

/// The HTTP status is 200; what the headers say counts, what trailers say comes too late.
#[test]
fn a_call_that_fails_at_once_counts_against_the_endpoint() {
    #[rustfmt::skip]
    let cases = [
        ("unavailable, headers only",  grpc::Answer::trailers_only(14), 14, 3),
        ("internal, headers only",     grpc::Answer::trailers_only(13), 13, 3),
        ("not found, headers only",    grpc::Answer::trailers_only(5),   5, 10),
        ("unavailable, trailers",      grpc::Answer::status(14),        14, 10),
    ];
    for (name, answer, status, expected) in cases {
        let upstreams = services::<2>();
        upstreams[0].switch(answer);
        let envoy = behind(&upstreams, &json!({"outlier_detection": {"consecutive_5xx": 3}}));
        let failed = calls(&envoy, 20).iter().filter(|got| **got == Some(status)).count();
        assert_eq!(failed, expected, "{name}");
        let counted = if expected == 3 { 3 } else { 0 };
        let expected = [("requests", 20), ("failures", counted), ("ejections", counted / 3)];
        assert_metrics(&envoy, &expected);
        assert_calm(&envoy);
    }
}

/// A stream that is refused, or reset, is like a connection that is. A call is a POST, and not safe
/// unless the document says so.
#[test]
fn a_reset_call_is_retried_elsewhere_when_it_is_repeatable() {
    let safe = json!({"headers": [{"name": "content-type", "prefix": "application/grpc"}]});
    for (name, retry, failed) in [("safe", json!({"safe": safe}), 0), ("as usual", json!({}), 2)] {
        let upstreams = services::<2>();
        upstreams[1].switch(grpc::Answer::reset());
        let envoy = behind(&upstreams, &json!({"attempts": 2, "retry": retry, "outlier_detection": false}));
        let statuses = calls(&envoy, 4);
        assert_eq!(statuses.iter().filter(|got| **got != Some(0)).count(), failed, "{name}: {statuses:?}");
        assert_metrics(&envoy, &[("requests", 4), ("failures", 2)]);
        assert_calm(&envoy);
    }
}

#[test]
fn a_refused_call_gets_a_grpc_status() {
    let upstreams = services::<1>();
    let envoy = behind(&upstreams, &json!({"subset": {"tags": ["none"]}}));
    let reply = grpc::unary(envoy.addr(), METHOD, &[]);
    assert_eq!((reply.http_status, reply.grpc_status), (200, Some(14)));
    assert!(reply.grpc_message.unwrap().contains("orders"));
    assert_eq!(upstreams[0].count(), 0);
    assert_calm(&envoy);
}
