//! How exchanges end after their headers, or without any: what a breaker counts, and from when.

use std::sync::Arc;

use tidegate_policy::http::Attribute;
use tidegate_policy::time::Span;
use tidegate_sim::{SimRequest, SimResponse, SimStore};

use crate::breaker::{ask, calls, config, of, up, Exchange, Sim, Workers};

/// Of 40 requests these must open it well before the last.
pub(crate) const JUMPY: &str = r#""consecutive_failures": 5, "minimum_calls": 10"#;
/// Opens when half of ten calls are slow.
pub(crate) const HASTY: &str =
    r#""slow_call_ms": 100, "slow_rate_percent": 50, "minimum_calls": 10, "consecutive_failures": 0"#;

pub(crate) const GONE: u64 = 1 << 14;
pub(crate) const CUT: u64 = 1 << 6;
pub(crate) const RESET: u64 = 1 << 4;
pub(crate) const TIMEOUT: u64 = 1 << 2;
pub(crate) const IDLE: u64 = 1 << 16;

const TARGETS: [&str; 3] = [r#"{"cluster": "up"}"#, r#"{"route": "r"}"#, r#"{"key": [{"constant": "x"}]}"#];

pub(crate) fn flags(flags: u64) -> SimResponse {
    SimResponse::none().attribute(Attribute::Flags, &flags.to_le_bytes())
}

fn request<'a>() -> SimRequest<'a> {
    up().attribute(Attribute::Route, b"r")
}

pub(crate) fn upload<'a>() -> SimRequest<'a> {
    SimRequest::request("PUT", "/").attribute(Attribute::Cluster, b"up").with_body()
}

pub(crate) fn later(worker: &Sim, ms: u64) {
    worker.host.set(Span::from_millis(ms));
}

/// A good response whose body broke off.
pub(crate) fn cut(worker: &Sim, exchange: Exchange, end: u64) {
    worker.break_off(exchange, &SimResponse::upstream(200), &flags(end));
}

/// How many of 40 requests, 50 ms apart, pass when each ends as `end` says; and the worker's metrics.
pub(crate) fn forty(
    json: &str,
    request: &SimRequest<'_>,
    end: impl Fn(&Sim, u64, Exchange),
) -> (usize, Workers) {
    let workers = Workers::new(1, json);
    let mut passed = 0;
    for ms in (1_000..3_000).step_by(50) {
        workers.at(ms);
        let (word, exchange) = ask(&workers.all[0], request);
        if word == '+' {
            passed += 1;
            end(&workers.all[0], ms, exchange);
        }
        workers.tick();
    }
    (passed, workers)
}

#[test]
fn an_upstream_that_cuts_every_body_opens() {
    for target in TARGETS {
        #[rustfmt::skip]
        let cases = [
            // name                                flags    passed
            ("the upstream closed",                CUT,     5),
            ("the upstream reset it",              RESET,   5),
            ("no HTTP any more",                   1 << 23, 5),
            ("silence until the route's timeout",  TIMEOUT, 5),
            ("silence until the idle timeout",     IDLE,    5),
            ("the client left",                    GONE,    40),
            ("nothing is known",                   0,       40),
            ("the stream lived for too long",      1 << 19, 40),
        ];
        for (name, bits, expected) in cases {
            let (passed, _) = forty(&of(target, JUMPY), &request(), |w, _, exchange| cut(w, exchange, bits));
            assert_eq!(passed, expected, "{target}: {name}");
        }
    }
}

#[test]
fn timeouts_within_a_response_count_where_timeouts_count() {
    let fields = |list: &str| config(&format!(r#"{JUMPY}, "failure_flags": [{list}]"#));
    #[rustfmt::skip]
    let cases = [
        // failure_flags  flags    passed
        (r#""UC""#,       CUT,     5),
        (r#""UC""#,       IDLE,    40),
        (r#""UT""#,       IDLE,    5),
        (r#""UT""#,       CUT,     40),
        ("",              CUT,     40),
    ];
    for (list, bits, expected) in cases {
        let (passed, _) = forty(&fields(list), &up(), |w, _, exchange| cut(w, exchange, bits));
        assert_eq!(passed, expected, "{list} {bits:#x}");
    }
}

/// A client that does not read holds a large body back until something times out.
#[test]
fn a_timeout_within_a_large_body_may_be_its_clients() {
    #[rustfmt::skip]
    let cases = [
        // bytes sent  flags    passed
        (5,            TIMEOUT, 5),
        (16_384,       IDLE,    5),
        (16_385,       TIMEOUT, 40),
        (16_385,       IDLE,    40),
        (1 << 20,      CUT,     5),
    ];
    for (size, bits, expected) in cases {
        let cut = |worker: &Sim, _, exchange| {
            let end = flags(bits).attribute(Attribute::ResponseSize, &u64::to_le_bytes(size));
            worker.break_off(exchange, &SimResponse::upstream(200), &end);
        };
        assert_eq!(forty(&config(JUMPY), &up(), cut).0, expected, "{size} bytes, {bits:#x}");
        for attempt_first in [true, false] {
            let cut = |worker: &Sim, _, exchange, attempt: bool| {
                let end = seen(bits).attribute(Attribute::ResponseSize, &u64::to_le_bytes(size));
                let end = if attempt { SimResponse::none() } else { end };
                worker.break_off(exchange, &SimResponse::upstream(200), &end);
            };
            assert_eq!(endpoint(JUMPY, cut, attempt_first), expected, "{size} bytes, {bits:#x}");
        }
    }
}

/// A response counts once: at its headers if they are bad, else at its end.
#[test]
fn bad_headers_count_at_once_and_good_ones_at_the_end() {
    #[rustfmt::skip]
    let cases = [
        // status  at the headers        at the end
        (200,      [0, 0, 0],            [1, 0, 0]),
        (404,      [0, 0, 0],            [1, 0, 0]),
        (503,      [0, 1, 0],            [0, 1, 0]),
        (429,      [0, 0, 1],            [0, 0, 1]),
        (101,      [1, 0, 0],            [1, 0, 0]),
    ];
    for (status, at_headers, at_end) in cases {
        let workers = Workers::new(1, &config(r#""throttled_statuses": [429]"#));
        let counts = || ["succeeded", "failed", "throttled"].map(|what| workers.count(what));
        let (_, mut exchange) = ask(&workers.all[0], &up());
        let response = SimResponse::upstream(status);
        workers.all[0].respond(&mut exchange, &response);
        assert_eq!(counts(), at_headers, "{status}");
        workers.all[0].finish(exchange, &SimResponse::none());
        assert_eq!(counts(), at_end, "{status}");
    }
    let workers = Workers::new(1, &config(""));
    let (_, mut exchange) = ask(&workers.all[0], &up());
    workers.all[0].respond(&mut exchange, &SimResponse::upstream(204).without_body());
    assert_eq!(workers.count("succeeded"), 1, "headers that are all of it");
    workers.all[0].abort(exchange, &flags(CUT));
    assert_eq!((workers.count("succeeded"), workers.count("failed")), (1, 0));
}

/// An endpoint whose attempts and whose requests end as `end` says of either, the attempt first or last.
fn endpoint(fields: &str, end: impl Fn(&Sim, u64, Exchange, bool), attempt_first: bool) -> usize {
    let json = of(r#"{"endpoint": "up"}"#, fields);
    let store = Arc::<SimStore>::default();
    let (edge, attempts) = (Workers::on(&store, 1, &json), Workers::attempts_on(&store, 1, &json));
    let mut passed = 0;
    for ms in (1_000..3_000).step_by(50) {
        edge.at(ms);
        attempts.at(ms);
        let (_, call) = ask(&edge.all[0], &up());
        let (word, attempt) = ask(&attempts.all[0], &up().attribute(Attribute::Endpoint, b"a:1"));
        if word == '+' {
            passed += 1;
            if attempt_first {
                end(&attempts.all[0], ms, attempt, true);
                end(&edge.all[0], ms, call, false);
            } else {
                end(&edge.all[0], ms, call, false);
                end(&attempts.all[0], ms, attempt, true);
            }
        }
        edge.tick();
        attempts.tick();
    }
    passed
}

/// The end of a request as the filter at the listener sees it, whose only attempt went to `a:1`.
pub(crate) fn seen(bits: u64) -> SimResponse {
    let end = flags(bits).attribute(Attribute::Cluster, b"up").attribute(Attribute::Endpoint, b"a:1");
    let end = end.attribute(Attribute::AttemptCount, &1_u64.to_le_bytes());
    end.attribute(Attribute::Endpoints, &10_u64.to_le_bytes())
}

#[test]
fn an_endpoint_that_cuts_every_body_opens() {
    for (bits, expected) in [(CUT, 5), (RESET, 5), (TIMEOUT, 5), (IDLE, 5), (GONE, 40), (0, 40)] {
        for attempt_first in [true, false] {
            let end = |worker: &Sim, _, exchange, attempt: bool| {
                let end = if attempt { SimResponse::none() } else { seen(bits) };
                worker.break_off(exchange, &SimResponse::upstream(200), &end);
            };
            assert_eq!(endpoint(JUMPY, end, attempt_first), expected, "{bits:#x} {attempt_first}");
        }
    }
}

#[test]
fn an_endpoint_is_blamed_once_for_an_answer_that_breaks_off() {
    let json = of(r#"{"endpoint": "up"}"#, r#""consecutive_failures": 2"#);
    let store = Arc::<SimStore>::default();
    let (edge, attempts) = (Workers::on(&store, 1, &json), Workers::attempts_on(&store, 1, &json));
    let (_, call) = ask(&edge.all[0], &up());
    let (_, attempt) = ask(&attempts.all[0], &up().attribute(Attribute::Endpoint, b"a:1"));
    attempts.all[0].break_off(attempt, &SimResponse::upstream(503), &SimResponse::none());
    edge.all[0].break_off(call, &SimResponse::upstream(503), &seen(CUT));
    assert_eq!((edge.count("failed"), attempts.count("failed")), (0, 1));
}

#[test]
fn clients_that_leave_a_hanging_upstream_open_it_by_its_slow_rate() {
    for target in TARGETS {
        let json = of(target, HASTY);
        let hang = |worker: &Sim, ms, exchange| {
            later(worker, ms + 350);
            worker.abort(exchange, &flags(GONE));
        };
        let (passed, workers) = forty(&json, &request(), hang);
        let opened = workers.count("transitions.slow_rate");
        assert_eq!((passed, opened, workers.count("failed")), (10, 1, 0), "{target}");
    }
    for attempt_first in [true, false] {
        let hang = |worker: &Sim, ms, exchange, attempt: bool| {
            later(worker, ms + 350);
            worker.abort(exchange, &if attempt { SimResponse::none() } else { seen(GONE) });
        };
        assert_eq!(endpoint(HASTY, hang, attempt_first), 10, "attempt first: {attempt_first}");
    }
}

#[test]
fn a_client_that_leaves_counts_only_if_it_proves_a_slow_call() {
    #[rustfmt::skip]
    let cases = [
        // name                            request    complete  after  attempts  slow
        ("before a call is slow",          request(), true,     100,   None,     0),
        ("after that",                     request(), true,     101,   None,     1),
        ("of the first attempt",           request(), true,     101,   Some(1),  1),
        ("held by a filter behind ours",   request(), true,     101,   Some(0),  0),
        ("an upload that is not complete", upload(),  false,    9_000, Some(1),  0),
    ];
    for (name, request, complete, after, attempts, slow) in cases {
        let workers = Workers::new(1, &config(HASTY));
        let (_, mut exchange) = ask(&workers.all[0], &request);
        if complete {
            workers.all[0].complete(&mut exchange);
        }
        workers.at(after);
        let count = |n: u64| flags(GONE).attribute(Attribute::AttemptCount, &n.to_le_bytes());
        workers.all[0].abort(exchange, &attempts.map_or(flags(GONE), count));
        let counts = ["slow", "ignored", "failed", "succeeded"].map(|what| workers.count(what));
        assert_eq!(counts, [slow, 1, 0, 0], "{name}");
    }
    // The client of an answer left: the call was as slow as its headers.
    let workers = Workers::new(1, &config(HASTY));
    let (_, mut exchange) = ask(&workers.all[0], &up());
    workers.all[0].respond(&mut exchange, &SimResponse::upstream(200));
    workers.at(5_000);
    workers.all[0].abort(exchange, &flags(GONE));
    assert_eq!((workers.count("slow"), workers.count("ignored")), (0, 1));
}

#[test]
fn a_client_that_leaves_ends_no_run_and_makes_none() {
    let fields = r#""consecutive_failures": 3, "slow_call_ms": 100"#;
    let workers = Workers::new(1, &config(fields));
    let leave = |ms: u64| {
        let (_, exchange) = ask(&workers.all[0], &up());
        workers.at(ms);
        workers.all[0].abort(exchange, &flags(GONE));
    };
    assert_eq!(workers.calls("FF"), "++");
    leave(200);
    leave(400);
    assert_eq!(workers.calls("FS"), "+-", "three failures, whoever left between them");
}

/// One exchange: which class it counted as.
pub(crate) fn class(request: &SimRequest<'_>, drive: impl Fn(&Sim, Exchange)) -> String {
    let workers = Workers::new(1, &config(r#""consecutive_failures": 0"#));
    let (_, exchange) = ask(&workers.all[0], request);
    drive(&workers.all[0], exchange);
    let classes = ["succeeded", "failed", "throttled", "ignored"];
    let came = classes.into_iter().filter(|what| workers.count(what) > 0);
    came.collect::<Vec<_>>().join(" ")
}

/// A breaker that opened at 0 and has one permit, its time over at 1,000.
fn opened(fields: &str) -> Workers {
    let fields =
        format!(r#""consecutive_failures": 1, "base_open_ms": 1000, "half_open_permits": 1{fields}"#);
    let workers = Workers::new(1, &config(&fields));
    assert_eq!(workers.calls("FS"), "+-");
    workers
}

#[test]
fn a_probe_is_judged_at_its_end_or_by_its_headers_when_it_lasts() {
    #[rustfmt::skip]
    let cases = [
        // half-open time                after    state
        ("",                             14_900,  2),
        ("",                             15_000,  0),
        (r#", "max_half_open_ms": 0"#,   59_900,  2),
        (r#", "max_half_open_ms": 0"#,   60_000,  0),
    ];
    for (fields, after, state) in cases {
        let workers = opened(fields);
        workers.at(1_000);
        let (word, mut exchange) = ask(&workers.all[0], &up());
        assert_eq!(word, 'p');
        workers.all[0].respond(&mut exchange, &SimResponse::upstream(200));
        workers.at(1_000 + after);
        assert_eq!(workers.state(), state, "{fields} after {after}");
        workers.all[0].abort(exchange, &flags(CUT));
        assert_eq!(workers.state(), if state == 0 { 0 } else { 1 }, "{fields} cut after {after}");
    }
}

#[test]
fn a_probe_that_ends_gives_its_permit_back_or_decides() {
    #[rustfmt::skip]
    let cases = [
        // name                end of a good response  state
        ("complete",           None,                   0),
        ("cut",                Some(CUT),              1),
        ("the client left",    Some(GONE),             2),
    ];
    for (name, end, state) in cases {
        let workers = opened("");
        workers.at(1_000);
        let (_, exchange) = ask(&workers.all[0], &up());
        match end {
            None => drop(workers.all[0].end(exchange, &SimResponse::upstream(200))),
            Some(bits) => cut(&workers.all[0], exchange, bits),
        }
        assert_eq!(workers.state(), state, "{name}");
        if state == 2 {
            assert_eq!(workers.calls("SS"), "p+", "{name}");
        }
    }
}

/// Probes of clients that leave a hanging upstream open it again, and do not close it.
#[test]
fn probes_of_clients_that_leave_slowly_are_slow_and_not_well() {
    let fields =
        format!(r#"{HASTY}, "failure_rate_percent": 50, "base_open_ms": 1000, "half_open_permits": 4"#);
    let hasty = || {
        let workers = Workers::new(1, &config(&fields));
        for _ in 0..10 {
            let (_, exchange) = ask(&workers.all[0], &up());
            workers.all[0].end(exchange, &SimResponse::upstream(503));
        }
        assert_eq!(workers.state(), 1);
        workers
    };
    for (waited, state) in [(100, 2), (101, 1)] {
        let workers = hasty();
        workers.at(1_000);
        let probes: Vec<_> = (0..4).map(|_| ask(&workers.all[0], &up())).collect();
        workers.at(1_000 + waited);
        for (word, exchange) in probes {
            assert_eq!(word, 'p');
            workers.all[0].abort(exchange, &flags(GONE));
        }
        assert_eq!(workers.state(), state, "after {waited} ms");
    }
    let workers = hasty();
    workers.at(1_000);
    let (_, slow) = ask(&workers.all[0], &up());
    workers.at(1_200);
    workers.all[0].abort(slow, &flags(GONE));
    assert_eq!(calls(&workers.all[0], &up(), "SSS"), "ppp");
    assert_eq!(workers.state(), 2, "three of four came back");
    assert_eq!(workers.calls("SS"), "p+");
}
