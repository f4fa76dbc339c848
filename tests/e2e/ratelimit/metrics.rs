//! Metrics, and how plugins live together.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{json, Value};
use tidegate_tests::{eventually, stats, Bootstrap, Client, Envoy, Load, Options, Request, WasmFilter};

use crate::setup::{ask, assert_counters, assert_unhurt, by_key, counters, filter, limit, limited, start};

/// As in `envoy-config/`: the limit's name becomes a label.
const LIMIT_TAG: &str = r"^wasmcustom\.tidegate\.ratelimit(\.limit\.([A-Za-z0-9_-]+))\.";

#[test]
fn every_counter_exists_from_the_start_and_no_other() {
    let envoy = start(&json!({"limits": [by_key("a", 1), by_key("b", 1)]}), 1);
    let words = "admitted contended evicted failed leased leases newcomers_refused observed overflow refused stranded unused";
    let zeros: BTreeMap<_, _> = words.split(' ').map(|word| (word.to_owned(), 0)).collect();
    assert_eq!((counters(&envoy, "a"), counters(&envoy, "b")), (zeros.clone(), zeros));
    assert_eq!(envoy.stats(r"^wasmcustom\.").len(), 25);
    ask(&mut Client::connect(envoy.addr()), "key", 2);
    assert_counters(&envoy, "a", &[("admitted", 1), ("refused", 1)]);
    assert_eq!(envoy.stats(r"^wasmcustom\.").len(), 25, "nothing that a client sends makes a metric");
}

#[test]
fn the_name_of_a_limit_becomes_a_label() {
    let config = json!({"limits": [by_key("per-key_1", 1), by_key("other", 5)]});
    let envoy =
        Envoy::start(&limited(&config).stats_tag("limit", LIMIT_TAG).json(), &Options::default()).unwrap();
    ask(&mut Client::connect(envoy.addr()), "a", 3);
    let sample = |limit: &str, value: f64| (limit.to_owned(), value);
    let expect = |family: &str, expected: [(String, f64); 2]| {
        eventually(family, Duration::from_secs(5), || {
            let samples = stats::family(&envoy.prometheus(), family);
            let found: Vec<_> = samples.iter().map(|s| (s.labels["limit"].clone(), s.value)).collect();
            expected.iter().all(|one| found.contains(one)) && found.len() == 2
        });
    };
    expect("tidegate_ratelimit_admitted", [sample("per-key_1", 1.0), sample("other", 1.0)]);
    expect("tidegate_ratelimit_refused", [sample("per-key_1", 2.0), sample("other", 0.0)]);
}

#[test]
fn any_root_id_will_do() {
    for root_id in ["", "tidegate", "whatever it is"] {
        let filter = filter(&json!({"limits": [by_key("one", 1)]})).root_id(root_id);
        let config = Bootstrap::new().wasm(&filter).direct_response("/", 200, "ok").json();
        let envoy = Envoy::start(&config, &Options::default()).unwrap();
        assert_eq!(ask(&mut Client::connect(envoy.addr()), "a", 2), [200, 429], "root id {root_id:?}");
        assert_unhurt(&envoy);
    }
}

/// The filters in this order, in front of 200.
fn chain(filters: &[WasmFilter]) -> Envoy {
    let chain = filters.iter().fold(Bootstrap::new(), Bootstrap::wasm);
    Envoy::start(&chain.direct_response("/", 200, "ok").json(), &Options::workers(2)).unwrap()
}

#[test]
fn two_plugins_in_one_vm_keep_their_limits_apart() {
    let plugin = |name: &str, limit: &Value| filter(&json!({"limits": [limit]})).name(name);
    let envoy = chain(&[
        plugin("first", &by_key("keys", 2)),
        plugin("second", &limit("all", &json!({"constant": "all"}), 3)),
    ]);
    // Workers, the main thread and the one to clone from: so there is one VM, not two, on each.
    assert_eq!(envoy.stat("wasm.envoy.wasm.runtime.v8.active"), 4);
    let mut client = Client::connect(envoy.addr());
    assert_eq!(ask(&mut client, "a", 3), [200, 200, 429]);
    assert_eq!(ask(&mut client, "b", 3), [200, 429, 429]);
    // What the second plugin refuses was already charged by the first.
    assert_counters(&envoy, "keys", &[("admitted", 4), ("refused", 2)]);
    assert_counters(&envoy, "all", &[("admitted", 3), ("refused", 1)]);
    assert_unhurt(&envoy);
}

#[test]
fn limits_of_one_name_share_their_buckets_within_a_vm_id() {
    let plugin =
        |name: &str, vm_id: &str| filter(&json!({"limits": [by_key("same", 4)]})).name(name).vm_id(vm_id);
    let ask = |envoy: &Envoy| ask(&mut Client::connect(envoy.addr()), "a", 6);
    // Each request is charged twice.
    let shared = chain(&[plugin("first", "x"), plugin("second", "x")]);
    assert_eq!(ask(&shared), [200, 200, 429, 429, 429, 429]);
    let apart = chain(&[plugin("first", "x"), plugin("second", "y")]);
    assert_eq!(ask(&apart), [200, 200, 200, 200, 429, 429]);
}

#[test]
fn a_full_table_is_told_of_and_lets_nobody_start_afresh() {
    // One block of 16 keys. Each newcomer takes over the smallest debt.
    let config = json!({"limits": [by_key("full", 2)], "table": {"keys": 16}});
    let envoy = start(&config, 1);
    assert_eq!(ask(&mut Client::connect(envoy.addr()), "over", 3), [200, 200, 429]);
    let flood = Load::new(envoy.addr()).requests(1_000).run(|_, number, out| {
        out.extend_from_slice(&Request::get("/").header("x-key", number.to_string()).bytes());
    });
    // 15 keys found room, 15 took over one unit of debt each, one came through overflow.
    assert_eq!(flood.count(200), 15 + 15 + 1);
    assert_eq!(ask(&mut Client::connect(envoy.addr()), "over", 3), [429; 3]);
    assert_counters(&envoy, "full", &[("admitted", 33), ("evicted", 15), ("overflow", 1), ("refused", 973)]);
}
