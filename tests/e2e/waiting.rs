//! Requests that wait for an answer from elsewhere: what glue and Envoy make of them.
//!
//! The probe `waiting` holds a request as its path says. Its route is that of the header `x-to`,
//! which the probe sets when it lets go, so a request that goes on was routed after its wait.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::paths::probe;
use tidegate_tests::{
    eventually, Answer, Bootstrap, Call, Client, Envoy, FileLds, Options, Port, Request, Update, Upstream,
    WasmFilter,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// An upstream that answers with what came of the question.
fn up() -> Upstream {
    Upstream::new(|seen| {
        let value = |name: &str| {
            let found = seen.headers.iter().find(|(n, _)| n == name);
            found.map_or("-".into(), |(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        Answer::new(200, format!("{} {}", value("x-held"), value("x-answer")))
    })
}

fn waiting(up: SocketAddr, registry: SocketAddr) -> Bootstrap {
    waiting_as("1", up, registry)
}

/// The probe, with a configuration that differs by `version` only.
fn waiting_as(version: &str, up: SocketAddr, registry: SocketAddr) -> Bootstrap {
    Bootstrap::new()
        .balanced()
        .wasm(&WasmFilter::new(probe("waiting")).raw_config(version))
        .route(json!({"match": {"prefix": "/hold"}, "route": {"cluster_header": "x-to", "timeout": "20s"}}))
        .direct_response("/", 200, "at once")
        .cluster("up", &[up])
        .cluster("registry", &[registry])
        .access_log("%REQ(:PATH)% %RESPONSE_CODE% %FILTER_STATE(wasm.tidegate.waiting:PLAIN)%")
}

fn start(bootstrap: &Bootstrap, workers: u32) -> Envoy {
    Envoy::start(&bootstrap.json(), &Options::workers(workers)).unwrap()
}

fn hold(cluster: &str) -> Request {
    Request::get("/hold").header("x-ask", cluster)
}

/// So many requests on connections of their own, which go to the workers in turn.
fn begin(envoy: &Envoy, request: &Request, count: usize) -> Vec<Call> {
    (0..count).map(|_| Client::connect(envoy.addr()).begin(request)).collect()
}

fn answers(calls: Vec<Call>) -> Vec<(u16, String)> {
    calls.into_iter().map(|call| call.answer().unwrap()).map(|r| (r.status, r.text())).collect()
}

fn counter(envoy: &Envoy, word: &str) -> u64 {
    envoy.stat(&format!("wasmcustom.tidegate.waiting.{word}"))
}

/// The workers are as they should be: each answers `count` more requests on a new connection, and
/// those that are on their way at the same time do not stop each other.
fn assert_serves(envoy: &Envoy, workers: usize, count: usize) {
    let mut clients: Vec<_> = (0..workers).map(|_| Client::connect(envoy.addr())).collect();
    for number in 0..count {
        for client in &mut clients {
            let response = client.get(&format!("/{number}"), &[]);
            assert_eq!((response.status, response.text().as_str()), (200, "at once"), "request {number}");
        }
    }
    assert!(envoy.is_running());
    assert_eq!(envoy.log(), "");
}

#[test]
fn a_request_is_held_until_the_answer_and_then_goes_on_once() {
    let (up, registry) = (up(), Upstream::new(|_| Answer::silence()));
    let envoy = start(&waiting(up.addr(), registry.addr()), 2);
    let calls = begin(&envoy, &hold("registry"), 8);
    eventually("the questions", PATIENCE, || registry.held() == 8);
    assert_serves(&envoy, 2, 20);
    assert_eq!(up.count(), 0);
    registry.switch(Answer::new(200, "known"));
    assert_eq!(answers(calls), vec![(200, "yes 200 5 5".to_owned()); 8]);
    assert_eq!(up.count(), 8, "each went on once");
    let asked = &registry.seen()[0];
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str(), asked.body.as_slice()),
        ("PUT", "/ask", &b"what"[..])
    );
    assert!(asked.headers.contains(&("x-asked".to_owned(), b"yes".to_vec())));
    eventually("the access log", PATIENCE, || envoy.access_log().matches("/hold 200 went_on").count() == 8);
    assert_serves(&envoy, 2, 20);
    assert_eq!(counter(&envoy, "left"), 0);
}

/// The reply leaves from the callback of a timer, in which the host is told to stop "the" message.
#[test]
fn requests_that_are_refused_while_they_wait_stop_no_others() {
    let up = up();
    let envoy = start(&waiting(up.addr(), up.addr()), 2);
    for _ in 0..5 {
        let calls = begin(&envoy, &Request::get("/refuse"), 10);
        let start = Instant::now();
        assert_serves(&envoy, 2, 50);
        assert_eq!(answers(calls), vec![(503, "refused".to_owned()); 10]);
        assert!(start.elapsed() >= Duration::from_millis(50), "they waited");
        assert_serves(&envoy, 2, 50);
    }
    eventually("the access log", PATIENCE, || {
        envoy.access_log().matches("/refuse 503 refused").count() == 50
    });
    assert_eq!(up.count(), 0);
    assert_eq!(counter(&envoy, "left"), 0);
}

#[test]
fn a_body_is_held_with_its_request() {
    let (up, registry) = (up(), Upstream::new(|_| Answer::silence()));
    let envoy = start(&waiting(up.addr(), registry.addr()), 1);
    let body = vec![b'x'; 300 << 10];
    let request = Request::new("POST", "/hold").header("x-ask", "registry").body(&body);
    let call = Client::connect(envoy.addr()).begin(&request);
    eventually("the question", PATIENCE, || registry.held() == 1);
    registry.switch(Answer::new(200, ""));
    assert_eq!(answers(vec![call]), [(200, "yes 200 0 0".to_owned())]);
    assert_eq!(up.seen()[0].body.len(), body.len());
}

#[test]
fn a_client_that_leaves_while_held_is_forgotten() {
    let (up, registry) = (up(), Upstream::new(|_| Answer::silence()));
    let envoy = start(&waiting(up.addr(), registry.addr()), 2);
    let calls = begin(&envoy, &hold("registry"), 6);
    eventually("the questions", PATIENCE, || registry.held() == 6);
    calls.into_iter().for_each(Call::leave);
    eventually("the ends", PATIENCE, || counter(&envoy, "left") == 6);
    registry.switch(Answer::new(200, "late"));
    assert_serves(&envoy, 2, 50);
    assert_eq!(up.count(), 0);
    // Nothing waits, so nothing is asked for.
    let (again, ticks) = (counter(&envoy, "asked_again"), counter(&envoy, "ticks"));
    eventually("a few ticks", PATIENCE, || counter(&envoy, "ticks") > ticks + 10);
    assert_eq!(counter(&envoy, "asked_again"), again);
}

/// Envoy answers for itself after the stream's idle time; the late answer then moves nothing.
#[test]
fn a_request_that_the_host_gives_up_does_not_go_on() {
    let (up, registry) = (up(), Upstream::new(|_| Answer::silence()));
    let bootstrap = waiting(up.addr(), registry.addr()).hcm("stream_idle_timeout", json!("0.5s"));
    let envoy = start(&bootstrap, 1);
    let calls = begin(&envoy, &hold("registry"), 2);
    let given_up = answers(calls);
    assert!(given_up.iter().all(|(status, _)| matches!(status, 408 | 504)), "{given_up:?}");
    registry.switch(Answer::new(200, "late"));
    eventually("the ends", PATIENCE, || counter(&envoy, "left") == 2);
    assert_serves(&envoy, 1, 50);
    assert_eq!(up.count(), 0);
}

#[test]
fn failures_of_the_one_asked_are_answers_too() {
    let big = Upstream::new(|_| Answer::new(200, vec![b'x'; 70_000]));
    let (up, dead) = (up(), Port::reserve());
    let drip = Upstream::new(|_| Answer::new(200, "late").body_after(Duration::from_secs(3)));
    let mute = Upstream::new(|_| Answer::silence());
    let cut = Upstream::new(|_| Answer::new(200, "promised").cut());
    let bootstrap = waiting(up.addr(), big.addr());
    let bootstrap = bootstrap.cluster("dead", &[dead.addr()]).cluster("drip", &[drip.addr()]);
    let bootstrap =
        bootstrap.cluster("cut", &[cut.addr()]).cluster("empty", &[]).cluster("mute", &[mute.addr()]);
    let envoy = start(&bootstrap, 2);
    let cases = [
        // cluster, expected status, what the upstream or the client saw
        ("registry", 200, "yes 200 70000 100"),
        ("nobody", 500, "the host has no such cluster"),
        ("empty", 500, "the host could not send the question"),
        ("mute", 200, "yes 504 "),
        // The time is up after the headers.
        ("drip", 200, "yes none 0 0"),
        ("dead", 200, "yes 503 "),
        ("cut", 200, "yes none 0 0"),
    ];
    for (cluster, status, text) in cases {
        let calls = begin(&envoy, &hold(cluster).header("x-within", "500"), 4);
        for (got, body) in answers(calls) {
            assert_eq!(got, status, "{cluster}: {body}");
            assert!(body.starts_with(text), "{cluster}: {body}");
        }
    }
    assert_serves(&envoy, 2, 50);
}

#[test]
fn names_are_resolved_by_the_host() {
    let up = up();
    let envoy = start(&waiting(up.addr(), up.addr()), 2);
    let ask = |name: &str| {
        let calls = begin(&envoy, &Request::get("/name").header("x-name", name), 4);
        let mut all = answers(calls);
        all.dedup();
        assert_eq!((all.len(), all[0].0), (1, 200), "{name}: {all:?}");
        all.remove(0).1
    };
    let local = ask("localhost");
    assert!(local.contains("127.0.0.1:0") || local.contains("[::1]:0"), "{local}");
    assert_eq!(ask("127.0.0.1"), "1: 127.0.0.1:0");
    assert_eq!(ask("no-such-name.invalid"), "0: ");
    assert_serves(&envoy, 2, 50);
}

#[test]
fn a_new_configuration_leaves_those_that_wait_to_the_old_one() {
    let (up, registry) = (up(), Upstream::new(|_| Answer::silence()));
    let version = |version| waiting_as(version, up.addr(), registry.addr());
    for drain in [1, 120] {
        registry.switch(Answer::silence());
        let before = up.count();
        let options = Options { drain: Duration::from_secs(drain), ..Options::workers(2) };
        let mut envoy = FileLds::start(&version("1"), &options).unwrap();
        let calls = begin(&envoy, &hold("registry"), 6);
        eventually("the questions", PATIENCE, || registry.held() == 6);
        assert_eq!(envoy.update(&version("2").listener()), Update::Accepted);
        assert_serves(&envoy, 2, 20);
        let again = counter(&envoy, "asked_again");
        eventually("more waiting", PATIENCE, || counter(&envoy, "asked_again") > again + 6 * 10);
        registry.switch(Answer::new(200, "known"));
        assert_eq!(answers(calls), vec![(200, "yes 200 5 5".to_owned()); 6], "drain {drain} s");
        assert_eq!(up.count() - before, 6, "each went on once");
        assert_serves(&envoy, 2, 20);
    }
}

/// The timer runs ten times as fast then, housekeeping does not.
#[test]
fn housekeeping_keeps_its_pace_while_requests_wait() {
    let (up, registry) = (up(), Upstream::new(|_| Answer::silence()));
    let envoy = start(&waiting(up.addr(), registry.addr()), 1);
    // Milliseconds from one tick to the next, of the worker and the main thread together.
    let pace = || {
        let (start, before) = (Instant::now(), counter(&envoy, "ticks"));
        let ticks = eventually("16 ticks", PATIENCE, || {
            let ticks = counter(&envoy, "ticks") - before;
            (ticks >= 16).then_some(ticks)
        });
        start.elapsed().as_millis() / u128::from(ticks)
    };
    let at_its_pace = 105..=190;
    assert!(at_its_pace.contains(&pace()), "idle");
    let calls = begin(&envoy, &hold("registry").header("x-within", "60000"), 1);
    eventually("the question", PATIENCE, || registry.held() == 1);
    let (start, before) = (Instant::now(), counter(&envoy, "asked_again"));
    assert!(at_its_pace.contains(&pace()), "waiting");
    let asked = u128::from(counter(&envoy, "asked_again") - before);
    let most = start.elapsed().as_millis() / 20 + 20;
    assert!((most / 3..=most).contains(&asked), "{asked} of {most}");
    registry.switch(Answer::new(200, ""));
    assert_eq!(answers(calls), [(200, "yes 200 0 0".to_owned())]);
    assert!(at_its_pace.contains(&pace()), "idle again");
}

#[test]
fn a_filter_knows_its_zone_and_its_attempt() {
    let failing = Upstream::new(|_| Answer::new(503, ""));
    let attempts = WasmFilter::new(probe("waiting")).root_id("attempt");
    let retries = json!({"retry_on": "5xx", "num_retries": 2});
    let bootstrap = Bootstrap::new()
        .wasm(&WasmFilter::new(probe("waiting")))
        .around_attempts(&attempts)
        .route(json!({"match": {"prefix": "/"}, "route": {"cluster": "up", "retry_policy": retries}}))
        .cluster("up", &[failing.addr()]);
    let mut all: Value = serde_json::from_str(&bootstrap.json()).unwrap();
    all["node"]["locality"] = json!({"region": "earth", "zone": "zone-1"});
    let envoy = Envoy::start(&all.to_string(), &Options::workers(1)).unwrap();
    let mut client = Client::connect(envoy.addr());
    assert_eq!(client.get("/zone", &[]).text(), "zone-1");
    let response = client.get("/", &[]);
    assert_eq!((response.status, failing.count()), (503, 3));
    assert_eq!(response.header("x-attempt").as_deref(), Some("3"));
}
