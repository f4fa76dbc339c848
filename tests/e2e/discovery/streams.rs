//! Bodies of any length in either direction, and clients that leave.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{json, Value};
use tidegate_tests::{eventually, Answer, Client, Envoy, Request, Upstream};

use super::setup::{
    around, assert_calm, assert_metrics, both_places, counts, numbered, one_place, orders_of, start, storm,
    three, SOON,
};
use crate::setup::with;

/// More than any buffer of Envoy's on the way.
const LONG: usize = 3 << 20;

fn tried(upstreams: &[Upstream]) -> Value {
    orders_of(upstreams, &three())
}

#[test]
fn long_bodies_pass_in_both_directions() {
    let bytes: Vec<u8> = (0..LONG).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let upstreams = numbered::<2>();
    let chunked = Answer::new(200, &bytes).chunked();
    upstreams.iter().for_each(|upstream| upstream.switch(chunked.clone()));
    let envoy = start(&both_places(&tried(&upstreams)), 1);
    let mut client = Client::connect(envoy.addr());
    for method in ["POST", "PUT", "GET"] {
        let answer = client.send(&Request::new(method, "/").body(&bytes));
        assert!(answer.status == 200 && answer.body == bytes, "{method}: {}", answer.status);
    }
    let seen: Vec<_> = upstreams.iter().flat_map(Upstream::seen).collect();
    assert!(seen.len() == 3 && seen.iter().all(|seen| seen.body == bytes));
    assert_metrics(&envoy, &[("requests", 3), ("attempts", 3), ("failures", 0)]);
    assert_calm(&envoy);
}

/// What is larger than Envoy keeps for another try is sent once.
#[test]
fn a_body_too_long_to_buffer_is_sent_once() {
    let upstreams = numbered::<2>();
    upstreams.iter().for_each(|upstream| upstream.switch(Answer::new(503, "sick")));
    let limit = json!(65_536);
    let bootstrap =
        both_places(&tried(&upstreams)).listener_field("per_connection_buffer_limit_bytes", limit);
    let envoy = start(&bootstrap, 1);
    let answer = Client::connect(envoy.addr()).send(&Request::new("PUT", "/").body(vec![7; LONG]));
    assert_eq!((answer.status, counts(&upstreams).iter().sum::<usize>()), (503, 1));
    assert_calm(&envoy);
}

/// A body that comes piece by piece goes on piece by piece: the upstream has the first before the
/// last is sent.
#[test]
fn a_request_body_streams() {
    let upstreams = numbered::<1>();
    let envoy = start(&both_places(&tried(&upstreams)), 1);
    let mut stream = TcpStream::connect(envoy.addr()).unwrap();
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    // The attempt is in flight although the request is not whole.
    assert_metrics(&envoy, &[("attempts", 1)]);
    assert_eq!(upstreams[0].count(), 0);
    stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert_eq!(upstreams[0].seen()[0].body, b"firstlast");
    assert_calm(&envoy);
}

/// What breaks after the headers is the client's to see: it cannot be tried again.
#[test]
fn a_truncated_response_is_not_retried() {
    let upstreams = numbered::<2>();
    upstreams.iter().for_each(|upstream| upstream.switch(Answer::new(200, vec![7; 1_000]).cut_after(500)));
    let envoy = start(&both_places(&tried(&upstreams)), 1);
    let mut client = Client::connect(envoy.addr());
    assert!(client.try_send(&Request::get("/")).is_err());
    assert_eq!(counts(&upstreams).iter().sum::<usize>(), 1);
    assert_metrics(&envoy, &[("attempts", 1), ("retries", 0)]);
    assert_calm(&envoy);
}

/// Clients that leave before an answer: no endpoint failed, and no request stays in flight.
#[test]
fn clients_that_leave_blame_no_endpoint() {
    let ejection = json!({"consecutive_5xx": 1});
    for attempts in [1_u32, 3] {
        let upstreams = numbered::<2>();
        upstreams.iter().for_each(|upstream| upstream.switch(Answer::silence()));
        let fields = with(three(), &json!({"attempts": attempts, "outlier_detection": ejection}));
        let config = orders_of(&upstreams, &with(fields, &json!({"balance": "least_request"})));
        let envoy = start(&around(&config, attempts > 1).forward("/", "to"), 2);
        let held = || upstreams.iter().map(Upstream::held).sum::<usize>();
        for _ in 0..3 {
            let calls: Vec<_> =
                (0..8).map(|_| Client::connect(envoy.addr()).begin(&Request::get("/"))).collect();
            eventually("requests at the upstreams", SOON, || held() == 8);
            drop(calls);
            eventually("Envoy to drop them", SOON, || held() == 0);
        }
        assert_metrics(&envoy, &[("requests", 24), ("attempts", 24), ("failures", 0), ("ejections", 0)]);
        upstreams.iter().for_each(|upstream| upstream.switch(Answer::new(200, "well")));
        assert_eq!(storm(&envoy, 100).count(200), 100);
        assert_metrics(&envoy, &[("requests", 124), ("healthy", 2), ("retries", 0)]);
        assert_calm(&envoy);
    }
}

/// Who leaves within a request's body, or within an answer's.
#[test]
fn clients_that_leave_in_the_middle_blame_no_endpoint() {
    let upstreams = numbered::<2>();
    let slow = Answer::new(200, vec![7; 200]).drip(Duration::from_millis(20));
    upstreams.iter().for_each(|upstream| upstream.switch(slow.clone()));
    let rules = json!({"outlier_detection": {"consecutive_5xx": 1}});
    let envoy = start(&both_places(&orders_of(&upstreams, &with(three(), &rules))), 1);
    for part in
        ["POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\npart", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"]
    {
        for _ in 0..4 {
            let mut stream = TcpStream::connect(envoy.addr()).unwrap();
            stream.write_all(part.as_bytes()).unwrap();
            if part.starts_with("GET") {
                stream.read_exact(&mut [0; 100]).unwrap();
            }
        }
    }
    assert_metrics(&envoy, &[("requests", 8), ("attempts", 8), ("failures", 0), ("ejections", 0)]);
    assert_calm(&envoy);
}

/// An upgrade or a long answer keeps its endpoint when that is ejected meanwhile.
#[test]
fn a_response_in_flight_outlives_an_ejection() {
    let upstreams = numbered::<1>();
    upstreams[0].switch(Answer::new(200, vec![b'x'; 50]).drip(Duration::from_millis(10)));
    let rules = json!({"outlier_detection": {"consecutive_5xx": 1}});
    let envoy: Envoy = start(&one_place(&orders_of(&upstreams, &rules)), 1);
    let call = Client::connect(envoy.addr()).begin(&Request::get("/"));
    eventually("the request", SOON, || upstreams[0].count() == 1);
    upstreams[0].switch(Answer::new(503, "sick"));
    assert_eq!(Client::connect(envoy.addr()).get("/", &[]).status, 503);
    assert_metrics(&envoy, &[("ejections", 1), ("healthy", 0)]);
    assert_eq!(call.answer().unwrap().body, [b'x'; 50]);
    // There is no other endpoint: the ejected one serves.
    assert_eq!(Client::connect(envoy.addr()).get("/", &[]).text(), "sick");
    assert_calm(&envoy);
}
