//! What the breaker filter says about its configuration.

use tidegate_policy::breaker::config::target::Fallback;
use tidegate_policy::breaker::config::{Mode, OnFailure};
use tidegate_policy::breaker::{BreakerParams, Policy};
use tidegate_policy::http::classify::Class;

fn problems(json: &str) -> Vec<String> {
    let error = Policy::parse(json.as_bytes()).err();
    super::hold("breaker", json, error.as_ref());
    error.map_or(Vec::new(), |e| e.problems.iter().map(ToString::to_string).collect())
}

/// One breaker of the cluster `up` with these fields.
fn one(fields: &str) -> String {
    of(r#"{"cluster": "up"}"#, fields)
}

fn of(target: &str, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { ", " };
    format!(r#"{{"breakers": [{{"name": "a", "target": {target}{comma}{fields}}}]}}"#)
}

#[test]
fn absent_fields_have_the_documented_defaults() {
    let policy = Policy::parse(one("").as_bytes()).unwrap();
    assert_eq!((&*policy.cluster_header, policy.on_failure), ("x-tidegate-cluster", OnFailure::Allow));
    assert_eq!((policy.reply.status, policy.reply.grpc_status), (503, 14));
    let breaker = &policy.breakers[0];
    let params = BreakerParams { salt: breaker.params.salt, ..BreakerParams::default() };
    assert_eq!((breaker.params, breaker.mode), (params, Mode::Enforce));
    assert_eq!((breaker.targets(), breaker.max_ejection_percent, breaker.soft), (0, 50, None));
    let keyed = Policy::parse(of(r#"{"key": ["host"]}"#, "").as_bytes()).unwrap();
    assert_eq!(keyed.breakers[0].targets(), 1_024);
}

#[test]
fn a_fallback_has_the_breaker_of_its_cluster_or_one_of_its_own() {
    let json = r#"{"breakers": [
        {"name": "a", "target": {"cluster": "up"}, "minimum_calls": 7,
         "fallback": [{"cluster": "b"}, {"cluster": "c"}, {"cluster": "d"}, {"reply": {}}]},
        {"name": "b", "target": {"cluster": "b"}},
        {"name": "c", "target": {"cluster": "c"}, "match": {"method": "GET"}}]}"#;
    let policy = Policy::parse(json.as_bytes()).unwrap();
    let names: Vec<&str> = policy.breakers.iter().map(|breaker| breaker.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "a-fallback-2", "a-fallback-3"]);
    let of = |fallback: &Fallback| match fallback {
        Fallback::Cluster { breaker, .. } => *breaker,
        Fallback::Reply(_) => usize::MAX,
    };
    let found: Vec<usize> = policy.breakers[0].fallback.iter().map(of).collect();
    assert_eq!(found, [1, 3, 4, usize::MAX]);
    assert_eq!(policy.breakers[3].params.minimum_calls, 7, "with the parameters of who falls back");
}

#[test]
fn each_problem_says_where_what_and_what_would_be_right() {
    let key = r#"{"key": ["host"]}"#;
    let endpoint = r#"{"endpoint": "up"}"#;
    #[rustfmt::skip]
    let cases = [
        (String::new(), "configuration: empty, expected one JSON object"),
        ("{}".to_owned(), "breakers: missing, expected a list of breakers"),
        (r#"{"breakers": []}"#.to_owned(), "breakers: 0 breakers are out of range, expected 1 to 64"),
        (r#"{"breakers": [{"target": {"cluster": "up"}}]}"#.to_owned(), "breakers[0].name: missing, expected a name"),
        (r#"{"breakers": [{"name": "a"}]}"#.to_owned(), "breakers[0].target: missing, expected an object with `cluster`, `endpoint`, `key`, `route`, `service` or `variant`"),
        (of("{}", ""), "breakers[0].target: guards nothing, expected `cluster`, `endpoint`, `key`, `route`, `service` or `variant`"),
        (of(r#"{"cluster": ""}"#, ""), "breakers[0].target.cluster: a text of 0 bytes is out of range, expected 1 to 256 bytes"),
        (of(r#"{"cluster": "a", "route": "b"}"#, ""), "breakers[0].target: found `cluster` and `route` together, expected only one of them"),
        (of(r#"{"key": []}"#, ""), "breakers[0].target.key: 0 key parts are out of range, expected 1 to 8"),
        (one(r#""failure_rate_percent": 0"#), "breakers[0].failure_rate_percent: 0 % is out of range, expected 1 to 100 %"),
        (one(r#""slow_rate_percent": 101"#), "breakers[0].slow_rate_percent: 101 % is out of range, expected 1 to 100 %"),
        (one(r#""slow_call_ms": 86400001"#), "breakers[0].slow_call_ms: 86400001 ms is out of range, expected 0 to 86400000 ms"),
        (one(r#""minimum_calls": 0"#), "breakers[0].minimum_calls: 0 calls is out of range, expected 1 to 4294967294 calls"),
        (one(r#""consecutive_failures": -1"#), "breakers[0].consecutive_failures: -1 failures is out of range, expected 0 to 4294967295 failures"),
        (one(r#""half_open_permits": 0"#), "breakers[0].half_open_permits: 0 permits is out of range, expected 1 to 65535 permits"),
        (one(r#""half_open_permits": 65536"#), "breakers[0].half_open_permits: 65536 permits is out of range, expected 1 to 65535 permits"),
        (one(r#""window_ms": 999"#), "breakers[0].window_ms: 999 ms is out of range, expected 1000 to 3600000 ms"),
        (one(r#""window_slots": 65"#), "breakers[0].window_slots: 65 slots is out of range, expected 1 to 64 slots"),
        (one(r#""window_slots": 3"#), "breakers[0].window_slots: a window of 10000 ms does not divide into 3 slots, expected slots of the same whole number of ms, at least 100"),
        (one(r#""window_ms": 1001"#), "breakers[0].window_ms: a window of 1001 ms does not divide into 10 slots, expected slots of the same whole number of ms, at least 100"),
        (one(r#""window_ms": 1000, "window_slots": 20"#), "breakers[0].window_slots: a window of 1000 ms does not divide into 20 slots, expected slots of the same whole number of ms, at least 100"),
        (one(r#""base_open_ms": 0"#), "breakers[0].base_open_ms: 0 ms is out of range, expected 1 to 86400000 ms"),
        (one(r#""base_open_ms": 300001"#), "breakers[0].base_open_ms: 300001 ms is above max_open_ms, expected at most 300000 ms"),
        (one(r#""max_open_ms": 4999"#), "breakers[0].max_open_ms: 4999 ms is below base_open_ms, expected at least 5000 ms"),
        (one(r#""backoff_multiplier_percent": 99"#), "breakers[0].backoff_multiplier_percent: 99 % is out of range, expected 100 to 1000 %"),
        (one(r#""jitter_percent": 101"#), "breakers[0].jitter_percent: 101 % is out of range, expected 0 to 100 %"),
        (r#"{"headers": "off", "breakers": [{"name": "a", "target": {"cluster": "up"}}]}"#.to_owned(), "headers: found \"off\", expected one of `x_tidegate`, `none`"),
        (one(r#""state": "open""#), "breakers[0].state: found \"open\", expected one of `auto`, `forced_open`, `disabled`, `metrics_only`"),
        (one(r#""mode": "off""#), "breakers[0].mode: found \"off\", expected one of `enforce`, `observe`"),
        (one(r#""failure_statuses": [99]"#), "breakers[0].failure_statuses[0]: 99 is out of range, expected 100 to 599"),
        (one(r#""ignored_statuses": ["6xx"]"#), "breakers[0].ignored_statuses[0]: found \"6xx\", expected one of `1xx`, `2xx`, `3xx`, `4xx`, `5xx`"),
        (one(r#""failure_grpc_statuses": [0]"#), "breakers[0].failure_grpc_statuses[0]: 0 is out of range, expected 1 to 16"),
        (one(r#""throttled_grpc_statuses": [17]"#), "breakers[0].throttled_grpc_statuses[0]: 17 is out of range, expected 1 to 16"),
        (one(r#""count_throttled": 1"#), "breakers[0].count_throttled: found 1, expected true or false"),
        (one(r#""failure_flags": ["XX"]"#), "breakers[0].failure_flags[0]: found \"XX\", expected one of `DT`, `LR`, `NC`, `SI`, `UC`, `UF`, `UH`, `UMSDR`, `UO`, `UPE`, `UR`, `UT`"),
        (one(r#""admission": {"aggression_percent": 0}"#), "breakers[0].admission.aggression_percent: 0 % is out of range, expected 1 to 10000 %"),
        (one(r#""table": {"keys": 64}"#), "breakers[0].table: does not go with this target, expected it with a key or an endpoint only"),
        (of(key, r#""table": {"keys": 8}"#), "breakers[0].table.keys: 8 keys is out of range, expected 16 to 16384 keys"),
        (one(r#""max_ejection_percent": 10"#), "breakers[0].max_ejection_percent: does not go with this target, expected it with an endpoint only"),
        (of(key, r#""admission": {}"#), "breakers[0].admission: does not go with this target, expected none: a window is kept only of targets that fail"),
        (of(endpoint, r#""fallback": [{"reply": {}}]"#), "breakers[0].fallback: does not go with this target, expected none: an attempt has its endpoint already"),
        (of(endpoint, r#""match": {}"#), "breakers[0].match: does not go with this target, expected none: every attempt at an endpoint counts"),
        (one(r#""fallback": []"#), "breakers[0].fallback: 0 fallbacks are out of range, expected 1 to 8"),
        (one(r#""fallback": [{"cluster": "up"}]"#), "breakers[0]: falls back to its own cluster \"up\", expected another one"),
        (one(r#""fallback": [{"reply": {"status": 100}}]"#), "breakers[0].fallback[0].reply.status: 100 is out of range, expected 200 to 599"),
        (one(r#""fallback": [{"host": "x"}]"#), "breakers[0].fallback[0].host: unknown field `host`, expected one of `cluster`, `reply`"),
    ];
    for (json, expected) in cases {
        assert_eq!(problems(&json), [expected], "{json}");
    }
}

#[test]
fn targets_that_filters_chose_are_named_as_there() {
    #[rustfmt::skip]
    let cases = [
        (of(r#"{"service": ""}"#, ""), "breakers[0].target.service: a text of 0 bytes is out of range, expected 1 to 256 bytes"),
        (of(r#"{"variant": "canary"}"#, ""), "breakers[0].target.variant: \"canary\" names no variant, expected `<route>/<variant>`"),
        (of(r#"{"variant": "a/b/c"}"#, ""), "breakers[0].target.variant: \"a/b/c\" names no variant, expected `<route>/<variant>`"),
        (of(r#"{"service": "a", "variant": "b/c"}"#, ""), "breakers[0].target: found `service` and `variant` together, expected only one of them"),
        (of(r#"{"service": "a"}"#, r#""table": {"keys": 64}"#), "breakers[0].table: does not go with this target, expected it with a key or an endpoint only"),
    ];
    for (json, expected) in cases {
        assert_eq!(problems(&json), [expected], "{json}");
    }
}

/// One of the two lists would be without effect.
#[test]
fn a_status_that_is_given_counts_in_one_list_only() {
    let expected = "each status in one list; one that is given replaces the default";
    #[rustfmt::skip]
    let cases = [
        // fields                                                     where, and what
        (r#""failure_statuses": ["5xx", 429]"#, "failure_statuses: 429 is in `throttled_statuses`, too"),
        (r#""failure_statuses": [500, 429], "throttled_statuses": [429]"#, "failure_statuses: 429 is in `throttled_statuses`, too"),
        (r#""failure_statuses": ["5xx", 408], "ignored_statuses": ["4xx"]"#, "failure_statuses: 408 is in `ignored_statuses`, too"),
        (r#""throttled_statuses": ["4xx"], "ignored_statuses": ["4xx"]"#, "throttled_statuses: 4xx is in `ignored_statuses`, too"),
        (r#""failure_grpc_statuses": [14, 8]"#, "failure_grpc_statuses: 8 is in `throttled_grpc_statuses`, too"),
    ];
    for (fields, found) in cases {
        assert_eq!(problems(&one(fields)), [format!("breakers[0].{found}, expected {expected}")], "{fields}");
    }
}

/// A number may be an exception from a class, and a list that is not given yields to one that is.
#[test]
fn a_status_counts_by_the_strongest_list_that_has_it() {
    #[rustfmt::skip]
    let cases = [
        // fields                                                              status  class
        (r#""failure_statuses": ["5xx"], "ignored_statuses": [501]"#,          501,    Class::Ignored),
        (r#""failure_statuses": ["5xx"], "ignored_statuses": [501]"#,          502,    Class::Failure),
        (r#""failure_statuses": ["4xx", "5xx"]"#,                              429,    Class::Throttled),
        (r#""failure_statuses": ["4xx", "5xx"]"#,                              404,    Class::Failure),
        (r#""failure_statuses": ["5xx", 429], "throttled_statuses": []"#,      429,    Class::Failure),
        (r#""throttled_statuses": [503]"#,                                     503,    Class::Throttled),
        (r#""ignored_statuses": ["4xx"]"#,                                     429,    Class::Ignored),
        (r#""ignored_statuses": [429]"#,                                       429,    Class::Ignored),
    ];
    for (fields, status, expected) in cases {
        let policy = Policy::parse(one(fields).as_bytes()).unwrap();
        assert_eq!(policy.breakers[0].rules.judge(status, None), expected, "{status} with {fields}");
    }
}

#[test]
fn every_problem_is_listed_at_once() {
    let json = r#"{"on_failure": "pass", "cluster_header": "host", "reply": {"status": 200}, "breakers": [
        {"name": "a", "target": {"cluster": "up"}, "failure_rate_percent": 0, "jitter_percent": 101, "state": "x"},
        {"name": "a", "target": {"cluster": "up"}},
        {"name": "b c", "target": {"endpoint": "up"}, "fallback": [{"cluster": ""}], "window_slots": 7},
        {"name": "d", "target": {"key": ["ip"]}, "admission": {"x": 1}, "base_open_ms": 9, "max_open_ms": 8}]}"#;
    let parts = "`client_address`, `host`, `method`";
    let expected = [
        "on_failure: found \"pass\", expected one of `allow`, `refuse`",
        "cluster_header: \"host\" is not among the headers, expected `host` in place of a header",
        "reply.status: 200 is out of range, expected 400 to 599",
        "breakers[0].failure_rate_percent: 0 % is out of range, expected 1 to 100 %",
        "breakers[0].jitter_percent: 101 % is out of range, expected 0 to 100 %",
        "breakers[0].state: found \"x\", expected one of `auto`, `forced_open`, `disabled`, `metrics_only`",
        "breakers[2].name: \"b c\" is not a name, expected letters, digits, `-` and `_`",
        "breakers[2].fallback[0].cluster: a text of 0 bytes is out of range, expected 1 to 256 bytes",
        &format!("breakers[3].target.key[0]: found \"ip\", expected one of {parts}"),
        "breakers[3].admission.x: unknown field `x`, expected one of `aggression_percent`, `max_refused_percent`",
        "breakers[1].name: \"a\" is already used, expected another name",
        "breakers[2].window_slots: a window of 10000 ms does not divide into 7 slots, expected slots of the same whole number of ms, at least 100",
        "breakers[2].fallback: does not go with this target, expected none: an attempt has its endpoint already",
        "breakers[3].max_open_ms: 8 ms is below base_open_ms, expected at least 9 ms",
    ];
    let got = problems(json);
    assert_eq!(got, expected);
}

#[test]
fn bounds_hold_for_all_breakers_together() {
    let breaker = |n: usize, rest: &str| format!(r#"{{"name": "n{n}", "target": {rest}}}"#);
    let all = |count, rest: &str| {
        let breakers: Vec<String> = (0..count).map(|n| breaker(n, rest)).collect();
        format!(r#"{{"breakers": [{}]}}"#, breakers.join(","))
    };
    let key = r#"{"key": ["host"]}, "table": {"keys": 16384}"#;
    assert_eq!(problems(&all(4, key)), [""; 0]);
    assert_eq!(
        problems(&all(5, key)),
        ["breakers: the tables have room for 81920 targets together, expected at most 65536"]
    );
    let cluster = r#"{"cluster": "up"}"#;
    assert_eq!(problems(&all(64, cluster)), [""; 0]);
    assert_eq!(problems(&all(65, cluster)), ["breakers: 65 breakers are out of range, expected 1 to 64"]);
    let fallback = r#"{"route": "x"}, "fallback": [{"cluster": "b"}, {"cluster": "c"}]"#;
    assert_eq!(problems(&all(62, fallback)), [""; 0], "breakers of fallbacks are shared");
    assert_eq!(
        problems(&all(63, fallback)),
        ["breakers[62]: 65 breakers with those of fallbacks, expected at most 64"]
    );
    let taken = r#"{"breakers": [{"name": "a", "target": {"cluster": "up"}, "fallback": [{"cluster": "b"}]},
        {"name": "a-fallback-1", "target": {"route": "r"}}]}"#;
    assert_eq!(
        problems(taken),
        ["breakers[0]: its fallback needs a breaker \"a-fallback-1\", which clashes with \"a-fallback-1\", expected another name, or a breaker for the fallback cluster"]
    );
}

#[test]
fn a_soft_breaker_that_never_refuses_is_an_error() {
    let json = r#"{"breakers": [{"name": "a", "target": {"cluster": "up"}, "failure_rate_percent": 100, "admission": {}}]}"#;
    let expected = "never refuses at a failure rate of 100 %, expected a `failure_rate_percent` of 1 to 99 %";
    assert_eq!(problems(json), [format!("breakers[0].admission: {expected}")]);
}
