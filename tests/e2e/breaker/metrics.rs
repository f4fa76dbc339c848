//! What Envoy's statistics say about a breaker.

use std::time::Duration;

use serde_json::json;
use tidegate_tests::{stats, Answer, Client, Load, Request, Upstream};

use super::setup::{
    assert_metrics, assert_transitions, breaker, guarded, metrics_when, passes, start, with_1_2_and_4_workers,
};

#[test]
fn every_request_is_counted_where_it_belongs() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::fixed(200, "well");
        let fields = json!({"base_open_ms": 150, "half_open_permits": 2, "consecutive_failures": 4});
        let envoy = start(&guarded(&[breaker("up", &fields)], upstream.addr()), workers);
        let mut client = Client::connect(envoy.addr());
        for _ in 0..7 {
            client.get("/", &[]);
        }
        upstream.switch(Answer::new(503, "no"));
        for _ in 0..4 {
            assert_eq!(client.get("/", &[]).text(), "no");
        }
        upstream.switch(Answer::new(200, "well"));
        assert_eq!(passes(&mut client, "/").text(), "well");
        for _ in 0..3 {
            assert_eq!(client.get("/", &[]).text(), "well");
        }
        let counted = [
            ("admitted", 15),
            ("probes", 2),
            ("succeeded", 11),
            ("failed", 4),
            ("ignored", 0),
            ("stale", 0),
            ("undecided", 0),
            ("state", 0),
            ("open", 0),
            ("transitions", 3),
            ("transitions.consecutive", 1),
            ("transitions.waited_out", 1),
            ("transitions.probes_passed", 1),
            ("transitions.probes_failed", 0),
            ("transitions.failure_rate", 0),
            ("transitions.slow_rate", 0),
            ("transitions.expired", 0),
        ];
        assert_metrics(&envoy, "up", &counted);
    });
}

#[test]
fn the_gauge_follows_the_state_and_prometheus_has_labels() {
    let upstream = Upstream::fixed(503, "no");
    let fields = json!({"base_open_ms": 400, "half_open_permits": 1});
    let bootstrap = guarded(
        &[breaker("check-out", &json!({"target": {"cluster": "up"}})), breaker("up", &fields)],
        upstream.addr(),
    );
    let bootstrap = bootstrap
        .stats_tag("breaker", r"^wasmcustom\.tidegate\.breaker(\.breaker\.([A-Za-z0-9_-]+))\.")
        .stats_tag(
            "reason",
            r"^wasmcustom\.tidegate\.breaker\.breaker\.[A-Za-z0-9_-]+\.transitions(\.([a-z_]+))$",
        );
    let envoy = start(&bootstrap, 2);
    let mut client = Client::connect(envoy.addr());
    for _ in 0..5 {
        client.get("/", &[]);
    }
    assert_metrics(&envoy, "check-out", &[("state", 1), ("open", 1), ("transitions.consecutive", 1)]);
    let page = envoy.prometheus();
    let of = |family: &str, breaker: &str, reason: Option<&str>| -> Vec<f64> {
        let samples = stats::family(&page, family).into_iter();
        let samples = samples.filter(|s| {
            s.labels.get("breaker").map(String::as_str) == Some(breaker)
                && s.labels.get("reason").map(String::as_str) == reason
        });
        samples.map(|sample| sample.value).collect()
    };
    assert_eq!(of("tidegate_breaker_state", "check-out", None), [1.0]);
    assert_eq!(of("tidegate_breaker_admitted", "check-out", None), [5.0]);
    assert_eq!(of("tidegate_breaker_transitions", "check-out", None), [1.0]);
    assert_eq!(of("tidegate_breaker_transitions", "check-out", Some("consecutive")), [1.0]);
}

/// Many workers see the failures at once, and each of them sees all changes of state.
#[test]
fn each_change_of_state_is_logged_and_counted_once_whoever_makes_it() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::fixed(503, "no");
        let fields = json!({"base_open_ms": 100, "max_open_ms": 100, "half_open_permits": 2});
        let envoy = start(&guarded(&[breaker("up", &fields)], upstream.addr()), workers);
        let load = Load::new(envoy.addr()).connections(16).threads(2).duration(Duration::from_millis(700));
        load.repeat(&Request::get("/"));
        let parts = ["consecutive", "waited_out", "probes_failed"].map(|why| format!("transitions.{why}"));
        let counted = metrics_when(&envoy, "up", |all| {
            all["transitions"] == parts.iter().map(|part| all[part]).sum::<u64>()
        });
        let [once, waited, failed] = parts.map(|part| counted[&part]);
        assert_eq!((once, counted["undecided"]), (1, 0), "{counted:?}");
        assert!(waited >= 3 && (waited == failed || waited == failed + 1), "{counted:?}");
        let again = |line: &'static str, times: u64| (0..times).map(move |_| line);
        let expected: Vec<_> = ["up: closed -> open (consecutive)"]
            .into_iter()
            .chain(again("up: open -> half_open (waited_out)", waited))
            .chain(again("up: half_open -> open (probes_failed)", failed))
            .collect();
        assert_transitions(&envoy, &expected);
        // Two probes each time, of which one that fails is enough.
        assert!((5 + 1..=5 + 16 + 2 * waited).contains(&(upstream.count() as u64)), "{}", upstream.count());
    });
}
