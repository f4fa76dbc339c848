//! Documents of one Envoy that use the same names in scopes of their own.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{json, Value};
use tidegate_policy::breaker::CircuitBreaker;
use tidegate_policy::discovery::Discovery;
use tidegate_policy::http::{Attribute, Placement, Stage, Verdict};
use tidegate_policy::ratelimit::RateLimit;
use tidegate_policy::routing::Routing;
use tidegate_sim::{SimHost, SimRequest, SimResponse, SimStore, Worker};

fn limit(requests: u32) -> Value {
    json!({"limits": [
        {"name": "total", "key": [{"constant": "x"}], "requests": requests, "per_ms": 3_600_000}]})
}

fn breaker() -> Value {
    json!({"breakers": [
        {"name": "b", "target": {"cluster": "up"}, "consecutive_failures": 2, "fallback": [{"cluster": "other"}]},
        {"name": "many", "target": {"endpoint": "up"}, "table": {"keys": 16}}]})
}

fn ramp(breaker: &str) -> Value {
    let ramp = json!({"steps": [{"weight": 5, "hold_ms": 10_000}], "abort": {"breaker": breaker}});
    json!({"routes": [{"name": "r", "variants": [
        {"name": "stable", "cluster": "one", "weight": 90},
        {"name": "canary", "cluster": "two", "weight": 10, "max_weight": 60, "ramp": ramp}]}]})
}

fn services() -> Value {
    json!({"registries": {"main": {"consul": {"cluster": "consul"}}}, "allow": ["10.0.0.0/8:1-65535"],
           "services": [{"name": "orders", "registry": "main"}]})
}

/// The document in a scope; as it is in the one without a name.
fn within(scope: &str, document: &Value) -> String {
    let mut document = document.clone();
    if !scope.is_empty() {
        document["scope"] = json!(scope);
    }
    document.to_string()
}

fn worker<S: Stage>(store: &Arc<SimStore>, scope: &str, document: &Value) -> Worker<S, SimHost> {
    Worker::new(&within(scope, document), SimHost::new(store.clone())).expect("a right document")
}

/// The names of a document's cells and metrics.
fn names<S: Stage>(scope: &str, document: &Value, placement: Placement) -> BTreeSet<String> {
    let stage = S::configure(within(scope, document).as_bytes(), placement).expect("a right document");
    let cells = stage.cells().map(|cell| cell.name);
    cells.chain(stage.metrics().into_iter().map(|metric| metric.name)).collect()
}

/// Two teams share an Envoy whose `vm_id` neither can choose; each has a limit `total`. Of 30 requests
/// of the team with 10 an hour all passed, or 5 of the one with 1,000, whoever was configured last.
#[test]
fn the_same_limit_in_two_scopes_is_two_limits() {
    let store = Arc::default();
    let teams = [("a", 10), ("b", 1_000), ("", 20)];
    let workers: Vec<Worker<RateLimit, _>> =
        teams.iter().map(|(scope, requests)| worker(&store, scope, &limit(*requests))).collect();
    let mut admitted = [0; 3];
    for _ in 0..60 {
        for (worker, count) in workers.iter().zip(&mut admitted) {
            *count += u32::from(matches!(worker.request(&SimRequest::get("/")), Verdict::Continue(_)));
        }
    }
    assert_eq!(admitted, [10, 60, 20]);
}

#[test]
fn one_scope_is_one_limit_and_a_reload_keeps_its_debts() {
    let store = Arc::default();
    let [one, other]: [Worker<RateLimit, _>; 2] = [0, 1].map(|_| worker(&store, "a", &limit(10)));
    let admits = |worker: &Worker<RateLimit, _>| {
        (0..20).filter(|_| matches!(worker.request(&SimRequest::get("/")), Verdict::Continue(_))).count()
    };
    assert_eq!((admits(&one), admits(&other)), (10, 0));
    let reloaded = worker(&store, "a", &limit(12));
    assert_eq!(admits(&reloaded), 2);
}

#[test]
fn a_breaker_opens_in_its_scope_alone() {
    let store = Arc::default();
    let workers: Vec<Worker<CircuitBreaker, _>> =
        ["a", "b", "a"].iter().map(|scope| worker(&store, scope, &breaker())).collect();
    let request = SimRequest::get("/").attribute(Attribute::Cluster, b"up");
    for _ in 0..2 {
        let (_, exchange) = workers[0].begin(&request);
        workers[0].end(exchange, &SimResponse::upstream(503));
    }
    let refuses = workers.iter().map(|worker| worker.outcome(&worker.begin(&request).1));
    let refuses: Vec<bool> = refuses.map(|word| word.is_some()).collect();
    assert_eq!(refuses, [true, false, true], "also for the other worker of scope a");
}

#[test]
fn no_cell_and_no_metric_is_in_two_scopes() {
    type Names = fn(&str) -> BTreeSet<String>;
    let all: [(&str, Names); 4] = [
        ("ratelimit", |scope| names::<RateLimit>(scope, &limit(10), Placement::Downstream)),
        ("breaker", |scope| names::<CircuitBreaker>(scope, &breaker(), Placement::Downstream)),
        ("routing", |scope| names::<Routing>(scope, &ramp("b"), Placement::Downstream)),
        ("discovery", |scope| names::<Discovery>(scope, &services(), Placement::Downstream)),
    ];
    for (filter, of) in all {
        let scopes = ["", "a", "b"].map(of);
        for (at, one) in scopes.iter().enumerate() {
            assert_eq!(one.len(), scopes[0].len(), "{filter}");
            for other in &scopes[at + 1..] {
                // The number of workers is no document's.
                let shared: Vec<_> =
                    one.intersection(other).filter(|name| *name != "tidegate/d1workers").collect();
                assert_eq!(shared, Vec::<&String>::new(), "{filter}");
            }
        }
    }
}

#[test]
fn both_placements_of_a_document_have_the_same_names() {
    let placements = [Placement::Downstream, Placement::Attempt];
    let [downstream, attempt] =
        placements.map(|placement| names::<CircuitBreaker>("a", &breaker(), placement));
    assert_eq!(downstream, attempt);
    let [downstream, attempt] = placements.map(|placement| names::<Discovery>("a", &services(), placement));
    // The attempt placement has no cells.
    let metrics = downstream.iter().filter(|name| !name.contains('/'));
    assert_eq!(metrics.collect::<BTreeSet<_>>(), attempt.iter().collect());
}

/// A ramp reads the gauge of its breaker, which is another filter's.
#[test]
fn a_ramp_watches_the_breaker_of_its_scope() {
    for scope in ["", "a"] {
        let ramp = names::<Routing>(scope, &ramp("b"), Placement::Downstream);
        let breakers = names::<CircuitBreaker>(scope, &breaker(), Placement::Downstream);
        let watched: Vec<&String> = ramp.intersection(&breakers).collect();
        let state = if scope.is_empty() { "breaker.b.state" } else { "scope.a.breaker.b.state" };
        assert_eq!(watched, [&format!("tidegate.breaker.{state}")]);
    }
}
