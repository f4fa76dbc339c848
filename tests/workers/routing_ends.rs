//! How requests of a ramp end after their headers, or without any: what a variant is judged by.

use tidegate_policy::http::{Attribute, Request};
use tidegate_policy::routing::Routing;
use tidegate_policy::time::Span;
use tidegate_sim::{SimRequest, SimResponse};

use crate::routing::{onward, Sim, Workers};
use crate::routing_ramp::{ramping, weight};

type Exchange = tidegate_sim::Exchange<Routing>;

const GONE: u64 = 1 << 14;
const CUT: u64 = 1 << 6;

fn flags(flags: u64) -> SimResponse {
    SimResponse::none().attribute(Attribute::Flags, &flags.to_le_bytes())
}

fn later(worker: &Sim, ms: u64) {
    worker.host.set(Span::from_millis(ms));
}

/// Five seconds of traffic, forty requests and a tick each tenth of a second, sent in the last 705 ms
/// if they have bodies. Requests of the canary end as `canary` says of the nth of them, at or after a
/// millisecond; others end well. The canary's last weight, and the last line in the log.
fn ramp(request: &SimRequest<'_>, canary: impl Fn(&Sim, u64, usize, Exchange)) -> (u64, String) {
    let workers = Workers::new(1, &ramping("", r#", "max_failed": 1"#));
    let worker = &workers.all[0];
    let mut count = 0;
    for ms in (1_000..6_000).step_by(100) {
        workers.at(ms);
        for user in 0..40 {
            let user = format!("user-{user}");
            let request = request.clone().header("x-user", user.as_bytes());
            later(worker, if request.end_of_stream() { ms } else { ms - 705 });
            let (verdict, mut exchange) = worker.begin(&request);
            later(worker, ms);
            if onward(&request, verdict).get("x-tidegate-cluster") == "two" {
                count += 1;
                canary(worker, ms, count, exchange);
            } else {
                worker.complete(&mut exchange);
                later(worker, ms + 5);
                let _ = worker.end(exchange, &SimResponse::upstream(200));
            }
        }
        workers.at(ms).tick();
    }
    (weight(worker), workers.notes().pop().unwrap_or_default())
}

#[test]
fn a_canary_that_cuts_every_body_is_aborted() {
    let cut = |worker: &Sim, _, _, exchange| {
        worker.break_off(exchange, &SimResponse::upstream(200), &flags(CUT));
    };
    let (weight, note) = ramp(&SimRequest::get("/"), cut);
    assert_eq!(weight, 0, "{note}");
    assert!(note.contains("too many requests failed"), "{note}");
}

#[test]
fn a_canary_of_which_every_second_request_hangs_is_aborted() {
    let hangs = |worker: &Sim, ms, nth: usize, exchange| {
        if nth % 2 == 0 {
            let _ = worker.end(exchange, &SimResponse::upstream(200));
        } else {
            later(worker, ms + 60);
            worker.abort(exchange, &flags(GONE));
        }
    };
    let (weight, note) = ramp(&SimRequest::get("/"), hangs);
    assert_eq!(weight, 0, "{note}");
    assert!(note.contains("slow requests took too long"), "{note}");
}

/// A filter behind this one may hold requests, of which the variant knows nothing.
#[test]
fn a_request_that_was_never_tried_makes_no_variant_slow() {
    for (attempts, expected) in [(0_u64, 25), (1, 0)] {
        let leaves = |worker: &Sim, ms, _, exchange| {
            later(worker, ms + 60);
            worker.abort(exchange, &flags(GONE).attribute(Attribute::AttemptCount, &attempts.to_le_bytes()));
        };
        let (weight, note) = ramp(&SimRequest::get("/"), leaves);
        assert_eq!(weight, expected, "{attempts} attempts: {note}");
    }
}

/// Clients that leave early say nothing of a variant, well or not.
#[test]
fn clients_that_leave_before_the_limit_count_nothing() {
    let leaves = |worker: &Sim, ms, _, exchange| {
        later(worker, ms + 50);
        worker.abort(exchange, &flags(GONE));
    };
    let (weight, note) = ramp(&SimRequest::get("/"), leaves);
    assert_eq!(weight, 25, "{note}");
}

/// What takes long is on the client's side.
#[test]
fn a_canary_of_slow_uploads_is_promoted() {
    let upload = |worker: &Sim, ms, _, mut exchange| {
        later(worker, ms - 5);
        worker.complete(&mut exchange);
        later(worker, ms);
        let _ = worker.end(exchange, &SimResponse::upstream(200));
    };
    let (weight, note) = ramp(&SimRequest::request("PUT", "/").with_body(), upload);
    assert_eq!(weight, 50, "{note}");
    assert!(note.contains("promoted"), "{note}");
}

/// One exchange: whether it counts as failed.
fn failed(request: &SimRequest<'_>, drive: impl Fn(&Sim, Exchange)) -> u64 {
    let workers = Workers::new(1, &ramping("", ""));
    workers.at(1_300).tick();
    let (_, exchange) = workers.all[0].begin(&request.clone().header("x-user", b"alice"));
    drive(&workers.all[0], exchange);
    workers.count("variant.stable.failed") + workers.count("variant.canary.failed")
}

#[test]
fn a_response_that_began_well_is_judged_by_who_cut_it() {
    let upload = SimRequest::request("PUT", "/").with_body();
    #[rustfmt::skip]
    let cases = [
        // name                                flags      failed  while its request was incomplete
        ("the upstream closed",                CUT,       1,      0),
        ("the upstream reset it",              1 << 4,    1,      0),
        ("silence until the route's timeout",  1 << 2,    1,      0),
        ("silence until the idle timeout",     1 << 16,   1,      0),
        ("the client left",                    GONE,      0,      0),
        ("nothing is known",                   0,         0,      0),
    ];
    for (name, bits, whole, incomplete) in cases {
        let cut = |worker: &Sim, exchange| {
            worker.break_off(exchange, &SimResponse::upstream(200), &flags(bits));
        };
        assert_eq!(failed(&SimRequest::get("/"), cut), whole, "{name}");
        assert_eq!(failed(&upload, cut), incomplete, "{name}, early");
    }
    // Its client may not have read.
    let held = flags(1 << 2).attribute(Attribute::ResponseSize, &(1_u64 << 20).to_le_bytes());
    let cut = |worker: &Sim, exchange| worker.break_off(exchange, &SimResponse::upstream(200), &held);
    assert_eq!(failed(&SimRequest::get("/"), cut), 0, "a timeout within a large body");
}

#[test]
fn an_upload_that_nobody_completed_is_no_failure() {
    let upload = SimRequest::request("PUT", "/").with_body();
    #[rustfmt::skip]
    let cases = [
        // name                        flags     failed  when it was complete
        ("its client left",            GONE,     0,      0),
        ("the server lost patience",   1 << 4,   0,      1),
        ("the server hung up",         CUT,      0,      1),
        ("no connection",              1 << 5,   1,      1),
        ("no endpoint",                1 << 1,   1,      1),
    ];
    for (name, bits, incomplete, complete) in cases {
        let answered = SimResponse::local(503, "upstream_reset_before_response_started", bits);
        let ends = |worker: &Sim, exchange| drop(worker.end(exchange, &answered));
        assert_eq!(failed(&upload, ends), incomplete, "{name}, answered by Envoy");
        assert_eq!(failed(&upload, |w, e| w.abort(e, &flags(bits))), incomplete, "{name}");
        let whole = |worker: &Sim, mut exchange| {
            worker.complete(&mut exchange);
            worker.abort(exchange, &flags(bits));
        };
        assert_eq!(failed(&upload, whole), complete, "{name}, of a complete one");
    }
}

fn call<'a>() -> SimRequest<'a> {
    SimRequest::request("POST", "/a.B/c").header("content-type", b"application/grpc").with_body()
}

/// It resets them long before its clients have said all.
#[test]
fn a_canary_that_resets_every_streaming_call_is_aborted() {
    let began = SimResponse::upstream(200).header("content-type", "application/grpc");
    for answers in [false, true] {
        let resets = |worker: &Sim, _, _, exchange| match answers {
            false => worker.abort(exchange, &flags(1 << 4)),
            true => worker.break_off(exchange, &began, &flags(1 << 4)),
        };
        let (weight, note) = ramp(&call(), resets);
        assert_eq!(weight, 0, "answers: {answers}; {note}");
        assert!(note.contains("too many requests failed"), "{note}");
    }
}

#[test]
fn a_call_that_its_client_does_not_finish_is_no_failure_when_the_server_has_waited() {
    let reply = SimResponse::local(200, "upstream_reset_before_response_started", CUT)
        .header("content-type", "application/grpc")
        .header("grpc-status", "14");
    for (after, expected) in [(999, 1), (1_000, 0)] {
        let aborts = |worker: &Sim, exchange| {
            later(worker, 1_300 + after);
            worker.abort(exchange, &flags(CUT));
        };
        assert_eq!(failed(&call(), aborts), expected, "{after}");
        let answered = |worker: &Sim, exchange| {
            later(worker, 1_300 + after);
            drop(worker.end(exchange, &reply));
        };
        assert_eq!(failed(&call(), answered), expected, "{after}, answered by Envoy");
        // An answer in plain HTTP.
        let cut = |worker: &Sim, exchange| {
            later(worker, 1_300 + after);
            worker.break_off(exchange, &SimResponse::upstream(200), &flags(CUT));
        };
        assert_eq!(failed(&call(), cut), 0, "{after}");
    }
}

/// A client may set a deadline that no server can meet.
#[test]
fn a_failure_at_the_deadline_of_its_client_fails_no_variant() {
    let call = SimRequest::request("POST", "/a.B/c").header("content-type", b"application/grpc");
    for (timeout, expected) in [(&b"50m"[..], 0), (b"51m", 1)] {
        let call = call.clone().header("grpc-timeout", timeout);
        let status = || SimResponse::upstream(200).header("grpc-status", "4");
        type End = fn(&Sim, Exchange, &SimResponse);
        let ends: [(&str, End); 3] = [
            ("headers", |w, e, status| drop(w.end(e, status))),
            ("trailers", |w, e, status| w.end_with_trailers(e, &SimResponse::upstream(200), status)),
            ("timeout", |w, e, _| w.abort(e, &flags(1 << 2))),
        ];
        for (name, end) in ends {
            let after = |worker: &Sim, exchange| {
                later(worker, 1_350);
                end(worker, exchange, &status());
            };
            assert_eq!(failed(&call, after), expected, "{name}");
        }
    }
    let hangs = |worker: &Sim, ms, _, exchange| {
        later(worker, ms + 60);
        worker.abort(exchange, &flags(1 << 2));
    };
    let (weight, note) = ramp(&call.header("grpc-timeout", b"60m"), hangs);
    assert_eq!(weight, 0, "{note}");
    assert!(note.contains("slow requests took too long"), "{note}");
}
