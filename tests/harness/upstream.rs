//! Upstreams that change while they run.

use std::time::{Duration, Instant};

use tidegate_tests::{eventually, Answer, Client, Load, Port, Request, Upstream};

use crate::SOON;

#[test]
fn upstream_stops_when_dropped() {
    let upstream = Upstream::fixed(200, "");
    let mut client = Client::connect(upstream.addr());
    client.get("/", &[]);
    drop(upstream);
    assert!(client.try_send(&Request::get("/")).is_err());
}

#[test]
fn an_upstream_answers_as_it_was_last_switched() {
    let upstream = Upstream::fixed(200, "ok");
    let mut client = Client::connect(upstream.addr());
    for status in [200, 503, 429, 200] {
        upstream.switch(Answer::new(status, "as told"));
        assert_eq!(client.get("/", &[]).status, status);
    }
    assert_eq!((upstream.count(), client.opened()), (4, 1));
}

#[test]
fn silence_lasts_until_the_switch() {
    let upstream = Upstream::new(|seen| match seen.path.as_str() {
        "/held" => Answer::silence(),
        _ => Answer::new(200, ""),
    });
    let mut client = Client::connect(upstream.addr());
    let held = client.begin(&Request::get("/held"));
    eventually("a held request", SOON, || upstream.held() == 1);
    assert_eq!(client.get("/other", &[]).status, 200);

    upstream.switch(Answer::new(503, ""));
    assert_eq!(held.answer().unwrap().status, 503);
    assert_eq!(upstream.held(), 0);
}

#[test]
fn a_dropped_upstream_lets_go_of_what_it_holds() {
    let upstream = Upstream::new(|_| Answer::silence());
    let call = Client::connect(upstream.addr()).begin(&Request::get("/"));
    eventually("a held request", SOON, || upstream.held() == 1);
    drop(upstream);
    assert!(call.answer().is_err());
}

#[test]
fn a_cut_answer_has_headers_and_no_end() {
    let upstream = Upstream::new(|_| Answer::new(200, "").cut());
    let error = Client::connect(upstream.addr()).try_send(&Request::get("/")).unwrap_err();
    assert_eq!(error.to_string(), "closed within a response");
    upstream.switch(Answer::hang_up());
    let error = Client::connect(upstream.addr()).try_send(&Request::get("/")).unwrap_err();
    assert_eq!(error.to_string(), "closed without a response");
}

#[test]
fn late_answers_are_late() {
    let delay = Duration::from_millis(30);
    let upstream = Upstream::fixed(200, "");
    for late in [Answer::new(200, "a").after(delay), Answer::new(200, "a").body_after(delay)] {
        upstream.switch(late);
        let start = Instant::now();
        assert_eq!(Client::connect(upstream.addr()).get("/", &[]).text(), "a");
        assert!(start.elapsed() >= delay);
    }
}

#[test]
fn a_port_refuses_connections_unless_an_upstream_is_there() {
    let port = Port::reserve();
    let mut client = Client::connect(port.addr());
    for round in 0..3 {
        assert!(client.try_send(&Request::get("/")).is_err(), "before round {round}");
        let upstream = Upstream::at(&port, Answer::new(200, "up"));
        assert_eq!(upstream.addr(), port.addr());
        assert_eq!(client.get("/", &[]).status, 200, "round {round}");
    }
    assert!(client.try_send(&Request::get("/")).is_err(), "after all");
}

#[test]
fn a_counting_upstream_counts_and_forgets() {
    let upstream = Upstream::counting(Answer::new(503, "no"));
    let load = Load::new(upstream.addr()).connections(4).threads(2).requests(1_000);
    let request = Request::new("POST", "/a").header("x", "1").body("body");
    assert_eq!(load.repeat(&request).count(503), 1_000);
    assert_eq!((upstream.count(), upstream.seen()), (1_000, vec![]));
    upstream.switch(Answer::new(200, ""));
    assert_eq!(load.repeat(&request).count(200), 1_000);
}

#[test]
fn requests_are_counted_by_what_they_are() {
    let upstream = Upstream::fixed(200, "");
    let mut client = Client::connect(upstream.addr());
    for (path, caller) in [("/a", "x"), ("/b", "x"), ("/a", "y")] {
        client.get(path, &[("caller", caller)]);
    }
    let by = |path: &str, caller: &str| {
        upstream.count_where(|seen| seen.path == path && seen.header("caller").as_deref() == Some(caller))
    };
    assert_eq!((by("/a", "x"), by("/b", "x"), by("/b", "y")), (1, 1, 0));
    assert_eq!((upstream.take_seen().len(), upstream.seen().len(), upstream.count()), (3, 0, 3));
}
