//! What a refused client gets, and what access logs say.

use serde_json::{json, Value};
use tidegate_tests::{eventually, grpc, Bootstrap, Client, Envoy, Upstream};

use super::setup::{breaker, brief, filter_of, passes, start, SOON};

/// A breaker of `up` that is open, and one of the gRPC cluster `rpc` that is forced open.
fn opened(config: &Value, upstream: &Upstream) -> Envoy {
    let log = "%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %FILTER_STATE(wasm.tidegate.breaker:PLAIN)%";
    let bootstrap = Bootstrap::new().wasm(&filter_of(config)).access_log(log);
    let envoy = start(&bootstrap.cluster("up", &[upstream.addr()]).forward("/", "up"), 1);
    let mut client = Client::connect(envoy.addr());
    for _ in 0..5 {
        assert_eq!(client.get("/", &[]).text(), "no");
    }
    envoy
}

fn logged(envoy: &Envoy, line: &str) {
    eventually(line, SOON, || envoy.access_log().lines().any(|got| got == line));
}

#[test]
fn a_refused_client_is_told_what_and_when_to_come_again() {
    let upstream = Upstream::fixed(503, "no");
    let envoy = opened(&json!({"breakers": [breaker("up", &json!({}))]}), &upstream);
    let answer = Client::connect(envoy.addr()).get("/", &[]);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("content-type").as_deref(), Some("application/problem+json"));
    assert_eq!(answer.header("x-tidegate-breaker").as_deref(), Some("open"));
    let after: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((50..=60).contains(&after), "{after}");
    let body: Value = serde_json::from_str(&answer.text()).unwrap();
    let expected = json!({
        "type": "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
        "title": "Request cannot be satisfied due to temporary server capacity constraints",
        "status": 503,
        "violated-policies": ["up"],
    });
    assert_eq!(body, expected);
    logged(&envoy, "503 via_upstream -");
    logged(&envoy, "503 tidegate_breaker_open:up refused:up");
}

#[test]
fn a_refused_grpc_call_is_unavailable() {
    let upstream = Upstream::fixed(503, "no");
    let envoy = opened(&json!({"breakers": [breaker("up", &json!({}))]}), &upstream);
    let reply = grpc::unary(envoy.addr(), "/shop.Cart/Add", &[]);
    assert_eq!((reply.http_status, reply.grpc_status), (200, Some(14)));
    let message = reply.grpc_message.unwrap();
    assert_eq!(message, "Request cannot be satisfied due to temporary server capacity constraints: up");
    assert_eq!(reply.headers["x-tidegate-breaker"], "open");
    logged(&envoy, "200 tidegate_breaker_open:up refused:up");
}

#[test]
fn a_reply_of_ones_own() {
    let upstream = Upstream::fixed(503, "no");
    let reply = json!({
        "status": 429, "grpc_status": 8, "body": "<p>later</p>", "content_type": "text/html",
        "headers": {"x-shop": "closed"},
    });
    let envoy = opened(&json!({"breakers": [breaker("up", &json!({}))], "reply": reply}), &upstream);
    let answer = Client::connect(envoy.addr()).get("/", &[]);
    let header = |name: &str| answer.header(name).unwrap_or_default();
    assert_eq!((answer.status, answer.text().as_str()), (429, "<p>later</p>"));
    assert_eq!((header("content-type"), header("x-shop")), ("text/html".into(), "closed".into()));
    let reply = grpc::unary(envoy.addr(), "/shop.Cart/Add", &[]);
    assert_eq!((reply.grpc_status, reply.grpc_message.as_deref()), (Some(8), Some("<p>later</p>")));
}

#[test]
fn access_logs_tell_probes_and_what_would_have_been_refused() {
    let upstream = Upstream::fixed(503, "no");
    let observer = breaker("shy", &json!({"target": {"cluster": "up"}, "mode": "observe"}));
    let envoy = opened(&json!({"breakers": [observer, brief("up", 100, 1)]}), &upstream);
    upstream.switch(tidegate_tests::Answer::new(200, "well"));
    let mut client = Client::connect(envoy.addr());
    assert_eq!(passes(&mut client, "/").text(), "well");
    assert_eq!(client.get("/", &[]).text(), "well");
    logged(&envoy, "200 via_upstream probe:up");
    logged(&envoy, "200 via_upstream observed:shy");
}

/// It was capped at the first open time: 1 where 10 s were left.
#[test]
fn a_client_is_told_what_is_left_of_a_later_open_time() {
    let upstream = Upstream::fixed(503, "no");
    let fields = json!({"base_open_ms": 1_000, "backoff_multiplier_percent": 1_000, "half_open_permits": 1});
    let envoy = opened(&json!({"breakers": [breaker("up", &fields)]}), &upstream);
    let mut client = Client::connect(envoy.addr());
    assert_eq!(passes(&mut client, "/").text(), "no", "the probe fails");
    let after: u32 = client.get("/", &[]).header("retry-after").unwrap().parse().unwrap();
    assert!((8..=10).contains(&after), "{after}");
}
