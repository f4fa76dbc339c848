//! What the tests of the discovery filter have in common.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::load::Report;
use tidegate_tests::paths::module;
use tidegate_tests::{eventually, Bootstrap, Client, Envoy, Load, Options, Request, Upstream, WasmFilter};

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
    around(config, true).forward("/", "to")
}

/// The filter in one place or both, with a cluster `to`, without routes.
pub(super) fn around(config: &Value, attempts: bool) -> Bootstrap {
    let bootstrap = Bootstrap::new().balanced().wasm(&filter(config)).original_dst_cluster("to");
    if attempts {
        bootstrap.around_attempts(&filter(config).root_id("attempt").name("attempt"))
    } else {
        bootstrap
    }
}

/// The filter around the exchange only.
pub(super) fn one_place(config: &Value) -> Bootstrap {
    around(config, false).forward("/", "to")
}

pub(super) fn start(bootstrap: &Bootstrap, workers: u32) -> Envoy {
    Envoy::start(&bootstrap.json(), &Options::workers(workers)).unwrap()
}

/// `N` upstreams, each of which answers with its number.
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

/// Checks metrics of the service, once the workers have published them.
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

/// A service `orders` of these upstreams, with these fields added to it.
pub(super) fn orders_of(upstreams: &[Upstream], fields: &Value) -> Value {
    orders(&endpoints(upstreams), fields)
}

/// An endpoint with more fields.
pub(super) fn labelled(upstream: &Upstream, fields: &Value) -> Value {
    with(endpoint(upstream.addr()), fields)
}

/// Sends `requests` for `/` on eight connections, which go to all workers.
pub(super) fn storm(envoy: &Envoy, requests: u64) -> Report {
    Load::new(envoy.addr()).connections(8).threads(2).requests(requests).repeat(&Request::get("/"))
}

/// Three attempts, as many at a time as are needed.
pub(super) fn three() -> Value {
    json!({"attempts": 3, "retry": {"budget": {"budget_percent": 100, "min_retry_concurrency": 100}}})
}

/// The results of requests on eight connections while `during` happened.
pub(super) fn under_load(envoy: &Envoy, during: impl FnOnce()) -> Vec<Report> {
    load_while(envoy.addr(), during)
}

/// [`under_load`] for an Envoy that changes.
pub(super) fn load_while(addr: SocketAddr, during: impl FnOnce()) -> Vec<Report> {
    load_on(addr, 8, during)
}

/// The same on as many connections.
pub(super) fn load_on(addr: SocketAddr, connections: usize, during: impl FnOnce()) -> Vec<Report> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut reports = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let requests = 25 * connections as u64;
                let load = Load::new(addr).connections(connections).threads(8).requests(requests);
                reports.push(load.repeat(&Request::get("/")));
            }
            reports
        });
        let stop = Stop(&done);
        during();
        drop(stop);
        load.join().unwrap()
    })
}

/// Ends the load also when an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Checks that every request of every run got 200.
pub(super) fn assert_all_answered(reports: &[Report]) {
    for (run, report) in reports.iter().enumerate() {
        let failed = report.answered() - report.count(200);
        assert_eq!((failed, report.lost), (0, 0), "run {run}: {:?}", report.by_status());
    }
}

/// How many requests each upstream has had.
pub(super) fn counts(upstreams: &[Upstream]) -> Vec<usize> {
    upstreams.iter().map(Upstream::count).collect()
}

/// Checks that each number is within `most` of what is expected.
pub(super) fn assert_about(got: &[usize], expected: &[usize], most: usize) {
    let near = got.iter().zip(expected).all(|(got, expected)| got.abs_diff(*expected) <= most);
    assert!(near && got.len() == expected.len(), "{got:?}, expected {expected:?} ± {most}");
}

/// Who answers a client, in order: one letter for each request.
pub(super) fn answers(client: &mut Client, requests: usize) -> String {
    (0..requests).map(|_| client.get("/", &[]).text()).collect()
}

/// Checks that no VM has trapped, and that nothing was logged but endpoints that were ejected or
/// refused a connection, and by Envoy that it does not know where to send a request to that no header says it of.
pub(super) fn assert_calm(envoy: &Envoy) {
    let log = envoy.log();
    let usual = [
        " ejected for ",
        " refused a connection and ",
        "original_dst_load_balancer: No downstream connection or no original_dst.",
    ];
    let others: Vec<_> = log.lines().filter(|line| !usual.iter().any(|text| line.contains(text))).collect();
    assert_eq!(others, [""; 0]);
    assert_eq!(envoy.stats(r"^wasm\..*vm_reload.*$").values().sum::<u64>(), 0);
}
