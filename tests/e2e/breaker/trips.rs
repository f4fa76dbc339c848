//! What opens a breaker, and how much still reaches the upstream before it does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::{Answer, Bootstrap, Client, Port, Request, Upstream};

use super::setup::{
    assert_metrics, assert_transitions, breaker, filter, guarded, is_refusal, metrics_when,
    refuses_everywhere, start, storm, until, with_1_2_and_4_workers, IN_FLIGHT,
};

const REQUESTS: u64 = 120;

/// A way to fail, with a cluster and a breaker of its own.
struct Way {
    name: &'static str,
    upstream: Upstream,
    fields: Value,
    reason: &'static str,
    /// Calls that it takes.
    calls: usize,
}

/// A name, how to answer, the breaker's fields, why it opens, and after how many calls.
type Row = (&'static str, Answer, Value, &'static str, usize);

fn ways() -> Vec<Way> {
    let late = Duration::from_millis(60);
    #[rustfmt::skip]
    let rows: [Row; 6] = [
        ("fails",     Answer::new(503, "no"),            json!({}),                                        "consecutive",  5),
        ("patient",   Answer::new(500, "no"),            json!({"consecutive_failures": 9}),               "consecutive",  9),
        ("hangs-up",  Answer::hang_up(),                 json!({}),                                        "consecutive",  5),
        ("silent",    Answer::silence(),                 json!({}),                                        "consecutive",  5),
        ("slow",      Answer::new(200, "ok").after(late), json!({"slow_call_ms": 30, "minimum_calls": 6}), "slow_rate",    6),
        ("throttles", Answer::new(429, "less"),          json!({"minimum_calls": 10, "count_throttled": true}), "failure_rate", 10),
    ];
    let way = |(name, answer, fields, reason, calls): Row| {
        let upstream = Upstream::new(move |_| answer.clone());
        Way { name, upstream, fields, reason, calls }
    };
    rows.into_iter().map(way).chain([every_other()]).collect()
}

/// Fails every other time, so never twice in a row.
fn every_other() -> Way {
    let count = AtomicU64::new(0);
    let upstream = Upstream::new(move |_| match count.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => Answer::new(200, "ok"),
        _ => Answer::new(502, "no"),
    });
    let fields = json!({"consecutive_failures": 0, "minimum_calls": 10, "failure_rate_percent": 40});
    Way { name: "every-other", upstream, fields, reason: "failure_rate", calls: 10 }
}

#[test]
fn an_upstream_that_fails_gets_what_it_takes_to_know_and_what_is_in_flight() {
    with_1_2_and_4_workers(|workers| {
        let ways = ways();
        let breakers: Vec<_> = ways.iter().map(|way| breaker(way.name, &way.fields)).collect();
        let bootstrap = Bootstrap::new().balanced().wasm(&filter(&breakers));
        let bootstrap = ways.iter().fold(bootstrap, |all, way| {
            let to = json!({"cluster": way.name, "timeout": "0.15s"});
            let at = json!({"prefix": format!("/{}", way.name)});
            all.cluster(way.name, &[way.upstream.addr()]).route(json!({"match": at, "route": to}))
        });
        let envoy = start(&bootstrap, workers);
        for way in &ways {
            let request = Request::get(&format!("/{}", way.name));
            let report = storm(&envoy, REQUESTS, &request);
            assert_eq!((report.answered(), report.lost), (REQUESTS, 0), "{}", way.name);
            let (reached, most) = (way.upstream.count(), way.calls + IN_FLIGHT);
            assert!((way.calls..=most).contains(&reached), "{}: {reached} reached it", way.name);
            assert!(refuses_everywhere(&envoy, &request), "{}", way.name);
            assert_eq!(way.upstream.count(), reached, "{}", way.name);

            let refused = REQUESTS + IN_FLIGHT as u64 - reached as u64;
            let why = format!("transitions.{}", way.reason);
            let counted = [("admitted", reached as u64), ("refused", refused), (&why, 1), ("transitions", 1)];
            assert_metrics(&envoy, way.name, &counted);
            assert_metrics(&envoy, way.name, &[("state", 1), ("open", 1), ("undecided", 0)]);
        }
        let expected: Vec<_> =
            ways.iter().map(|way| format!("{}: closed -> open ({})", way.name, way.reason)).collect();
        assert_transitions(&envoy, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    });
}

/// Good outcomes are told late. They used to end runs of failures that were younger: each worker's
/// first failure began the run anew, and four workers let up to seventeen failures pass, not five.
#[test]
fn a_success_does_not_end_a_run_that_is_younger() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::fixed(200, "well");
        let envoy = start(&guarded(&[breaker("up", &json!({}))], upstream.addr()), workers);
        let mut clients = [(); IN_FLIGHT].map(|()| Client::connect(envoy.addr()));
        for client in &mut clients {
            assert_eq!(client.get("/", &[]).text(), "well");
        }
        // Times are compared in milliseconds.
        until(Instant::now(), Duration::from_millis(2));
        upstream.switch(Answer::new(503, "no"));
        for client in clients.iter_mut().take(5) {
            assert_eq!(client.get("/", &[]).text(), "no");
        }
        assert!(clients.iter_mut().all(|client| is_refusal(&client.get("/", &[]))));
        assert_eq!(upstream.count(), IN_FLIGHT + 5);
    });
}

#[test]
fn refused_connections_are_failures() {
    with_1_2_and_4_workers(|workers| {
        let port = Port::reserve();
        let breakers = [breaker("up", &json!({}))];
        let envoy = start(&guarded(&breakers, port.addr()), workers);
        let request = Request::get("/");
        let report = storm(&envoy, REQUESTS, &request);
        assert_eq!(report.count(503), REQUESTS);
        assert!(refuses_everywhere(&envoy, &request));
        let all = REQUESTS + IN_FLIGHT as u64;
        let counted = metrics_when(&envoy, "up", |metrics| metrics["admitted"] + metrics["refused"] == all);
        let admitted = usize::try_from(counted["admitted"]).unwrap();
        assert!((5..=5 + IN_FLIGHT).contains(&admitted), "{admitted} admitted");
        assert_metrics(&envoy, "up", &[("failed", admitted as u64), ("state", 1)]);
        assert_transitions(&envoy, &["up: closed -> open (consecutive)"]);
    });
}

#[test]
fn a_success_ends_a_run_of_failures() {
    let upstream = Upstream::fixed(503, "no");
    let envoy = start(&guarded(&[breaker("up", &json!({}))], upstream.addr()), 2);
    // Two connections, one for each worker: the run is theirs together.
    let mut clients = [(); 2].map(|()| Client::connect(envoy.addr()));
    for _ in 0..3 {
        upstream.switch(Answer::new(503, "no"));
        for number in 0..4 {
            assert_eq!(clients[number % 2].get("/", &[]).text(), "no");
        }
        upstream.switch(Answer::new(404, "who?"));
        assert_eq!(clients[1].get("/", &[]).status, 404);
    }
    assert_metrics(&envoy, "up", &[("failed", 12), ("succeeded", 3), ("transitions", 0), ("state", 0)]);
    assert_transitions(&envoy, &[]);
}

/// What counts is configurable: here 404 does, 503 says nothing, and 500 is throttling.
#[test]
fn what_counts_as_failed_is_configurable() {
    let upstream = Upstream::new(|seen| Answer::new(seen.path[1..].parse().unwrap(), ""));
    let rules = json!({"failure_statuses": [404], "ignored_statuses": [503], "throttled_statuses": [500]});
    let envoy = start(&guarded(&[breaker("up", &rules)], upstream.addr()), 1);
    let mut client = Client::connect(envoy.addr());
    for path in ["/503", "/500", "/502"] {
        for _ in 0..6 {
            assert_eq!(client.get(path, &[]).status, path[1..].parse::<u16>().unwrap());
        }
    }
    for _ in 0..5 {
        assert_eq!(client.get("/404", &[]).status, 404);
    }
    assert!(refuses_everywhere(&envoy, &Request::get("/404")));
    let counted = [("failed", 5), ("ignored", 6), ("throttled", 6), ("succeeded", 6)];
    assert_metrics(&envoy, "up", &counted);
}
