//! The manifests that the project ships.

use std::fs;

use regex::Regex;
use tidegate_policy::fused::Fused;
use tidegate_policy::http::{Placement, Stage};

use crate::{root, tidegate};

/// The alternatives among the plugins, each for the gateway.
const PLUGINS: [&str; 4] =
    ["one-module", "four-modules", "trafficextension/one-module", "trafficextension/four-modules"];

fn check(files: &[&str]) -> (i32, String) {
    let args: Vec<&str> = ["check", "--strict"].into_iter().chain(files.iter().copied()).collect();
    let ran = tidegate(&args);
    (ran.code, ran.out)
}

#[test]
fn the_manifests_for_istio_pass_as_they_are_applied_together() {
    for plugins in PLUGINS {
        let options = "deploy/istio/options/off-for-a-route.yaml";
        let (code, out) = check(&["deploy/istio/gateway", &format!("deploy/istio/{plugins}"), options]);
        assert_eq!(code, 0, "{plugins}:\n{out}");
    }
}

/// The commands in the manifests and on the page, as they are printed.
#[test]
fn each_check_that_is_printed_for_istio_passes() {
    let mut files = vec![root().join("docs/istio.md")];
    for folder in ["one-module", "four-modules"] {
        let entries = fs::read_dir(root().join("deploy/istio").join(folder)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    let mut commands = 0;
    for file in files {
        for line in fs::read_to_string(&file).unwrap().lines() {
            let line = line.trim_start_matches(['#', ' ']);
            let Some(args) = line.strip_prefix("tidegate check ") else { continue };
            let args: Vec<&str> = ["check"].into_iter().chain(args.split_whitespace()).collect();
            let ran = tidegate(&args);
            assert_eq!(ran.code, 0, "{}: {line}\n{}", file.display(), ran.out);
            commands += 1;
        }
    }
    assert_eq!(commands, 1 + 1 + 4, "one on the page and one in each file");
}

/// That they pass says something: without what a set needs besides its plugins they do not.
#[test]
fn plugins_without_the_routes_that_they_need_do_not_pass() {
    let around = [("found-endpoints", "steer"), ("steering", "cluster")];
    for (alone, found) in around {
        let file = format!("deploy/istio/gateway/{alone}.yaml");
        let (code, out) = check(&["deploy/istio/one-module", &file]);
        assert!(code == 1 && out.contains(found), "with {alone} alone:\n{out}");
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
    let text = fs::read_to_string(root().join("deploy/istio/options/labels-by-prometheus.yaml")).unwrap();
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
