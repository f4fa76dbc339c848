//! How exchanges end after their headers, or without any: what an endpoint is blamed for.

use tidegate_policy::time::Span;
use tidegate_sim::{SimRequest, SimResponse};

use crate::discovery::{fixed, reached, word, Exchange, Sim, Workers};
use crate::discovery_both::{flags, Both, FOUR};

const TWO: [&str; 2] = [FOUR[0], FOUR[1]];
const GONE: u64 = 1 << 14;
const CUT: u64 = 1 << 6;

/// A good response whose body broke off.
fn cut(worker: &Sim, exchange: Exchange, end: u64) {
    worker.break_off(exchange, &SimResponse::upstream(200), &flags(end));
}

fn upload() -> SimRequest<'static> {
    SimRequest::request("PUT", "/").with_body()
}

/// One failure is enough, so that a blamed endpoint is ejected.
fn strict(more: &str) -> String {
    fixed(&FOUR, &format!(r#""attempts": 2, "outlier_detection": {{"consecutive_5xx": 1{more}}}"#))
}

/// How many endpoints a request ejects that `drive` takes to its end, having said whether there were
/// headers of a response: with the filter around the exchange alone; in both places; and in both where
/// the client's side of the exchange ends first.
fn blamed(
    json: &str,
    request: &SimRequest<'_>,
    drive: impl Fn(&Sim, &mut Exchange) -> bool,
    end: u64,
) -> [u64; 3] {
    let answer = SimResponse::upstream(200);
    let finish = |worker: &Sim, exchange: Exchange, answered: bool| match answered {
        true => worker.break_off(exchange, &answer, &flags(end)),
        false => worker.abort(exchange, &flags(end)),
    };
    let workers = Workers::new(1, json);
    let alone = &workers.all[0];
    let (_, mut exchange) = alone.begin(request);
    let answered = drive(alone, &mut exchange);
    finish(alone, exchange, answered);
    assert_eq!(workers.memory(), 0);
    let [first, last] = [true, false].map(|attempt_first| {
        let both = Both::new(json);
        let mut call = both.begin_as(request);
        let mut one = both.attempt_as(&mut call, request.clone());
        let answered = drive(&both.around, &mut one.exchange);
        let edge = &both.edge.all[0];
        if attempt_first {
            finish(&both.around, one.exchange, answered);
            finish(edge, call.exchange, answered);
        } else {
            finish(edge, call.exchange, answered);
            finish(&both.around, one.exchange, answered);
        }
        assert_eq!(both.in_flight(), 0);
        both.ejections()
    });
    [workers.changes(), first, last]
}

#[test]
fn a_response_is_judged_at_its_end() {
    #[rustfmt::skip]
    let cases = [
        // name                                flags       blamed
        ("the upstream closed",                CUT,        1),
        ("the upstream reset it",              1 << 4,     1),
        ("no HTTP any more",                   1 << 23,    1),
        ("silence until the route's timeout",  1 << 2,     1),
        ("silence until the idle timeout",     1 << 16,    1),
        ("the client left",                    GONE,       0),
        ("nothing is known",                   0,          0),
        ("the stream lived for too long",      1 << 19,    0),
    ];
    for (name, bits, expected) in cases {
        let got = blamed(&strict(""), &SimRequest::get("/"), |_, _| true, bits);
        assert_eq!(got, [expected; 3], "{name}");
    }
}

#[test]
fn a_grpc_response_is_judged_by_its_headers() {
    let request = SimRequest::request("POST", "/a.B/c").header("content-type", b"application/grpc");
    assert_eq!(blamed(&strict(""), &request, |_, _| true, CUT), [0; 3]);
}

#[test]
fn one_of_two_endpoints_that_cuts_every_body_is_ejected() {
    let workers = Workers::new(1, &fixed(&TWO, ""));
    let worker = &workers.all[0];
    let mut cuts = 0;
    for _ in 0..40 {
        let (verdict, exchange) = worker.begin(&SimRequest::get("/"));
        if word(&verdict) == TWO[0] {
            cut(worker, exchange, CUT);
            cuts += 1;
        } else {
            worker.end(exchange, &SimResponse::upstream(200));
        }
    }
    workers.tick();
    assert_eq!((reached(worker).as_str(), cuts, workers.count("failures")), ("2", 5, 5));
}

#[test]
fn one_of_two_endpoints_that_cuts_every_body_is_ejected_by_the_filter_around_attempts() {
    let both = Both::new(&fixed(&TWO, r#""attempts": 2"#));
    let mut cuts = 0;
    for _ in 0..40 {
        let mut call = both.begin();
        let one = both.attempt(&mut call);
        if one.went == TWO[0] {
            cut(&both.around, one.exchange, 0);
            cut(&both.edge.all[0], call.exchange, CUT);
            cuts += 1;
        } else {
            both.answered(one, 200);
            both.end(call, 200);
        }
    }
    assert_eq!((cuts, both.ejections(), both.count("failures")), (5, 1, 5));
}

/// An endpoint that answers at once and cuts every body must not look like the fastest one.
#[test]
fn latency_does_not_learn_a_cut_response_as_well() {
    let json = fixed(&TWO, r#""balance": "peak_ewma", "outlier_detection": false"#);
    let workers = Workers::new(1, &json);
    let worker = &workers.all[0];
    let mut cuts = 0;
    for ms in 0..200 {
        workers.at(ms * 20);
        let (verdict, exchange) = worker.begin(&SimRequest::get("/"));
        if word(&verdict) == TWO[0] {
            cut(worker, exchange, CUT);
            cuts += 1;
        } else {
            worker.host.set(Span::from_millis(ms * 20 + 15));
            worker.end(exchange, &SimResponse::upstream(200));
        }
    }
    assert!(cuts < 20, "{cuts} of 200 to the endpoint that cuts");
}

#[test]
fn an_upload_that_nobody_completed_blames_no_endpoint() {
    #[rustfmt::skip]
    let cases = [
        // name                                flags       blamed
        ("its client left",                    GONE,       0),
        ("the server lost patience",           1 << 4,     0),
        ("the server hung up",                 CUT,        0),
        ("the client was idle",                1 << 16,    0),
        ("no connection",                      1 << 5,     1),
    ];
    for (name, bits, expected) in cases {
        let json = strict(r#", "patience_ms": 100"#);
        let slow = |worker: &Sim, _: &mut Exchange| {
            worker.host.set(Span::from_millis(9_000));
            false
        };
        assert_eq!(blamed(&json, &upload(), slow, bits), [expected; 3], "{name}");
        let early = |worker: &Sim, _: &mut Exchange| {
            worker.host.set(Span::from_millis(9_000));
            true
        };
        assert_eq!(blamed(&json, &upload(), early, bits), [expected; 3], "{name}, after an early answer");
        if bits == GONE {
            continue;
        }
        let complete = |worker: &Sim, exchange: &mut Exchange| {
            worker.complete(exchange);
            false
        };
        assert_eq!(blamed(&json, &upload(), complete, bits), [1; 3], "{name}, but the upload was complete");
    }
}

#[test]
fn a_client_that_leaves_after_the_patience_blames_the_endpoint() {
    #[rustfmt::skip]
    let cases = [
        // patience                     after    blamed
        ("",                            60_000,  0),
        (r#", "patience_ms": 0"#,       60_000,  0),
        (r#", "patience_ms": 350"#,     349,     0),
        (r#", "patience_ms": 350"#,     350,     1),
    ];
    for (patience, after_ms, expected) in cases {
        let later = |worker: &Sim, _: &mut Exchange| {
            worker.host.set(Span::from_millis(after_ms));
            false
        };
        let got = blamed(&strict(patience), &SimRequest::get("/"), later, GONE);
        assert_eq!(got, [expected; 3], "{patience} {after_ms}");
    }
    // With its headers the endpoint answered.
    let answered = |worker: &Sim, _: &mut Exchange| {
        worker.host.set(Span::from_millis(9_000));
        true
    };
    let json = strict(r#", "patience_ms": 350"#);
    assert_eq!(blamed(&json, &SimRequest::get("/"), answered, GONE), [0; 3]);
    // Patience begins when the request is complete.
    let late = |worker: &Sim, exchange: &mut Exchange| {
        worker.host.set(Span::from_millis(9_000));
        worker.complete(exchange);
        worker.host.set(Span::from_millis(9_300));
        false
    };
    assert_eq!(blamed(&json, &upload(), late, GONE), [0; 3]);
}

#[test]
fn one_hanging_endpoint_of_two_is_ejected() {
    let workers = Workers::new(1, &fixed(&TWO, r#""outlier_detection": {"patience_ms": 300}"#));
    let worker = &workers.all[0];
    let (mut hung, mut now) = (0, 0);
    for _ in 0..40 {
        let (verdict, exchange) = worker.begin(&SimRequest::get("/"));
        if word(&verdict) == TWO[0] {
            now += 350;
            workers.at(now);
            worker.abort(exchange, &flags(GONE));
            hung += 1;
        } else {
            worker.end(exchange, &SimResponse::upstream(200));
        }
    }
    assert_eq!((hung, workers.changes()), (5, 1));
}

/// Uploads take as long as their clients do; the endpoint that gets them is none the slower for it.
#[test]
fn the_time_of_a_request_starts_when_it_is_complete() {
    for attempts in [false, true] {
        let json = fixed(&TWO, r#""attempts": 2, "balance": "peak_ewma", "outlier_detection": false"#);
        let both = Both::new(&json);
        let edge = &both.edge.all[0];
        let set = |ms: u64| {
            edge.host.set(Span::from_millis(ms));
            both.around.host.set(Span::from_millis(ms));
        };
        let mut uploads = 0;
        for round in 0..100 {
            let start = round * 2_000;
            set(start);
            let mut call = both.begin_as(&upload());
            let there = call.next == TWO[0];
            // One endpoint gets its uploads at once and takes 20 ms, the other waits for 700 ms.
            let (complete, answered) = if there { (start + 700, start + 701) } else { (start, start + 20) };
            if attempts {
                let mut one = both.attempt_as(&mut call, upload());
                set(complete);
                both.around.complete(&mut one.exchange);
                edge.complete(&mut call.exchange);
                set(answered);
                both.answered(one, 200);
            } else {
                set(complete);
                edge.complete(&mut call.exchange);
                set(answered);
            }
            both.end(call, 200);
            uploads += usize::from(there);
        }
        assert!(uploads > 60, "{uploads} of 100 to the endpoint that answers at once");
    }
}
