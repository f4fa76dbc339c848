//! What the page for people who come from elsewhere calls ours is there.

use std::collections::BTreeSet;

use serde_json::Value;
use tidegate_tests::paths::root;

use super::{quoted, read};

/// Names of fields and words that a schema lets a field have.
fn collect(schema: &Value, words: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("properties", Value::Object(fields)) => words.extend(fields.keys().cloned()),
                    ("enum", Value::Array(all)) => {
                        words.extend(all.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    ("const", Value::String(word)) => drop(words.insert(word.clone())),
                    _ => {}
                }
                collect(value, words);
            }
        }
        Value::Array(all) => all.iter().for_each(|one| collect(one, words)),
        _ => {}
    }
}

#[test]
fn fields_beside_those_of_others_are_ours() {
    let mut words = BTreeSet::new();
    for filter in ["ratelimit", "breaker", "routing", "discovery"] {
        let text = read(&root().join(format!("envoy-config/schema/{filter}.json")));
        collect(&serde_json::from_str(&text).unwrap(), &mut words);
    }
    assert!(words.len() > 200, "{}", words.len());
    let text = read(&root().join("docs/coming-from.md"));
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.matches(" | ").count() >= 2);
    let mut seen = 0;
    for row in rows {
        let ours = row.split(" | ").nth(1).unwrap();
        for word in quoted(ours).into_iter().filter(|word| !["true", "false"].contains(word)) {
            assert!(words.contains(word), "`{word}` in {row}");
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}
