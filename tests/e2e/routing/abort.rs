//! A canary that fails is given up, and from then on nobody sees it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{json, Value};
use tidegate_tests::{eventually, Answer, Envoy, Load, Request};

use super::setup::{
    assert_calm, assert_metrics, crowd, filter, metrics, moves, ramping, route, routes, start, steered,
    storm, with_1_2_and_4_workers, Pair, IN_FLIGHT, SOON,
};

/// A ramp to one half, where it stays for a day.
fn half() -> Value {
    json!({"steps": [{"weight": 50, "hold_ms": 86_400_000}]})
}

/// Waits for the line that a ramp was given up; what it says.
fn given_up(envoy: &Envoy) -> String {
    eventually("a ramp that is given up", 2 * SOON, || {
        moves(envoy).into_iter().find(|line| line.contains("ramp aborted"))
    })
}

/// Ends what goes on for as long as this is there, also when a test fails.
struct Until<'a>(&'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Sends requests all the time until `done` says so.
fn under_load<T>(envoy: &Envoy, request: &Request, done: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    let load = Load::new(envoy.addr()).connections(IN_FLIGHT).threads(2).requests(400);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                load.repeat(request);
            }
        });
        let _until = Until(&over);
        done()
    })
}

/// The canary does well at first, then it fails. All workers know of the decision when its line is
/// logged: only requests that are under way by then may still arrive.
#[test]
fn nobody_sees_a_canary_that_was_given_up() {
    with_1_2_and_4_workers(|workers| {
        let pair = Pair::new();
        let envoy =
            pair.start(route(&json!({"variants": ramping(&half(), &json!({"max_failed": 1}))})), workers);
        let get = Request::get("/");
        let seen = under_load(&envoy, &get, || {
            eventually("traffic of the canary", SOON, || pair.canary.count() > 200);
            pair.canary.switch(Answer::new(503, "no"));
            assert!(given_up(&envoy).contains("too many requests failed; weight 50 -> 0 of 100"));
            pair.canary.count()
        });
        let last = pair.canary.count();
        assert!(last <= seen + IN_FLIGHT, "{} requests after the end", last - seen);

        let report = storm(&envoy, 2_000, &get);
        assert_eq!(report.count(200), 2_000);
        assert_eq!(pair.canary.count(), last);
        assert_metrics(
            &envoy,
            "shop",
            &[("aborted", 1), ("variant.canary.weight", 0), ("variant.stable.weight", 100)],
        );
        assert_eq!(moves(&envoy).len(), 2, "{}", envoy.log());
        assert_calm(&envoy);
    });
}

#[test]
fn a_canary_is_given_up_after_as_many_failed_intervals_as_configured() {
    let pair = Pair::new();
    pair.canary.switch(Answer::new(503, "no"));
    let envoy = pair.start(route(&json!({"variants": ramping(&half(), &json!({"max_failed": 3}))})), 2);
    under_load(&envoy, &Request::get("/"), || given_up(&envoy));
    let moves = moves(&envoy);
    let halts = moves.iter().filter(|line| line.contains("ramp halted: too many requests failed")).count();
    assert_eq!((halts, moves.len()), (2, 4), "{moves:?}");
    assert_calm(&envoy);
}

#[test]
fn people_who_were_stuck_to_the_canary_are_let_go() {
    let pair = Pair::new();
    let sticky = json!({"experiment": "e", "by": [{"header": "x-user"}]});
    let variants = ramping(&half(), &json!({"max_failed": 1}));
    let envoy = pair.start(route(&json!({"variants": variants, "sticky": sticky})), 2);
    eventually("people on the canary", SOON, || {
        crowd(&envoy, 200, "x-user").count(200) == 200 && pair.canary.count() > 0
    });
    pair.canary.switch(Answer::new(503, "no"));
    eventually("the end of the ramp", 2 * SOON, || {
        crowd(&envoy, 200, "x-user");
        moves(&envoy).iter().any(|line| line.contains("ramp aborted"))
    });
    let last = pair.canary.count();
    assert_eq!(crowd(&envoy, 1_000, "x-user").count(200), 1_000);
    assert_eq!(pair.canary.count(), last);
}

#[test]
fn a_slow_canary_is_given_up() {
    let pair = Pair::new();
    pair.canary.switch(Answer::new(200, "canary").after(Duration::from_millis(60)));
    let abort = json!({"max_failed": 1, "max_p99_ms": 0, "p99_percent": 150, "min_samples": 10});
    // Slower than any upstream here is by chance.
    pair.stable.switch(Answer::new(200, "stable").after(Duration::from_millis(10)));
    let envoy = pair.start(route(&json!({"variants": ramping(&half(), &abort)})), 2);
    let line = under_load(&envoy, &Request::get("/"), || given_up(&envoy));
    assert!(line.contains("slow requests took too long"), "{line}");
}

/// 4xx is what a client did, and no reason to give a canary up.
#[test]
fn the_mistakes_of_clients_are_not_held_against_a_canary() {
    let pair = Pair::new();
    pair.canary.switch(Answer::new(404, "no"));
    let ramp = json!({"steps": [{"weight": 50, "hold_ms": 500}]});
    let envoy = pair.start(route(&json!({"variants": ramping(&ramp, &json!({"max_failed": 1}))})), 2);
    under_load(&envoy, &Request::get("/"), || {
        eventually("promotion", 2 * SOON, || moves(&envoy).iter().any(|line| line.contains("ramp promoted")));
    });
    assert_metrics(&envoy, "shop", &[("aborted", 0), ("variant.canary.failed", 0)]);
}

/// What never answers shows when Envoy gives up on it, and that is a failure of the canary, too.
#[test]
fn a_canary_that_hangs_up_is_given_up() {
    let pair = Pair::new();
    pair.canary.switch(Answer::hang_up());
    let envoy = pair.start(route(&json!({"variants": ramping(&half(), &json!({"max_failed": 1}))})), 2);
    under_load(&envoy, &Request::get("/"), || given_up(&envoy));
    assert!(metrics(&envoy, "shop")["variant.stable.failed"] == 0);
    assert_calm(&envoy);
}

/// A variant whose cluster is missing, or has nobody who could answer, fails everybody who is sent
/// there.
#[test]
fn a_canary_that_is_not_there_is_given_up() {
    for name in ["no such cluster", "no endpoints"] {
        let pair = Pair::new();
        let config = routes(&[route(&json!({"variants": ramping(&half(), &json!({"max_failed": 1}))}))]);
        let bootstrap = steered(&[filter(&config)]).cluster("stable", &[pair.stable.addr()]);
        let bootstrap = if name == "no endpoints" { bootstrap.cluster("canary", &[]) } else { bootstrap };
        let envoy = start(&bootstrap, 2);
        let line = under_load(&envoy, &Request::get("/"), || given_up(&envoy));
        assert!(line.contains("too many requests failed"), "{name}: {line}");
        assert_eq!(storm(&envoy, 200, &Request::get("/")).count(200), 200, "{name}");
    }
}
