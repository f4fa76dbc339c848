//! What Envoy makes of each way in which an upstream can fail, without any module.

use std::time::Duration;

use serde_json::json;
use tidegate_tests::{eventually, grpc, Answer, Bootstrap, Client, Envoy, Options, Port, Request, Upstream};

const SOON: Duration = Duration::from_secs(5);
const LOG: &str = "%PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%";

/// Everything to the cluster `up`, within half a second.
fn forward(bootstrap: Bootstrap) -> Bootstrap {
    bootstrap.access_log(LOG).route(json!({
        "match": {"prefix": "/"},
        "route": {"cluster": "up", "timeout": "0.5s"},
    }))
}

/// The line of the access log that comes after so many others.
fn logged(envoy: &Envoy, before: usize) -> String {
    eventually("a line in the access log", SOON, || {
        let log = envoy.access_log();
        log.ends_with('\n').then(|| log.lines().nth(before).map(str::to_owned)).flatten()
    })
}

#[test]
fn every_failure_over_http1_has_its_name() {
    let port = Port::reserve();
    let config = forward(Bootstrap::new()).cluster("up", &[port.addr()]).json();
    let envoy = Envoy::start(&config, &Options::default()).unwrap();
    let mut client = Client::connect(envoy.addr());
    let _ = client.try_send(&Request::get("/"));
    let refused = "HTTP/1.1 503 UF upstream_reset_before_response_started{remote_connection_failure|";
    assert!(logged(&envoy, 0).starts_with(refused), "{}", logged(&envoy, 0));

    let upstream = Upstream::at(&port, Answer::new(200, "ok"));
    #[rustfmt::skip]
    let cases = [
        ("ok",       Answer::new(200, "ok"),       "200 - via_upstream"),
        ("dead",     Answer::new(503, "dead"),     "503 - via_upstream"),
        ("hangs up", Answer::hang_up(),            "503 UC upstream_reset_before_response_started{connection_termination}"),
        ("cut",      Answer::new(200, "ok").cut(), "200 UPE upstream_reset_after_response_started{protocol_error}"),
        ("silent",   Answer::silence(),            "504 UT response_timeout"),
    ];
    for (number, (name, answer, expected)) in (1..).zip(cases) {
        upstream.switch(answer);
        let _ = client.try_send(&Request::get("/"));
        assert_eq!(logged(&envoy, number), format!("HTTP/1.1 {expected}"), "{name}");
    }
    eventually("Envoy to drop the silent request", SOON, || upstream.held() == 0);
}

#[test]
fn a_caller_that_leaves_is_no_failure_of_the_upstream() {
    let upstream = Upstream::new(|_| Answer::silence());
    let config = forward(Bootstrap::new()).cluster("up", &[upstream.addr()]).json();
    let envoy = Envoy::start(&config, &Options::default()).unwrap();
    let call = Client::connect(envoy.addr()).begin(&Request::get("/"));
    eventually("the request at the upstream", SOON, || upstream.held() == 1);
    call.leave();
    assert_eq!(logged(&envoy, 0), "HTTP/1.1 0 DC downstream_remote_disconnect");
    eventually("Envoy to drop the request", SOON, || upstream.held() == 0);
}

#[test]
fn every_failure_over_grpc_has_its_name() {
    let upstream = grpc::Upstream::new(grpc::Answer::status(0));
    let config = forward(Bootstrap::new()).http2_cluster("up", &[upstream.addr()]).json();
    let envoy = Envoy::start(&config, &Options::default()).unwrap();
    #[rustfmt::skip]
    let cases = [
        ("ok",       grpc::Answer::status(0),         Some(0),  "200 - via_upstream"),
        ("status",   grpc::Answer::status(14),        Some(14), "200 - via_upstream"),
        ("trailers", grpc::Answer::trailers_only(13), Some(13), "200 - via_upstream"),
        ("no gRPC",  grpc::Answer::http(503),         None,     "503 - via_upstream"),
        ("reset",    grpc::Answer::reset(),           Some(14), "200 UR upstream_reset_before_response_started{remote_reset}"),
        ("cut",      grpc::Answer::cut(),             None,     "200 UR upstream_reset_after_response_started{remote_reset}"),
        ("silent",   grpc::Answer::silence(),         Some(14), "200 UT response_timeout"),
    ];
    for (number, (name, answer, expected, line)) in cases.into_iter().enumerate() {
        upstream.switch(answer);
        let reply = grpc::try_unary(envoy.addr(), "/shop.Cart/Add", &[]);
        assert_eq!(logged(&envoy, number), format!("HTTP/2 {line}"), "{name}");
        assert_eq!(reply.ok().and_then(|reply| reply.grpc_status), expected, "{name}");
    }
    eventually("Envoy to drop the silent call", SOON, || upstream.held() == 0);
}
