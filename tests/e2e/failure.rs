//! A VM that ends: who is hurt, for how long, and what is remembered.
//!
//! Two probes trap. One is a filter of its own: what holds for it holds for any other in
//! front of ours or behind it. The other is our filter itself.

use std::time::Duration;

use serde_json::json;
use tidegate_tests::paths::probe;
use tidegate_tests::{eventually, Bootstrap, Client, Envoy, Options, WasmFilter};

use crate::setup::{ask, assert_counters, by_key, in_both, Layout};

const PATIENCE: Duration = Duration::from_secs(5);

fn trap() -> WasmFilter {
    WasmFilter::new(probe("trap"))
}

fn limits(layout: Layout) -> WasmFilter {
    layout.filter(&json!({"limits": [by_key("per-key", 100)]}))
}

/// An Envoy with these filters that logs details and counts on two workers.
fn chain(filters: &[WasmFilter]) -> Envoy {
    chain_on(2, filters)
}

fn chain_on(workers: u32, filters: &[WasmFilter]) -> Envoy {
    let chain = filters.iter().fold(Bootstrap::new().balanced(), Bootstrap::wasm);
    let chain = chain.direct_response("/", 200, "ok").access_log("%RESPONSE_CODE% %RESPONSE_CODE_DETAILS%");
    Envoy::start(&chain.json(), &Options::workers(workers)).unwrap()
}

/// Lines of the access log that are `line`.
fn logged(envoy: &Envoy, line: &str) -> usize {
    envoy.access_log().lines().filter(|got| *got == line).count()
}

/// Connections that each worker has had.
fn connections(envoy: &Envoy) -> Vec<u64> {
    envoy.stats(r"^listener\..*worker_\d\.downstream_cx_total$").into_values().collect()
}

#[test]
fn what_clients_owe_survives_the_trap_of_a_neighbour() {
    in_both(|layout| {
        for (name, filters) in [("in front", [trap(), limits(layout)]), ("behind", [limits(layout), trap()])]
        {
            for at in ["request", "response"] {
                let envoy = chain(&filters);
                let mut client = Client::connect(envoy.addr());
                assert_eq!(ask(&mut client, "over", 101), [&[200; 100][..], &[429]].concat(), "{name}, {at}");

                let trapped = client.get("/", &[("x-key", "a"), ("x-trap", at)]);
                assert_eq!(trapped.status, 503, "{name}, {at}");
                eventually("the access log", PATIENCE, || logged(&envoy, "503 wasm_fail_stream") == 1);

                // The VM comes back with a later request, and then for good.
                eventually("the reload", PATIENCE, || client.get("/", &[("x-key", "b")]).status == 200);
                assert_eq!(envoy.stat("wasm.trap.vm_reload_success"), 1, "{name}, {at}");
                assert_eq!(ask(&mut client, "over", 3), [429; 3], "{name}, {at}");
                assert_eq!(ask(&mut client, "c", 3), [200; 3], "{name}, {at}");
                let reloads = format!("wasm.{}.vm_reload_success", layout.name());
                assert_eq!(envoy.stat(&reloads), 0, "{name}, {at}");
                assert!(envoy.log().contains("trap: asked for in"), "{name}, {at}");
            }
        }
    });
}

#[test]
fn a_filter_behind_a_trap_counts_only_what_it_saw() {
    in_both(|layout| {
        let envoy = chain(&[trap(), limits(layout)]);
        let mut client = Client::connect(envoy.addr());
        assert_eq!(client.get("/", &[("x-key", "a"), ("x-trap", "request")]).status, 503);
        eventually("the reload", PATIENCE, || client.get("/", &[("x-key", "a")]).status == 200);
        assert_counters(&envoy, "per-key", &[("admitted", 1), ("refused", 0)]);
    });
}

#[test]
fn the_trap_of_one_worker_leaves_the_others_alone() {
    in_both(|layout| {
        // Without a reload the hurt worker stays hurt, so there is nothing to race with.
        let envoy = chain(&[trap().failure_policy("FAIL_CLOSED"), limits(layout)]);
        let [mut hurt, mut unhurt] = [0, 1].map(|_| Client::connect(envoy.addr()));
        assert_eq!((ask(&mut hurt, "a", 1), ask(&mut unhurt, "a", 1)), (vec![200], vec![200]));
        assert_eq!(connections(&envoy), [1, 1], "one for each worker");

        assert_eq!(hurt.get("/", &[("x-trap", "request")]).status, 503);
        for _ in 0..20 {
            assert_eq!((ask(&mut hurt, "a", 1), ask(&mut unhurt, "a", 1)), (vec![503], vec![200]));
        }
        assert_eq!((hurt.opened(), unhurt.opened()), (1, 1));
        assert_counters(&envoy, "per-key", &[("admitted", 22), ("refused", 0)]);
    });
}

#[test]
fn what_clients_owe_survives_the_trap_of_the_filter_itself() {
    in_both(|layout| {
        for workers in [1, 2] {
            let (trap, name) = layout.trap(&json!({"limits": [by_key("per-key", 3)]}));
            let envoy = chain_on(workers, &[trap]);
            let mut client = Client::connect(envoy.addr());
            let mut unhurt = (workers == 2).then(|| Client::connect(envoy.addr()));
            assert_eq!(ask(&mut client, "over", 4), [200, 200, 200, 429], "{workers} workers");
            if let Some(unhurt) = &mut unhurt {
                assert_eq!(ask(unhurt, "over", 1), [429]);
                assert_eq!(connections(&envoy), [1, 1], "one for each worker");
            }
            // What a VM has not told yet is lost with it.
            let others = u64::from(workers - 1);
            assert_counters(&envoy, "per-key", &[("admitted", 3), ("refused", 1 + others)]);

            assert_eq!(client.get("/", &[("x-key", "b"), ("x-trap", "request")]).status, 503);
            if let Some(unhurt) = &mut unhurt {
                assert_eq!(
                    (ask(unhurt, "c", 4), ask(unhurt, "over", 1)),
                    (vec![200, 200, 200, 429], vec![429])
                );
            }
            eventually("the reload", PATIENCE, || client.get("/", &[("x-key", "b")]).status == 200);
            assert_eq!(envoy.stat(&format!("wasm.{name}.vm_reload_success")), 1, "{workers} workers");

            // The request that trapped was charged nothing, the one that came through one unit.
            assert_eq!(ask(&mut client, "b", 3), [200, 200, 429], "{workers} workers");
            assert_eq!(ask(&mut client, "over", 2), [429; 2], "{workers} workers");
            let counted = [("admitted", 6 + 3 * others), ("refused", 4 + 3 * others)];
            assert_counters(&envoy, "per-key", &counted);
            assert_eq!(client.opened(), 1);
            assert!(envoy.log().contains("trap: asked for in request headers"), "{}", envoy.log());
        }
    });
}
