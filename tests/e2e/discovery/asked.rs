//! What tests with a registry that is asked have in common.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::{eventually, Answer, Bootstrap, Client, Envoy, Request, Upstream};

use super::setup::{both_places, endpoints, start, SOON};
use crate::setup::with;

/// Connections of a load: one for each of four workers, two for each of two.
const CONNECTIONS: usize = 4;
/// Time between two rounds of a load, so that two processors are enough for registries, too.
const PACE: Duration = Duration::from_millis(5);

/// A document with one registry, called as its cluster is, and one service `orders` that it has.
pub(super) fn document(registry: &Value, service: &Value) -> Value {
    let orders = json!({"name": "orders", "registry": "registry", "match": {"path": {"prefix": "/"}}});
    json!({
        "registries": {"registry": registry},
        "services": [with(orders, service)],
        "allow": ["127.0.0.0/8:1-65535", "[::1/128]:1-65535"],
    })
}

/// Consul, in the cluster `registry`.
pub(super) fn consul(fields: &Value) -> Value {
    json!({"consul": with(json!({"cluster": "registry"}), fields)})
}

/// Consul, asked again and again: each answer is old after a tenth of a second.
pub(super) fn polled(cache: &Value) -> Value {
    with(
        consul(&json!({"wait_ms": 0, "timeout_ms": 400})),
        &json!({"cache": with(json!({"ttl_ms": 100}), cache)}),
    )
}

/// The filter in both places, with a cluster that leads to the registry.
pub(super) fn asking(config: &Value, registry: SocketAddr) -> Bootstrap {
    both_places(config).cluster("registry", &[registry])
}

/// What Consul would say of these endpoints, with an index to wait for.
pub(super) fn said(upstreams: &[Upstream], index: u64) -> Answer {
    said_of(&endpoints(upstreams)).header("x-consul-index", &index.to_string())
}

/// What Consul would say of endpoints as a static registry has them.
pub(super) fn said_of(endpoints: &[Value]) -> Answer {
    let entry =
        |one: &Value| json!({"Service": {"Address": one["address"], "Port": one["port"]}, "Checks": []});
    Answer::new(200, json!(endpoints.iter().map(entry).collect::<Vec<_>>()).to_string())
}

/// The same Envoy with one worker, two, and four.
pub(super) fn with_1_2_or_4_workers(bootstrap: &Bootstrap) -> [Envoy; 3] {
    [1, 2, 4].map(|workers| start(bootstrap, workers))
}

/// Who answers so many requests, on a connection for each worker: how often by what they say.
pub(super) fn answers(envoy: &Envoy, requests: usize) -> BTreeMap<String, usize> {
    let mut clients = [(); CONNECTIONS].map(|()| Client::connect(envoy.addr()));
    let mut all = BTreeMap::new();
    for request in 0..requests {
        let answer = clients[request % CONNECTIONS].get("/", &[]);
        let text = if answer.status == 200 { answer.text() } else { answer.status.to_string() };
        *all.entry(text).or_default() += 1;
    }
    all
}

/// Waits until these answer requests, and no others, on every worker.
pub(super) fn answer(envoy: &Envoy, who: &[&str]) {
    let mut got = Vec::new();
    let start = Instant::now();
    eventually(&format!("answers of {who:?}"), 3 * SOON, || {
        got = answers(envoy, 10 * CONNECTIONS).into_keys().collect();
        let late = start.elapsed() > 2 * SOON;
        got == who || late
    });
    assert_eq!(got, who, "{}", envoy.log());
}

/// Waits until the two endpoints share requests like this, but for a few.
pub(super) fn shares(envoy: &Envoy, first: usize, second: usize) {
    let (of, start) = (200, Instant::now());
    let expected = of * first / (first + second);
    let got = eventually("a share", 3 * SOON, || {
        let got = answers(envoy, of).get("0").copied().unwrap_or(0);
        (got.abs_diff(expected) <= 16 || start.elapsed() > SOON).then_some(got)
    });
    assert!(got.abs_diff(expected) <= 16, "{first}:{second}, but {got} of {of}; {}", envoy.log());
}

/// Looks at something while requests come in, all of which are answered with 200.
pub(super) fn under_load<T>(envoy: &Envoy, claim: impl FnOnce() -> T) -> T {
    under_loads(&[envoy.addr()], claim)
}

/// The same for several, or for one that changes meanwhile.
pub(super) fn under_loads<T>(all: &[SocketAddr], claim: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    let (found, failed) = thread::scope(|scope| {
        let load = |addr: &SocketAddr| {
            let (addr, done) = (*addr, &done);
            scope.spawn(move || load(addr, done))
        };
        let loads: Vec<_> = all.iter().map(load).collect();
        let stop = Stop(&done);
        let found = claim();
        drop(stop);
        (found, loads.into_iter().flat_map(|load| load.join().unwrap()).collect::<Vec<_>>())
    });
    assert_eq!(failed, Vec::<String>::new());
    found
}

/// Sends requests until it is done; what was answered other than 200.
fn load(addr: SocketAddr, done: &AtomicBool) -> Vec<String> {
    let mut clients = [(); CONNECTIONS].map(|()| Client::connect(addr));
    let mut failed = Vec::new();
    while !done.load(Ordering::Relaxed) && failed.len() < 10 {
        for client in &mut clients {
            match client.try_send(&Request::get("/")) {
                Ok(answer) if answer.status == 200 => {}
                Ok(answer) => failed.push(format!("{} {}", answer.status, answer.text())),
                Err(error) => failed.push(error.to_string()),
            }
        }
        thread::sleep(PACE);
    }
    failed
}

/// Ends the load also when an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What is counted of the registry.
pub(super) fn of_registry(envoy: &Envoy, what: &str) -> u64 {
    envoy.stat(&format!("wasmcustom.tidegate.discovery.registry.registry.{what}"))
}

/// What is counted of the service.
pub(super) fn of_orders(envoy: &Envoy, what: &str) -> u64 {
    envoy.stat(&format!("wasmcustom.tidegate.discovery.service.orders.{what}"))
}

/// Waits until this many queries have failed since the beginning.
pub(super) fn failures(envoy: &Envoy, count: u64) {
    eventually("failures", 3 * SOON, || of_registry(envoy, "failures") >= count);
}

/// Lines of the log that have all these words.
pub(super) fn lines(envoy: &Envoy, words: &[&str]) -> Vec<String> {
    let has = |line: &&str| words.iter().all(|word| line.contains(word));
    envoy.log().lines().filter(has).map(str::to_owned).collect()
}

/// Checks that no VM has trapped.
pub(super) fn assert_alive(envoy: &Envoy) {
    assert_eq!(envoy.stats(r"^wasm\..*vm_reload.*$").values().sum::<u64>(), 0, "{}", envoy.log());
    assert!(!envoy.log().contains("panicked"), "{}", envoy.log());
}
