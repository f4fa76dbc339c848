//! One module of all filters that is configured anew, or whose VM ends: what each of its stages knew is still
//! known, as in the single ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{json, Value};
use tidegate_tests::paths::{module, probe};
use tidegate_tests::{eventually, Answer, Bootstrap, Client, FileLds, Options, Update, Upstream, WasmFilter};

use crate::setup::by_key;

const PATIENCE: Duration = Duration::from_secs(10);

/// Two servers; Envoy with a limit, a route whose variant `a` has a breaker, and the service of the second.
struct World {
    fails: Upstream,
    well: Upstream,
}

// === impl World ===

impl World {
    fn new() -> Self {
        let fails = Upstream::new(|_| Answer::new(503, "fails"));
        Self { fails, well: Upstream::new(|_| Answer::new(200, "well")) }
    }

    fn document(&self, version: u32) -> Value {
        let endpoint = json!({"address": "127.0.0.1", "port": self.well.addr().port()});
        let route = json!({"name": "r", "match": {"path": {"prefix": "/fails"}}, "variants": [{"name": "a", "cluster": "fails"}]});
        let breaker = json!({"name": "b", "target": {"variant": "r/a"}, "consecutive_failures": 2,
            "base_open_ms": 600_000, "max_open_ms": 600_000});
        json!({
            "ratelimit": {"limits": [by_key("per-key", 3)], "reply": {"headers": {"x-version": version.to_string()}}},
            "routing": {"routes": [route], "headers": {"response": "x-variant"}},
            "breaker": {"breakers": [breaker]},
            "discovery": {
                "registries": {"main": {"static": {"services": {"well": [endpoint]}}}},
                "services": [{"name": "well", "registry": "main", "match": {"path": {"prefix": "/well"}}}],
                "allow": ["127.0.0.0/8:1-65535"],
            },
        })
    }

    fn behind(&self, filter: WasmFilter, version: u32) -> Bootstrap {
        let steered = json!([{"name": "x-tidegate-cluster", "present_match": true}]);
        let filter = filter.config(&self.document(version));
        Bootstrap::new()
            .wasm(&filter)
            .route(json!({"match": {"prefix": "/", "headers": steered}, "route": {"cluster_header": "x-tidegate-cluster"}}))
            .forward("/well", "found")
            .direct_response("/", 200, "ok")
            .original_dst_cluster("found")
            .cluster("fails", &[self.fails.addr()])
    }
}

/// What becomes of a request for each of them: of a client that is over its limit, to the open breaker, and to
/// the service.
fn known(envoy: &FileLds) -> [(u16, String); 3] {
    let mut client = Client::connect(envoy.addr());
    // Others than the first are new each time.
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let new = || format!("new-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    [("/", "over".to_owned()), ("/fails", new()), ("/well", new())].map(|(path, key)| {
        let answer = client.get(path, &[("x-key", &key)]);
        (answer.status, answer.header("x-variant").unwrap_or_default().to_owned())
    })
}

/// Spends a client's units and opens the breaker.
fn spend(envoy: &FileLds) {
    let mut client = Client::connect(envoy.addr());
    for _ in 0..3 {
        assert_eq!(client.get("/", &[("x-key", "over")]).status, 200);
    }
    for _ in 0..2 {
        assert_eq!(client.get("/fails", &[("x-key", "breaks")]).text(), "fails");
    }
    assert_eq!(known(envoy), expected());
}

fn expected() -> [(u16, String); 3] {
    [(429, String::new()), (503, "a".to_owned()), (200, String::new())]
}

#[test]
fn what_all_stages_know_survives_a_reload() {
    let world = World::new();
    let with = |version| world.behind(WasmFilter::new(module("fused")), version);
    let mut envoy = FileLds::start(&with(1), &Options::workers(2)).unwrap();
    spend(&envoy);
    let reached = world.fails.take_seen().len();
    for version in 2..5 {
        assert_eq!(envoy.update(&with(version).listener()), Update::Accepted);
        let refused = Client::connect(envoy.addr()).get("/", &[("x-key", "over")]);
        assert_eq!(refused.header("x-version").as_deref(), Some(version.to_string().as_str()));
        for _ in 0..2 {
            assert_eq!(known(&envoy), expected(), "version {version}");
        }
    }
    assert_eq!((reached, world.fails.take_seen().len()), (2, 0), "no more requests than opened the breaker");
    assert!(!envoy.log().contains("undecided"), "{}", envoy.log());
}

#[test]
fn what_all_stages_know_survives_a_trap() {
    let world = World::new();
    let with = world.behind(WasmFilter::new(probe("trap-fused")), 1);
    let envoy = FileLds::start(&with, &Options::workers(1)).unwrap();
    spend(&envoy);
    let mut client = Client::connect(envoy.addr());
    for round in 1..4 {
        assert_eq!(client.get("/", &[("x-key", "a"), ("x-trap", "request")]).status, 503);
        eventually("the reload", PATIENCE, || {
            client.get("/", &[("x-key", &format!("new-{round}"))]).status == 200
        });
        assert_eq!(envoy.stat("wasm.trap-fused.vm_reload_success"), round);
        assert_eq!(known(&envoy), expected(), "trap {round}");
    }
}

#[test]
fn a_document_with_one_wrong_part_is_rejected_and_all_parts_of_the_old_one_serve_on() {
    let world = World::new();
    let with = |version| world.behind(WasmFilter::new(module("fused")), version);
    let mut envoy = FileLds::start(&with(1), &Options::workers(2)).unwrap();
    spend(&envoy);
    let mut wrong = world.document(2);
    wrong["breaker"]["breakers"][0]["consecutive_failures"] = json!("many");
    let filter = WasmFilter::new(module("fused")).config(&wrong);
    let Update::Rejected(log) = envoy.update(&Bootstrap::new().wasm(&filter).listener()) else {
        panic!("accepted {wrong}")
    };
    assert!(log.contains("breaker.breakers[0].consecutive_failures: "), "{log}");
    assert_eq!(known(&envoy), expected());
}
