//! What clients and access logs are told.

use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::{eventually, grpc, Client, Envoy, Options, Response};

use crate::setup::{ask, by_key, limited, start, with};

/// The answer to the request after `burst` others.
fn refused(config: &Value, burst: usize) -> Response {
    let envoy = start(config, 1);
    let mut client = Client::connect(envoy.addr());
    assert_eq!(ask(&mut client, "a", burst), vec![200; burst]);
    client.get("/", &[("x-key", "a")])
}

/// The headers whose name contains `part`.
fn headers(response: &Response, part: &str) -> Vec<(String, String)> {
    let found = response.headers.iter().filter(|(name, _)| name.contains(part));
    found.map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned())).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Ten an hour: a unit comes back in 360 s.
fn hourly() -> Value {
    with(by_key("hourly", 2), &json!({"requests": 10, "per_ms": 3_600_000}))
}

#[test]
fn a_refusal_is_a_problem_document_by_default() {
    let refused = refused(&json!({"limits": [hourly()]}), 2);
    assert_eq!(refused.status, 429);
    assert_eq!(headers(&refused, "content-type"), pairs(&[("content-type", "application/problem+json")]));
    let body: Value = serde_json::from_str(&refused.text()).unwrap();
    let expected = json!({
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "violated-policies": ["hourly"],
    });
    assert_eq!(body, expected);
}

#[test]
fn status_body_type_and_headers_of_a_refusal_are_the_users_to_choose() {
    let reply = json!({
        "status": 503,
        "body": "come back later\n",
        "content_type": "text/x-mood; charset=utf-8",
        "headers": {"X-Shop": "closed", "cache-control": "no-store"},
    });
    let custom = refused(&json!({"limits": [by_key("one", 1)], "reply": reply}), 1);
    assert_eq!((custom.status, custom.text().as_str()), (503, "come back later\n"));
    assert_eq!(headers(&custom, "content-type"), pairs(&[("content-type", "text/x-mood; charset=utf-8")]));
    assert_eq!(custom.header("x-shop").as_deref(), Some("closed"));
    assert_eq!(custom.header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(custom.header("content-length").as_deref(), Some("16"));

    let plain = refused(&json!({"limits": [by_key("one", 1)], "reply": {"body": "no"}}), 1);
    assert_eq!((plain.status, plain.text().as_str()), (429, "no"));
    assert_eq!(headers(&plain, "content-type"), pairs(&[("content-type", "text/plain")]));
}

#[test]
fn clients_learn_their_limits_in_the_style_asked_for() {
    #[rustfmt::skip]
    let cases = [
        // style           when refused                                       when admitted and asked for
        ("draft11",       vec![("ratelimit-policy", r#""hourly";q=10;w=3600"#), ("ratelimit", r#""hourly";r=0;t=360"#)],
                          vec![("ratelimit-policy", r#""hourly";q=10;w=3600"#), ("ratelimit", r#""hourly";r=1;t=360"#)]),
        ("draft03_envoy", vec![("x-ratelimit-limit", r#"2, 10;w=3600;name="hourly""#), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "360")],
                          vec![("x-ratelimit-limit", r#"2, 10;w=3600;name="hourly""#), ("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "0")]),
        ("none",          vec![], vec![]),
    ];
    for (style, when_refused, when_admitted) in cases {
        for on_admitted in [false, true] {
            let config = json!({"limits": [hourly()], "headers": style, "headers_on_admitted": on_admitted});
            let envoy = start(&config, 1);
            let mut client = Client::connect(envoy.addr());
            let [admitted, _, refused] = [(); 3].map(|()| client.get("/", &[("x-key", "a")]));
            let when_admitted = if on_admitted { pairs(&when_admitted) } else { vec![] };
            assert_eq!(headers(&admitted, "ratelimit"), when_admitted, "{style}, admitted {on_admitted}");
            assert_eq!(headers(&refused, "ratelimit"), pairs(&when_refused), "{style}");
            assert_eq!(refused.header("retry-after").as_deref(), Some("360"), "{style}");
        }
    }
}

#[test]
fn whoever_waits_as_told_is_admitted() {
    #[rustfmt::skip]
    let cases = [
        // per_ms   retry-after
        (1_500,     "2"),
        (50,        "1"), // never 0, which some clients take for at once
    ];
    for (per_ms, expected) in cases {
        let one = with(by_key("one", 1), &json!({"per_ms": per_ms}));
        let envoy = start(&json!({"limits": [one]}), 2);
        let mut clients = [0, 1].map(|_| Client::connect(envoy.addr()));
        let sent = Instant::now();
        assert_eq!(ask(&mut clients[0], "a", 1), [200]);
        let refused = clients[0].get("/", &[("x-key", "a")]);
        assert_eq!(refused.header("retry-after").as_deref(), Some(expected), "{per_ms} ms");
        let told = Duration::from_secs(expected.parse().unwrap());
        // Waits on another worker, so that nothing which this one remembers is in the way.
        eventually("the time told", 2 * told, || sent.elapsed() >= told);
        assert_eq!(ask(&mut clients[1], "a", 2), [200, 429], "{per_ms} ms");
        assert_eq!(ask(&mut clients[0], "a", 1), [429], "{per_ms} ms");
    }
}

#[test]
fn grpc_callers_get_their_status_over_http_2() {
    let envoy = start(&json!({"limits": [by_key("calls", 1)]}), 1);
    let call = || grpc::unary(envoy.addr(), "/shop.Cart/Add", &[("x-key", b"a")]);
    assert_eq!(call().http_status, 200);
    let refused = call();
    assert_eq!((refused.http_status, refused.grpc_status), (200, Some(8)));
    let message = "Request cannot be satisfied as assigned quota has been exceeded: calls";
    assert_eq!(refused.grpc_message.as_deref(), Some(message));
    let header = |name: &str| refused.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("content-type"), Some("application/grpc"));
    assert_eq!(header("retry-after"), Some("86400"));
    assert_eq!(header("ratelimit"), Some(r#""calls";r=0;t=86400"#));
    // The same caller without gRPC gets 429 at the same time.
    assert_eq!(ask(&mut Client::connect(envoy.addr()), "a", 1), [429]);
}

#[test]
fn the_grpc_status_and_message_are_the_users_to_choose() {
    let reply = json!({"grpc_status": 14, "body": "closed"});
    let envoy = start(&json!({"limits": [by_key("calls", 1)], "reply": reply}), 1);
    let replies = [(); 2].map(|()| grpc::unary(envoy.addr(), "/shop.Cart/Add", &[("x-key", b"a")]));
    assert_eq!((replies[1].http_status, replies[1].grpc_status), (200, Some(14)));
    assert_eq!(replies[1].grpc_message.as_deref(), Some("closed"));
}

#[test]
fn access_logs_tell_what_was_decided_and_why() {
    let matches = json!({"match": {"path": {"prefix": "/limited"}}});
    let limits = json!([with(by_key("per-key", 1), &matches), with(by_key("other", 2), &matches)]);
    let format =
        "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %FILTER_STATE(wasm.tidegate.ratelimit:PLAIN)%";
    let bootstrap = limited(&json!({"limits": limits, "log_admitted": true})).access_log(format);
    let envoy = Envoy::start(&bootstrap.json(), &Options::default()).unwrap();
    let mut client = Client::connect(envoy.addr());
    for path in ["/limited", "/limited", "/free"] {
        client.get(path, &[("x-key", "a")]);
    }
    grpc::unary(envoy.addr(), "/limited", &[("x-key", b"a")]);
    let expected = "/limited 200 direct_response admitted\n\
                    /limited 429 tidegate_ratelimit_refused:per-key refused:per-key\n\
                    /free 200 direct_response -\n\
                    /limited 200 tidegate_ratelimit_refused:per-key refused:per-key\n";
    let log = eventually("four lines", Duration::from_secs(5), || {
        let log = envoy.access_log();
        (log.lines().count() == 4).then_some(log)
    });
    assert_eq!(log, expected);
}
