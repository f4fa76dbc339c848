//! The gRPC service.

use std::thread;
use std::time::{Duration, Instant};

use tidegate_tests::eventually;
use tidegate_tests::grpc::{try_unary, unary, Answer, Upstream};

use crate::SOON;

#[test]
fn a_service_answers_as_it_was_last_switched() {
    let upstream = Upstream::new(Answer::status(0));
    #[rustfmt::skip]
    let cases = [
        // answer                  HTTP  grpc-status  in trailers
        (Answer::status(0),         200, Some(0),     true),
        (Answer::status(14),        200, Some(14),    true),
        (Answer::trailers_only(8),  200, Some(8),     false),
        (Answer::http(503),         503, None,        false),
        (Answer::status(0),         200, Some(0),     true),
    ];
    for (answer, http_status, grpc_status, in_trailers) in cases {
        upstream.switch(answer);
        let reply = unary(upstream.addr(), "/shop.Cart/Add", &[]);
        assert_eq!((reply.http_status, reply.grpc_status), (http_status, grpc_status), "{answer:?}");
        assert_eq!(reply.trailers.contains_key("grpc-status"), in_trailers, "{answer:?}");
    }
    assert_eq!(upstream.count(), cases.len());
}

#[test]
fn a_reset_comes_before_the_headers_or_after() {
    let upstream = Upstream::new(Answer::reset());
    for (answer, after_headers) in [(Answer::reset(), false), (Answer::cut(), true)] {
        upstream.switch(answer);
        let error = try_unary(upstream.addr(), "/shop.Cart/Add", &[]).unwrap_err();
        assert!(error.contains("unexpected internal error encountered"), "{answer:?}: {error}");
        assert_eq!(error.starts_with("after headers: "), after_headers, "{answer:?}: {error}");
    }
}

#[test]
fn a_held_call_is_answered_after_the_switch() {
    let upstream = Upstream::new(Answer::silence());
    let addr = upstream.addr();
    let call = thread::spawn(move || unary(addr, "/shop.Cart/Add", &[]));
    eventually("a held call", SOON, || upstream.held() == 1);
    upstream.switch(Answer::status(5));
    assert_eq!(call.join().unwrap().grpc_status, Some(5));
    assert_eq!(upstream.held(), 0);
}

#[test]
fn a_late_reply_is_late() {
    let delay = Duration::from_millis(30);
    let upstream = Upstream::new(Answer::status(0).after(delay));
    let start = Instant::now();
    assert_eq!(unary(upstream.addr(), "/shop.Cart/Add", &[]).grpc_status, Some(0));
    assert!(start.elapsed() >= delay);
}
