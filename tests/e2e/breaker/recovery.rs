//! From open over half-open back to closed, or not.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tidegate_tests::{eventually, Answer, Client, Envoy, Request, Upstream};

use super::setup::{
    assert_metrics, assert_transitions, breaker, brief, guarded, is_refusal, metrics, passes,
    refuses_everywhere, start, storm, transitions, until, with_1_2_and_4_workers, SOON,
};

/// Makes the breaker `up` open by failures of its upstream.
fn open(envoy: &Envoy, upstream: &Upstream) -> Instant {
    upstream.switch(Answer::new(503, "no"));
    let mut client = Client::connect(envoy.addr());
    eventually("a refusal", SOON, || is_refusal(&client.get("/", &[])));
    Instant::now()
}

#[test]
fn an_open_breaker_that_gets_no_request_shows_half_open_when_its_time_is_over() {
    let upstream = Upstream::fixed(503, "no");
    let envoy = start(&guarded(&[brief("up", 1_000, 3)], upstream.addr()), 2);
    open(&envoy, &upstream);
    assert_metrics(&envoy, "up", &[("state", 1), ("open", 1)]);
    assert_metrics(&envoy, "up", &[("state", 2), ("open", 1), ("probes", 0), ("transitions", 1)]);
}

#[test]
fn half_open_lets_exactly_as_many_probes_pass_as_it_has_permits() {
    const PERMITS: usize = 3;
    const CALLERS: usize = 16;
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::fixed(503, "no");
        // No permit is renewed in the first 20 s.
        let fields = json!({"base_open_ms": 300, "half_open_permits": PERMITS, "max_half_open_ms": 600_000});
        let envoy = start(&guarded(&[breaker("up", &fields)], upstream.addr()), workers);
        let opened = open(&envoy, &upstream);
        upstream.switch(Answer::silence());
        until(opened, Duration::from_millis(310));

        let client = Client::connect(envoy.addr());
        let calls = [(); CALLERS].map(|()| client.begin(&Request::get("/")));
        let (told, answers) = mpsc::channel();
        let waiting = calls.map(|call| {
            let told = told.clone();
            thread::spawn(move || told.send(call.answer().unwrap()).unwrap())
        });
        for _ in PERMITS..CALLERS {
            assert!(is_refusal(&answers.recv_timeout(SOON).unwrap()));
        }
        assert!(refuses_everywhere(&envoy, &Request::get("/")));
        eventually("the probes at the upstream", SOON, || upstream.held() == PERMITS);
        assert_eq!(upstream.count(), 5 + PERMITS);
        assert_metrics(&envoy, "up", &[("state", 2), ("open", 1), ("probes", PERMITS as u64)]);

        upstream.switch(Answer::new(200, "well"));
        for _ in 0..PERMITS {
            assert_eq!(answers.recv_timeout(SOON).unwrap().text(), "well");
        }
        for thread in waiting {
            thread.join().unwrap();
        }
        let report = storm(&envoy, 100, &Request::get("/"));
        assert_eq!(report.count(200), 100, "all workers know that it is closed");
        assert_metrics(&envoy, "up", &[("state", 0), ("open", 0), ("probes", PERMITS as u64), ("stale", 0)]);
        assert_transitions(
            &envoy,
            &[
                "up: closed -> open (consecutive)",
                "up: open -> half_open (waited_out)",
                "up: half_open -> closed (probes_passed)",
            ],
        );
    });
}

/// Of four probes two may not fail, so two failures are enough, whatever the others bring. Each
/// time in a row it is open for longer, and closing forgets that.
#[test]
fn failed_probes_open_it_early_and_for_longer() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::fixed(503, "no");
        let breakers = [breaker(
            "up",
            &json!({"base_open_ms": 100, "max_open_ms": 300, "half_open_permits": 4, "failure_rate_percent": 50}),
        )];
        let envoy = start(&guarded(&breakers, upstream.addr()), workers);
        let mut client = Client::connect(envoy.addr());
        open(&envoy, &upstream);
        for round in 1..=3 {
            assert_eq!(passes(&mut client, "/").text(), "no", "first probe of round {round}");
            assert_eq!(client.get("/", &[]).text(), "no", "second probe of round {round}");
            assert!(is_refusal(&client.get("/", &[])), "third probe of round {round}");
            assert_eq!(upstream.count(), 5 + 2 * round);
        }
        upstream.switch(Answer::new(200, "well"));
        assert_eq!(passes(&mut client, "/").text(), "well");
        for _ in 0..3 {
            assert_eq!(client.get("/", &[]).text(), "well");
        }
        open(&envoy, &upstream);

        let opened: Vec<_> = transitions(&envoy)
            .into_iter()
            .filter_map(|line| Some(line.split_once("; open for ")?.1.to_owned()))
            .collect();
        let expected = [
            "100 ms, 1st consecutive opening",
            "200 ms, 2nd consecutive opening",
            "300 ms, 3rd consecutive opening",
            "300 ms, 4th consecutive opening",
            "100 ms, 1st consecutive opening",
        ];
        assert_eq!(opened, expected, "{}", envoy.log());
        let counted = [
            ("transitions.probes_failed", 3),
            ("transitions.probes_passed", 1),
            ("transitions.consecutive", 2),
        ];
        assert_metrics(&envoy, "up", &counted);
    });
}

#[test]
fn slow_probes_open_it_again() {
    let upstream = Upstream::fixed(503, "no");
    let fields = json!({"base_open_ms": 100, "half_open_permits": 1, "slow_call_ms": 150});
    let envoy = start(&guarded(&[breaker("up", &fields)], upstream.addr()), 2);
    open(&envoy, &upstream);
    upstream.switch(Answer::new(200, "well").after(Duration::from_millis(300)));
    let mut client = Client::connect(envoy.addr());
    assert_eq!(passes(&mut client, "/").text(), "well");
    assert_metrics(&envoy, "up", &[("slow", 1), ("failed", 5), ("transitions.probes_failed", 1)]);
}

#[test]
fn probes_that_do_not_come_back_end_the_half_open_state() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::fixed(503, "no");
        let fields = json!({"base_open_ms": 100, "half_open_permits": 2, "max_half_open_ms": 300});
        let envoy = start(&guarded(&[breaker("up", &fields)], upstream.addr()), workers);
        let opened = open(&envoy, &upstream);
        upstream.switch(Answer::silence());
        until(opened, Duration::from_millis(110));
        let client = Client::connect(envoy.addr());
        let calls = [(); 2].map(|()| client.begin(&Request::get("/")));
        eventually("two probes", SOON, || upstream.held() == 2);
        // Nobody asks, and still it ends.
        eventually("the end of the half-open state", SOON, || {
            metrics(&envoy, "up")["transitions.expired"] == 1
        });
        let line = transitions(&envoy).into_iter().find(|line| line.contains("(expired)")).unwrap();
        assert!(
            line.ends_with(
                "none of the probes came back in 300 ms; open for 100 ms, 1st consecutive opening"
            ),
            "{line}"
        );

        // What comes too late is for nobody.
        upstream.switch(Answer::new(200, "well"));
        for call in calls {
            assert_eq!(call.answer().unwrap().text(), "well");
        }
        assert_metrics(&envoy, "up", &[("stale", 2)]);
        let mut client = Client::connect(envoy.addr());
        for _ in 0..2 {
            assert_eq!(passes(&mut client, "/").text(), "well");
        }
        assert_metrics(&envoy, "up", &[("state", 0), ("transitions.probes_passed", 1)]);
    });
}

/// A probe whose caller leaves says nothing, and its permit is there for the next.
#[test]
fn a_probe_whose_caller_leaves_gives_its_permit_back() {
    let upstream = Upstream::fixed(503, "no");
    let envoy = start(&guarded(&[brief("up", 100, 1)], upstream.addr()), 2);
    let opened = open(&envoy, &upstream);
    upstream.switch(Answer::silence());
    until(opened, Duration::from_millis(110));
    let call = Client::connect(envoy.addr()).begin(&Request::get("/"));
    eventually("the probe", SOON, || upstream.held() == 1);
    assert!(refuses_everywhere(&envoy, &Request::get("/")));
    call.leave();
    eventually("Envoy to drop the probe", SOON, || upstream.held() == 0);
    upstream.switch(Answer::new(200, "well"));
    let mut client = Client::connect(envoy.addr());
    assert_eq!(passes(&mut client, "/").text(), "well");
    assert_metrics(
        &envoy,
        "up",
        &[("state", 0), ("ignored", 1), ("probes", 2), ("transitions.probes_passed", 1)],
    );
}

/// A request that was let through before the breaker opened may fail when it is closed again.
#[test]
fn late_outcomes_move_no_newer_state() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::new(|seen| match seen.path.as_str() {
            "/held" => Answer::silence(),
            "/bad" => Answer::new(503, "no"),
            _ => Answer::new(200, "well"),
        });
        let fields = json!({"consecutive_failures": 1, "base_open_ms": 100, "half_open_permits": 1});
        let envoy = start(&guarded(&[breaker("up", &fields)], upstream.addr()), workers);
        let mut client = Client::connect(envoy.addr());
        let held = client.begin(&Request::get("/held"));
        eventually("the held request", SOON, || upstream.held() == 1);
        assert_eq!(client.get("/bad", &[]).text(), "no");
        assert!(is_refusal(&client.get("/", &[])));
        assert_eq!(passes(&mut client, "/").text(), "well");

        upstream.switch(Answer::new(503, "late"));
        assert_eq!(held.answer().unwrap().text(), "late");
        upstream.switch(Answer::new(200, "well"));
        assert_eq!(storm(&envoy, 40, &Request::get("/")).count(200), 40);
        assert_metrics(&envoy, "up", &[("stale", 1), ("failed", 2), ("state", 0), ("transitions", 3)]);
    });
}
