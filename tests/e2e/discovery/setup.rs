//! What the tests of the discovery filter have in common.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::paths::module;
use tidegate_tests::{eventually, Bootstrap, Envoy, Options, Upstream, WasmFilter};

use crate::setup::with;

/// How long to wait for what should be there at once.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// Checks a claim with one worker, two, and four.
pub(super) fn with_1_2_and_4_workers(claim: impl Fn(u32)) {
    for workers in [1, 2, 4] {
        println!("with {workers} workers:");
        claim(workers);
    }
}

/// An endpoint as a static registry has it.
pub(super) fn endpoint(addr: SocketAddr) -> Value {
    json!({"address": addr.ip().to_string(), "port": addr.port()})
}

/// A document with one service `orders` of these endpoints, with these fields added to the service.
pub(super) fn orders(endpoints: &[Value], fields: &Value) -> Value {
    let service = json!({"name": "orders", "registry": "local", "match": {"path": {"prefix": "/"}}});
    json!({
        "registries": {"local": {"static": {"services": {"orders": endpoints}}}},
        "services": [with(service, fields)],
        "allow": ["127.0.0.0/8:1-65535"],
    })
}

/// The discovery filter with this configuration.
pub(super) fn filter(config: &Value) -> WasmFilter {
    WasmFilter::new(module("discovery")).config(config)
}

/// The filter in both places, in front of a cluster `to` that goes where it says.
pub(super) fn both_places(config: &Value) -> Bootstrap {
    let filter = filter(config);
    let attempt = filter.clone().root_id("attempt").name("attempt");
    Bootstrap::new()
        .balanced()
        .wasm(&filter)
        .around_attempts(&attempt)
        .original_dst_cluster("to")
        .forward("/", "to")
}

/// The filter around the exchange only.
pub(super) fn one_place(config: &Value) -> Bootstrap {
    Bootstrap::new().balanced().wasm(&filter(config)).original_dst_cluster("to").forward("/", "to")
}

pub(super) fn start(bootstrap: &Bootstrap, workers: u32) -> Envoy {
    Envoy::start(&bootstrap.json(), &Options::workers(workers)).unwrap()
}

/// So many upstreams, each of which answers with its number.
pub(super) fn numbered<const N: usize>() -> [Upstream; N] {
    std::array::from_fn(|n| Upstream::fixed(200, &n.to_string()))
}

/// The endpoints that upstreams are.
pub(super) fn endpoints(upstreams: &[Upstream]) -> Vec<Value> {
    upstreams.iter().map(|upstream| endpoint(upstream.addr())).collect()
}

/// All metrics of the service `orders`, by their last word.
pub(super) fn metrics(envoy: &Envoy) -> BTreeMap<String, u64> {
    let prefix = "wasmcustom.tidegate.discovery.service.orders.";
    let all = envoy.stats(&format!("^{}", prefix.replace('.', r"\.")));
    all.into_iter().map(|(name, value)| (name[prefix.len()..].to_owned(), value)).collect()
}

/// Checks metrics of the service, once the workers have told Envoy of them.
pub(super) fn assert_metrics(envoy: &Envoy, expected: &[(&str, u64)]) {
    let expected: BTreeMap<_, _> = expected.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect();
    let start = Instant::now();
    let got = eventually("the metrics", 2 * SOON, || {
        let mut got = metrics(envoy);
        got.retain(|word, _| expected.contains_key(word));
        (got == expected || start.elapsed() > SOON).then_some(got)
    });
    assert_eq!(got, expected);
}
