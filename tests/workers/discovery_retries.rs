//! When a request is retried, and how many retries there may be.

use tidegate_policy::http::Verdict;
use tidegate_sim::{SimRequest, SimResponse};

use crate::discovery::{fixed, header, word, Sim, Workers};
use crate::discovery_attempts::{flags, Both, Try, FOUR};

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
        (r#""attempts": 2, "retry": {"on": ["5xx"]}"#,  "GET",     false, "5xx 1 -".to_owned()),
        (r#""attempts": 2, "retry": {"on": ["5xx"]}"#,  "POST",    false, format!("{UNSENT} 1 -")),
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
fn three_retries_at_a_time_are_always_allowed() {
    let both = Both::new(&fixed(&FOUR, r#""attempts": 2, "outlier_detection": false"#));
    let mut tries = retries(&both, 5);
    assert_eq!(allowed(&tries), 3);
    assert_eq!(word(&tries[3].verdict), "503 retry_budget");
    assert_eq!((both.count("retries"), both.count("retries_refused")), (3, 2));
    // One is over: there is room for one more.
    both.answered(tries.remove(0), 200);
    assert_eq!(allowed(&retries(&both, 2)), 1);
    let Verdict::Reply(reply) = &tries[3].verdict else { panic!("it went on") };
    assert!(reply.body.contains(r#""reason":"retry_budget""#), "{}", reply.body);
}

#[test]
fn retries_are_a_fifth_of_many_requests_in_flight() {
    let both = Both::new(&fixed(&FOUR, r#""attempts": 2, "outlier_detection": false"#));
    // In flight, each with its first attempt.
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let mut call = both.begin();
            (both.attempt(&mut call), call)
        })
        .collect();
    let tries = retries(&both, 40);
    // Those that were let through are in flight as well.
    let count = allowed(&tries);
    assert!((20..=25).contains(&count), "{count} of 40");
    for (one, call) in waiting {
        both.answered(one, 200);
        both.end(call, 200);
    }
    assert_eq!(allowed(&retries(&both, 1)), 0, "there are more than three in flight, and no others");
    tries.into_iter().for_each(|one| both.answered(one, 200));
    assert_eq!(allowed(&retries(&both, 5)), 3);
}

#[test]
fn without_room_in_the_budget_a_request_gets_no_retry_headers() {
    let both = Both::new(&fixed(&FOUR, r#""attempts": 2, "outlier_detection": false"#));
    let request = SimRequest::get("/");
    assert_eq!(retry_headers(&both.edge.all[0], &request), format!("{ALL} 1 -"));
    let mut tries = retries(&both, 3);
    assert_eq!(retry_headers(&both.edge.all[0], &request), "- - -");
    both.broken(tries.remove(0), &flags(0));
    assert_eq!(retry_headers(&both.edge.all[0], &request), format!("{ALL} 1 -"));
}

#[test]
fn an_empty_budget_allows_no_retry() {
    let fields = r#""attempts": 2, "outlier_detection": false,
        "retry": {"budget": {"budget_percent": 0, "min_retry_concurrency": 0}}"#;
    let both = Both::new(&fixed(&FOUR, fields));
    assert_eq!(allowed(&retries(&both, 3)), 0);
    assert_eq!(retry_headers(&both.edge.all[0], &SimRequest::get("/")), "- - -");
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
