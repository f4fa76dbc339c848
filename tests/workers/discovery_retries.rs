//! When a request is retried, and how many retries there may be.

use tidegate_policy::http::Verdict;
use tidegate_sim::{SimRequest, SimResponse};

use crate::discovery::{fixed, header, word, Sim, Workers};
use crate::discovery_both::{Both, Try, FOUR};

const ALL: &str = "connect-failure,refused-stream,reset,gateway-error";
const UNSENT: &str = "connect-failure,refused-stream";

/// The retry headers: on which failures, how often, and how long an attempt may take.
fn retry_headers(worker: &Sim, request: &SimRequest<'_>) -> String {
    let Verdict::Continue(edits) = worker.request(request) else { panic!("refused") };
    let names = ["x-envoy-retry-on", "x-envoy-max-retries", "x-envoy-upstream-rq-per-try-timeout-ms"];
    let value = |name: &&str| header(&edits, name).unwrap_or("-").to_owned();
    names.iter().map(value).collect::<Vec<_>>().join(" ")
}

#[test]
fn only_repeatable_requests_are_retried_after_they_were_sent() {
    let safe = r#""attempts": 3, "retry": {"methods": ["PATCH"], "safe": {"headers": [{"name": "idempotency-key", "present": true}]}}"#;
    #[rustfmt::skip]
    let cases = [
        // fields                                       method     key    headers
        (r#""attempts": 1"#,                            "GET",     false, "- - -".to_owned()),
        (r#""attempts": 3"#,                            "GET",     false, format!("{ALL} 2 -")),
        (r#""attempts": 3"#,                            "PUT",     false, format!("{ALL} 2 -")),
        (r#""attempts": 3"#,                            "POST",    false, format!("{UNSENT} 2 -")),
        (r#""attempts": 3"#,                            "PATCH",   false, format!("{UNSENT} 2 -")),
        (r#""attempts": 3"#,                            "get",     false, format!("{UNSENT} 2 -")),
        (safe,                                          "PATCH",   false, format!("{ALL} 2 -")),
        (safe,                                          "GET",     false, format!("{UNSENT} 2 -")),
        (safe,                                          "POST",    true,  format!("{ALL} 2 -")),
        (r#""attempts": 2, "retry": {"retry_on": ["5xx"]}"#,  "GET",     false, "5xx 1 -".to_owned()),
        (r#""attempts": 2, "retry": {"retry_on": ["5xx"]}"#,  "POST",    false, format!("{UNSENT} 1 -")),
        (r#""attempts": 2, "retry": {"per_try_timeout_ms": 250}"#, "GET", false, format!("{ALL} 1 250")),
    ];
    for (fields, method, key, expected) in cases {
        let workers = Workers::new(1, &fixed(&FOUR, fields));
        let request = SimRequest::request(method, "/");
        let request = if key { request.header("idempotency-key", b"7") } else { request };
        assert_eq!(retry_headers(&workers.all[0], &request), expected, "{fields} {method}");
    }
}

/// Requests whose first attempt failed and whose second one begins.
fn retries(both: &Both, count: usize) -> Vec<Try> {
    let one = |_| {
        let mut call = both.begin();
        let first = both.attempt(&mut call);
        both.answered(first, 503);
        both.attempt(&mut call)
    };
    (0..count).map(one).collect()
}

fn allowed(tries: &[Try]) -> usize {
    tries.iter().filter(|one| matches!(one.verdict, Verdict::Continue(_))).count()
}

#[test]
fn a_few_retries_are_always_allowed() {
    let both = Both::new(&fixed(&FOUR, r#""attempts": 2, "outlier_detection": false"#));
    let tries = retries(&both, 10);
    // Five to begin with, and a fifth of those that began meanwhile.
    assert_eq!(allowed(&tries), 6);
    assert_eq!(word(&tries[9].verdict), "503 retry_budget");
    assert_eq!((both.count("retries"), both.count("retries_refused")), (6, 4));
    let Verdict::Reply(reply) = &tries[9].verdict else { panic!("it went on") };
    assert!(reply.body.contains(r#""reason":"retry_budget""#), "{}", reply.body);
}

/// So many requests at a time, again and again: one attempt of each, then the others.
pub(crate) fn rounds(
    both: &Both,
    at_a_time: usize,
    requests: usize,
    status: &dyn Fn(&str) -> u32,
) -> (usize, usize) {
    let (mut attempts, mut errors) = (0, 0);
    for _ in 0..requests.div_ceil(at_a_time) {
        let first: Vec<_> = (0..at_a_time)
            .map(|_| {
                let mut call = both.begin();
                (both.attempt(&mut call), call)
            })
            .collect();
        for (one, mut call) in first {
            attempts += 1;
            let mut got = status(&one.went);
            both.answered(one, got);
            if got >= 500 {
                let again = both.attempt(&mut call);
                if matches!(again.verdict, Verdict::Continue(_)) {
                    attempts += 1;
                    got = status(&again.went);
                    both.answered(again, got);
                }
            }
            errors += usize::from(got >= 500);
            both.end(call, got);
        }
    }
    (attempts, errors)
}

/// Three at a time nearly doubled the load when four were in flight.
#[test]
fn a_service_that_fails_gets_a_fifth_more_than_its_load() {
    for at_a_time in [1, 4, 16, 256] {
        let both = Both::new(&fixed(&FOUR[..3], r#""attempts": 2, "outlier_detection": false"#));
        let requests = at_a_time * 5_000_usize.div_ceil(at_a_time);
        // It was well for a while, so that all is saved that may be.
        assert_eq!(rounds(&both, at_a_time, requests, &|_| 200), (requests, 0));
        let (attempts, errors) = rounds(&both, at_a_time, requests, &|_| 503);
        assert_eq!(errors, requests);
        let burst = (2 * at_a_time.div_ceil(3)).min(at_a_time).max(5);
        let most = requests + requests / 5 + burst;
        assert!(
            (requests + requests / 6..=most).contains(&attempts),
            "{at_a_time}: {attempts} of {requests}"
        );
    }
}

/// Half of the requests are of one client and fail wherever they go, now and then one of another client at its first
/// endpoint. It got all of the budget, and the others their failures.
#[test]
fn one_client_whose_requests_always_fail_takes_no_attempt_from_others() {
    for (at_a_time, attempts) in [(4, 2), (16, 2), (256, 2), (16, 4)] {
        let json = fixed(&FOUR[..3], &format!(r#""attempts": {attempts}, "outlier_detection": false"#));
        let both = Both::new(&json);
        assert_eq!(rounds(&both, at_a_time, 3_000, &|_| 200).1, 0);
        let (mut errors, mut sent, mut hostile) = (0, 0, 0);
        for round in 0..8_000 / at_a_time {
            let open: Vec<_> = (0..at_a_time)
                .map(|n| {
                    // Each of the others comes from an address of its own.
                    let other = [192, 0, (round % 200) as u8, (n % 250) as u8].into();
                    let from = if n % 2 == 0 { [203, 0, 113, 7].into() } else { other };
                    let request = || SimRequest::get("/").from(Some(from));
                    let mut call = both.begin_as(&request());
                    (both.attempt_as(&mut call, request()), call, from)
                })
                .collect();
            for (n, (one, mut call, from)) in open.into_iter().enumerate() {
                let ill = n % 2 == 0;
                let mut status = if ill || (round * at_a_time + n) % 20 == 1 { 503 } else { 200 };
                both.answered(one, status);
                sent += 1;
                for _ in 1..attempts {
                    if status < 500 {
                        break;
                    }
                    let again = both.attempt_as(&mut call, SimRequest::get("/").from(Some(from)));
                    if !matches!(again.verdict, Verdict::Continue(_)) {
                        break;
                    }
                    sent += 1;
                    hostile += usize::from(ill);
                    status = if ill { 503 } else { 200 };
                    both.answered(again, status);
                }
                errors += usize::from(!ill && status >= 500);
                both.end(call, status);
            }
        }
        assert_eq!(errors, 0, "{at_a_time} at a time, {attempts} attempts: {hostile} were the client's");
        let most = 8_000 + 1_600 + at_a_time.max(8);
        assert!(hostile > 500 && sent <= most, "{at_a_time}: {sent} attempts, {hostile} of the client");
    }
}

/// One of them dies with all that is in flight to it: that breaks at once. How much it is; each request is tried
/// again at another endpoint.
fn dies(name: &str, json: &str, at_a_time: usize) -> usize {
    let both = Both::new(json);
    assert_eq!(rounds(&both, at_a_time, 3_000, &|_| 200).1, 0, "{name}");
    let in_flight: Vec<_> = (0..at_a_time)
        .map(|_| {
            let mut call = both.begin();
            (both.attempt(&mut call), call)
        })
        .collect();
    let mut broken = 0;
    for (one, mut call) in in_flight {
        if one.went == FOUR[0] {
            broken += 1;
            both.broken(one, &SimResponse::none());
            let again = both.attempt(&mut call);
            let goes = matches!(again.verdict, Verdict::Continue(_)) && again.went != FOUR[0];
            assert!(goes, "{name}, {at_a_time}: {} after {broken}", again.went);
            both.answered(again, 200);
        } else {
            both.answered(one, 200);
        }
        both.end(call, 200);
    }
    broken
}

#[test]
fn an_endpoint_that_dies_with_its_part_of_the_requests_costs_no_error() {
    for at_a_time in [4, 16, 256] {
        let broken = dies("three", &fixed(&FOUR[..3], r#""attempts": 2"#), at_a_time);
        assert!(broken >= at_a_time / 3, "{broken} of {at_a_time}");
    }
}

/// A budget by the mean of all endpoints was too small where the requests are only for some of them.
#[test]
fn endpoints_that_have_no_part_of_the_requests_take_nothing_from_the_budget() {
    let one = |n: usize, weight: u32, tag: &str| {
        let address = format!("10.0.{}.{}", n / 200, 1 + n % 200);
        serde_json::json!({"address": address, "port": 80, "weight": weight, "tags": [tag]})
    };
    let service = |more: &str, main: Vec<serde_json::Value>, spare: Vec<serde_json::Value>| {
        format!(
            r#"{{"registries": {{"main": {{"static": {{"services": {{"orders": {}}}}}}},
                                "spare": {{"static": {{"services": {{"orders": {}}}}}}}}},
                "allow": ["10.0.0.0/8:80"],
                "services": [{{"name": "orders", "registry": "main", "match": {{"path": {{"prefix": "/"}}}},
                              "attempts": 2{more}}}]}}"#,
            serde_json::Value::from(main),
            serde_json::Value::from(spare)
        )
    };
    let (three, others) = ((0..3).map(|n| one(n, 1, "v1")), || (200..230).map(|n| one(n, 1, "v1")));
    let canary = (0..40).map(|n| one(n, 1, if n < 2 { "v2" } else { "v1" }));
    let unequal = (0..4).map(|n| one(n, if n == 0 { 100 } else { 1 }, "v1"));
    let cases = [
        (
            "a fallback",
            service(r#", "fallback": [{"registry": "spare"}]"#, three.collect(), others().collect()),
        ),
        ("a subset", service(r#", "subset": {"tags": ["v2"]}"#, canary.collect(), others().collect())),
        ("weights", service("", unequal.collect(), others().collect())),
    ];
    for (name, json) in cases {
        for at_a_time in [16, 256] {
            let broken = dies(name, &json, at_a_time);
            assert!(broken >= at_a_time / 3, "{name}: {broken} of {at_a_time}");
        }
    }
}

/// Also when nothing is saved.
#[test]
fn an_attempt_after_a_refused_connection_is_free() {
    let fields = r#""attempts": 3, "retry": {"budget": {"budget_percent": 0, "min_retry_concurrency": 0}}"#;
    let both = Both::new(&fixed(&FOUR, fields));
    let mut call = both.begin();
    for status in [None, None, Some(503)] {
        let one = both.attempt(&mut call);
        assert!(matches!(one.verdict, Verdict::Continue(_)));
        match status {
            Some(status) => both.answered(one, status),
            None => both.broken(one, &crate::discovery_trust::refused()),
        }
    }
    let one = both.attempt(&mut call);
    assert_eq!(word(&one.verdict), "503 retry_budget", "the endpoint answered");
    assert_eq!(
        (both.count("retries"), both.count("retries_refused"), both.count("connect_failures")),
        (2, 1, 2)
    );
}

/// A host that is off refuses nothing: Envoy gives up after the cluster's `connect_timeout`, and says no reason.
#[test]
fn so_is_one_after_a_connection_that_was_never_made() {
    let budget = r#""retry": {"budget": {"budget_percent": 0, "min_retry_concurrency": 0}}"#;
    let both = Both::new(&fixed(&FOUR, &format!(r#""attempts": 2, "outlier_detection": false, {budget}"#)));
    for upload in [false, true] {
        let request =
            || if upload { SimRequest::request("POST", "/").with_body() } else { SimRequest::get("/") };
        let mut call = both.begin_as(&request());
        let one = both.attempt_as(&mut call, request());
        let (off, changes) = (one.went.clone(), both.ejections());
        both.broken(one, &SimResponse::none().unconnected());
        assert_eq!(both.ejections(), changes, "its client may have left");
        let one = both.attempt_as(&mut call, request());
        assert!(matches!(one.verdict, Verdict::Continue(_)) && one.went != off, "{upload}");
        assert_eq!(both.ejections(), changes + 1, "it is a last resort for a second");
        both.answered(one, 200);
        both.end(call, 200);
        assert!((0..20).all(|_| crate::discovery::sent(&both.edge.all[0]) != off), "{upload}");
    }
    // Of the last attempt Envoy's flag says it; the client's leaving says nothing.
    for (bits, expected) in [(1 << 5, 1), (1 << 14, 0), (0, 0)] {
        let mut call = both.begin();
        let changes = both.ejections();
        let one = both.attempt(&mut call);
        both.broken(one, &SimResponse::none().unconnected());
        both.gone(call, &crate::discovery_both::flags(bits));
        assert_eq!(both.ejections(), changes + expected, "{bits}");
    }
}

#[test]
fn without_room_in_the_budget_only_refused_connections_are_retried() {
    let both = Both::new(&fixed(&FOUR, r#""attempts": 2, "outlier_detection": false"#));
    let request = SimRequest::get("/");
    assert_eq!(retry_headers(&both.edge.all[0], &request), format!("{ALL} 1 -"));
    drop(retries(&both, 7));
    assert_eq!(retry_headers(&both.edge.all[0], &request), format!("{UNSENT} 1 -"));
    for _ in 0..5 {
        let _ = retry_headers(&both.edge.all[0], &request);
    }
    assert_eq!(retry_headers(&both.edge.all[0], &request), format!("{ALL} 1 -"), "one is saved");
}

#[test]
fn an_empty_budget_allows_no_retry() {
    let fields = r#""attempts": 2, "outlier_detection": false,
        "retry": {"budget": {"budget_percent": 0, "min_retry_concurrency": 0}}"#;
    let both = Both::new(&fixed(&FOUR, fields));
    assert_eq!(allowed(&retries(&both, 3)), 0);
    assert_eq!(retry_headers(&both.edge.all[0], &SimRequest::get("/")), format!("{UNSENT} 1 -"));
}

/// A gRPC client gets its answer by the status of gRPC.
#[test]
fn a_refused_retry_is_answered_in_the_clients_protocol() {
    let fields = r#""attempts": 2, "outlier_detection": false,
        "retry": {"budget": {"budget_percent": 0, "min_retry_concurrency": 0}}"#;
    let both = Both::new(&fixed(&FOUR, fields));
    let grpc = SimRequest::request("POST", "/").header("content-type", b"application/grpc");
    let call = both.begin_as(&grpc);
    let state = call.state.clone();
    let again = grpc.attribute(tidegate_policy::http::Attribute::Discovered, state.as_bytes());
    let (_, first) = both.around.begin(&again);
    both.around.end(first, &SimResponse::upstream(503));
    let Verdict::Reply(reply) = both.around.request(&again) else { panic!("it went on") };
    assert_eq!(
        (reply.grpc_status, reply.body.as_str()),
        (14, "The retry budget of the service is used up: orders")
    );
}
