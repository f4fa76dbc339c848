//! A VM that ends while it has requests under way.

use std::time::Duration;

use serde_json::{json, Value};
use tidegate_tests::paths::probe;
use tidegate_tests::{eventually, Answer, Bootstrap, Client, Request, Upstream, WasmFilter};

use super::setup::{
    assert_metrics, breaker, is_refusal, metrics, start, transitions, until, with_1_2_and_4_workers, SOON,
};

/// The breaker filter, which traps when asked to.
fn trapping(config: &Value) -> WasmFilter {
    WasmFilter::new(probe("trap-breaker")).config(config)
}

#[test]
fn probes_that_die_with_their_vm_do_not_leave_the_breaker_half_open() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::fixed(503, "no");
        let fields = json!({"base_open_ms": 100, "half_open_permits": 2, "max_half_open_ms": 400});
        let bootstrap =
            Bootstrap::new().balanced().wasm(&trapping(&json!({"breakers": [breaker("up", &fields)]})));
        let envoy = start(&bootstrap.cluster("up", &[upstream.addr()]).forward("/", "up"), workers);
        let mut client = Client::connect(envoy.addr());
        for _ in 0..5 {
            assert_eq!(client.get("/", &[]).text(), "no");
        }
        let opened = std::time::Instant::now();
        upstream.switch(Answer::silence());
        until(opened, Duration::from_millis(110));
        // One connection for each worker at the least, so that each VM that has a probe traps.
        let probes = [(); 2].map(|()| client.begin(&Request::get("/")));
        eventually("the probes", SOON, || upstream.held() == 2);
        let trap = Request::get("/").header("x-trap", "request");
        let traps = [(); 8].map(|()| client.begin(&trap));
        for trapped in traps {
            assert_eq!(trapped.answer().unwrap().status, 503);
        }
        drop(probes);
        upstream.switch(Answer::new(200, "well"));
        eventually("recovery", SOON, || client.get("/", &[]).text() == "well");
        eventually("the end of the probing", SOON, || {
            metrics(&envoy, "up")["state"] == 0 || {
                client.get("/", &[]);
                false
            }
        });
        let lines = transitions(&envoy);
        assert!(lines.last().unwrap().contains("half_open -> closed (probes_passed)"), "{lines:#?}");
        assert!(envoy.stat("wasm.trap-breaker.vm_reload_success") >= 1);
        assert!(envoy.log().contains("trap: asked for in request headers"), "{}", envoy.log());
    });
}

#[test]
fn an_open_breaker_stays_open_when_a_vm_ends() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::fixed(503, "no");
        let config = json!({"breakers": [breaker("up", &json!({}))]});
        let bootstrap = Bootstrap::new().balanced().wasm(&trapping(&config));
        let envoy = start(&bootstrap.cluster("up", &[upstream.addr()]).forward("/", "up"), workers);
        let mut client = Client::connect(envoy.addr());
        for _ in 0..5 {
            assert_eq!(client.get("/", &[]).text(), "no");
        }
        let trapped = client.send(&Request::get("/").header("x-trap", "request"));
        assert_eq!((trapped.status, is_refusal(&trapped)), (503, false));
        eventually("the reload", SOON, || is_refusal(&client.get("/", &[])));
        assert_eq!(envoy.stat("wasm.trap-breaker.vm_reload_success"), 1);
        assert_eq!(upstream.count(), 5);
        assert_metrics(&envoy, "up", &[("state", 1), ("transitions", 1)]);
    });
}

/// What a filter can read when an exchange is over, on which outcomes without an answer rest.
#[test]
fn why_an_exchange_ended_can_be_read_at_its_end() {
    let upstream = Upstream::new(|seen| match seen.path.as_str() {
        "/silent" => Answer::silence(),
        "/hang-up" => Answer::hang_up(),
        "/cut" => Answer::new(200, "").cut(),
        _ => Answer::new(200, "well"),
    });
    let bootstrap = Bootstrap::new().wasm(&WasmFilter::new(probe("ending")));
    let envoy = start(&bootstrap.cluster("up", &[upstream.addr()]).forward("/", "up"), 1);
    let mut client = Client::connect(envoy.addr());
    #[rustfmt::skip]
    let cases = [
        ("/",        "details via_upstream, flags 0x0"),
        ("/hang-up", "details upstream_reset_before_response_started{connection_termination}, flags 0x40"),
        ("/cut",     "details upstream_reset_after_response_started{protocol_error}, flags 0x800000"),
        ("/silent",  "details downstream_remote_disconnect, flags 0x4000"),
    ];
    for (number, (path, expected)) in (1..).zip(cases) {
        if path == "/silent" {
            let call = client.begin(&Request::get(path));
            eventually("the request at the upstream", SOON, || upstream.held() == 1);
            call.leave();
        } else {
            let _ = client.try_send(&Request::get(path));
        }
        eventually("the end", SOON, || envoy.log().lines().count() == number);
        let log = envoy.log();
        assert!(log.ends_with(&format!("ended: {expected}, cluster up\n")), "{path}: {log}");
    }
}
