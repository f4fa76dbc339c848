//! The manifests that the project ships.

use std::fs;

use regex::Regex;
use tidegate_policy::fused::Fused;
use tidegate_policy::http::{Placement, Stage};

use crate::{root, tidegate};

/// What belongs to one gateway together.
const SETS: [&[&str]; 4] = [
    &["ratelimit", "routing", "breaker", "discovery", "steering", "found-endpoints", "off-for-a-route"],
    &[
        "trafficextension/ratelimit",
        "trafficextension/routing",
        "trafficextension/breaker",
        "trafficextension/discovery",
        "steering",
        "found-endpoints",
    ],
    &["one-module/tidegate", "steering", "found-endpoints"],
    &["one-module/trafficextension", "steering", "found-endpoints"],
];

fn check(files: &[&str]) -> (i32, String) {
    let files: Vec<String> = files.iter().map(|file| format!("deploy/istio/{file}.yaml")).collect();
    let args: Vec<&str> = ["check", "--strict"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let ran = tidegate(&args);
    (ran.code, ran.out)
}

#[test]
fn the_manifests_for_istio_pass_as_they_are_applied_together() {
    for set in SETS {
        let (code, out) = check(set);
        assert_eq!(code, 0, "{set:?}:\n{out}");
    }
}

/// That they pass says something: without what a set needs besides its plugins they do not.
#[test]
fn plugins_without_the_routes_that_they_need_do_not_pass() {
    for (without, found) in [("steering", "steer"), ("found-endpoints", "cluster")] {
        let set: Vec<&str> = SETS[2].iter().copied().filter(|file| *file != without).collect();
        let (code, out) = check(&set);
        assert!(code == 1 && out.contains(found), "without {without}:\n{out}");
    }
}

/// A document that has one of everything, with a scope.
const DOCUMENT: &str = r#"{
    "ratelimit": {"scope": "shop-gw", "limits": [{"name": "per-client", "key": ["client_address"], "requests": 1, "per_ms": 1000}]},
    "routing": {"scope": "shop-gw", "routes": [{"name": "checkout", "variants": [{"name": "v-1", "cluster": "a"}]}]},
    "breaker": {"scope": "shop-gw", "breakers": [{"name": "pay", "target": {"cluster": "a"}}]},
    "discovery": {"scope": "shop-gw", "allow": ["10.0.0.0/8:1-65535"], "services": [{"name": "orders", "registry": "main"}],
        "registries": {"main": {"static": {"services": {"orders": [{"address": "10.0.0.1", "port": 80}]}}}}}}"#;

/// The rules of the file, each a pattern, a label and its value.
fn relabelings() -> Vec<(Regex, String, String)> {
    let text = fs::read_to_string(root().join("deploy/istio/labels-by-prometheus.yaml")).unwrap();
    let field = |line: &str, name: &str| {
        line.trim().strip_prefix(name).map(|value| value.trim().trim_matches('\'').to_owned())
    };
    // `$1_` would be a name with an underscore.
    let group = Regex::new(r"\$(\d)").unwrap();
    let mut rules = Vec::new();
    for line in text.lines() {
        if let Some(pattern) = field(line, "regex:") {
            rules.push((Regex::new(&format!("^(?:{pattern})$")).unwrap(), String::new(), String::new()));
        } else if let Some(label) = field(line, "target_label:") {
            rules.last_mut().unwrap().1 = label;
        } else if let Some(value) = field(line, "replacement:") {
            rules.last_mut().unwrap().2 = group.replace_all(&value, "$${$1}").into();
        }
    }
    rules
}

/// A metric as Prometheus has it after the rules: its name, and its labels in the order in which they came.
fn relabeled(name: &str, rules: &[(Regex, String, String)]) -> (String, Vec<String>) {
    let (mut name, mut labels) = (name.to_owned(), Vec::new());
    for (pattern, label, value) in rules {
        let Some(found) = pattern.captures(&name) else { continue };
        let mut text = String::new();
        found.expand(value, &mut text);
        if label == "__name__" {
            name = text;
        } else {
            labels.push(format!("{label}={text}"));
        }
    }
    (name, labels)
}

#[test]
fn prometheus_makes_labels_of_the_names_in_every_metric_that_has_one() {
    let (stage, rules) =
        (Fused::configure(DOCUMENT.as_bytes(), Placement::Downstream).unwrap(), relabelings());
    let named = [
        ("limit", "limit=per_client"),
        ("route", "route=checkout"),
        ("breaker", "breaker=pay"),
        ("service", "service=orders"),
        ("registry", "registry=main"),
    ];
    for metric in stage.metrics() {
        let words: Vec<&str> = metric.name.split('.').collect();
        // tidegate.<filter>.scope.<scope>.<kind>.<name>...
        let known = named.iter().find(|(kind, _)| words.get(4) == Some(kind));
        let (name, labels) = relabeled(&metric.name.replace(['.', '-'], "_"), &rules);
        let Some((_, label)) = known else { continue };
        assert_eq!(labels.iter().filter(|own| *own == "scope=shop_gw").count(), 1, "{}", metric.name);
        assert!(labels.iter().any(|own| own == label), "{}: {labels:?}", metric.name);
        let filter = words[1];
        assert!(name.starts_with(&format!("tidegate_{filter}_")) && !name.contains("scope"), "{name}");
        let last = words.last().unwrap();
        let reason = labels.contains(&format!("reason={last}"));
        assert!(
            name.ends_with(last) || (reason && name.ends_with("_transitions")),
            "{}: {name}",
            metric.name
        );
    }
}
