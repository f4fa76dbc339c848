//! Callers.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_tests::{eventually, Answer, Client, Request, Upstream};

use crate::SOON;

#[test]
fn client_reads_every_kind_of_body() {
    let long = "0123456789".repeat(5_000);
    let body = long.clone();
    let upstream = Upstream::new(move |seen| match seen.path.as_str() {
        "/chunked" => Answer::new(200, &body).chunked(),
        "/close" => Answer::new(200, &body).until_close(),
        "/none" => Answer::new(204, ""),
        _ => Answer::new(200, &body),
    });
    let mut client = Client::connect(upstream.addr());
    let cases = [
        // path        status  body   connections so far
        ("/chunked", 200, &*long, 1),
        ("/length", 200, &*long, 1),
        ("/none", 204, "", 1),
        ("/close", 200, &*long, 1),
        ("/chunked", 200, &*long, 2),
    ];
    for (path, status, body, opened) in cases {
        let response = client.get(path, &[]);
        assert_eq!((response.status, response.text().as_str()), (status, body), "{path}");
        assert_eq!(client.opened(), opened, "{path}");
    }
    let head = client.send(&Request::new("HEAD", "/length"));
    assert_eq!((head.header("content-length").as_deref(), head.body.len()), (Some("50000"), 0));
    assert_eq!(client.get("/none", &[]).status, 204, "after HEAD");
}

#[test]
fn client_sends_any_bytes() {
    let upstream = Upstream::fixed(200, "");
    let mut client = Client::from_source(upstream.addr(), Ipv4Addr::new(127, 0, 0, 7));
    let request = Request::new("PUT", "/a?b=c").header("x", b"\xff\x80").header("X", "2").body([0, 255]);
    assert_eq!(client.send(&request).status, 200);
    let seen = upstream.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("PUT", "/a?b=c"));
    let x: Vec<_> =
        seen[0].headers.iter().filter(|(name, _)| name == "x").map(|(_, value)| &value[..]).collect();
    assert_eq!(x, [&b"\xff\x80"[..], b"2"]);
    assert_eq!(seen[0].body, [0, 255]);
}

#[test]
fn client_sends_again_only_on_a_kept_connection() {
    // Answers the first request, then hangs up on the second and third.
    let requests = AtomicUsize::new(0);
    let upstream = Upstream::new(move |_| match requests.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::new(200, ""),
        _ => Answer::hang_up(),
    });
    let mut client = Client::connect(upstream.addr());
    client.get("/", &[]);
    assert!(client.try_send(&Request::get("/")).is_err());
    assert_eq!((upstream.count(), client.opened()), (3, 2));
}

#[test]
fn a_call_is_under_way_until_it_is_answered_or_left() {
    let upstream = Upstream::new(|_| Answer::silence());
    let client = Client::from_source(upstream.addr(), Ipv4Addr::new(127, 0, 0, 9));
    let [first, second] = ["/1", "/2"].map(|path| client.begin(&Request::get(path)));
    eventually("both requests", SOON, || upstream.held() == 2);

    first.leave();
    eventually("one caller to leave", SOON, || upstream.held() == 1);
    upstream.switch(Answer::new(200, "late"));
    assert_eq!(second.answer().unwrap().text(), "late");
    assert_eq!((upstream.count(), upstream.held()), (2, 0));
}
