//! How exchanges end after their headers, or without any, as Envoy shows it.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::{json, Value};
use tidegate_tests::{eventually, Answer, Bootstrap, Call, Client, Envoy, Request, Upstream};

use super::setup::{
    assert_metrics, breaker, filter, guarded, is_refusal, metrics_when, passes, start, storm,
    with_1_2_and_4_workers, SOON,
};
use crate::setup::with;

/// Breakers with these fields of a cluster, its route and a key, or of its endpoints, with their names;
/// in both places, in front of a route that waits for 0.3 s. Of two endpoints one is well, since the
/// last one is never out.
fn guards(fields: &Value, bad: &Upstream, good: &Upstream) -> [(Envoy, &'static [&'static str]); 2] {
    let of = |name, target: Value| breaker(name, &with(json!({"target": target}), fields));
    let one = [
        of("cluster", json!({"cluster": "up"})),
        of("route", json!({"route": "all"})),
        of("key", json!({"key": [{"constant": "x"}]})),
    ];
    let each = [of("endpoint", json!({"endpoint": "up"}))];
    [
        (both_places(&one, &[bad.addr()]), &["cluster", "route", "key"]),
        (both_places(&each, &[bad.addr(), good.addr()]), &["endpoint"]),
    ]
}

fn both_places(breakers: &[Value], addrs: &[SocketAddr]) -> Envoy {
    let filter = filter(breakers);
    let attempt = filter.clone().root_id("attempt").name("attempt");
    let route = json!({
        "name": "all", "match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "0.3s"}
    });
    let bootstrap = Bootstrap::new().balanced().wasm(&filter).around_attempts(&attempt);
    start(&bootstrap.cluster("up", addrs).route(route), 2)
}

#[test]
fn an_upstream_that_breaks_off_its_answers_is_spared() {
    #[rustfmt::skip]
    let answers = [
        ("cut",          Answer::new(200, "x".repeat(1_000)).cut_after(5)),
        ("chunks end",   Answer::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n")),
        ("silent after", Answer::new(200, "12345").claim(1_000)),
    ];
    let fields = json!({"consecutive_failures": 2});
    for (how, answer) in answers {
        let (bad, good) = (Upstream::new(move |_| answer.clone()), Upstream::fixed(200, "well"));
        for (envoy, names) in guards(&fields, &bad, &good) {
            let before = bad.count();
            for _ in 0..20 {
                let _ = Client::connect(envoy.addr()).try_send(&Request::get("/"));
            }
            assert_eq!(bad.count() - before, 2, "{names:?}, {how}: of 20 requests");
            for name in names {
                let expected = [("failed", 2), ("open", 1), ("transitions.consecutive", 1)];
                assert_metrics(&envoy, name, &expected);
            }
        }
    }
}

#[test]
fn an_upstream_whose_clients_leave_after_a_slow_call_is_spared() {
    let (bad, good) = (Upstream::new(|_| Answer::silence()), Upstream::fixed(200, "well"));
    let fields = json!({"slow_call_ms": 100, "slow_rate_percent": 50, "minimum_calls": 4});
    for (envoy, names) in guards(&fields, &bad, &good) {
        let client = Client::connect(envoy.addr());
        // Envoy takes turns.
        let requests = if names.len() > 1 { 4 } else { 8 };
        let calls: Vec<_> = (0..requests).map(|_| client.begin(&Request::get("/"))).collect();
        eventually("requests at the upstream", SOON, || bad.held() == 4);
        thread::sleep(Duration::from_millis(150));
        calls.into_iter().for_each(Call::leave);
        eventually("Envoy to drop them", SOON, || bad.held() == 0);
        for name in names {
            let expected = [("slow", 4), ("failed", 0), ("open", 1), ("transitions.slow_rate", 1)];
            assert_metrics(&envoy, name, &expected);
        }
    }
}

/// A request whose body never comes.
fn endless(envoy: &Envoy) -> TcpStream {
    let mut stream = TcpStream::connect(envoy.addr()).unwrap();
    stream.write_all(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n12345").unwrap();
    stream
}

#[test]
fn uploads_that_take_their_time_open_nothing() {
    let upstream = Upstream::fixed(200, "well");
    let fields = json!({"slow_call_ms": 300, "slow_rate_percent": 50, "minimum_calls": 4});
    let envoy = start(&guarded(&[breaker("up", &fields)], upstream.addr()), 2);
    let mut uploads: Vec<_> = (0..8).map(|_| endless(&envoy)).collect();
    thread::sleep(Duration::from_millis(600));
    uploads.iter_mut().for_each(|stream| stream.write_all(&[b'x'; 995]).unwrap());
    assert_metrics(&envoy, "up", &[("succeeded", 8), ("slow", 0), ("state", 0)]);
    // Some are never complete.
    let uploads: Vec<_> = (0..8).map(|_| endless(&envoy)).collect();
    metrics_when(&envoy, "up", |metrics| metrics["admitted"] == 16);
    thread::sleep(Duration::from_millis(400));
    drop(uploads);
    assert_metrics(&envoy, "up", &[("ignored", 8), ("slow", 0), ("failed", 0), ("state", 0)]);
}

#[test]
fn probes_whose_bodies_never_end_leave_their_permits_to_others() {
    with_1_2_and_4_workers(|workers| {
        let upstream = Upstream::fixed(503, "no");
        let fields = json!({"base_open_ms": 200, "half_open_permits": 2});
        let envoy = start(&guarded(&[breaker("up", &fields)], upstream.addr()), workers);
        storm(&envoy, 40, &Request::get("/"));
        assert_metrics(&envoy, "up", &[("transitions.consecutive", 1)]);
        upstream.switch(Answer::new(200, "well"));
        thread::sleep(Duration::from_millis(250));
        let held = [(); 2].map(|()| endless(&envoy));
        metrics_when(&envoy, "up", |metrics| metrics["probes"] == 2);
        let mut client = Client::connect(envoy.addr());
        for _ in 0..3 {
            assert_eq!(passes(&mut client, "/").text(), "well");
        }
        assert!(!is_refusal(&client.get("/", &[])));
        assert_metrics(&envoy, "up", &[("state", 0), ("probes", 4), ("transitions.probes_passed", 1)]);
        drop(held);
    });
}

/// A client that does not read holds its answer back until the route's timeout; what the upstream did
/// not send then is no evidence against it.
#[test]
fn clients_that_do_not_read_open_nothing() {
    let upstream = Upstream::new(|_| Answer::new(200, vec![b'x'; 32 << 20]));
    let filter = filter(&[breaker("up", &json!({"consecutive_failures": 1}))]);
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "2s"}});
    let bootstrap = Bootstrap::new().balanced().wasm(&filter).cluster("up", &[upstream.addr()]);
    let envoy = start(&bootstrap.route(route), 2);
    let held = [(); 4].map(|()| {
        let mut stream = TcpStream::connect(envoy.addr()).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        stream
    });
    eventually("answers that began", SOON, || envoy.stat("cluster.up.upstream_rq_200") == 4);
    eventually("the route's timeouts", SOON, || envoy.stat("cluster.up.upstream_rq_timeout") == 4);
    assert_metrics(&envoy, "up", &[("admitted", 4), ("ignored", 4), ("failed", 0), ("state", 0)]);
    drop(held);
}
