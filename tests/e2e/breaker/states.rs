//! States that the configuration demands, the mode that only looks, and refusing a share.

use serde_json::{json, Value};
use tidegate_tests::{eventually, Bootstrap, Client, Envoy, Request, Upstream};

use super::setup::{
    assert_metrics, assert_transitions, breaker, filter, metrics, metrics_when, refuses_everywhere, start,
    storm, with_1_2_and_4_workers, SOON,
};

const REQUESTS: u64 = 40;

/// Breakers of clusters of their own that all lead to `upstream`.
fn side_by_side(ways: &[(&str, Value)], upstream: &Upstream, workers: u32) -> Envoy {
    let breakers: Vec<_> = ways.iter().map(|(name, fields)| breaker(name, fields)).collect();
    let bootstrap = Bootstrap::new().balanced().wasm(&filter(&breakers));
    let bootstrap = ways.iter().fold(bootstrap, |all, (name, _)| {
        all.cluster(name, &[upstream.addr()]).forward(&format!("/{name}"), name)
    });
    start(&bootstrap, workers)
}

#[test]
fn a_state_that_is_demanded_stays_whatever_happens() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::fixed(503, "no");
        let ways = ["forced_open", "disabled", "metrics_only"].map(|state| (state, json!({"state": state})));
        let envoy = side_by_side(&ways, &upstream, workers);
        #[rustfmt::skip]
        let cases = [
            // name           passed    refused   failed    state
            ("forced_open",   0,        REQUESTS, 0,        3),
            ("disabled",      REQUESTS, 0,        0,        4),
            ("metrics_only",  REQUESTS, 0,        REQUESTS, 5),
        ];
        for (name, passed, refused, failed, state) in cases {
            let before = upstream.count() as u64;
            storm(&envoy, REQUESTS, &Request::get(&format!("/{name}")));
            assert_eq!(upstream.count() as u64 - before, passed, "{name}");
            let counted = [("admitted", passed), ("refused", refused), ("failed", failed), ("state", state)];
            assert_metrics(&envoy, name, &counted);
            assert_metrics(&envoy, name, &[("transitions", 0)]);
        }
        assert_transitions(&envoy, &[]);
    });
}

#[test]
fn a_forced_open_breaker_asks_to_come_again_after_its_first_open_time() {
    let upstream = Upstream::fixed(200, "well");
    let envoy = side_by_side(&[("up", json!({"state": "forced_open"}))], &upstream, 1);
    let answer = Client::connect(envoy.addr()).get("/up", &[]);
    assert_eq!((answer.status, answer.header("retry-after").as_deref()), (503, Some("60")));
}

#[test]
fn a_breaker_that_only_observes_opens_and_refuses_nobody() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::fixed(503, "no");
        let envoy = side_by_side(&[("up", json!({"mode": "observe"}))], &upstream, workers);
        storm(&envoy, REQUESTS, &Request::get("/up"));
        assert_eq!(upstream.count() as u64, REQUESTS);
        assert_metrics(&envoy, "up", &[("state", 1), ("refused", 0), ("transitions", 1)]);
        let counted = metrics_when(&envoy, "up", |all| all["observed"] + all["admitted"] == REQUESTS);
        assert!(counted["observed"] >= REQUESTS - 13, "{counted:?}");
        assert_transitions(&envoy, &["up: closed -> open (consecutive)"]);
    });
}

#[test]
fn admission_refuses_a_share_and_lets_the_rest_find_out() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::fixed(503, "no");
        let soft = json!({"admission": {"max_refused_percent": 80}, "minimum_calls": 10});
        let envoy = side_by_side(&[("up", soft)], &upstream, workers);
        storm(&envoy, 1_000, &Request::get("/up"));
        let passed = upstream.count();
        // Some twenty before it starts, then a fifth of the others, more or less.
        assert!((120..=320).contains(&passed), "{passed} of 1000 passed");
        assert!(!refuses_everywhere(&envoy, &Request::get("/up")) || passed > 0);
        eventually("the share", SOON, || metrics(&envoy, "up")["refusing_percent"] == 80);
        assert_metrics(&envoy, "up", &[("state", 0), ("transitions", 0)]);
        assert_transitions(&envoy, &[]);
    });
}

#[test]
fn admission_ends_when_the_window_has_moved_on() {
    let upstream = Upstream::fixed(503, "no");
    let soft = json!({"admission": {}, "minimum_calls": 5, "window_ms": 1000, "window_slots": 10});
    let envoy = side_by_side(&[("up", soft)], &upstream, 2);
    storm(&envoy, 200, &Request::get("/up"));
    assert!(upstream.count() < 150, "{} passed", upstream.count());
    upstream.switch(tidegate_tests::Answer::new(200, "well"));
    eventually("all to pass", SOON, || storm(&envoy, 50, &Request::get("/up")).count(200) == 50);
    assert_metrics(&envoy, "up", &[("refusing_percent", 0)]);
}
