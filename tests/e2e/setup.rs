//! What the tests of the rate-limit filter have in common.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::paths::{module, probe};
use tidegate_tests::{eventually, Bootstrap, Client, Envoy, Options, WasmFilter};

/// How long a counter may take to arrive: filters tell Envoy about once a second.
const TOLD: Duration = Duration::from_secs(5);

/// A limit of `burst` requests that does not refill while a test runs: one comes back a day.
pub(crate) fn limit(name: &str, key: &Value, burst: u64) -> Value {
    json!({"name": name, "key": [key], "requests": 1, "per_ms": 86_400_000, "burst": burst})
}

/// A limit that counts by the header `x-key`.
pub(crate) fn by_key(name: &str, burst: u64) -> Value {
    limit(name, &json!({"header": "x-key"}), burst)
}

/// `object` with these fields added or replaced.
pub(crate) fn with(mut object: Value, fields: &Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

/// In which module the limits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// In the rate-limit filter.
    Alone,
    /// In the one of all filters, as a part of its document.
    Fused,
}

/// Runs a test with the limits in each module that has them.
pub(crate) fn in_both(test: impl Fn(Layout)) {
    for layout in [Layout::Alone, Layout::Fused] {
        println!("limits: {layout:?}");
        test(layout);
    }
}

/// The rate-limit filter with this configuration, as the module that can do what it asks.
pub(crate) fn filter(config: &Value) -> WasmFilter {
    Layout::Alone.filter(config)
}

/// The rate-limit filter in front of an answer of 200 `ok`.
pub(crate) fn limited(config: &Value) -> Bootstrap {
    Layout::Alone.limited(config)
}

// === impl Layout ===

impl Layout {
    /// The filter with these limits.
    pub(crate) fn filter(self, config: &Value) -> WasmFilter {
        let told = config["headers_on_admitted"] == true;
        match self {
            Self::Alone if told => WasmFilter::new(module("ratelimit-headers")).config(config),
            Self::Alone => WasmFilter::new(module("ratelimit")).config(config),
            Self::Fused => WasmFilter::new(module("fused")).config(&json!({"ratelimit": config})),
        }
    }

    /// The filter made to trap on demand, and its name.
    pub(crate) fn trap(self, config: &Value) -> (WasmFilter, &'static str) {
        match self {
            Self::Alone => (WasmFilter::new(probe("trap-ratelimit")).config(config), "trap-ratelimit"),
            Self::Fused => {
                let config = json!({"ratelimit": config});
                (WasmFilter::new(probe("trap-fused")).config(&config), "trap-fused")
            }
        }
    }

    /// The name of its filter in Envoy's counters.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alone => "tidegate-ratelimit",
            Self::Fused => "tidegate",
        }
    }

    /// The filter in front of an answer of 200 `ok`.
    pub(crate) fn limited(self, config: &Value) -> Bootstrap {
        Bootstrap::new().balanced().wasm(&self.filter(config)).direct_response("/", 200, "ok")
    }
}

/// An Envoy with [`limited`].
pub(crate) fn start(config: &Value, workers: u32) -> Envoy {
    Envoy::start(&limited(config).json(), &Options::workers(workers)).unwrap()
}

/// The statuses of `count` requests with `x-key`, one after the other.
pub(crate) fn ask(client: &mut Client, key: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| client.get("/", &[("x-key", key)]).status).collect()
}

/// All counters of a limit, by their last word.
pub(crate) fn counters(envoy: &Envoy, limit: &str) -> BTreeMap<String, u64> {
    let prefix = format!("wasmcustom.tidegate.ratelimit.limit.{limit}.");
    let all = envoy.stats(&format!("^{}", prefix.replace('.', r"\.")));
    all.into_iter().map(|(name, value)| (name[prefix.len()..].to_owned(), value)).collect()
}

/// Checks counters of a limit, once the workers have told Envoy of them.
pub(crate) fn assert_counters(envoy: &Envoy, limit: &str, expected: &[(&str, u64)]) {
    let expected: BTreeMap<_, _> = expected.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect();
    let start = Instant::now();
    let got = eventually("the counters", 2 * TOLD, || {
        let mut got = counters(envoy, limit);
        got.retain(|word, _| expected.contains_key(word));
        (got == expected || start.elapsed() > TOLD).then_some(got)
    });
    assert_eq!(got, expected, "counters of {limit}");
}

/// Checks that no VM has trapped and that the filter had nothing to complain about.
pub(crate) fn assert_unhurt(envoy: &Envoy) {
    assert_eq!(envoy.log(), "");
    assert_eq!(envoy.stats(r"^wasm\..*vm_reload.*$").values().sum::<u64>(), 0);
}
