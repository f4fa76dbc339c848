//! What the rate-limit filter says about its configuration.

use tidegate_policy::ratelimit::config::{Mode, OnFailure, OnMissingKey};
use tidegate_policy::ratelimit::headers::Style;
use tidegate_policy::ratelimit::Policy;
use tidegate_policy::time::Span;

/// The example of the reference.
const EXAMPLE: &str = r#"{"limits": [{"name": "per-client", "match": {"path": {"prefix": "/api"}},
    "key": [{"header": "x-api-key"}], "requests": 5, "per_ms": 1000, "burst": 10, "cost": 1,
    "on_missing_key": "shared", "mode": "enforce"}],
    "table": {"keys": 32768}, "headers": "draft11", "on_failure": "allow"}"#;

/// One limit with these fields instead of, or besides, the required ones.
fn limit(fields: &str) -> String {
    let required = [("name", r#""a""#), ("key", r#"["host"]"#), ("requests", "5"), ("per_ms", "1000")];
    let rest = required.iter().filter(|(name, _)| !fields.contains(&format!("\"{name}\":")));
    let rest: Vec<String> = rest.map(|(name, value)| format!("\"{name}\": {value}")).collect();
    let comma = if fields.is_empty() || rest.is_empty() { "" } else { ", " };
    format!("{{\"limits\": [{{{}{comma}{fields}}}]}}", rest.join(", "))
}

fn problems(json: &str) -> Vec<String> {
    let error = Policy::parse(json.as_bytes(), true).err();
    super::hold("ratelimit", json, error.as_ref());
    error.map_or(Vec::new(), |e| e.problems.iter().map(ToString::to_string).collect())
}

#[test]
fn absent_fields_have_the_documented_defaults() {
    let policy = Policy::parse(limit("").as_bytes(), true).unwrap();
    assert_eq!((policy.headers, policy.headers_on_admitted), (Style::Draft11, false));
    assert_eq!(policy.on_failure, OnFailure::Allow);
    assert_eq!((policy.reply.status, policy.reply.grpc_status), (429, 8));
    assert_eq!(policy.reply.content_type, "application/problem+json");
    let limit = &policy.limits[0];
    assert_eq!((limit.rate.burst().get(), limit.cost, limit.keys()), (5, 1, 32_768));
    assert_eq!((limit.mode, limit.on_missing_key), (Mode::Enforce, OnMissingKey::Shared));
    assert_eq!(limit.period, Span::from_secs(1));
    assert!(limit.matches.is_empty());
}

#[test]
fn the_example_is_read_as_written() {
    let policy = Policy::parse(EXAMPLE.as_bytes(), true).unwrap();
    let limit = &policy.limits[0];
    assert_eq!((limit.name.as_str(), limit.requests, limit.rate.burst().get()), ("per-client", 5, 10));
    assert_eq!(limit.matches.len(), 1);
}

#[test]
fn a_table_has_room_for_the_next_power_of_two() {
    for (keys, room) in [(16, 16), (17, 32), (1_000, 1_024), (32_768, 32_768), (1_048_576, 1_048_576)] {
        let policy =
            Policy::parse(limit(&format!("\"table\": {{\"keys\": {keys}}}")).as_bytes(), true).unwrap();
        assert_eq!(policy.limits[0].keys(), room, "{keys} keys");
    }
    let constant = limit(r#""key": [{"constant": "all"}]"#);
    assert_eq!(Policy::parse(constant.as_bytes(), true).unwrap().limits[0].keys(), 16, "one block is enough");
}

#[test]
fn each_problem_says_where_what_and_what_would_be_right() {
    #[rustfmt::skip]
    let cases = [
        (limit(r#""requests": 0"#), "limits[0].requests: 0 requests is out of range, expected 1 to 4294967295 requests"),
        (limit(r#""requests": "5""#), "limits[0].requests: found \"5\", expected an integer, 1 to 4294967295 requests"),
        (limit(r#""requests": 1.5"#), "limits[0].requests: found a fraction, expected an integer, 1 to 4294967295 requests"),
        (limit(r#""requests": -1"#), "limits[0].requests: -1 requests is out of range, expected 1 to 4294967295 requests"),
        (limit(r#""per_ms": 86400001"#), "limits[0].per_ms: 86400001 ms is out of range, expected 1 to 86400000 ms"),
        (limit(r#""per_ms": null"#), "limits[0].per_ms: missing, expected an integer, 1 to 86400000 ms, or a text such as \"10s\""),
        (limit(r#""burst": 0"#), "limits[0].burst: 0 requests is out of range, expected 1 to 4294967295 requests"),
        (limit(r#""bursts": 3"#), "limits[0].bursts: unknown field `bursts`, expected one of `name`, `match`, `key`, `requests`, `per_ms`, `burst`, `cost`, `repeated`, `on_missing_key`, `mode`, `table`"),
        (limit(r#""cost": 6"#), "limits[0].cost: a cost of 6 with a burst of 5 never passes, expected 1 to 5"),
        (limit(r#""requests": 1, "per_ms": 86400000, "burst": 4294967295"#), "limits[0].burst: a burst of 4294967295 would take over 146 years to come back, expected a smaller one"),
        (limit(r#""name": "a b""#), "limits[0].name: \"a b\" is not a name, expected letters, digits, `-` and `_`"),
        (limit(r#""name": """#), "limits[0].name: a text of 0 bytes is out of range, expected 1 to 64 bytes"),
        (limit(r#""key": []"#), "limits[0].key: 0 key parts are out of range, expected 1 to 8"),
        (limit(r#""key": 7"#), "limits[0].key: found 7, expected a list of key parts"),
        (limit(r#""key": "ip""#), "limits[0].key: found \"ip\", expected one of `client_address`, `host`, `method`"),
        (limit(r#""per_ms": "2d""#), "limits[0].per_ms: 172800000 ms is out of range, expected 1 to 86400000 ms"),
        (limit(r#""per_ms": "5""#), "limits[0].per_ms: found \"5\", expected an integer, 1 to 86400000 ms, or a text such as \"10s\""),
        (limit(r#""match": {"path": "/api"}"#), "limits[0].match.path: found \"/api\", expected an object with `exact`, `prefix`, `starts_with`, `template`, `ignore_case`, `path_parameters` or `trailing_slash`"),
        (r#"{"breakers": []}"#.to_owned(), "breakers: belongs to tidegate-breaker.wasm, expected one of `limits`, `table`, `leases`, `headers`, `headers_on_admitted`, `log_admitted`, `reply`, `mode`, `on_failure`, `scope`"),
        (limit(r#""key": ["ip"]"#), "limits[0].key[0]: found \"ip\", expected one of `client_address`, `host`, `method`"),
        (limit(r#""key": [{"heder": "x"}]"#), "limits[0].key[0].heder: unknown field `heder`, expected one of `client_address`, `constant`, `cookie`, `header`, `host`, `method`, `path_segment`, `query_parameter`"),
        (limit(r#""key": [{"header": "a b"}]"#), "limits[0].key[0].header: \"a b\" is not a header name, expected letters, digits and `-`"),
        (limit(r#""key": [{"header": "Host"}]"#), "limits[0].key[0].header: \"Host\" is not among the headers, expected `host` in place of a header"),
        (limit(r#""key": [{"client_address": {"ipv6_prefix": 8}}]"#), "limits[0].key[0].client_address.ipv6_prefix: 8 bits is out of range, expected 16 to 128 bits"),
        (limit(r#""key": [{"client_address": {"ipv6_prefix": [64, 48]}}]"#), "limits[0].key[0].client_address.ipv6_prefix: found [64, 48], expected the widest network first, each once"),
        (limit(r#""key": [{"client_address": {"ipv6_prefix": [48, 48]}}]"#), "limits[0].key[0].client_address.ipv6_prefix: found [48, 48], expected the widest network first, each once"),
        (limit(r#""key": [{"client_address": {"ipv6_prefix": [48, 64]}}, {"client_address": {"ipv6_prefix": [32, 64]}}]"#), "limits[0].key[1].client_address.ipv6_prefix: found 2 prefixes, expected one prefix; only one part of the key of a limit has more"),
        (limit(r#""key": [{"client_address": {"ipv6_prefix": 48, "wider_multiplier": 2}}]"#), "limits[0].key[0].client_address.wider_multiplier: ipv6_prefix has no wider network, expected none without a list of prefixes"),
        (limit(r#""mode": false"#), "limits[0].mode: found false (YAML reads `off`, `no` and `n` so: quote them), expected one of `enforce`, `observe`"),
        (limit(r#""match": {"method": true}"#), "limits[0].match.method: found true (YAML reads `on`, `yes` and `y` so: quote them), expected a list of methods"),
        (limit(r#""true": "x""#), "limits[0].true: unknown field `true` (YAML reads `on`, `yes` and `y` so: quote them), expected one of `name`, `match`, `key`, `requests`, `per_ms`, `burst`, `cost`, `repeated`, `on_missing_key`, `mode`, `table`"),
        (limit(r#""mode": "off""#), "limits[0].mode: found \"off\", expected one of `enforce`, `observe`"),
        (limit(r#""on_missing_key": "deny""#), "limits[0].on_missing_key: found \"deny\", expected one of `shared`, `skip`, `refuse`"),
        (limit(r#""table": {"keys": 8}"#), "limits[0].table.keys: 8 keys is out of range, expected 16 to 1048576 keys"),
        (r#"{"limits": []}"#.to_owned(), "limits: 0 limits are out of range, expected 1 to 32"),
        ("{}".to_owned(), "limits: missing, expected a list of limits"),
        ("[]".to_owned(), "configuration: found an empty list, expected an object with `limits`, `table`, `leases`, `headers`, `headers_on_admitted`, `log_admitted`, `reply`, `mode`, …"),
        (String::new(), "configuration: empty, expected one JSON object"),
        ("{\"limits\": [}".to_owned(), "configuration: not JSON: expected value at line 1 column 13, expected one JSON object"),
    ];
    for (json, expected) in cases {
        assert_eq!(problems(&json), [expected], "{json}");
    }
}

/// The limit itself comes last, with its own name: its metrics and its debts are the same with a list
/// and without.
#[test]
fn a_limit_with_several_networks_is_a_limit_for_each_the_widest_first() {
    let key = r#""key": [{"client_address": {"ipv6_prefix": [32, 48, 64], "wider_multiplier": 10}}, "host"], "burst": 8"#;
    let policy = Policy::parse(limit(key).as_bytes(), true).unwrap();
    let found = policy.limits.iter().map(|l| (l.name.as_str(), l.requests, l.rate.burst().get()));
    assert_eq!(found.collect::<Vec<_>>(), [("a-32", 500, 800), ("a-48", 50, 80), ("a", 5, 8)]);
    let alone = limit(r#""key": ["client_address", "host"], "burst": 8"#);
    assert_eq!(policy.limits[2], Policy::parse(alone.as_bytes(), true).unwrap().limits[0]);
    let largest = r#""key": [{"client_address": {"ipv6_prefix": [16, 64], "wider_multiplier": 65536}}], "requests": 4294967295"#;
    assert_eq!(Policy::parse(limit(largest).as_bytes(), true).unwrap().limits[0].requests, u32::MAX);
}

#[test]
fn the_name_of_a_wider_network_is_taken() {
    let other = r#"{"name": "a-48", "key": ["host"], "requests": 1, "per_ms": 1000}"#;
    let key = r#""key": {"client_address": {"ipv6_prefix": [48, 64]}}"#;
    let json = limit(key).replacen("[", &format!("[{other}, "), 1);
    let expected = "limits: \"a-48\" has the same name as \"a-48\", expected another name for one of them";
    assert_eq!(problems(&json), [expected]);
}

#[test]
fn headers_on_admitted_need_the_module_that_has_them() {
    let json = limit("").replacen('{', "{\"headers_on_admitted\": true, ", 1);
    assert_eq!(problems(&json), [""; 0]);
    let error = Policy::parse(json.as_bytes(), false).unwrap_err();
    let expected = "headers_on_admitted: this module has no response callback, \
                    expected tidegate-ratelimit-headers.wasm";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn all_problems_are_listed_at_once() {
    let json = r#"{
        "limits": [
            {"name": "a", "key": ["host"], "requests": 0, "per_ms": 1000},
            {"name": "a", "key": [{"header": ""}], "per_ms": 0, "mode": 7, "mode": "observe"},
            {"match": {"path": {"prefix": "x"}}, "key": ["host"], "requests": 1, "per_ms": 1},
            7
        ],
        "headers": "draft12", "on_failure": true, "lease": {},
        "reply": {"status": 200, "headers": {"Retry-After": "1", "x y": "z", "ok": "\n"}}
    }"#;
    let expected = [
        "limits[0].requests: 0 requests is out of range, expected 1 to 4294967295 requests",
        "limits[1].key[0].header: a text of 0 bytes is out of range, expected 1 to 256 bytes",
        "limits[1].per_ms: 0 ms is out of range, expected 1 to 86400000 ms",
        "limits[1].mode: found 7, expected one of `enforce`, `observe`",
        "limits[1].mode: given twice, expected once",
        "limits[1].requests: missing, expected an integer, 1 to 4294967295 requests",
        "limits[2].match.path.prefix: \"x\" is not a path, expected one that starts with `/`",
        "limits[2].name: missing, expected a name",
        "limits[3]: found 7, expected an object with `name`, `match`, `key`, `requests`, `per_ms`, `burst`, `cost`, `repeated`, …",
        "headers: found \"draft12\", expected one of `draft11`, `draft03_envoy`, `none`",
        "on_failure: found true (YAML reads `on`, `yes` and `y` so: quote them), expected one of `allow`, `refuse`",
        "lease: unknown field `lease`, expected one of `limits`, `table`, `leases`, `headers`, `headers_on_admitted`, `log_admitted`, `reply`, `mode`, `on_failure`, `scope`",
        "reply.status: 200 is out of range, expected 400 to 599",
        "reply.headers.Retry-After: \"Retry-After\" is set by the filter, expected another header",
        "reply.headers[\"x y\"]: \"x y\" is not a header name, expected letters, digits and `-`",
        "reply.headers.ok: \"\\n\" has control characters, expected a header value",
        "limits[1].name: \"a\" is already used, expected another name",
    ];
    assert_eq!(problems(json).join("\n"), expected.join("\n"));
}

#[test]
fn values_may_be_written_as_templates_and_people_write_them() {
    let cases = [
        (limit(r#""requests": 1e3, "burst": 20.0"#), (1_000, 20, 1_000)),
        (limit(r#""per_ms": "1m30s""#), (5, 5, 90_000)),
        (limit(r#""per_ms": "1.5s""#), (5, 5, 1_500)),
        (limit(r#""per_ms": "1d", "key": {"header": "x"}"#), (5, 5, 86_400_000)),
        (limit(r#""match": {"method": "GET", "client_address": "10.0.0.0/8"}"#), (5, 5, 1_000)),
    ];
    for (json, (requests, burst, period)) in cases {
        let policy = Policy::parse(json.as_bytes(), true).unwrap_or_else(|error| panic!("{json}: {error}"));
        let limit = &policy.limits[0];
        assert_eq!((limit.requests, limit.rate.burst().get()), (requests, burst), "{json}");
        assert_eq!(limit.period, Span::from_millis(period), "{json}");
    }
}

#[test]
fn at_most_a_hundred_problems_are_printed() {
    let keys = vec!["7"; 300].join(", ");
    let error = Policy::parse(format!(r#"{{"limits": [{keys}]}}"#).as_bytes(), true).unwrap_err();
    assert_eq!(error.to_string(), "limits: 300 limits are out of range, expected 1 to 32");
    let fields: Vec<String> = (0..150).map(|n| format!(r#""f{n}": 1"#)).collect();
    let error = Policy::parse(format!("{{{}}}", fields.join(", ")).as_bytes(), true).unwrap_err();
    let lines: Vec<String> = error.lines().collect();
    assert_eq!((lines.len(), lines[100].as_str()), (101, "and 51 more problems"));
}

#[test]
fn no_problem_breaks_the_line_of_a_log() {
    let odd =
        r#"{"a\u001b[31m\nb": 1, "limits": [{"name": "x\ny", "key": ["\r"], "match": {"host": "\u0007"}}]}"#;
    for line in problems(odd) {
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn tables_are_bounded_together() {
    let table = r#""key": ["host"], "requests": 1, "per_ms": 1, "table": {"keys": 1048576}"#;
    let limits: Vec<String> = (0..5).map(|n| format!("{{\"name\": \"l{n}\", {table}}}")).collect();
    let got = problems(&format!("{{\"limits\": [{}]}}", limits.join(", ")));
    assert_eq!(got, ["limits: the tables have room for 5242880 keys together, expected at most 4194304"]);
}
