//! The two placements of the filter in two VMs: with different `vm_id`s, or with different environments, as
//! Istio gives each of its plugins one.

use serde_json::{json, Value};
use tidegate_tests::{eventually, Answer, Bootstrap, Client, Port, Upstream, WasmFilter};

use super::setup::{
    assert_all_answered, assert_calm, assert_metrics, endpoint, filter, load_on, metrics, numbered, orders,
    orders_of, start, SOON,
};

/// The filter around the exchange, and around attempts as `apart` has it.
fn apart(config: &Value, apart: impl Fn(WasmFilter) -> WasmFilter) -> Bootstrap {
    let attempt = apart(filter(config).root_id("attempt").name("attempt"));
    let bootstrap = Bootstrap::new().balanced().wasm(&filter(config)).original_dst_cluster("to");
    bootstrap.around_attempts(&attempt).forward("/", "to")
}

fn in_another_namespace(attempt: WasmFilter) -> WasmFilter {
    attempt.vm_id("another")
}

/// As Istio's plugins with `file://`: one namespace of cells, two VMs.
fn in_another_environment(attempt: WasmFilter) -> WasmFilter {
    attempt.env("ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION", "7")
}

/// What keeps a filter in a VM of its own.
type Apart = fn(WasmFilter) -> WasmFilter;

const BOTH: [(&str, Apart); 2] = [("vm_id", in_another_namespace), ("environment", in_another_environment)];

/// 11 of 20 requests failed, each attempt of which went to the dead endpoint.
#[test]
fn one_dead_endpoint_of_two_costs_no_request() {
    for (name, vm) in BOTH {
        let dead = Port::reserve();
        let [well] = numbered();
        let all = [endpoint(dead.addr()), endpoint(well.addr())];
        let envoy = start(&apart(&orders(&all, &json!({"attempts": 2})), vm), 2);
        let mut client = Client::connect(envoy.addr());
        for request in 0..20 {
            assert_eq!(client.get("/", &[]).status, 200, "{name}: request {request}");
        }
        // The VM that chooses hears of refused connections, and avoids the endpoint for a while.
        let retries = eventually("all metrics", SOON, || {
            let all = metrics(&envoy);
            let whole = all["requests"] == 20 && all["attempts"] == 20 + all["retries"];
            (whole && all["failures"] == all["retries"]).then(|| all["retries"])
        });
        assert!((1..=5).contains(&retries), "{name}: {retries} retries");
        assert_eq!(envoy.stat("wasmcustom.tidegate.discovery.attempts_unmatched"), 0, "{name}");
        assert_calm(&envoy);
    }
}

#[test]
fn an_endpoint_that_dies_under_load_causes_no_client_error_in_two_vms() {
    for connections in [4, 16, 64] {
        let mut upstreams = Vec::from(numbered::<3>());
        let envoy = start(&apart(&orders_of(&upstreams, &json!({"attempts": 2})), in_another_namespace), 2);
        let reports = load_on(envoy.addr(), connections, || {
            eventually("traffic", SOON, || upstreams.iter().all(|upstream| upstream.count() > 300));
            drop(upstreams.remove(1));
            let before = upstreams[0].count();
            eventually("more traffic", SOON, || upstreams[0].count() > before + 600);
        });
        assert_all_answered(&reports);
        assert_calm(&envoy);
    }
}

/// By what the VM around attempts tells of those before the last one.
#[test]
fn an_endpoint_whose_failures_another_vm_sees_is_ejected() {
    let per_try = json!({"per_try_timeout_ms": 100});
    let cases = [("503", Answer::new(503, "sick"), json!({})), ("silent", Answer::silence(), per_try)];
    for (name, answer, retry) in cases {
        let upstreams = numbered::<3>();
        upstreams[1].switch(answer);
        let fields = json!({"attempts": 3, "retry": retry});
        let envoy = start(&apart(&orders_of(&upstreams, &fields), in_another_namespace), 1);
        let mut client = Client::connect(envoy.addr());
        let before = (0..40).filter(|_| client.get("/", &[]).status == 200).count();
        assert_eq!(before, 40, "{name}");
        assert_metrics(
            &envoy,
            &[("ejections", 1), ("failures", 5), ("retries", 5), ("attempts", 45), ("healthy", 2)],
        );
        assert_eq!(upstreams.iter().map(Upstream::count).sum::<usize>(), 45, "{name}");
        assert_calm(&envoy);
    }
}

/// The filter is in one place only, the one that is of no use alone.
#[test]
fn a_filter_around_attempts_without_the_other_says_so_once() {
    let upstreams = numbered::<1>();
    let attempt = filter(&orders_of(&upstreams, &json!({"attempts": 2}))).root_id("attempt").name("attempt");
    let bootstrap = Bootstrap::new().around_attempts(&attempt).cluster("up", &[upstreams[0].addr()]);
    let envoy = start(&bootstrap.forward("/", "up"), 1);
    let mut client = Client::connect(envoy.addr());
    for _ in 0..50 {
        assert_eq!(client.get("/", &[]).text(), "0");
    }
    let lines = eventually("the line", SOON, || {
        let lines = envoy.log().matches("none of the first 10 attempts").count();
        (lines > 0).then_some(lines)
    });
    assert_eq!(lines, 1);
}
