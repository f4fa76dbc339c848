//! What a refused client gets.

use crate::breaker::{ask, config, reply, to, up, Workers};

/// A breaker that opened at 0, for a second.
fn opened() -> Workers {
    let workers = Workers::new(1, &config(r#""consecutive_failures": 3, "base_open_ms": 1000"#));
    assert_eq!(workers.calls("FFF"), "+++");
    workers
}

#[test]
fn a_refusal_has_status_retry_after_and_problem_details() {
    let workers = opened();
    let (verdict, exchange) = workers.all[0].begin(&up());
    assert_eq!(workers.all[0].outcome(&exchange).as_deref(), Some("refused:a"));
    let refused = reply(verdict);
    assert_eq!((refused.status, refused.grpc_status), (503, 14));
    let expected = [
        ("content-type", "application/problem+json"),
        ("x-tidegate-breaker", "open"),
        ("retry-after", "1"),
        ("cache-control", "no-store"),
    ];
    assert_eq!(refused.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(refused.body.contains(r#""status":503"#) && refused.body.contains(r#""a""#), "{}", refused.body);
    assert_eq!(refused.details, "tidegate_breaker_open:a");
}

#[test]
fn a_refusal_need_not_say_that_a_breaker_answered() {
    let json = r#"{"headers": "none", "breakers": [
        {"name": "a", "target": {"cluster": "up"}, "state": "forced_open"},
        {"name": "b", "target": {"cluster": "b"}, "state": "forced_open", "fallback": [{"reply": {"status": 200}}]}]}"#;
    let workers = Workers::new(1, json);
    for (cluster, expected) in [
        ("up", &["content-type", "retry-after", "cache-control"][..]),
        ("b", &["content-type", "cache-control"]),
    ] {
        let refused = reply(workers.all[0].begin(&to(cluster)).0);
        let names: Vec<&str> = refused.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, expected, "{cluster}");
    }
}

#[test]
fn a_grpc_client_gets_a_message() {
    let workers = opened();
    let request = up().header("te", b"trailers").header("content-type", b"application/grpc+proto");
    let refused = reply(workers.all[0].begin(&request).0);
    assert_eq!((refused.status, refused.grpc_status), (503, 14));
    assert!(refused.body.ends_with(": a") && !refused.body.contains('{'), "{}", refused.body);
}

/// `retry-after` of the refusal of one more request.
fn retry_after(workers: &Workers) -> Option<String> {
    let refused = reply(workers.all[0].begin(&up()).0);
    refused.headers.into_iter().find(|(name, _)| name == "retry-after").map(|(_, value)| value)
}

/// It was capped at the first open time: clients came back each second to a breaker that was open for
/// ten more.
#[test]
fn retry_after_is_the_rest_of_a_later_open_time_too() {
    let workers = Workers::new(
        1,
        &config(
            r#""consecutive_failures": 1, "half_open_permits": 1, "base_open_ms": 1000,
        "backoff_multiplier_percent": 1000"#,
        ),
    );
    assert_eq!(workers.calls("F"), "+");
    assert_eq!(workers.at(1_000).calls("F"), "p");
    for (at, expected) in [(1_000, "10"), (1_001, "10"), (2_000, "9"), (10_999, "1")] {
        assert_eq!(retry_after(workers.at(at)).as_deref(), Some(expected), "at {at}");
    }
    // Half-open: the probe may be back at any moment.
    assert_eq!(ask(&workers.at(11_000).all[0], &up()).0, 'p');
    assert_eq!(retry_after(&workers).as_deref(), Some("1"));
}

#[test]
fn retry_after_is_the_rest_of_the_open_time() {
    let workers = Workers::new(1, &config(r#""consecutive_failures": 1, "base_open_ms": 2500"#));
    assert_eq!(workers.calls("F"), "+");
    for (at, expected) in [(0, "3"), (499, "3"), (500, "2"), (1_500, "1"), (2_499, "1")] {
        let refused = reply(workers.at(at).all[0].begin(&up()).0);
        let (_, value) = refused.headers.iter().find(|(name, _)| name == "retry-after").unwrap();
        assert_eq!(value, expected, "at {at}");
    }
}

#[test]
fn a_forced_open_breaker_sends_the_base_time_as_retry_after() {
    let workers = Workers::new(1, &config(r#""state": "forced_open", "base_open_ms": 7000"#));
    let refused = reply(workers.all[0].begin(&up()).0);
    assert!(refused.headers.contains(&("retry-after".to_owned(), "7".to_owned())));
}
