//! Which outcomes fail: responses, replies in their place, gRPC, and configured sets.

use tidegate_policy::http::Attribute;
use tidegate_policy::time::Span;
use tidegate_sim::{SimRequest, SimResponse};

use crate::breaker::{ask, config, end, up, Workers};

/// Opens at the first failure.
const ONE: &str = r#""consecutive_failures": 1"#;

/// The metric that an outcome raised, `none` for none; of a troubled target the exact class is read.
fn class(fields: &str, grpc: bool, finish: impl Fn(&Workers, crate::breaker::Exchange)) -> String {
    let workers = Workers::new(1, &config(&format!(r#""consecutive_failures": 0{fields}"#)));
    // A failure before, so that the breaker looks closely.
    workers.calls("F");
    let classes = ["succeeded", "failed", "throttled", "ignored"];
    let before = classes.map(|what| workers.count(what));
    let request = if grpc { grpc_request() } else { up() };
    let (_, exchange) = ask(&workers.all[0], &request);
    finish(&workers, exchange);
    let came = classes.iter().zip(before).filter(|(what, before)| workers.count(what) > *before);
    came.map(|(what, _)| *what).collect::<Vec<_>>().join(" ")
}

fn grpc_request<'a>() -> SimRequest<'a> {
    up().header("te", b"trailers").header("content-type", b"application/grpc")
}

fn answered(fields: &str, response: &SimResponse) -> String {
    class(fields, false, |workers, exchange| drop(workers.all[0].end(exchange, response)))
}

#[test]
fn flags_of_the_upstream_fail_and_other_replies_say_nothing() {
    #[rustfmt::skip]
    let cases = [
        // name                 status  details                                   flags     class
        ("UF",                  503,    "upstream_reset_before_response_started", 1 << 5,   "failed"),
        ("UC",                  503,    "upstream_reset_before_response_started", 1 << 6,   "failed"),
        ("UT",                  504,    "response_timeout",                       1 << 2,   "failed"),
        ("UR",                  503,    "upstream_reset_before_response_started", 1 << 4,   "failed"),
        ("LR",                  503,    "upstream_reset_before_response_started", 1 << 3,   "failed"),
        ("UF with retries over", 503,   "upstream_reset_before_response_started", (1 << 5) | (1 << 15), "failed"),
        ("no healthy host",     503,    "no_healthy_upstream",                    1 << 1,   "failed"),
        ("overflow",            503,    "overflow",                               1 << 7,   "ignored"),
        ("no cluster",          503,    "cluster_not_found",                      1 << 24,  "ignored"),
        ("rate limited",        429,    "request_rate_limited",                   1 << 11,  "ignored"),
        ("another filter",      500,    "ext_authz_error",                        0,        "ignored"),
        ("a direct response",   200,    "direct_response",                        0,        "ignored"),
        ("our own reply",       503,    "tidegate_breaker_open:b",                0,        "ignored"),
        ("no details",          503,    "",                                       0,        "ignored"),
        ("client left",         0,      "downstream_remote_disconnect",           1 << 14,  "ignored"),
        ("the upstream",        503,    "via_upstream",                           0,        "failed"),
        ("after retries",       503,    "via_upstream",                           1 << 15,  "failed"),
    ];
    for (name, status, details, flags, expected) in cases {
        assert_eq!(answered("", &SimResponse::local(status, details, flags)), expected, "{name}");
    }
}

#[test]
fn statuses_are_classified_as_configured() {
    #[rustfmt::skip]
    let cases = [
        // fields                                             status  class
        ("",                                                  200,    "succeeded"),
        ("",                                                  301,    "succeeded"),
        ("",                                                  404,    "succeeded"),
        ("",                                                  429,    "throttled"),
        ("",                                                  500,    "failed"),
        ("",                                                  599,    "failed"),
        (r#", "failure_statuses": [404, "5xx"]"#,             404,    "failed"),
        (r#", "failure_statuses": [404]"#,                    503,    "succeeded"),
        (r#", "failure_statuses": []"#,                       503,    "succeeded"),
        (r#", "failure_statuses": ["2xx"]"#,                  200,    "failed"),
        (r#", "throttled_statuses": [503]"#,                  503,    "throttled"),
        (r#", "throttled_statuses": []"#,                     429,    "succeeded"),
        (r#", "throttled_statuses": [], "failure_statuses": ["4xx"]"#, 429, "failed"),
        (r#", "ignored_statuses": ["4xx", 501]"#,             404,    "ignored"),
        (r#", "ignored_statuses": ["4xx", 501]"#,             429,    "ignored"),
        (r#", "ignored_statuses": ["4xx", 501]"#,             501,    "ignored"),
        (r#", "ignored_statuses": ["4xx", 501]"#,             502,    "failed"),
    ];
    for (fields, status, expected) in cases {
        assert_eq!(answered(fields, &SimResponse::upstream(status)), expected, "{status} with {fields}");
    }
}

#[test]
fn flags_can_be_chosen() {
    let no_host = SimResponse::local(503, "no_healthy_upstream", 1 << 1);
    let refused = SimResponse::local(503, "upstream_reset_before_response_started", 1 << 5);
    let fields = r#", "failure_flags": ["UH"]"#;
    assert_eq!(answered(fields, &no_host), "failed");
    assert_eq!(answered(fields, &refused), "ignored");
    assert_eq!(answered(r#", "failure_flags": ["UF"]"#, &no_host), "ignored");
    assert_eq!(answered(r#", "failure_flags": []"#, &refused), "ignored");
}

/// A success of a target that was never seen failing is taken without asking for its reasons, also
/// where these are configured to be something else than success.
#[test]
fn a_success_is_classified_as_configured_before_the_first_failure() {
    let workers = Workers::new(1, &config(r#""consecutive_failures": 2, "failure_statuses": ["2xx"]"#));
    assert_eq!(workers.calls("SSS"), "++-");
}

#[test]
fn a_grpc_status_is_in_the_headers_or_in_the_trailers() {
    #[rustfmt::skip]
    let cases = [
        // grpc-status  class          with other sets
        ("0",           "succeeded",   "succeeded"),
        ("2",           "failed",      "succeeded"),
        ("5",           "succeeded",   "failed"),
        ("4",           "failed",      "succeeded"),
        ("8",           "throttled",   "succeeded"),
        ("10",          "failed",      "succeeded"),
        ("13",          "failed",      "succeeded"),
        ("14",          "failed",      "throttled"),
        ("15",          "failed",      "succeeded"),
        (" 14 ",        "failed",      "throttled"),
        ("nonsense",    "failed",      "succeeded"),
        ("999",         "succeeded",   "succeeded"),
        ("",            "failed",      "succeeded"),
    ];
    let sets = r#", "failure_grpc_statuses": [5], "throttled_grpc_statuses": [14]"#;
    for (status, usual, other) in cases {
        for (fields, expected) in [("", usual), (sets, other)] {
            let trailers_only = class(fields, true, |workers, exchange| {
                workers.all[0].end(exchange, &SimResponse::upstream(200).header("grpc-status", status));
            });
            let with_trailers = class(fields, true, |workers, exchange| {
                let via = SimResponse::none().attribute(Attribute::Details, b"via_upstream");
                let trailers = via.header("grpc-status", status);
                workers.all[0].end_with_trailers(exchange, &SimResponse::upstream(200), &trailers);
            });
            assert_eq!([trailers_only.as_str(), &with_trailers], [expected; 2], "{status:?} {fields}");
        }
    }
}

#[test]
fn a_grpc_exchange_that_breaks_off_fails_by_its_flags() {
    #[rustfmt::skip]
    let cases = [
        // name                    details                             flags    class
        ("upstream reset",         "upstream_reset_after_response_started{remote_reset}", 1 << 4, "failed"),
        ("connection lost",        "upstream_reset_after_response_started", 1 << 6, "failed"),
        ("client left",            "downstream_remote_disconnect",     1 << 14, "ignored"),
        ("no trailers at the end", "via_upstream",                     0,       "succeeded"),
    ];
    for (name, details, flags, expected) in cases {
        let got = class("", true, |workers, exchange| {
            let headers = SimResponse::upstream(200);
            workers.all[0].break_off(exchange, &headers, &SimResponse::local(0, details, flags));
        });
        assert_eq!(got, expected, "{name}");
    }
}

#[test]
fn a_grpc_client_that_got_plain_http_is_judged_by_it() {
    for (status, expected) in [(503, "failed"), (404, "succeeded"), (429, "throttled")] {
        let got = class("", true, |workers, exchange| {
            workers.all[0].end(exchange, &SimResponse::upstream(status));
        });
        assert_eq!(got, expected, "{status}");
    }
}

/// Only a request that says so is gRPC, with or without all headers at hand.
#[test]
fn grpc_is_known_by_te_and_content_type() {
    let plain = config(ONE);
    let matching = config(&format!(r#"{ONE}, "match": {{"path": {{"prefix": "/"}}}}"#));
    #[rustfmt::skip]
    let cases = [
        // te         content-type              opens at grpc-status 14
        (true,        "application/grpc",        true),
        (true,        "application/grpc+proto",  true),
        (true,        "application/grpc;x=y",    true),
        (true,        "application/grpc-web",    false),
        (true,        "text/plain",              false),
    ];
    for json in [&plain, &matching] {
        for (te, content_type, grpc) in cases {
            let workers = Workers::new(1, json);
            let request = up().header("content-type", content_type.as_bytes());
            let request = if te { request.header("te", b"trailers") } else { request };
            let (_, exchange) = ask(&workers.all[0], &request);
            workers.all[0].end(exchange, &SimResponse::upstream(200).header("grpc-status", "14"));
            assert_eq!(workers.calls("S"), if grpc { "-" } else { "+" }, "{te} {content_type}");
        }
    }
}

/// Latency is up to the response headers: a stream that goes on for a minute is not slow.
#[test]
fn a_long_stream_is_as_slow_as_its_headers() {
    let workers = Workers::new(1, &config(r#""slow_call_ms": 100"#));
    let (_, exchange) = ask(&workers.all[0], &grpc_request());
    workers.at(50);
    let worker = &workers.all[0];
    let trailers =
        SimResponse::none().attribute(Attribute::Details, b"via_upstream").header("grpc-status", "0");
    worker.end_later(
        exchange,
        &SimResponse::upstream(200),
        || workers.all[0].host.set(Span::from_secs(60)),
        &trailers,
    );
    assert_eq!((workers.count("succeeded"), workers.count("slow")), (1, 0));
}

#[test]
fn each_exchange_counts_once() {
    let workers = Workers::new(1, &config(ONE));
    let (_, exchange) = ask(&workers.all[0], &up());
    end(&workers.all[0], exchange, 'S');
    let (_, exchange) = ask(&workers.all[0], &grpc_request());
    let status = SimResponse::upstream(200).header("grpc-status", "0");
    workers.all[0].end_with_trailers(exchange, &status, &status);
    let total: u64 =
        ["succeeded", "failed", "throttled", "ignored"].iter().map(|what| workers.count(what)).sum();
    assert_eq!((workers.count("admitted"), total), (2, 2));
}
