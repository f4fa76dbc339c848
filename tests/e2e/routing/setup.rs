//! What the tests of the routing filter have in common.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::load::Report;
use tidegate_tests::paths::module;
use tidegate_tests::{eventually, Bootstrap, Client, Envoy, Load, Options, Request, Upstream, WasmFilter};

use crate::setup::with;

/// How long to wait for what should be there at once.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// Requests that a [`storm`] has under way at most.
pub(super) const IN_FLIGHT: usize = 8;

/// The two variants of a service, each an upstream that answers with its own name.
pub(super) struct Pair {
    pub(super) stable: Upstream,
    pub(super) canary: Upstream,
}

/// Checks a claim with one worker, two, and four.
pub(super) fn with_1_2_and_4_workers(claim: impl Fn(u32)) {
    for workers in [1, 2, 4] {
        println!("with {workers} workers:");
        claim(workers);
    }
}

/// The routing filter with this configuration.
pub(super) fn filter(config: &Value) -> WasmFilter {
    WasmFilter::new(module("routing")).config(config)
}

/// A configuration with these routes.
pub(super) fn routes(routes: &[Value]) -> Value {
    json!({"routes": routes})
}

/// A route for all requests, 90 % to `stable` and 10 % to `canary`, with these fields added or
/// replaced.
pub(super) fn route(fields: &Value) -> Value {
    let variants = json!([variant("stable", 90), variant("canary", 10)]);
    with(json!({"name": "shop", "variants": variants}), fields)
}

/// A variant in the cluster of its name.
pub(super) fn variant(name: &str, weight: u32) -> Value {
    json!({"name": name, "cluster": name, "weight": weight})
}

/// Both variants, the canary with a ramp that is judged on failures only: a busy machine is slow.
pub(super) fn ramping(ramp: &Value, abort: &Value) -> Value {
    let usual = json!({"min_samples": 20, "max_p99_ms": 3_600_000, "tolerance_basis_points": 10_000});
    let ramp = with(with(json!({"interval_ms": 500}), ramp), &json!({"abort": with(usual, abort)}));
    json!([variant("stable", 90), with(variant("canary", 10), &json!({"ramp": ramp}))])
}

/// `filters` in front of a route for what they steer, and another, which says `plain`.
pub(super) fn steered(filters: &[WasmFilter]) -> Bootstrap {
    let chosen = json!([{"name": "x-tidegate-cluster", "present_match": true}]);
    filters
        .iter()
        .fold(Bootstrap::new().balanced(), Bootstrap::wasm)
        .route(json!({
            "name": "steered",
            "match": {"prefix": "/", "headers": chosen},
            "route": {"cluster_header": "x-tidegate-cluster"},
        }))
        .direct_response("/", 200, "plain")
}

pub(super) fn start(bootstrap: &Bootstrap, workers: u32) -> Envoy {
    Envoy::start(&bootstrap.json(), &Options::workers(workers)).unwrap()
}

/// Sends `requests` as fast as they are answered, to all workers.
pub(super) fn storm(envoy: &Envoy, requests: u64, request: &Request) -> Report {
    Load::new(envoy.addr()).connections(IN_FLIGHT).threads(2).requests(requests).repeat(request)
}

/// Sends a request of each of these users, to all workers.
pub(super) fn crowd(envoy: &Envoy, users: u64, header: &str) -> Report {
    Load::new(envoy.addr()).connections(IN_FLIGHT).threads(2).requests(users).run(|_, number, out| {
        out.extend_from_slice(&Request::get("/").header(header, format!("user-{number}")).bytes());
    })
}

/// Which variant each of `users` gets by the header `x-user`, one letter each.
pub(super) fn seats(envoy: &Envoy, users: u32) -> String {
    let mut client = Client::connect(envoy.addr());
    let seat = |user: u32| {
        let answer = client.get("/", &[("x-user", &format!("user-{user}"))]).text();
        answer.chars().next().unwrap_or('?')
    };
    (0..users).map(seat).collect()
}

/// All metrics of a route, by what follows its name.
pub(super) fn metrics(envoy: &Envoy, route: &str) -> BTreeMap<String, u64> {
    let prefix = format!("wasmcustom.tidegate.routing.route.{route}.");
    let all = envoy.stats(&format!("^{}", prefix.replace('.', r"\.")));
    all.into_iter().map(|(name, value)| (name[prefix.len()..].to_owned(), value)).collect()
}

/// Checks metrics of a route, once the workers have told Envoy of them.
pub(super) fn assert_metrics(envoy: &Envoy, route: &str, expected: &[(&str, u64)]) {
    let expected: BTreeMap<_, _> = expected.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect();
    let start = Instant::now();
    let got = eventually("the metrics", 2 * SOON, || {
        let mut got = metrics(envoy, route);
        got.retain(|word, _| expected.contains_key(word));
        (got == expected || start.elapsed() > SOON).then_some(got)
    });
    assert_eq!(got, expected, "metrics of {route}");
}

/// What was logged of ramps, in order: `shop/canary: ramp advanced: …`.
pub(super) fn moves(envoy: &Envoy) -> Vec<String> {
    let log = envoy.log();
    let lines = log.lines().filter_map(|line| line.split_once(": routing: "));
    lines.filter(|(_, line)| line.contains(": ramp ")).map(|(_, line)| line.to_owned()).collect()
}

/// Checks that no VM has trapped, and that nothing was logged but moves of ramps and that a route has had no
/// request among many.
pub(super) fn assert_calm(envoy: &Envoy) {
    let log = envoy.log();
    let others = log.lines().filter(|line| !line.contains(": no request yet among "));
    assert_eq!(others.count(), moves(envoy).len(), "{log}");
    assert_eq!(envoy.stats(r"^wasm\..*vm_reload.*$").values().sum::<u64>(), 0);
}

/// Checks that `got` is within `most` of `expected`.
pub(super) fn assert_about(what: &str, got: usize, expected: usize, most: usize) {
    assert!(got.abs_diff(expected) <= most, "{what}: {got}, expected {expected} ± {most}");
}

// === impl Pair ===

impl Pair {
    pub(super) fn new() -> Self {
        Self { stable: Upstream::fixed(200, "stable"), canary: Upstream::fixed(200, "canary") }
    }

    /// The routing filter with this configuration in front of both.
    pub(super) fn behind(&self, config: &Value) -> Bootstrap {
        self.behind_all(&[filter(config)])
    }

    /// These filters in front of both.
    pub(super) fn behind_all(&self, filters: &[WasmFilter]) -> Bootstrap {
        self.join(steered(filters))
    }

    /// Adds both as clusters.
    pub(super) fn join(&self, bootstrap: Bootstrap) -> Bootstrap {
        bootstrap.cluster("stable", &[self.stable.addr()]).cluster("canary", &[self.canary.addr()])
    }

    /// An Envoy with one route in front of both.
    pub(super) fn start(&self, route: Value, workers: u32) -> Envoy {
        start(&self.behind(&routes(&[route])), workers)
    }

    /// How many requests each has got.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.stable.count(), self.canary.count())
    }
}
