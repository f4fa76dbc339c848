//! Endpoints of a cluster, around attempts: how many are ejected, and what says that one failed.

use tidegate_policy::http::Attribute;
use tidegate_sim::{SimRequest, SimResponse};

use crate::breaker::{ask, calls, of, up, Sim, Workers};

const ONE: &str = r#""consecutive_failures": 1, "half_open_permits": 1, "base_open_ms": 1000"#;

fn attempts(fields: &str) -> Workers {
    Workers::attempts(1, &of(r#"{"endpoint": "up"}"#, &format!("{ONE}{fields}")))
}

fn endpoint(address: &str) -> SimRequest<'_> {
    up().attribute(Attribute::Endpoint, address.as_bytes())
}

/// An attempt at one of `hosts` endpoints that gets `status`.
fn attempt(worker: &Sim, address: &str, hosts: u64, status: u32) -> char {
    let (word, exchange) = ask(worker, &endpoint(address));
    if word != '-' {
        let response = SimResponse::upstream(status).attribute(Attribute::Endpoints, &hosts.to_le_bytes());
        worker.end(exchange, &response);
    }
    word
}

#[test]
fn endpoints_are_ejected_up_to_a_share_and_one_is_always_left() {
    #[rustfmt::skip]
    let cases = [
        // fields                            hosts  ejected
        ("",                                 10,    5),
        ("",                                 3,     1),
        ("",                                 2,     1),
        ("",                                 1,     0),
        (r#", "max_ejection_percent": 10"#,  10,    1),
        (r#", "max_ejection_percent": 10"#,  5,     1),
        (r#", "max_ejection_percent": 100"#, 10,    9),
        (r#", "max_ejection_percent": 100"#, 1,     0),
    ];
    for (fields, hosts, ejected) in cases {
        let workers = attempts(fields);
        let addresses: Vec<String> = (0..hosts).map(|n| format!("192.0.2.{n}:80")).collect();
        addresses.iter().for_each(|at| assert_eq!(attempt(&workers.all[0], at, hosts, 503), '+'));
        let out = addresses.iter().filter(|at| attempt(&workers.all[0], at, hosts, 200) == '-').count();
        assert_eq!(out, ejected, "of {hosts} with {fields:?}");
        assert_eq!(workers.count("capped"), hosts - ejected as u64, "of {hosts} with {fields:?}");
    }
}

#[test]
fn an_endpoint_that_comes_back_makes_room_for_another() {
    let workers = attempts("");
    let worker = &workers.all[0];
    assert_eq!([attempt(worker, "a:1", 2, 503), attempt(worker, "b:1", 2, 503)], ['+', '+']);
    assert_eq!([attempt(worker, "a:1", 2, 503), attempt(worker, "b:1", 2, 503)], ['-', '+']);
    workers.at(1_000);
    assert_eq!([attempt(worker, "a:1", 2, 200), attempt(worker, "b:1", 2, 503)], ['p', '+']);
    assert_eq!([attempt(worker, "a:1", 2, 200), attempt(worker, "b:1", 2, 200)], ['+', '-']);
}

#[test]
fn an_attempt_without_an_answer_says_whether_there_was_a_connection() {
    #[rustfmt::skip]
    let cases = [
        // name                    transport failure       lasted  class
        ("refused",                &b"delayed connect error: 111"[..], 0, "failed"),
        ("nothing is known",       b"",                    0,      "ignored"),
        ("as long as a slow call", b"",                    2_000,  "ignored"),
        ("longer",                 b"",                    2_001,  "ignored"),
    ];
    for (name, why, lasted, class) in cases {
        let workers = attempts("");
        let (_, exchange) = ask(&workers.all[0], &endpoint("a:1"));
        let two = 2_u64.to_le_bytes();
        let ended = SimResponse::none()
            .attribute(Attribute::Endpoints, &two)
            .attribute(Attribute::TransportFailure, why);
        workers.at(lasted).all[0].abort(exchange, &ended);
        assert_eq!(workers.count(class), 1, "{name}");
        assert_eq!(
            attempt(&workers.all[0], "a:1", 2, 200),
            if class == "failed" { '-' } else { '+' },
            "{name}"
        );
    }
}

#[test]
fn a_breaker_does_nothing_in_another_placement() {
    let both = r#"{"breakers": [
        {"name": "a", "target": {"cluster": "up"}, "consecutive_failures": 1},
        {"name": "e", "target": {"endpoint": "up"}, "consecutive_failures": 1}]}"#;
    let around_exchanges = Workers::new(1, both);
    calls(&around_exchanges.all[0], &endpoint("a:1"), "F");
    assert_eq!((around_exchanges.count("failed"), around_exchanges.count_of("e", "failed")), (1, 0));
    let around_attempts = Workers::attempts(1, both);
    attempt(&around_attempts.all[0], "a:1", 2, 503);
    assert_eq!((around_attempts.count("failed"), around_attempts.count_of("e", "failed")), (0, 1));
}
