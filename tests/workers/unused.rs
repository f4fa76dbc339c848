//! Limits, routes and services that no request has: that is said once, by whichever worker, and shown.

use std::sync::Arc;

use tidegate_policy::discovery::Discovery;
use tidegate_policy::fused::Fused;
use tidegate_policy::http::Stage;
use tidegate_policy::ratelimit::RateLimit;
use tidegate_policy::routing::Routing;
use tidegate_policy::time::Span;
use tidegate_sim::{SimHost, SimRequest, SimResponse, SimStore, Worker};

type Of<S> = Worker<S, SimHost>;

const LIMITS: &str = r#"{"limits": [
    {"name": "all", "requests": 9, "per_ms": 1000, "key": ["host"], "mode": "observe"},
    {"name": "put", "requests": 9, "per_ms": 1000, "key": ["host"], "match": {"method": "PUT"}},
    {"name": "tenant", "requests": 9, "per_ms": 1000, "key": [{"header": "x-tenant"}], "on_missing_key": "skip"}]}"#;
const ROUTES: &str = r#"{"routes": [
    {"name": "shop", "variants": [{"name": "v", "cluster": "up"}]},
    {"name": "beta", "match": {"headers": [{"name": "x-beta", "exact": "1"}]}, "variants": [{"name": "v", "cluster": "up"}]}]}"#;
const SERVICES: &str = r#"{"allow": ["10.0.0.0/8:80"],
    "registries": {"r": {"static": {"services": {"a": [{"address": "10.0.0.1", "port": 80}]}}}}, "services": [
    {"name": "b", "registry": "r", "static": {"service": "a"}, "match": {"method": "PUT"}},
    {"name": "c", "registry": "r", "static": {"service": "a"}},
    {"name": "a", "registry": "r", "match": {"path": {"prefix": "/"}}}]}"#;

/// So many workers of one Envoy.
fn workers<S: Stage>(count: usize, json: &str, store: &Arc<SimStore>) -> Vec<Of<S>> {
    let worker =
        |_| Worker::new(json, SimHost::new(store.clone())).unwrap_or_else(|e| panic!("{json}: {e:?}"));
    (0..count).map(worker).collect()
}

/// So many requests, on the workers in turn.
fn spread<S: Stage>(workers: &[Of<S>], request: &SimRequest<'_>, count: usize) {
    for worker in workers.iter().cycle().take(count) {
        let (_, exchange) = worker.begin(request);
        worker.end(exchange, &SimResponse::upstream(200));
    }
}

/// Ticks of all workers in the seconds of a range; what they say.
fn seconds<S: Stage>(workers: &[Of<S>], range: std::ops::Range<u64>) -> Vec<String> {
    for second in range {
        for worker in workers {
            worker.host.set(Span::from_secs(second));
            worker.tick();
        }
    }
    workers.iter().flat_map(|worker| worker.host.take_notes()).collect()
}

/// The names whose gauge is 1 on some worker.
fn shown<S: Stage>(workers: &[Of<S>], names: &[&'static str], gauge: &str) -> Vec<&'static str> {
    let is = |name: &&str| {
        let gauge = gauge.replace("NAME", name);
        workers.iter().any(|worker| worker.host.count(worker.counter(&gauge)) == 1)
    };
    names.iter().copied().filter(|name| is(name)).collect()
}

/// What is said after a thousand requests, the gauges then, after one request for each target, and after the
/// configuration is gone.
fn told<S: Stage>(json: &str, names: &[&'static str], gauge: &str, late: &SimRequest<'_>) -> Vec<String> {
    let store = Arc::default();
    let all = workers::<S>(3, json, &store);
    assert_eq!(seconds(&all, 0..2), [""; 0]);
    spread(&all, &SimRequest::get("/"), 999);
    assert_eq!(seconds(&all, 2..20), [""; 0], "too few to say anything");
    spread(&all, &SimRequest::get("/"), 1);
    let lines = seconds(&all, 20..30);
    let unused = shown(&all, names, gauge);
    assert_eq!(unused.len(), lines.len(), "{unused:?}: {lines:?}");
    spread(&all, &SimRequest::get("/"), 5_000);
    assert_eq!(seconds(&all, 30..40), [""; 0], "once");

    let again = workers::<S>(1, json, &store);
    seconds(&again, 0..1);
    spread(&again, &SimRequest::get("/"), 2_000);
    assert_eq!(seconds(&again, 1..10), [""; 0], "not after a reload");
    assert_eq!(shown(&again, names, gauge), unused);
    all.iter().for_each(Worker::stop);
    assert_eq!(shown(&all, names, gauge), [""; 0], "nothing stays of what is gone");

    spread(&again, late, 1);
    seconds(&again, 10..13);
    assert!(shown(&again, names, gauge).len() < unused.len(), "the first request ends it");
    lines
}

#[test]
fn a_limit_that_applies_to_no_request_is_told_once_for_all_workers() {
    let late = SimRequest::request("PUT", "/").header("x-tenant", b"1");
    let lines =
        told::<RateLimit>(LIMITS, &["all", "put", "tenant"], "tidegate.ratelimit.limit.NAME.unused", &late);
    assert_eq!(
        lines,
        [
            "put: no request yet among 1000 requests matched: correct its `match`, or the parts of its `key`, or \
             remove the limit",
            "tenant: no request yet among 1000 requests had all parts of its `key`: name parts that requests \
             have, or set `on_missing_key`",
        ]
    );
}

#[test]
fn a_route_that_no_request_takes_is_told_once_for_all_workers() {
    let late = SimRequest::get("/").header("x-beta", b"1");
    let lines = told::<Routing>(ROUTES, &["shop", "beta"], "tidegate.routing.route.NAME.unused", &late);
    assert_eq!(
        lines,
        ["beta: no request yet among 1000 requests took the route: its `match` holds for none, or a route that \
          comes first takes them; correct one of these, or remove the route"]
    );
}

#[test]
fn a_service_that_no_request_is_for_is_told_once_for_all_workers() {
    let late = SimRequest::request("PUT", "/");
    let gauge = "tidegate.discovery.service.NAME.unused";
    let lines = told::<Discovery>(SERVICES, &["b", "c", "a"], gauge, &late);
    assert_eq!(
        lines,
        [
            "b: no request yet among 1000 requests was for the service: its `match` holds for none, or a service \
             that comes first takes them; correct that, or remove the service",
            "c: no request yet among 1000 requests was for the service: it has no `match`, and no routing filter \
             before this one chose it; correct that, or remove the service",
        ]
    );
}

/// Requests that no service takes pass the filter, too: a `match` that holds for none is found by them alone.
#[test]
fn a_document_that_takes_no_request_at_all_is_told() {
    let json = SERVICES.replace("\"/\"", "\"/none\"");
    let all = workers::<Discovery>(2, &json, &Arc::default());
    seconds(&all, 0..1);
    spread(&all, &SimRequest::get("/"), 1_000);
    assert_eq!(seconds(&all, 1..10).len(), 3);

    let json = ROUTES.replace(r#""shop","#, r#""shop", "match": {"method": "PUT"},"#);
    let all = workers::<Routing>(2, &json, &Arc::default());
    seconds(&all, 0..1);
    spread(&all, &SimRequest::get("/"), 1_000);
    assert_eq!(seconds(&all, 1..10).len(), 2);
}

/// What was said of a target says nothing of another that has its name.
#[test]
fn a_target_that_was_corrected_wrongly_is_told_again() {
    let store = Arc::default();
    for method in ["PUT", "PATCH"] {
        for expected in [1, 0] {
            let json = r#"{"limits": [{"name": "a", "requests": 9, "per_ms": 1000, "key": ["host"], "match": {"method": "PUT"}}]}"#;
            let json = json.replace("PUT", method).replace('9', if expected == 1 { "9" } else { "8" });
            let all = workers::<RateLimit>(2, &json, &store);
            seconds(&all, 0..1);
            spread(&all, &SimRequest::get("/"), 1_000);
            assert_eq!(seconds(&all, 1..10).len(), expected, "{method}");
        }
    }
}

#[test]
fn the_module_of_all_policies_tells_of_each() {
    let json = format!(r#"{{"ratelimit": {LIMITS}, "routing": {ROUTES}, "discovery": {SERVICES}}}"#);
    let all = workers::<Fused>(2, &json, &Arc::default());
    seconds(&all, 0..1);
    spread(&all, &SimRequest::get("/"), 1_000);
    let mut lines = seconds(&all, 1..10);
    lines.sort();
    let short: Vec<&str> = lines.iter().filter_map(|line| line.split(": no request yet").next()).collect();
    assert_eq!(
        short,
        ["discovery: b", "discovery: c", "ratelimit: put", "ratelimit: tenant", "routing: beta"]
    );
}

/// Under Istio the name of a plugin is its root id.
#[test]
fn routes_around_attempts_are_told_once() {
    fn lines<S: Stage>(json: &str) -> Vec<String> {
        let store: Arc<SimStore> = Arc::default();
        let worker = |_| Worker::<S, _>::attempt(json, SimHost::new(store.clone())).unwrap();
        let all: Vec<_> = (0..3).map(worker).collect();
        seconds(&all, 0..5)
    }
    let routing = lines::<Routing>(ROUTES);
    let fused = lines::<Fused>(&format!(r#"{{"ratelimit": {LIMITS}, "routing": {ROUTES}}}"#));
    for lines in [routing, fused] {
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("nothing of the document is for a filter around attempts"), "{lines:?}");
        assert!(lines[0].ends_with("give it another root id (Istio: pluginName)"), "{lines:?}");
    }
    let both = lines::<Fused>(&format!(r#"{{"routing": {ROUTES}, "discovery": {SERVICES}}}"#));
    assert_eq!(both, [""; 0]);
}
