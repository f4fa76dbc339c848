//! Documents from elsewhere than the tests of the configuration.

use std::fs;

use serde_json::{json, Value};
use tidegate_policy::config::ConfigError;
use tidegate_policy::fused::Fused;
use tidegate_policy::http::{Placement, Stage};
use tidegate_policy::{breaker, discovery, ratelimit, routing};
use tidegate_tests::cases;
use tidegate_tests::paths::root;

use super::hold;

/// A document of each filter that says everything.
const EVERYTHING: [(&str, &str); 4] = [
    ("breaker", include_str!("../../fuzz/regressions/breaker_config/every-field.json")),
    ("discovery", include_str!("../../fuzz/regressions/discovery_config/every-field.json")),
    ("ratelimit", include_str!("../../fuzz/regressions/config/every-field.json")),
    ("routing", include_str!("../../fuzz/regressions/routing_config/every-field.json")),
];

fn error(filter: &str, json: &str) -> Option<ConfigError> {
    match filter {
        "breaker" => breaker::Policy::parse(json.as_bytes()).err(),
        "fused" => Fused::configure(json.as_bytes(), Placement::Downstream).err(),
        "discovery" => discovery::Policy::parse(json.as_bytes()).err(),
        "ratelimit" => ratelimit::Policy::parse(json.as_bytes(), true).err(),
        _ => routing::Policy::parse(json.as_bytes()).err(),
    }
}

/// Which filter a document is for, by what it begins with.
fn filter(json: &str) -> Option<&'static str> {
    let parts = ["ratelimit", "routing", "breaker", "discovery"];
    if parts.iter().any(|part| json.contains(&format!("\"{part}\": {{"))) {
        return Some("fused");
    }
    let fields = [
        ("registries", "discovery"),
        ("breakers", "breaker"),
        ("routes", "routing"),
        ("limits", "ratelimit"),
    ];
    let has = |field: &str| json.contains(&format!("\"{field}\":"));
    fields.into_iter().find(|(field, _)| has(field)).map(|(_, filter)| filter)
}

#[test]
fn schemas_agree_with_the_filters_on_all_cases() {
    let cases = cases::all();
    assert!(cases.len() > 20, "only {} cases", cases.len());
    for case in cases {
        hold(&case.filter, &case.config, error(&case.filter, &case.config).as_ref());
    }
}

#[test]
fn schemas_accept_the_configurations_for_envoy() {
    let mut seen = 0;
    for entry in fs::read_dir(root().join("envoy-config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for block in text.split("value: |\n").skip(1) {
            let indent = block.len() - block.trim_start_matches(' ').len();
            let inside = |line: &&str| line.trim().is_empty() || line.starts_with(&" ".repeat(indent));
            let json: String = block.lines().take_while(inside).flat_map(|line| [line, "\n"]).collect();
            let Some(filter) = filter(&json) else { continue };
            assert_eq!(error(filter, &json), None, "{}", path.display());
            hold(filter, &json, None);
            seen += 1;
        }
    }
    assert!(seen >= 6, "only {seen} documents");
}

#[test]
fn schemas_agree_with_the_filters_on_the_examples_of_pages() {
    let mut seen = 0;
    let pages = ["README.md", "docs/config.md", "filters", "docs/config"].map(|path| root().join(path));
    let mut all: Vec<_> = pages.into_iter().collect();
    while let Some(path) = all.pop() {
        if path.is_dir() {
            all.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for block in text.split("\n```json").skip(1) {
            let json = block.split_once('\n').and_then(|(_, rest)| rest.split_once("\n```")).unwrap().0;
            let Some(filter) = filter(json) else { continue };
            hold(filter, json, error(filter, json).as_ref());
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} examples");
}

/// Every value of a document, by its JSON pointer.
fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| pointers(item, &format!("{at}/{index}"), into));
        }
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            pointers(value, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), into);
        }),
        _ => (),
    }
}

#[test]
fn schemas_agree_with_the_filters_wherever_a_value_is_replaced() {
    let values = [
        json!(null),
        json!(false),
        json!(0),
        json!(1.5),
        json!(5.0),
        json!(u64::MAX),
        json!(""),
        json!("10s"),
        json!("host"),
        json!([]),
        json!(["a", "b"]),
        json!({}),
        json!({"unknown": 1}),
    ];
    let mut held = 0;
    let parts: Vec<String> = EVERYTHING.iter().map(|(part, json)| format!("\"{part}\": {json}")).collect();
    let all = format!("{{{}}}", parts.join(", "));
    for (filter, json) in EVERYTHING.into_iter().chain([("fused", all.as_str())]) {
        let document: Value = serde_json::from_str(json).unwrap();
        assert_eq!(error(filter, json), None, "{filter}");
        let mut all = Vec::new();
        pointers(&document, "", &mut all);
        // The parts are those of the single filters.
        let depth = if filter == "fused" { 2 } else { usize::MAX };
        for pointer in all.iter().filter(|pointer| pointer.matches('/').count() <= depth) {
            for value in &values {
                let mut changed = document.clone();
                *changed.pointer_mut(pointer).unwrap() = value.clone();
                let json = changed.to_string();
                hold(filter, &json, error(filter, &json).as_ref());
                held += 1;
            }
        }
    }
    assert!(held > 3_000, "only {held} documents");
}
