//! A new configuration while a breaker is open.

use serde_json::{json, Value};
use tidegate_tests::{Answer, Bootstrap, Client, FileLds, Options, Response, Update, Upstream};

use super::setup::{
    assert_metrics, breaker, filter_of, is_refusal, refuses_everywhere, with_1_2_and_4_workers,
};

fn guarded(config: &Value, upstream: &Upstream) -> Bootstrap {
    let bootstrap = Bootstrap::new().balanced().wasm(&filter_of(config));
    bootstrap.cluster("up", &[upstream.addr()]).forward("/", "up")
}

fn update(envoy: &mut FileLds, config: &Value, upstream: &Upstream) {
    assert_eq!(envoy.update(&guarded(config, upstream).listener()), Update::Accepted, "{config}");
}

/// What a new connection gets, which has the new configuration.
fn ask(envoy: &FileLds) -> Response {
    Client::connect(envoy.addr()).get("/", &[])
}

#[test]
fn a_reload_with_the_same_parameters_keeps_the_state_and_others_start_closed() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::fixed(503, "no");
        let breakers = json!([breaker("up", &json!({}))]);
        let first = json!({"breakers": breakers});
        let mut envoy = FileLds::start(&guarded(&first, &upstream), &Options::workers(workers)).unwrap();
        for _ in 0..5 {
            assert_eq!(ask(&envoy).text(), "no");
        }
        assert!(is_refusal(&ask(&envoy)));

        let more = json!([breaker("other", &json!({})), breaker("up", &json!({"mode": "enforce"}))]);
        let changes = [
            json!({"breakers": breakers, "reply": {"body": "later"}}),
            json!({"breakers": more, "reply": {"body": "later"}}),
        ];
        for config in &changes {
            update(&mut envoy, config, &upstream);
            let answer = ask(&envoy);
            assert_eq!((is_refusal(&answer), answer.text().as_str()), (true, "later"), "{config}");
            assert!(refuses_everywhere(&envoy, &tidegate_tests::Request::get("/")), "{config}");
        }
        assert_eq!(upstream.count(), 5);
        assert_metrics(&envoy, "up", &[("state", 1), ("transitions", 1)]);

        upstream.switch(Answer::new(200, "well"));
        let other = json!({"breakers": [breaker("up", &json!({"minimum_calls": 21}))]});
        update(&mut envoy, &other, &upstream);
        for _ in 0..8 {
            assert_eq!(ask(&envoy).text(), "well");
        }
        assert_metrics(&envoy, "up", &[("state", 0), ("open", 0)]);
    });
}

#[test]
fn a_breaker_can_be_forced_open_and_let_go_by_a_reload() {
    let upstream = Upstream::fixed(200, "well");
    let state = |state: &str| {
        // Never the same document twice: that is a test of its own.
        json!({"breakers": [breaker("up", &json!({"state": state}))], "reply": {"body": state}})
    };
    let first = json!({"breakers": [breaker("up", &json!({}))]});
    let mut envoy = FileLds::start(&guarded(&first, &upstream), &Options::workers(2)).unwrap();
    let cases =
        [("forced_open", true, 3), ("auto", false, 0), ("disabled", false, 4), ("metrics_only", false, 5)];
    assert_eq!(ask(&envoy).text(), "well");
    for (name, refused, number) in cases {
        update(&mut envoy, &state(name), &upstream);
        assert_eq!(is_refusal(&ask(&envoy)), refused, "{name}");
        assert_metrics(&envoy, "up", &[("state", number), ("open", u64::from(refused))]);
    }
}

/// Envoy does not configure anew what it had before and still has connections for.
#[test]
fn a_demanded_state_ends_with_the_return_to_the_document_before() {
    for (name, status) in [("forced_open", 200), ("disabled", 503), ("metrics_only", 503)] {
        let upstream = Upstream::fixed(200, "well");
        let document = |state: &str| json!({"breakers": [breaker("up", &json!({"state": state, "consecutive_failures": 3}))]});
        let mut envoy = FileLds::start(&guarded(&document("auto"), &upstream), &Options::workers(2)).unwrap();
        assert_eq!(ask(&envoy).text(), "well");
        update(&mut envoy, &document(name), &upstream);
        assert_eq!(is_refusal(&ask(&envoy)), name == "forced_open", "{name}");
        update(&mut envoy, &document("auto"), &upstream);
        upstream.switch(Answer::new(status, "up"));
        // A worker that has not heard of the return within its 100 ms loses what it let through.
        let refused: Vec<_> = (0..8).map(|_| is_refusal(&ask(&envoy))).collect();
        let expected = if status == 503 { [false, true] } else { [false; 2] };
        assert_eq!([refused[0], refused[7]], expected, "after {name}: {refused:?}");
        assert_metrics(&envoy, "up", &[("state", u64::from(status == 503))]);
    }
}

#[test]
fn a_bad_configuration_is_rejected_and_the_breaker_stays_open() {
    let upstream = Upstream::fixed(503, "no");
    let good = json!({"breakers": [breaker("up", &json!({"consecutive_failures": 1}))]});
    let mut envoy = FileLds::start(&guarded(&good, &upstream), &Options::workers(2)).unwrap();
    assert_eq!(ask(&envoy).text(), "no");
    assert!(is_refusal(&ask(&envoy)));
    let bad =
        json!({"breakers": [breaker("up", &json!({"consecutive_failures": 1, "half_open_permits": 0}))]});
    let Update::Rejected(log) = envoy.update(&guarded(&bad, &upstream).listener()) else {
        panic!("accepted {bad}")
    };
    let problem = "breakers[0].half_open_permits: 0 permits is out of range, expected 1 to 65535 permits";
    assert!(log.contains(problem), "{log}");
    assert!(is_refusal(&ask(&envoy)));
    assert_eq!(upstream.count(), 1);
}

/// They stayed 1 for ever, and with them the alert on open breakers.
#[test]
fn gauges_of_a_breaker_that_is_removed_while_it_is_open_go_to_zero() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::fixed(503, "no");
        let first = json!({"breakers": [breaker("up", &json!({"consecutive_failures": 1}))]});
        let mut envoy = FileLds::start(&guarded(&first, &upstream), &Options::workers(workers)).unwrap();
        assert_eq!(ask(&envoy).text(), "no");
        assert_metrics(&envoy, "up", &[("state", 1), ("open", 1)]);
        update(&mut envoy, &json!({"breakers": [breaker("other", &json!({}))]}), &upstream);
        assert_eq!(ask(&envoy).text(), "no");
        assert_metrics(&envoy, "up", &[("state", 0), ("open", 0)]);
        // The open breaker is taken up again by a document that has it, and shown.
        update(&mut envoy, &json!({"breakers": first["breakers"], "reply": {"body": "again"}}), &upstream);
        assert_eq!(ask(&envoy).text(), "again");
        assert_metrics(&envoy, "up", &[("state", 1), ("open", 1)]);
    });
}
