//! One ramp on one worker, in virtual time.

use tidegate_sim::{SimRequest, SimResponse};

use crate::routing::{exchange, routes, variant, Sim, Workers};

/// When the clock of the simulator starts, in milliseconds: also its time of day.
pub(crate) const START_MS: u64 = 3_600_000;

/// One sticky route `r`: `canary` has 10 of 100 and ramps to 25 and 50 in intervals of a second, two
/// for each step, from one second on unless `fields` say otherwise.
pub(crate) fn ramping(fields: &str, abort: &str) -> String {
    let slow = if abort.contains("max_p99_ms") { "" } else { r#", "max_p99_ms": 50"# };
    let start = if fields.contains("start_ms") { String::new() } else { start(1_000) };
    let comma = if fields.is_empty() || start.is_empty() { "" } else { ", " };
    routes(&format!(
        r#"{{"name": "r", "sticky": {{"experiment": "e", "by": [{{"header": "x-user"}}]}}, "variants": [
            {{"name": "stable", "cluster": "one", "weight": 90}},
            {{"name": "canary", "cluster": "two", "weight": 10, "max_weight": 60, "ramp": {{
                "steps": [{{"weight": 25, "hold_ms": 2000}}, {{"weight": 50, "hold_ms": 2000}}],
                "interval_ms": 1000, {start}{comma}{fields}, "abort": {{"min_samples": 30{slow}{abort}}}}}}}]}}"#
    ))
}

/// The field that starts a ramp so long after the clock.
pub(crate) fn start(ms: u64) -> String {
    format!(r#""start_ms": {}"#, START_MS + ms)
}

/// How requests of a variant end.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) status: u32,
    pub(crate) took_ms: u64,
}

pub(crate) const WELL: Ends = Ends { status: 200, took_ms: 5 };
pub(crate) const BADLY: Ends = Ends { status: 500, took_ms: 5 };
pub(crate) const SLOWLY: Ends = Ends { status: 200, took_ms: 90 };

/// Forty users, one request each at `ms`, that end as their variant does. How many saw the canary.
pub(crate) fn crowd(worker: &Sim, ms: u64, stable: Ends, canary: Ends) -> usize {
    let clock = |ms| worker.host.set(tidegate_policy::time::Span::from_millis(ms));
    let mut seen = 0;
    for user in 0..40 {
        let user = format!("user-{user}");
        let request = SimRequest::get("/").header("x-user", user.as_bytes());
        clock(ms);
        let (verdict, open) = worker.begin(&request);
        let onward = crate::routing::onward(&request, verdict);
        let is_canary = onward.get("x-tidegate-cluster") == "two";
        let Ends { status, took_ms } = if is_canary { canary } else { stable };
        clock(ms + took_ms);
        let _ = worker.end(open, &SimResponse::upstream(status));
        seen += usize::from(is_canary);
    }
    clock(ms);
    seen
}

/// What the canary weighs, as the metric shows it.
pub(crate) fn weight(worker: &Sim) -> u64 {
    worker.host.count(worker.counter("tidegate.routing.route.r.variant.canary.weight"))
}

/// Runs a worker with a crowd every 100 ms and a tick after each. The canary's weight at the end of
/// each second, as `seconds` says how its requests end in each: `+` well, `-` badly, `s` slowly, `.`
/// without any traffic, `b` well but the baseline badly.
pub(crate) fn run(workers: &Workers, from_s: u64, seconds: &str) -> String {
    let mut weights = Vec::new();
    for (second, letter) in (from_s..).zip(seconds.chars()) {
        for tenth in 0..10 {
            let ms = second * 1_000 + tenth * 100;
            workers.at(ms);
            for worker in &workers.all {
                match letter {
                    '+' => _ = crowd(worker, ms, WELL, WELL),
                    '-' => _ = crowd(worker, ms, WELL, BADLY),
                    's' => _ = crowd(worker, ms, WELL, SLOWLY),
                    'b' => _ = crowd(worker, ms, BADLY, WELL),
                    '.' => {}
                    _ => panic!("{letter}"),
                }
            }
            workers.tick();
        }
        weights.push(weight(&workers.all[0]).to_string());
    }
    weights.join(" ")
}

#[test]
fn it_moves_only_on_intervals_that_pass() {
    #[rustfmt::skip]
    let cases = [
        // abort                     seconds       weights
        ("",                         "+++++++",    "25 25 50 50 50 50 50"),
        // Nobody asks: nothing to judge by.
        ("",                         "+++.++",     "25 25 50 50 50 50"),
        ("",                         "+...+++++",  "25 25 25 25 25 50 50 50 50"),
        // Judged a quarter of a second after the end, hence with the second that follows.
        ("",                         "+-+++++",    "25 25 25 50 50 50 50"),
        ("",                         "+---+",      "25 25 25 25 0"),
        ("",                         "+-+-+-++",   "25 25 25 50 50 50 0 0"),
        (r#", "max_failed": 1"#,     "+-++",       "25 25 0 0"),
        (r#", "max_failed": 4"#,     "+---+++",    "25 25 25 25 25 50 50"),
        (r#", "max_failed": 1"#,     "+s++",       "25 25 0 0"),
        (r#", "max_failed": 1, "max_p99_ms": 100"#, "+s++", "25 25 50 50"),
        // A baseline that fails excuses nothing, and holds nothing against a variant that does well.
        (r#", "max_failed": 1"#,     "+b++",       "25 25 50 50"),
    ];
    for (abort, seconds, expected) in cases {
        let workers = Workers::new(1, &ramping("", abort));
        assert_eq!(run(&workers, 1, seconds), expected, "{abort} {seconds}");
    }
}

#[test]
fn it_waits_for_its_start_and_then_goes_step_by_step() {
    let workers = Workers::new(1, &ramping(&start(3_000), ""));
    assert_eq!(run(&workers, 0, "+++++++++"), "10 10 10 25 25 50 50 50 50");
    let notes = workers.notes();
    let expected = [
        "r/canary: ramp advanced: its time has come; weight 10 -> 25 of 100",
        "r/canary: ramp advanced: the interval went well; weight 25 -> 50 of 100",
        "r/canary: ramp promoted: the interval went well; weight 50 -> 50 of 100",
    ];
    assert_eq!(notes, expected);
    let metrics = ["advanced", "aborted", "halted", "promoted", "moves"].map(|what| workers.count(what));
    assert_eq!(metrics, [2, 0, 0, 1, 3]);
    assert_eq!(workers.count("undecided"), 0);
}

#[test]
fn a_ramp_that_is_late_joins_where_others_are() {
    let start = format!(r#""start_ms": {}"#, START_MS - 2_300);
    assert_eq!(run(&Workers::new(1, &ramping(&start, "")), 0, "."), "50");
    let start = format!(r#""start_ms": {}"#, START_MS - 9_000);
    let workers = Workers::new(1, &ramping(&start, ""));
    assert_eq!(run(&workers, 0, "."), "50");
    assert_eq!((workers.count("promoted"), workers.count("advanced")), (1, 0));
}

#[test]
fn a_growing_ramp_only_adds_clients() {
    let workers = Workers::new(1, &ramping("", ""));
    let people = || -> Vec<bool> {
        let canary = |n: u32| {
            let user = n.to_string();
            let request = SimRequest::get("/").header("x-user", user.as_bytes());
            variant(&exchange(&workers.all[0], &request, 200).0) == "canary"
        };
        (0..2_000).map(canary).collect()
    };
    let mut steps = vec![people()];
    for second in 1..=3 {
        run(&workers, second, "+");
        steps.push(people());
    }
    let counts: Vec<usize> = steps.iter().map(|step| step.iter().filter(|is| **is).count()).collect();
    assert!(counts[0] < counts[1] && counts[1] == counts[2] && counts[2] < counts[3], "{counts:?}");
    for pair in steps.windows(2) {
        assert!(pair[0].iter().zip(&pair[1]).all(|(before, now)| *now || !*before));
    }
}

#[test]
fn a_paused_ramp_stays_and_can_still_fail() {
    let workers = Workers::new(1, &ramping(r#""paused": true"#, ""));
    assert_eq!(run(&workers, 1, "++++++"), "25 25 25 25 25 25");
    assert_eq!((workers.count("halted"), workers.notes().len()), (5, 1), "a pause is no news");
    assert_eq!(run(&workers, 7, "---+"), "25 25 25 0");
}

#[test]
fn an_abort_says_why() {
    #[rustfmt::skip]
    let cases = [
        ('-', "r/canary: ramp aborted: too many requests failed; weight 25 -> 0 of 100"),
        ('s', "r/canary: ramp aborted: slow requests took too long; weight 25 -> 0 of 100"),
    ];
    for (letter, expected) in cases {
        let workers = Workers::new(1, &ramping("", r#", "max_failed": 1"#));
        run(&workers, 1, &format!("+{letter}++"));
        assert_eq!(workers.notes().last().map(String::as_str), Some(expected));
        assert_eq!((workers.count("aborted"), weight(&workers.all[0])), (1, 0));
    }
}

#[test]
fn an_aborted_ramp_stays_so() {
    let workers = Workers::new(1, &ramping("", r#", "max_failed": 1"#));
    assert_eq!(run(&workers, 1, "+-++++++"), "25 25 0 0 0 0 0 0");
    assert_eq!(crowd(&workers.all[0], 9_000, WELL, WELL), 0);
}

#[test]
fn the_breaker_that_it_watches_aborts_it_at_once() {
    let json = ramping("", r#", "breaker": "two""#);
    #[rustfmt::skip]
    let cases = [
        // state             aborts
        (0,                  false),
        (1,                  true),  // open
        (2,                  false), // half open
        (3,                  true),  // forced open
        (4,                  false), // disabled
    ];
    for (state, aborts) in cases {
        let workers = Workers::new(2, &json);
        run(&workers, 1, "+");
        let gauge = workers.all[0].counter("tidegate.breaker.breaker.two.state");
        (0..state).for_each(|_| workers.store.raise(gauge));
        workers.at(2_000).all[0].tick();
        assert_eq!(weight(&workers.all[0]), if aborts { 0 } else { 25 }, "state {state}");
        let seen = workers.all.iter().map(|worker| crowd(worker, 2_001, WELL, WELL)).sum::<usize>();
        assert_eq!(seen == 0, aborts, "state {state}: without a tick of the other worker");
        assert_eq!(workers.count("aborted"), u64::from(aborts), "state {state}");
        let notes = workers.notes();
        assert_eq!(notes.iter().any(|note| note.contains("its breaker is open")), aborts, "{notes:?}");
    }
}

#[test]
fn each_ramp_watches_its_own_breaker() {
    let ramp = |breaker: &str| {
        format!(
            r#""ramp": {{"steps": [{{"weight": 20, "hold_ms": 60000}}], "abort": {{"breaker": "{breaker}"}}}}"#
        )
    };
    let json = routes(&format!(
        r#"{{"name": "r", "variants": [{{"name": "stable", "cluster": "c", "weight": 80}},
            {{"name": "x", "cluster": "x", "weight": 10, {}}}, {{"name": "canary", "cluster": "y", "weight": 10, {}}}]}}"#,
        ramp("of-x"),
        ramp("of-y")
    ));
    let workers = Workers::new(1, &json);
    workers.at(1_000).tick();
    workers.store.raise(workers.all[0].counter("tidegate.breaker.breaker.of-y.state"));
    workers.at(1_100).tick();
    assert_eq!((workers.count("variant.x.weight"), workers.count("variant.canary.weight")), (20, 0));
    assert_eq!(workers.count("variant.stable.weight"), 80);
}

/// The status of a gRPC exchange is in its trailers, or nowhere when it broke off.
#[test]
fn grpc_is_judged_by_its_own_status() {
    type Finish = fn(&Sim, tidegate_sim::Exchange<tidegate_policy::routing::Routing>);
    #[rustfmt::skip]
    let cases: [(&str, Finish, u64); 6] = [
        ("trailers say well",     |w, e| w.end_with_trailers(e, &SimResponse::upstream(200), &SimResponse::upstream(0).header("grpc-status", "0")), 0),
        ("trailers say failed",   |w, e| w.end_with_trailers(e, &SimResponse::upstream(200), &SimResponse::upstream(0).header("grpc-status", "14")), 1),
        ("headers say failed",    |w, e| drop(w.end(e, &SimResponse::upstream(200).header("grpc-status", "13"))), 1),
        ("headers say unknown",   |w, e| drop(w.end(e, &SimResponse::upstream(200).header("grpc-status", "2"))), 1),
        ("reset before trailers", |w, e| w.break_off(e, &SimResponse::upstream(200), &SimResponse::local(0, "", 1 << 4)), 1),
        ("the client left",       |w, e| w.break_off(e, &SimResponse::upstream(200), &SimResponse::local(0, "", 1 << 14)), 0),
    ];
    for (name, finish, failed) in cases {
        let workers = Workers::new(1, &ramping("", ""));
        workers.at(1_300).tick();
        let request = SimRequest::request("POST", "/a.B/c").header("content-type", b"application/grpc");
        let request = request.header("x-user", b"alice");
        let (_, exchange) = workers.all[0].begin(&request);
        finish(&workers.all[0], exchange);
        let count = workers.count("variant.stable.failed") + workers.count("variant.canary.failed");
        assert_eq!(count, failed, "{name}");
    }
}

/// A cluster that is not there, or has no host, fails as surely as one that answers 500.
#[test]
fn what_envoy_could_not_deliver_counts_against_the_variant() {
    for (flag, bit) in tidegate_policy::http::classify::FLAGS {
        let workers = Workers::new(1, &ramping("", ""));
        workers.at(1_300).tick();
        let (_, exchange) = workers.all[0].begin(&SimRequest::get("/").header("x-user", b"alice"));
        let _ = workers.all[0].end(exchange, &SimResponse::local(503, "no_healthy_upstream", bit));
        let failed = workers.count("variant.stable.failed") + workers.count("variant.canary.failed");
        // How long a stream may be idle or live is no fault of a variant.
        let counts = !["DT", "SI", "UMSDR"].contains(&flag);
        assert_eq!(failed, u64::from(counts), "{flag}");
    }
}
