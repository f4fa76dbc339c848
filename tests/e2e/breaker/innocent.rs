//! What says nothing about an upstream and opens no breaker.

use std::time::Duration;

use serde_json::json;
use tidegate_tests::{eventually, Answer, Bootstrap, Client, Request, Upstream};

use super::setup::{
    assert_metrics, assert_transitions, breaker, filter, guarded, is_refusal, start, storm,
    with_1_2_and_4_workers, SOON,
};

const JUMPY: &str = r#"{"consecutive_failures": 3, "minimum_calls": 5}"#;

fn jumpy(name: &str) -> serde_json::Value {
    breaker(name, &serde_json::from_str(JUMPY).unwrap())
}

#[test]
fn callers_that_leave_open_nothing() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::new(|_| Answer::silence());
        let envoy = start(&guarded(&[jumpy("up")], upstream.addr()), workers);
        let client = Client::connect(envoy.addr());
        let calls = [(); 12].map(|()| client.begin(&Request::get("/")));
        eventually("all requests at the upstream", SOON, || upstream.held() == 12);
        for call in calls {
            call.leave();
        }
        eventually("Envoy to drop them", SOON, || upstream.held() == 0);
        assert_metrics(&envoy, "up", &[("admitted", 12), ("ignored", 12), ("failed", 0), ("state", 0)]);
        upstream.switch(Answer::new(200, "well"));
        assert_eq!(storm(&envoy, 40, &Request::get("/")).count(200), 40);
        assert_transitions(&envoy, &[]);
    });
}

/// A gRPC status comes last, and whoever leaves before it does not make the call a failure.
#[test]
fn callers_that_leave_within_a_response_open_nothing() {
    let late = Answer::new(200, "message").body_after(Duration::from_millis(800));
    let upstream = Upstream::new(move |_| late.clone());
    let envoy = start(&guarded(&[jumpy("up")], upstream.addr()), 2);
    let client = Client::connect(envoy.addr());
    let request = Request::get("/").header("te", "trailers").header("content-type", "application/grpc");
    let calls = [(); 6].map(|()| client.begin(&request));
    eventually("all responses to begin", SOON, || envoy.stat("cluster.up.upstream_rq_200") == 6);
    for call in calls {
        call.leave();
    }
    assert_metrics(&envoy, "up", &[("admitted", 6), ("ignored", 6), ("failed", 0), ("state", 0)]);
    assert_transitions(&envoy, &[]);
}

/// A filter behind ours that answers, and Envoy itself where there is no upstream to ask.
#[test]
fn answers_that_are_not_the_upstreams_open_nothing() {
    let code = r#"function envoy_on_request(handle)
        local status = handle:headers():get("x-lua")
        if status then handle:respond({[":status"] = status}, "lua") end
    end"#;
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::fixed(200, "well");
        // One that is asked about everything, as all requests have a host.
        let any = json!({"target": {"key": ["host"]}, "consecutive_failures": 3, "minimum_calls": 5});
        let bootstrap = Bootstrap::new()
            .balanced()
            .wasm(&filter(&[jumpy("up"), breaker("any", &any)]))
            .lua(code)
            .local_rate_limit(1, "3600s")
            .cluster("up", &[upstream.addr()])
            .forward("/up", "up");
        let envoy = start(&bootstrap, workers);
        let mut client = Client::connect(envoy.addr());
        assert_eq!(client.get("/up", &[]).text(), "well");
        #[rustfmt::skip]
        let cases = [
            // path        x-lua  status
            ("/up",        "503", 503),
            ("/up",        "429", 429),
            ("/up",        "",    429),
        ];
        for (path, lua, status) in cases {
            let request = Request::get(path);
            let request = if lua.is_empty() { request } else { request.header("x-lua", lua) };
            assert_eq!(storm(&envoy, 10, &request).count(status), 10, "{path} {lua}");
        }
        assert_metrics(&envoy, "up", &[("admitted", 31), ("ignored", 30), ("succeeded", 1), ("failed", 0)]);
        assert_metrics(&envoy, "any", &[("admitted", 31), ("ignored", 30), ("failed", 0)]);
        assert_eq!(upstream.count(), 1);
        assert_transitions(&envoy, &[]);
    });
}

/// That a cluster has no healthy endpoint is one of them, but of the cluster: it opens.
#[test]
fn envoys_own_answers_open_nothing() {
    with_1_2_and_4_workers(|workers| {
        let any = json!({"target": {"key": ["host"]}, "consecutive_failures": 3, "minimum_calls": 5});
        let bootstrap = Bootstrap::new()
            .balanced()
            .wasm(&filter(&[breaker("any", &any)]))
            .direct_response("/direct", 503, "direct")
            .route(json!({"match": {"prefix": "/moved"}, "redirect": {"path_redirect": "/"}}))
            .route(json!({"match": {"prefix": "/unknown"}, "route": {"cluster_header": "x-none"}}));
        let envoy = start(&bootstrap, workers);
        let mut client = Client::connect(envoy.addr());
        #[rustfmt::skip]
        let cases = [
            // path      status
            ("/direct",  503),
            ("/moved",   301),
            ("/unknown", 503),
            ("/nowhere", 404),
        ];
        for (path, status) in cases {
            for _ in 0..6 {
                let response = client.get(path, &[]);
                assert_eq!((response.status, is_refusal(&response)), (status, false), "{path}");
            }
        }
        assert_metrics(&envoy, "any", &[("admitted", 24), ("failed", 0), ("open", 0)]);
        assert_transitions(&envoy, &[]);
    });
}
