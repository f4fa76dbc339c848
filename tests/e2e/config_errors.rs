//! Configurations that Envoy accepts and refuses, and what it says.

use serde_json::{json, Value};
use tidegate_tests::{Bootstrap, Client, Envoy, Options, WasmFilter};

use crate::setup::{assert_unhurt, by_key, filter, start, with};

/// The lines that the filter logs while Envoy refuses to start, without what comes before
/// them, and while `--mode validate` says no.
fn problems(bootstrap: &Bootstrap) -> Vec<String> {
    let started = Envoy::start(&bootstrap.json(), &Options::default()).unwrap_err().log;
    assert!(started.ends_with("[exit status: 1]\n"), "{started}");
    let validated = Envoy::validate(&bootstrap.json()).unwrap_err();
    let (started, validated) = (lines(&started), lines(&validated));
    assert_eq!(started, validated, "what is refused at start and what by validation");
    started
}

fn lines(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| line.split_once("ratelimit: configuration: "));
    lines.map(|(_, problem)| problem.to_owned()).collect()
}

fn behind(filter: &WasmFilter) -> Bootstrap {
    Bootstrap::new().wasm(filter).direct_response("/", 200, "ok")
}

#[test]
fn every_problem_is_told_with_its_path() {
    let config = json!({
        "limits": [
            {"name": "a", "key": [{"header": "x-key"}], "requests": 0, "per_ms": 1000},
            {"name": "a", "key": [{"heder": "x-key"}], "requests": 5, "per_ms": 1000, "bursts": 10},
            {"name": "b c", "key": [], "requests": "5", "per_ms": 86_400_001, "match": {"path": {"prefix": "api"}}},
            {"key": ["client_address"], "requests": 2, "per_ms": 1000, "cost": 3, "mode": "log"},
        ],
        "table": {"keys": 1},
        "header": "draft11",
        "on_failure": "pass",
    });
    let fields =
        "`name`, `match`, `key`, `requests`, `per_ms`, `burst`, `cost`, `repeated`, `on_missing_key`, `mode`, `table`";
    let parts = "`client_address`, `constant`, `cookie`, `header`, `host`, `method`, `path_segment`, `query_parameter`";
    let expected = [
"header: unknown field `header`, expected one of `limits`, `table`, `leases`, `headers`, `headers_on_admitted`, `log_admitted`, `reply`, `mode`, `on_failure`, `scope`".to_owned(),
        "limits[0].requests: 0 requests is out of range, expected 1 to 4294967295 requests".to_owned(),
        format!("limits[1].bursts: unknown field `bursts`, expected one of {fields}"),
        format!("limits[1].key[0].heder: unknown field `heder`, expected one of {parts}"),
        "limits[2].key: 0 key parts are out of range, expected 1 to 8".to_owned(),
        "limits[2].match.path.prefix: \"api\" is not a path, expected one that starts with `/`".to_owned(),
        "limits[2].name: \"b c\" is not a name, expected letters, digits, `-` and `_`".to_owned(),
        "limits[2].per_ms: 86400001 ms is out of range, expected 1 to 86400000 ms".to_owned(),
        "limits[2].requests: found \"5\", expected an integer, 1 to 4294967295 requests".to_owned(),
        "limits[3].mode: found \"log\", expected one of `enforce`, `observe`".to_owned(),
        "limits[3].name: missing, expected a name".to_owned(),
        "on_failure: found \"pass\", expected one of `allow`, `refuse`".to_owned(),
        "table.keys: 1 keys is out of range, expected 16 to 1048576 keys".to_owned(),
        "limits[1].name: \"a\" is already used, expected another name".to_owned(),
        "limits[3].cost: a cost of 3 with a burst of 2 never passes, expected 1 to 2".to_owned(),
    ];
    assert_eq!(problems(&behind(&filter(&config))), expected);
}

#[test]
fn what_is_no_json_is_told_by_line_and_column() {
    let cases = [
        (
            "{\"limits\": [}",
            "configuration: not JSON: expected value at line 1 column 13, expected one JSON object",
        ),
        ("", "configuration: empty, expected one JSON object"),
        ("[]", "configuration: found an empty list, expected an object with `limits`, `table`, `leases`, `headers`, `headers_on_admitted`, `log_admitted`, `reply`, `mode`, …"),
        ("{}", "limits: missing, expected a list of limits"),
        ("{\"mode\": \"enforce\", \"mode\": \"observe\"}", "mode: given twice, expected once"),
    ];
    for (text, expected) in cases {
        let filter = filter(&Value::Null).raw_config(text);
        assert_eq!(problems(&behind(&filter))[0], expected, "{text}");
    }
}

/// The filter with a configuration of another type than text.
fn typed(configuration: &Value) -> Bootstrap {
    let mut chain = filter(&Value::Null).json();
    chain["typed_config"]["config"]["configuration"] = configuration.clone();
    Bootstrap::new().filter(chain).direct_response("/", 200, "ok")
}

#[test]
fn a_configuration_that_is_not_there_is_told_so() {
    assert_eq!(problems(&typed(&Value::Null)), ["configuration: empty, expected one JSON object"]);
}

/// Envoy hands a `Struct` to a Wasm filter as raw protobuf, whatever its documentation says.
#[test]
fn a_struct_is_refused_with_a_hint_at_a_string() {
    let config = json!({"limits": [by_key("one", 1)]});
    let kind = "type.googleapis.com/google.protobuf.Struct";
    let hint = "configuration: binary, as a google.protobuf.Struct is, \
                expected one JSON object in a google.protobuf.StringValue";
    assert_eq!(problems(&typed(&json!({"@type": kind, "value": config}))), [hint]);
}

#[test]
fn the_example_of_the_documentation_is_accepted() {
    let text = r#"{"limits": [{"name": "per-client", "match": {"path": {"prefix": "/api"}}, "key": [{"header": "x-api-key"}],
                     "requests": 5, "per_ms": 1000, "burst": 10, "cost": 1, "on_missing_key": "shared", "mode": "enforce"}],
      "table": {"keys": 32768}, "headers": "draft11", "on_failure": "allow"}"#;
    let bootstrap = behind(&filter(&Value::Null).raw_config(text));
    assert_eq!(Envoy::validate(&bootstrap.json()), Ok(()));
    let envoy = Envoy::start(&bootstrap.json(), &Options::workers(2)).unwrap();
    assert_eq!(Client::connect(envoy.addr()).get("/api/x", &[("x-api-key", "k")]).status, 200);
    assert_unhurt(&envoy);
}

#[test]
fn the_four_required_fields_are_enough() {
    let least = json!({"name": "one", "key": [{"header": "x-key"}], "requests": 2, "per_ms": 86_400_000});
    let envoy = start(&json!({"limits": [least]}), 1);
    let mut client = Client::connect(envoy.addr());
    let statuses = [(); 3].map(|()| client.get("/", &[("x-key", "a")]).status);
    assert_eq!(statuses, [200, 200, 429], "the burst is as large as the requests");
}

#[test]
fn the_largest_configuration_is_served() {
    let limit = |index: u32| {
        with(by_key(&format!("limit-{index}-{}", "x".repeat(50)), 1), &json!({"table": {"keys": 131_072}}))
    };
    let limits: Vec<_> = (0..32).map(limit).collect();
    let envoy = start(&json!({"limits": limits}), 2);
    let mut client = Client::connect(envoy.addr());
    assert_eq!(client.get("/", &[("x-key", "a")]).status, 200);
    assert_eq!(client.get("/", &[("x-key", "a")]).status, 429);
    assert_unhurt(&envoy);
}
