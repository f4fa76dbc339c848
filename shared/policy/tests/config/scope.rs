//! What each filter says about the scope of its document.

use tidegate_policy::config::{ConfigError, Scope};
use tidegate_policy::{breaker, discovery, ratelimit, routing};

/// The least document of each filter, without its last brace.
const DOCUMENTS: [(&str, &str); 4] = [
    ("breaker", r#"{"breakers": [{"name": "a", "target": {"cluster": "c"}}]"#),
    (
        "discovery",
        r#"{"registries": {"r": {"consul": {"cluster": "c"}}}, "allow": ["10.0.0.0/8:80"],
            "services": [{"name": "a", "registry": "r"}]"#,
    ),
    ("ratelimit", r#"{"limits": [{"name": "a", "key": ["host"], "requests": 1, "per_ms": 1}]"#),
    ("routing", r#"{"routes": [{"name": "a", "variants": [{"name": "v", "cluster": "c"}]}]"#),
];

fn scope(filter: &str, json: &str) -> Result<Scope, ConfigError> {
    let scope = match filter {
        "breaker" => breaker::Policy::parse(json.as_bytes()).map(|policy| policy.scope),
        "discovery" => discovery::config::policy::Policy::parse(json.as_bytes()).map(|policy| policy.scope),
        "ratelimit" => ratelimit::Policy::parse(json.as_bytes(), false).map(|policy| policy.scope),
        _ => routing::config::Policy::parse(json.as_bytes()).map(|policy| policy.scope),
    };
    super::hold(filter, json, scope.as_ref().err());
    scope
}

#[test]
fn each_document_may_have_a_scope() {
    let long = "x".repeat(64);
    for (filter, document) in DOCUMENTS {
        assert_eq!(scope(filter, &format!("{document}}}")).unwrap(), Scope::default(), "{filter}");
        for name in ["team-a", "A_1", &long] {
            let json = format!("{document}, \"scope\": \"{name}\"}}");
            assert_eq!(scope(filter, &json).unwrap(), Scope::named(name), "{filter}");
        }
    }
}

#[test]
fn a_scope_is_a_name() {
    let cases = [
        (r#""""#, "scope: a text of 0 bytes is out of range, expected 1 to 64 bytes"),
        (r#""a.b""#, "scope: \"a.b\" is not a name, expected letters, digits, `-` and `_`"),
        (r#""a b""#, "scope: \"a b\" is not a name, expected letters, digits, `-` and `_`"),
        ("7", "scope: found 7, expected a name"),
        (r#"["a"]"#, "scope: found a list, expected a name"),
    ];
    for (filter, document) in DOCUMENTS {
        for (value, expected) in cases {
            let error = scope(filter, &format!("{document}, \"scope\": {value}}}")).unwrap_err();
            let problems: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
            assert_eq!(problems, [expected], "{filter}");
        }
        let long = "x".repeat(65);
        assert!(scope(filter, &format!("{document}, \"scope\": \"{long}\"}}")).is_err(), "{filter}");
    }
}
