//! What the tests of the breaker filter have in common.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::load::Report;
use tidegate_tests::paths::module;
use tidegate_tests::{eventually, Bootstrap, Client, Envoy, Load, Options, Request, Response, WasmFilter};

use crate::setup::with;

/// How long to wait for what should be there at once.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// Requests that a [`storm`] has under way at most.
pub(super) const IN_FLIGHT: usize = 8;

/// Checks a claim with one worker, two, and four.
pub(super) fn with_1_2_and_4_workers(claim: impl Fn(u32)) {
    for workers in [1, 2, 4] {
        println!("with {workers} workers:");
        claim(workers);
    }
}

/// A breaker of the cluster `name`, with these fields added or replaced. Once open it stays so
/// while a test runs.
pub(super) fn breaker(name: &str, fields: &Value) -> Value {
    let lasting =
        json!({"name": name, "target": {"cluster": name}, "base_open_ms": 60_000, "jitter_percent": 0});
    with(lasting, fields)
}

/// A breaker of the cluster `name` that is open for `base_open_ms` at first.
pub(super) fn brief(name: &str, base_open_ms: u64, half_open_permits: u32) -> Value {
    breaker(name, &json!({"base_open_ms": base_open_ms, "half_open_permits": half_open_permits}))
}

/// The breaker filter with these breakers.
pub(super) fn filter(breakers: &[Value]) -> WasmFilter {
    filter_of(&json!({"breakers": breakers}))
}

/// The breaker filter with this configuration.
pub(super) fn filter_of(config: &Value) -> WasmFilter {
    WasmFilter::new(module("breaker")).config(config)
}

/// These breakers in front of the cluster `up`.
pub(super) fn guarded(breakers: &[Value], upstream: SocketAddr) -> Bootstrap {
    Bootstrap::new().balanced().wasm(&filter(breakers)).cluster("up", &[upstream]).forward("/", "up")
}

pub(super) fn start(bootstrap: &Bootstrap, workers: u32) -> Envoy {
    Envoy::start(&bootstrap.json(), &Options::workers(workers)).unwrap()
}

/// Sends `requests` as fast as they are answered, to all workers.
pub(super) fn storm(envoy: &Envoy, requests: u64, request: &Request) -> Report {
    Load::new(envoy.addr()).connections(IN_FLIGHT).threads(2).requests(requests).repeat(request)
}

/// Whether a breaker refused.
pub(super) fn is_refusal(response: &Response) -> bool {
    response.header("x-tidegate-breaker").as_deref() == Some("open")
}

/// Whether a breaker refuses on every worker: asks on as many connections as a [`storm`] has.
pub(super) fn refuses_everywhere(envoy: &Envoy, request: &Request) -> bool {
    let mut clients = [(); IN_FLIGHT].map(|()| Client::connect(envoy.addr()));
    let answers = clients.each_mut().map(|client| client.send(request));
    answers.iter().all(is_refusal)
}

/// Waits until a breaker lets a request pass; its answer.
pub(super) fn passes(client: &mut Client, path: &str) -> Response {
    eventually("a request to pass", SOON, || Some(client.get(path, &[])).filter(|a| !is_refusal(a)))
}

/// Waits until so much time has passed since `start`.
pub(super) fn until(start: Instant, span: Duration) {
    eventually("the time", span + SOON, || start.elapsed() >= span);
}

/// All metrics of a breaker, by what follows its name.
pub(super) fn metrics(envoy: &Envoy, breaker: &str) -> BTreeMap<String, u64> {
    let prefix = format!("wasmcustom.tidegate.breaker.breaker.{breaker}.");
    let all = envoy.stats(&format!("^{}", prefix.replace('.', r"\.")));
    all.into_iter().map(|(name, value)| (name[prefix.len()..].to_owned(), value)).collect()
}

/// Checks metrics of a breaker, once the workers have told Envoy of them.
pub(super) fn assert_metrics(envoy: &Envoy, breaker: &str, expected: &[(&str, u64)]) {
    let expected: BTreeMap<_, _> = expected.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect();
    let start = Instant::now();
    let got = eventually("the metrics", 2 * SOON, || {
        let mut got = metrics(envoy, breaker);
        got.retain(|word, _| expected.contains_key(word));
        (got == expected || start.elapsed() > SOON).then_some(got)
    });
    assert_eq!(got, expected, "metrics of {breaker}");
}

/// The metrics of a breaker, once this is true of them.
pub(super) fn metrics_when(
    envoy: &Envoy,
    breaker: &str,
    holds: impl Fn(&BTreeMap<String, u64>) -> bool,
) -> BTreeMap<String, u64> {
    let start = Instant::now();
    let (got, held) = eventually("the metrics", 2 * SOON, || {
        let got = metrics(envoy, breaker);
        let held = holds(&got);
        (held || start.elapsed() > SOON).then_some((got, held))
    });
    assert!(held, "metrics of {breaker}: {got:?}");
    got
}

/// What was logged of changes of state, in order: `up: closed -> open (consecutive): …`.
pub(super) fn transitions(envoy: &Envoy) -> Vec<String> {
    let log = envoy.log();
    let lines = log.lines().filter_map(|line| line.split_once(": breaker: "));
    lines.filter(|(_, line)| line.contains(" -> ")).map(|(_, line)| line.to_owned()).collect()
}

/// Checks that exactly these changes of state were logged, each once, and nothing else.
pub(super) fn assert_transitions(envoy: &Envoy, expected: &[&str]) {
    let short = |line: &String| line.split_inclusive(')').next().unwrap_or_default().to_owned();
    let mut got: Vec<_> = transitions(envoy).iter().map(short).collect();
    let mut expected: Vec<_> = expected.iter().map(|line| (*line).to_owned()).collect();
    got.sort_unstable();
    expected.sort_unstable();
    assert_eq!(got, expected, "{}", envoy.log());
    assert_eq!(envoy.log().lines().count(), expected.len(), "{}", envoy.log());
    assert_eq!(envoy.stats(r"^wasm\..*vm_reload.*$").values().sum::<u64>(), 0);
}
