//! Two teams with a limit of one name in one Envoy, as in a mesh, where nobody chooses the `vm_id`.

use serde_json::{json, Value};
use tidegate_tests::paths::module;
use tidegate_tests::{Bootstrap, Client, Envoy, Options, WasmFilter};

/// A limit `total` for the paths of a team.
fn team(name: &str, requests: u32, scope: Option<&str>) -> Value {
    let limit = json!({"name": "total", "match": {"path": {"prefix": format!("/{name}")}},
        "key": [{"constant": "all"}], "requests": requests, "per_ms": "1h"});
    match scope {
        Some(scope) => json!({"scope": scope, "limits": [limit]}),
        None => json!({"limits": [limit]}),
    }
}

/// An Envoy with plugins of these names and documents, all with one `vm_id`.
fn start(plugins: &[(&str, Value)]) -> Envoy {
    let scope = r"^wasmcustom\.tidegate\.[a-z]+(\.scope\.([A-Za-z0-9_-]+))\.";
    let limit = r"^wasmcustom\.tidegate\.ratelimit(?:\.scope\.[A-Za-z0-9_-]+)?(\.limit\.([A-Za-z0-9_-]+))\.";
    let mut bootstrap = Bootstrap::new().stats_tag("scope", scope).stats_tag("limit", limit);
    for (name, document) in plugins {
        bootstrap =
            bootstrap.wasm(&WasmFilter::new(module("ratelimit")).name(name).root_id("").config(document));
    }
    Envoy::start(&bootstrap.direct_response("/", 200, "ok").json(), &Options::workers(2)).unwrap()
}

/// How many of 60 requests to a path are admitted.
fn admitted(envoy: &Envoy, path: &str) -> usize {
    let mut client = Client::connect(envoy.addr());
    (0..60).filter(|_| client.get(path, &[]).status == 200).count()
}

fn conflicts(envoy: &Envoy) -> Vec<String> {
    let log = envoy.log();
    log.lines()
        .filter(|line| line.contains("give one of the documents a `scope`"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn two_plugins_that_disagree_are_told_once() {
    let envoy = start(&[("team-a", team("a", 10, None)), ("team-b", team("b", 1_000, None))]);
    assert!(admitted(&envoy, "/b") <= 60);
    let lines = conflicts(&envoy);
    assert_eq!(lines.len(), 1, "on all workers together: {lines:#?}");
    let expected = "plugin team-b: ratelimit: limit `total` is 1000 in 3600000 ms, burst 1000 here and \
                    10 in 3600000 ms, burst 10 in plugin \"team-a\"; they share its state";
    assert!(lines[0].contains(expected), "{lines:#?}");
}

#[test]
fn two_plugins_of_one_name_that_disagree_are_told_once() {
    let envoy = start(&[("ratelimit", team("a", 10, None)), ("ratelimit", team("b", 1_000, None))]);
    assert!(admitted(&envoy, "/b") <= 60);
    let lines = conflicts(&envoy);
    assert_eq!(lines.len(), 1, "on all workers together: {lines:#?}");
    assert!(lines[0].contains(" in another plugin \"ratelimit\"; they share its state"), "{lines:#?}");
}

#[test]
fn each_scope_has_its_limit() {
    let envoy = start(&[("team-a", team("a", 10, Some("a"))), ("team-b", team("b", 1_000, Some("b")))]);
    assert_eq!((admitted(&envoy, "/b"), admitted(&envoy, "/a")), (60, 10));
    assert_eq!(conflicts(&envoy), [""; 0]);
    tidegate_tests::eventually("the counters", std::time::Duration::from_secs(5), || {
        let metrics = envoy.prometheus();
        let has = |line: &str| metrics.lines().any(|known| known == line);
        has(r#"tidegate_ratelimit_refused{scope="a",limit="total"} 50"#)
            || has(r#"tidegate_ratelimit_refused{limit="total",scope="a"} 50"#)
    });
}

#[test]
fn one_document_in_two_plugins_is_one_limit() {
    let envoy = start(&[("one", team("a", 10, None)), ("two", team("a", 10, None))]);
    // Each request is charged twice.
    assert_eq!((admitted(&envoy, "/a"), conflicts(&envoy)), (5, Vec::new()));
}
