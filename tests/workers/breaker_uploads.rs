//! Requests whose bodies take their time: a client's time is no upstream's.

use tidegate_policy::http::{Attribute, ResponseExt};
use tidegate_sim::{SimRequest, SimResponse};

use crate::breaker::{ask, config, of, up, Exchange, Sim, Workers};
use crate::breaker_ends::{class, cut, flags, forty, later, seen, upload, CUT, GONE, IDLE, JUMPY, RESET};

const NO_CONNECTION: u64 = 1 << 5;

/// The README's example "Writes of one route", 120 times, by clients that take 0.7 s to send.
#[test]
fn slow_clients_make_no_slow_calls() {
    let json = r#"{"breakers": [{"name": "a", "target": {"route": "orders"}, "match": {"method": ["POST", "PUT"]},
        "consecutive_failures": 0, "failure_rate_percent": 30, "minimum_calls": 100,
        "slow_call_ms": 500, "slow_rate_percent": 80, "base_open_ms": 1000, "max_open_ms": 30000}]}"#;
    let workers = Workers::new(1, json);
    let worker = &workers.all[0];
    let post = SimRequest::request("POST", "/").attribute(Attribute::Route, b"orders").with_body();
    let mut said = String::new();
    for n in 0..120 {
        workers.at(n * 50);
        let (word, mut exchange) = ask(worker, &post);
        said.push(word);
        if word != '-' {
            later(worker, n * 50 + 700);
            worker.complete(&mut exchange);
            later(worker, n * 50 + 705);
            worker.end(exchange, &SimResponse::upstream(200));
        }
        workers.tick();
    }
    assert_eq!((said, workers.count("slow")), ("+".repeat(120), 0));
}

#[test]
fn uploads_of_two_seconds_open_nothing_by_default() {
    for end in ["answered", "early", "left"] {
        let upload = |worker: &Sim, ms, mut exchange: Exchange| {
            later(worker, ms + 2_300);
            match end {
                "answered" => {
                    worker.complete(&mut exchange);
                    worker.end(exchange, &SimResponse::upstream(200));
                }
                "early" => drop(worker.end(exchange, &SimResponse::upstream(200))),
                _ => worker.abort(exchange, &flags(GONE)),
            }
        };
        let (passed, workers) = forty(&config(""), &self::upload(), upload);
        assert_eq!((passed, workers.count("slow")), (40, 0), "{end}");
    }
}

#[test]
fn a_call_is_slow_by_the_time_since_its_request_was_complete() {
    for (answer_ms, slow) in [(800, 0), (801, 1)] {
        let workers = Workers::new(1, &config(r#""slow_call_ms": 100"#));
        let (_, mut exchange) = ask(&workers.all[0], &upload());
        workers.at(700);
        workers.all[0].complete(&mut exchange);
        workers.at(answer_ms);
        workers.all[0].end(exchange, &SimResponse::upstream(200));
        assert_eq!((workers.count("slow"), workers.count("succeeded")), (slow, 1), "{answer_ms}");
    }
}

#[test]
fn a_server_that_gives_up_on_an_upload_did_not_fail() {
    let local = |status, bits| SimResponse::local(status, "upstream_reset_before_response_started", bits);
    #[rustfmt::skip]
    let cases = [
        // name                           answer                       incomplete   complete
        ("the server lost patience",      SimResponse::upstream(408),  "ignored",   "succeeded"),
        ("so did Envoy",                  SimResponse::local(408, "request_overall_timeout", 0), "ignored", "ignored"),
        ("the server reset it",           local(503, RESET),           "ignored",   "failed"),
        ("the server hung up",            local(503, CUT),             "ignored",   "failed"),
        ("no connection",                 local(503, NO_CONNECTION),   "failed",    "failed"),
        ("the server is broken",          SimResponse::upstream(500),  "failed",    "failed"),
        ("the server does not want it",   SimResponse::upstream(413),  "succeeded", "succeeded"),
    ];
    for (name, answer, incomplete, complete) in cases {
        let at_once = |worker: &Sim, exchange| drop(worker.end(exchange, &answer));
        assert_eq!(class(&upload(), at_once), incomplete, "{name}");
        let whole = |worker: &Sim, mut exchange: Exchange| {
            worker.complete(&mut exchange);
            worker.end(exchange, &answer);
        };
        assert_eq!(class(&upload(), whole), complete, "{name}, of a complete one");
    }
    for bits in [CUT, RESET, IDLE] {
        let cut = |worker: &Sim, exchange| cut(worker, exchange, bits);
        assert_eq!(class(&upload(), cut), "ignored", "cut by {bits:#x} while it was sent");
        assert_eq!(class(&up(), cut), "failed", "cut by {bits:#x}");
    }
}

/// Some servers answer 500 or 504 to a client that they have waited for too long.
#[test]
fn errors_before_the_end_of_a_request_count_for_the_rate_and_not_in_a_row() {
    for (fields, passed) in [(JUMPY, 10), (r#""consecutive_failures": 5, "minimum_calls": 100"#, 40)] {
        let early = |worker: &Sim, _, exchange| drop(worker.end(exchange, &SimResponse::upstream(504)));
        assert_eq!(forty(&config(fields), &upload(), early).0, passed, "{fields}");
        let whole = |worker: &Sim, _, mut exchange: Exchange| {
            worker.complete(&mut exchange);
            worker.end(exchange, &SimResponse::upstream(504));
        };
        assert_eq!(forty(&config(fields), &upload(), whole).0, 5, "{fields}, after its end");
        let refused = |worker: &Sim, _, exchange| worker.abort(exchange, &flags(NO_CONNECTION));
        assert_eq!(forty(&config(fields), &upload(), refused).0, 5, "{fields}, no connection");
    }
    let grpc = |worker: &Sim, _, exchange| {
        drop(worker.end(exchange, &SimResponse::upstream(200).header("grpc-status", "14")));
    };
    assert_eq!(forty(&config(JUMPY), &stream(), grpc).0, 5, "a gRPC status");
}

fn stream<'a>() -> SimRequest<'a> {
    upload().header("te", b"trailers").header("content-type", b"application/grpc")
}

/// A streaming call is answered, and may break, before its client has said all.
#[test]
fn a_grpc_stream_that_breaks_after_its_headers_failed() {
    let began = SimResponse::upstream(200).header("content-type", "application/grpc+proto");
    for (bits, expected) in [(CUT, "failed"), (RESET, "failed"), (IDLE, "ignored"), (GONE, "ignored")] {
        let late = |worker: &Sim, exchange| {
            later(worker, 9_000);
            worker.break_off(exchange, &began, &flags(bits));
        };
        assert_eq!(class(&stream(), late), expected, "{bits:#x}");
    }
    let (passed, _) = forty(&config(JUMPY), &stream(), |w, _, e| w.break_off(e, &began, &flags(CUT)));
    assert_eq!(passed, 5);
}

/// Any client can say that it speaks gRPC, to a server of plain HTTP, too.
#[test]
fn a_call_that_its_client_does_not_finish_is_an_upload_until_grpc_answers() {
    let reply = SimResponse::local(200, "upstream_reset_before_response_started", CUT)
        .header("content-type", "application/grpc")
        .header("grpc-status", "14");
    #[rustfmt::skip]
    let cases = [
        // answer                       after  class
        (SimResponse::none(),           999,   "failed"),
        (SimResponse::none(),           1_000, "ignored"),
        (reply.clone(),                 999,   "failed"),
        (reply,                         1_000, "ignored"),
        (SimResponse::upstream(200),    999,   "ignored"),
        (SimResponse::upstream(404),    1_000, "ignored"),
    ];
    for (answer, after, expected) in cases {
        let reset = |worker: &Sim, exchange| {
            later(worker, after);
            match answer.status() {
                0 => worker.abort(exchange, &flags(CUT)),
                _ => worker.break_off(exchange, &answer, &flags(CUT)),
            }
        };
        assert_eq!(class(&stream(), reset), expected, "{} after {after} ms", answer.status());
    }
}

/// Whoever resets within a second has waited for no client; but what the client sent may be the cause.
#[test]
fn calls_that_are_reset_at_once_open_by_their_rate_and_not_in_a_row() {
    for (fields, passed) in [(JUMPY, 10), (r#""consecutive_failures": 5, "minimum_calls": 100"#, 40)] {
        let reset = |worker: &Sim, _, exchange| worker.abort(exchange, &flags(RESET));
        assert_eq!(forty(&config(fields), &stream(), reset).0, passed, "{fields}");
        let waits = |worker: &Sim, ms, exchange| {
            later(worker, ms + 5_000);
            worker.abort(exchange, &flags(RESET));
        };
        assert_eq!(forty(&config(fields), &stream(), waits).0, 40, "{fields}, by a server that waited");
    }
}

/// The filter at the listener knows how a call ended that an endpoint reset.
#[test]
fn an_endpoint_that_resets_unfinished_calls_at_once_opens_by_its_rate() {
    for (after, failed) in [(999, 1), (1_000, 0)] {
        let json = of(r#"{"endpoint": "up"}"#, r#""consecutive_failures": 1, "minimum_calls": 100"#);
        let edge = Workers::new(1, &json);
        let (_, call) = ask(&edge.all[0], &stream());
        edge.at(after);
        edge.all[0].abort(call, &seen(RESET));
        assert_eq!((edge.count("failed"), edge.count("transitions")), (failed, 0), "{after}");
    }
}

/// The headers of a response came before the end of the request, and the rest of it was lost after that.
#[test]
fn a_probe_with_an_early_answer_is_complete_in_the_end() {
    for (complete, failed) in [(false, 0), (true, 1)] {
        let workers = Workers::new(1, &config(r#""consecutive_failures": 1, "base_open_ms": 1000"#));
        let worker = &workers.all[0];
        worker.end(ask(worker, &up()).1, &SimResponse::upstream(503));
        workers.at(1_000);
        let (word, mut exchange) = ask(worker, &upload());
        assert_eq!(word, 'p');
        worker.respond(&mut exchange, &SimResponse::upstream(200));
        if complete {
            worker.complete(&mut exchange);
        }
        worker.abort(exchange, &flags(CUT));
        assert_eq!(workers.count("failed") - 1, failed, "{complete}");
    }
}
