//! The JSON Schemas accept what the filters accept, and refuse what they refuse by the tables of fields.
//!
//! Held against them are the documents of the configuration tests of the policy (which run here a second
//! time), of the cases, of `envoy-config/` and of the pages, and documents with a value replaced.

#[path = "../../shared/policy/tests/config/breaker.rs"]
mod breaker;
#[path = "../../shared/policy/tests/config/discovery.rs"]
mod discovery;
mod documents;
#[path = "../../shared/policy/tests/config/ratelimit.rs"]
mod ratelimit;
#[path = "../../shared/policy/tests/config/routing.rs"]
mod routing;
#[path = "../../shared/policy/tests/config/scope.rs"]
mod scope;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;
use tidegate_policy::config::{Cause, ConfigError};
use tidegate_reference::{schema, FILTERS};

/// A validator for each filter.
static SCHEMAS: LazyLock<BTreeMap<&str, Validator>> = LazyLock::new(|| {
    let validator = |(name, table)| {
        let schema: Value = serde_json::from_str(&schema::document(name, table)).unwrap();
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
        (name, jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    FILTERS.into_iter().map(validator).collect()
});

/// Holds a document of `filter` against its schema: `error` is what the filter says of it.
fn hold(filter: &str, json: &str, error: Option<&ConfigError>) {
    let Ok(value) = serde_json::from_str::<Value>(json) else { return };
    let problems = error.map_or(&[][..], |error| &error.problems);
    // What is read as a tree of maps has each field once.
    let by_table = |found: &str| found != "given twice";
    let shape = problems.iter().any(|p| p.cause == Cause::Shape && by_table(&p.found));
    let rules = problems.iter().all(|p| p.cause == Cause::Rule);
    let refused: Vec<String> =
        SCHEMAS[filter].iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    let says = error.map(ToString::to_string).unwrap_or_default();
    if shape {
        assert!(!refused.is_empty(), "{filter}: the schema accepts {json}, the filter says {says}");
    } else if rules {
        assert!(
            refused.is_empty(),
            "{filter}: the schema refuses {json}: {refused:#?}, the filter says {says:?}"
        );
    }
}
