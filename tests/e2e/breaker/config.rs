//! Configurations that Envoy accepts and refuses, and what it says.

use serde_json::{json, Value};
use tidegate_tests::{Bootstrap, Envoy, Options};

use super::setup::{breaker, filter_of};

/// The lines that the filter logs while Envoy refuses to start, and while `--mode validate` says no.
fn problems(config: &Value) -> Vec<String> {
    let bootstrap = Bootstrap::new().wasm(&filter_of(config)).direct_response("/", 200, "ok").json();
    let started = Envoy::start(&bootstrap, &Options::default()).unwrap_err().log;
    assert!(started.ends_with("[exit status: 1]\n"), "{started}");
    let validated = Envoy::validate(&bootstrap).unwrap_err();
    let lines = |log: &str| -> Vec<String> {
        let lines = log.lines().filter_map(|line| line.split_once("breaker: configuration: "));
        lines.map(|(_, problem)| problem.to_owned()).collect()
    };
    assert_eq!(lines(&started), lines(&validated), "what is refused at start and what by validation");
    lines(&started)
}

#[test]
fn every_problem_is_told_with_its_path() {
    let config = json!({
        "breakers": [
            {"name": "a", "target": {"endpoint": "a"}, "match": {"method": "GET"}, "failure_statuses": ["5xx", 600]},
            {"name": "a", "target": {"clusters": "a"}, "window_ms": 10000, "window_slots": 7},
            {"name": "b", "target": {"cluster": "b"}, "base_open_ms": 9000, "max_open_ms": 5000, "table": {"keys": 64}},
            {"target": {"cluster": "c"}, "half_open_permits": 0, "state": "open"},
        ],
        "reply": {"status": 200},
        "on_failure": "pass",
    });
    let got = problems(&config);
    println!("{got:#?}");
    let expected = [
        ("breakers[0].match", "does not go with this target"),
        ("breakers[0].failure_statuses[1]", "600 is out of range"),
        ("breakers[1].name", "\"a\" is already used"),
        ("breakers[1].target", "unknown field `clusters`"),
        ("breakers[1].window_slots", "does not divide into 7 slots"),
        ("breakers[2].max_open_ms", "5000 ms is below base_open_ms"),
        ("breakers[2].table", "does not go with this target"),
        ("breakers[3].name", "missing"),
        ("breakers[3].half_open_permits", "0 permits is out of range"),
        ("breakers[3].state", "found \"open\""),
        ("reply.status", "200 is out of range"),
        ("on_failure", "found \"pass\""),
    ];
    for (path, problem) in expected {
        let told = |line: &String| line.starts_with(path) && line.contains(problem);
        assert!(got.iter().any(told), "{path}: {problem} in {got:#?}");
    }
    assert_eq!(got.len(), expected.len(), "{got:#?}");
}

#[test]
fn a_name_and_a_target_are_enough() {
    let least = json!({"breakers": [{"name": "a", "target": {"cluster": "a"}}]});
    let bootstrap = Bootstrap::new().wasm(&filter_of(&least)).direct_response("/", 200, "ok").json();
    assert_eq!(Envoy::validate(&bootstrap), Ok(()));
}

#[test]
fn a_cluster_does_not_fall_back_to_itself() {
    let config = json!({"breakers": [breaker("a", &json!({"fallback": [{"cluster": "a"}]}))]});
    let expected = ["breakers[0]: falls back to its own cluster \"a\", expected another one"];
    assert_eq!(problems(&config), expected);
}
