//! What is compared: ways to protect an upstream.

use std::net::SocketAddr;

use serde_json::{json, Value};
use tidegate_tests::{bootstrap, paths, Bootstrap, WasmFilter};

/// One protection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arm {
    /// Its name for `--only`.
    pub(crate) id: &'static str,
    /// Its name on a terminal.
    pub(crate) name: &'static str,
    /// Its name in README, in Markdown.
    pub(crate) title: &'static str,
    /// Requests that may reach the upstream in twelve seconds.
    pub(crate) most: Option<u64>,
    /// Adds it to the listener or to the cluster.
    protect: fn(Bootstrap, &mut Value) -> Bootstrap,
}

/// Worker threads of every Envoy.
pub(crate) const WORKERS: u32 = 4;

/// Every arm, in the table's order.
pub(crate) const ARMS: [Arm; 6] = [
    Arm { id: "none", name: "no protection", title: "none", most: None, protect: |envoy, _| envoy },
    Arm {
        id: "outlier",
        name: "outlier detection, defaults",
        title: "Envoy's outlier detection",
        most: None,
        protect: outlier,
    },
    Arm {
        id: "panic-0",
        name: "outlier detection, panic 0",
        title: "the same with `max_ejection_percent` 100 and panic threshold 0",
        most: None,
        protect: outlier_without_panic,
    },
    Arm {
        id: "panic-0-5s",
        name: "outlier detection, after 5 s",
        title: "the same, and back after 5 s as the breaker is: `base_ejection_time` 5 s, `interval` 1 s",
        most: None,
        protect: outlier_for_5s,
    },
    Arm {
        id: "admission",
        name: "admission_control, defaults",
        title: "Envoy's `admission_control`",
        most: None,
        protect: admission_control,
    },
    Arm {
        id: "breaker",
        name: "Tidegate's breaker, defaults",
        title: "**Tidegate's breaker**",
        most: Some(24),
        protect: breaker,
    },
];

// === impl Arm ===

impl Arm {
    /// The configuration of its Envoy.
    pub(crate) fn config(&self, upstream: SocketAddr) -> String {
        let mut cluster = bootstrap::cluster("up", &[upstream]);
        let envoy = (self.protect)(Bootstrap::new().balanced(), &mut cluster);
        envoy.forward("/", "up").raw_cluster(cluster).json()
    }
}

fn outlier(envoy: Bootstrap, cluster: &mut Value) -> Bootstrap {
    cluster["outlier_detection"] = json!({});
    envoy
}

/// By default one endpoint of one is more than may be ejected; and were it ejected, fewer healthy
/// ones than half would make Envoy send to it all the same.
fn outlier_without_panic(envoy: Bootstrap, cluster: &mut Value) -> Bootstrap {
    cluster["outlier_detection"] = json!({"max_ejection_percent": 100});
    cluster["common_lb_config"] = json!({"healthy_panic_threshold": {"value": 0}});
    envoy
}

/// By default a host is ejected for 30 s, longer than a run. When it returns and fails again, Envoy
/// keeps the news from its workers until a second is over since they heard of the return
/// (`update_merge_window`); until then they send it everything.
fn outlier_for_5s(envoy: Bootstrap, cluster: &mut Value) -> Bootstrap {
    let envoy = outlier_without_panic(envoy, cluster);
    cluster["outlier_detection"]["base_ejection_time"] = json!("5s");
    cluster["outlier_detection"]["interval"] = json!("1s");
    envoy
}

fn admission_control(envoy: Bootstrap, _: &mut Value) -> Bootstrap {
    let kind = "type.googleapis.com/envoy.extensions.filters.http.admission_control.v3.AdmissionControl";
    envoy.filter(json!({
        "name": "envoy.filters.http.admission_control",
        "typed_config": {"@type": kind, "success_criteria": {}},
    }))
}

fn breaker(envoy: Bootstrap, _: &mut Value) -> Bootstrap {
    let config = json!({"breakers": [{"name": "up", "target": {"cluster": "up"}}]});
    envoy.wasm(&WasmFilter::new(paths::module("breaker")).config(&config))
}
