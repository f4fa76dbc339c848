//! Configurations: any document is a policy or a list of problems.

use proptest::prelude::*;
use tidegate_policy::config::json::Json;
use tidegate_policy::config::{document, ConfigError, Problem, Reader};
use tidegate_policy::ratelimit::Policy;
use tidegate_policy::routing;

use crate::cases;

/// A document that uses everything.
const VALID: &str = r#"{
  "limits": [
    {
      "name": "per-client",
      "match": [{"path": {"template": "/a/{id}/**"}, "method": "GET", "host": ["*.a.example"],
                 "headers": [{"name": "x-tier", "exact": "free"}]}],
      "key": [{"client_address": {"trusted_hops": 1, "peer_appended": true, "ipv6_prefix": 56}}, "method"],
      "requests": 100, "per_ms": 60000, "burst": 20, "cost": 2,
      "on_missing_key": "skip", "mode": "observe", "table": {"keys": 4096}
    },
    {"name": "all", "key": [{"constant": "all"}], "requests": 5, "per_ms": 1000},
    {"name": "user", "match": {"path": {"prefix": "/b"}}, "key": [{"header": "x-user"}, {"cookie": "s"}, "host",
      {"path_segment": 1}, {"query_parameter": "q"}], "requests": 7, "per_ms": 100}
  ],
  "table": {"keys": 16384},
  "leases": {"units": 16, "ttl_ms": 50},
  "headers": "draft03_envoy", "headers_on_admitted": true,
  "reply": {"status": 503, "grpc_status": 14, "body": "no", "content_type": "text/plain", "headers": {"x-a": "b"}},
  "mode": "enforce", "on_failure": "refuse"
}"#;

/// One of the routing filter.
const ROUTING: &str = include_str!("../routing.json");

fn valid() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![VALID, ROUTING])
}

/// One change to a text: replace so many bytes at a place by others.
#[derive(Clone, Debug)]
struct Edit {
    at: prop::sample::Index,
    removed: usize,
    inserted: Vec<u8>,
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let words = [
        "null",
        "{}",
        "[]",
        "-1",
        "0",
        "1e400",
        "18446744073709551616",
        "true",
        "\"\"",
        ",",
        "{",
        "]",
        "\"\\ud800\"",
    ];
    let word = prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec());
    let inserted = prop_oneof![2 => word, 2 => prop::collection::vec(32_u8..127, 0..3), 1 => prop::collection::vec(any::<u8>(), 0..3)];
    let edit = (any::<prop::sample::Index>(), 0_usize..6, inserted);
    let edit = edit.prop_map(|(at, removed, inserted)| Edit { at, removed, inserted });
    prop::collection::vec(edit, 1..4)
}

/// The values of the document, by where they begin and end.
fn values(text: &str) -> Vec<(usize, usize)> {
    let starts = text.match_indices([':', '[', ',']).map(|(at, _)| at + 1);
    let spans = starts.filter_map(|start| {
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<serde_json::Value>();
        values.next()?.ok()?;
        let end = start + values.byte_offset();
        let is_name = text[end..].trim_start().starts_with(':');
        (!is_name).then_some((start, end))
    });
    spans.collect()
}

/// The same for each filter; and nothing may be refused without a word on why.
fn is_policy_or_problems(bytes: &[u8]) -> Result<(), TestCaseError> {
    let errors = [Policy::parse(bytes, true).err(), routing::Policy::parse(bytes).err()];
    for ConfigError { problems, .. } in errors.into_iter().flatten() {
        prop_assert!(!problems.is_empty());
        let says = |found: &str| !found.is_empty() && found != "is not usable";
        prop_assert!(problems.iter().all(|problem| says(&problem.found)), "{:?}", problems);
        let line = |problem: &Problem| !problem.to_string().contains(char::is_control);
        prop_assert!(problems.iter().all(line), "{:?}", problems);
    }
    Ok(())
}

#[test]
fn the_valid_document_is_valid() {
    let errors =
        [Policy::parse(VALID.as_bytes(), true).err(), routing::Policy::parse(ROUTING.as_bytes()).err()];
    if let Some(error) = errors.into_iter().flatten().next() {
        panic!("{error}");
    }
}

proptest! {
    #![proptest_config(cases(1500))]

    /// Any bytes.
    #[test]
    fn any_bytes_are_a_policy_or_problems(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        is_policy_or_problems(&bytes)?;
        let _ = Json::parse(&bytes);
        let walked = document(&bytes, |reader: &Reader<'_>| reader.object().map(drop));
        prop_assert!(walked.is_ok() || !walked.unwrap_err().problems.is_empty());
    }

    /// A valid document with some bytes changed.
    #[test]
    fn a_damaged_document_is_a_policy_or_problems(valid in valid(), edits in edits()) {
        let mut bytes = valid.as_bytes().to_vec();
        for Edit { at, removed, inserted } in edits {
            let start = at.index(bytes.len() + 1);
            let end = bytes.len().min(start + removed);
            bytes.splice(start..end, inserted);
        }
        is_policy_or_problems(&bytes)?;
    }

    /// A valid document with one value replaced by another.
    #[test]
    fn a_misconfigured_document_is_a_policy_or_problems(
        valid in valid(),
        at: prop::sample::Index,
        value in prop_oneof![
            Just("null".to_string()), Just("{}".to_string()), Just("[]".to_string()), Just("true".to_string()),
            Just("[[{\"a\":[]}]]".to_string()), any::<u64>().prop_map(|n| n.to_string()), any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_filter("JSON has no such number", |x| x.is_finite()).prop_map(|x| x.to_string()),
            any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        ],
    ) {
        let values = values(valid);
        let (start, end) = *at.get(&values);
        let text = format!("{}{value}{}", &valid[..start], &valid[end..]);
        prop_assert!(Json::parse(text.as_bytes()).is_ok(), "{}", text);
        is_policy_or_problems(text.as_bytes())?;
    }
}
