//! Loads.

use std::time::Duration;

use tidegate_tests::{Answer, Load, Request, Upstream};

#[test]
fn load_sends_exactly_what_it_is_told_to() {
    #[rustfmt::skip]
    let cases = [
        // name                      connections  threads  requests
        ("one after the other",      1,           1,       100),
        ("fewer than connections",   8,           2,       5),
        ("not a multiple",           3,           2,       1_000),
        ("more threads than needed", 2,           9,       11),
        ("nothing",                  2,           2,       0),
    ];
    for (name, connections, threads, requests) in cases {
        let upstream = Upstream::fixed(200, "ok");
        let load = Load::new(upstream.addr()).connections(connections).threads(threads);
        let report = load.requests(requests).run(|_, number, out| {
            out.extend_from_slice(&Request::get(&format!("/{number}")).bytes());
        });
        assert_eq!((report.count(200), report.answered(), report.lost), (requests, requests, 0), "{name}");
        assert_eq!(report.per_connection.len(), connections, "{name}");
        let mut paths: Vec<usize> =
            upstream.seen().iter().map(|seen| seen.path[1..].parse().unwrap()).collect();
        paths.sort_unstable();
        assert_eq!(paths, Vec::from_iter(0..usize::try_from(requests).unwrap()), "{name}");
    }
}

#[test]
fn load_counts_by_status_and_survives_closed_connections() {
    let upstream = Upstream::new(|seen| match seen.path.as_str() {
        "/0" | "/1" => Answer::hang_up(),
        "/2" => Answer::new(200, "until the end").until_close(),
        "/3" => Answer::new(429, "chunks").chunked(),
        _ => Answer::new(200, "ok"),
    });
    let report = Load::new(upstream.addr()).connections(2).requests(10).run(|_, number, out| {
        out.extend_from_slice(&Request::get(&format!("/{number}")).bytes());
    });
    assert_eq!((report.count(200), report.count(429), report.lost), (7, 1, 2));
}

#[test]
fn load_stops_in_time() {
    let upstream = Upstream::fixed(200, "ok");
    let report = Load::new(upstream.addr()).duration(Duration::from_millis(50)).repeat(&Request::get("/"));
    assert!(report.elapsed >= Duration::from_millis(50));
    assert_eq!(usize::try_from(report.answered()).unwrap(), upstream.count());
}
