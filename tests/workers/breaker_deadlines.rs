//! gRPC calls that end at the deadline of their client.

use tidegate_policy::http::Attribute;
use tidegate_sim::SimResponse;

use crate::breaker::{ask, config, of, up, Sim, Workers};
use crate::breaker_ends::{flags, forty, later, seen, CUT, HASTY, JUMPY, RESET, TIMEOUT};

/// A client may set a deadline that no server can meet; a server that obeys it is not to blame.
#[test]
fn a_failure_at_the_deadline_of_its_client_is_what_a_client_that_left_is() {
    let trailers = |status: &str| {
        let via = SimResponse::none().attribute(Attribute::Details, b"via_upstream");
        via.header("grpc-status", status)
    };
    let call = |timeout: &'static [u8]| {
        let call = up().header("te", b"trailers").header("content-type", b"application/grpc");
        call.header("grpc-timeout", timeout)
    };
    // What a breaker counts of a call with this deadline that ends so, after so long.
    let counts = |timeout, after, end: &str| {
        let workers = Workers::new(1, &config(HASTY));
        let worker = &workers.all[0];
        let (_, exchange) = ask(worker, &call(timeout));
        workers.at(after);
        match end {
            "UT" => worker.abort(exchange, &flags(TIMEOUT)),
            "UR" => worker.abort(exchange, &flags(RESET)),
            "UC" => worker.abort(exchange, &flags(CUT)),
            "in trailers" => worker.end_with_trailers(exchange, &SimResponse::upstream(200), &trailers("4")),
            status => drop(worker.end(exchange, &SimResponse::upstream(200).header("grpc-status", status))),
        }
        ["failed", "slow", "ignored"].map(|what| workers.count(what))
    };
    for end in ["4", "in trailers", "UT", "UR"] {
        assert_eq!(counts(b"50m", 49, end), [1, 0, 0], "{end} before it");
        assert_eq!(counts(b"50m", 50, end), [0, 0, 1], "{end} at it");
        assert_eq!(counts(b"1S", 1_000, end), [0, 1, 1], "{end} at a long one");
        assert_eq!(counts(b"1x", 1_000, end), [1, 1, 0], "{end} without one");
    }
    for end in ["13", "UC"] {
        assert_eq!(counts(b"1m", 50, end), [1, 0, 0], "{end} is no deadline");
    }
    let at_once = |worker: &Sim, ms, exchange| {
        later(worker, ms + 1);
        drop(worker.end(exchange, &SimResponse::upstream(200).header("grpc-status", "4")));
    };
    assert_eq!(forty(&config(JUMPY), &call(b"1m"), at_once).0, 40);
}

#[test]
fn an_endpoint_is_not_blamed_for_the_deadline_of_a_client() {
    for (timeout, failed) in [(&b"50m"[..], 0), (b"51m", 1)] {
        let edge = Workers::new(1, &of(r#"{"endpoint": "up"}"#, ""));
        let call = up().header("te", b"trailers").header("content-type", b"application/grpc");
        let (_, call) = ask(&edge.all[0], &call.header("grpc-timeout", timeout));
        edge.at(50);
        edge.all[0].abort(call, &seen(TIMEOUT));
        assert_eq!((edge.count("failed"), edge.count("slow")), (failed, 0));
    }
}
