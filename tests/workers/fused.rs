//! All stages in one module: in order, each seeing what the one before it did, and told when a later
//! one answered. That it is as a chain of their filters is in `equality.rs`.

use std::cell::Cell;
use std::sync::Arc;

use tidegate_policy::breaker::CircuitBreaker;
use tidegate_policy::discovery::Discovery;
use tidegate_policy::fused::Fused;
use tidegate_policy::http::{
    Attribute, Callback, Edit, Ending, NoResponse, Placement, Reply, Response, Stage, Verdict,
};
use tidegate_policy::time::Span;
use tidegate_sim::{SimHost, SimRequest, SimResponse, Worker};

use crate::discovery::{answer, config, fixed, header, STEER};

type Sim = Worker<Fused, SimHost>;

const LIMITS: &str = r#"{"limits": [{"name": "l", "key": ["client_address"], "requests": 100, "per_ms": 60000}],
    "headers_on_admitted": true, "log_admitted": true}"#;

/// One variant, of the service `orders`, which a response names and which gets a cookie.
const ROUTING: &str = r#"{"headers": {"response": "x-variant"}, "routes": [{"name": "r",
    "sticky": {"experiment": "e", "cookie": {"name": "c"}},
    "variants": [{"name": "v", "service": {"name": "orders"}}]}]}"#;

const BREAKER: &str = r#"{"breakers": [{"name": "b", "target": {"route": "main"}, "consecutive_failures": 1,
    "base_open_ms": 1000, "jitter_percent": 0, "half_open_permits": 1}]}"#;

fn worker(json: &str) -> Sim {
    Worker::new(json, SimHost::new(Arc::default())).unwrap_or_else(|error| panic!("{json}: {error:?}"))
}

/// All four, with these endpoints.
fn all(discovery: &str) -> String {
    format!(
        r#"{{"ratelimit": {LIMITS}, "routing": {ROUTING}, "breaker": {BREAKER}, "discovery": {discovery}}}"#
    )
}

fn count(worker: &Sim, name: &str) -> u64 {
    worker.host.count(worker.counter(name))
}

fn on_main(path: &str) -> SimRequest<'_> {
    SimRequest::get(path).attribute(Attribute::Route, b"main")
}

fn facts(worker: &Sim, exchange: &tidegate_sim::Exchange<Fused>) -> Vec<String> {
    let mut facts = Vec::new();
    exchange.facts(worker.stage(), &mut |name, text| facts.push(format!("{name}={text}")));
    facts
}

fn reply(verdict: Verdict) -> Reply {
    match verdict {
        Verdict::Reply(reply) => reply,
        other => panic!("no reply but {other:?}"),
    }
}

fn names(edits: &[Edit]) -> Vec<&str> {
    fn name(edit: &Edit) -> &str {
        match edit {
            Edit::AddResponseHeader(name, _) | Edit::SetResponseHeader(name, _) => name,
            other => panic!("{other:?}"),
        }
    }
    edits.iter().map(name).collect()
}

#[test]
fn a_request_passes_all_stages_and_its_response_the_other_way() {
    let worker = worker(&all(&fixed(&["10.0.0.1:80"], "")));
    let (verdict, exchange) = worker.begin(&on_main("/"));
    let Verdict::Continue(edits) = verdict else { panic!("{verdict:?}") };
    assert_eq!(header(&edits, STEER), Some("10.0.0.1:80"), "{edits:?}");
    let told = facts(&worker, &exchange);
    let begins = [
        "tidegate.ratelimit=admitted",
        "tidegate.routing=orders r v sticky ",
        "tidegate.discovery=orders 10.0.0.1:80 ",
    ];
    assert_eq!(told.len(), begins.len(), "{told:?}");
    assert!(told.iter().zip(begins).all(|(fact, begin)| fact.starts_with(begin)), "{told:?}");
    let edits = worker.end(exchange, &SimResponse::upstream(200));
    assert_eq!(names(&edits), ["x-variant", "set-cookie", "set-cookie", "ratelimit-policy", "ratelimit"]);
    worker.tick();
    for name in [
        "tidegate.ratelimit.limit.l.admitted",
        "tidegate.routing.route.r.variant.v.requests",
        "tidegate.breaker.breaker.b.admitted",
        "tidegate.discovery.service.orders.requests",
    ] {
        assert_eq!(count(&worker, name), 1, "{name}");
    }
    assert_eq!(worker.memory().flights().count(), 0, "no flight is left");
}

#[test]
fn the_module_is_called_for_what_any_stage_needs() {
    assert_eq!(Fused::CALLBACKS, Discovery::CALLBACKS);
    let some = Callback::union(&[&[Callback::Tick], &[], &[Callback::RequestBody, Callback::Tick]]);
    assert_eq!(some.0[..some.1], [Callback::RequestBody, Callback::Tick]);
}

fn problems(json: &str) -> Vec<String> {
    let error = Fused::configure(json.as_bytes(), Placement::Downstream).err().expect("a wrong document");
    error.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn problems_of_all_parts_are_told_at_once_with_whole_paths() {
    let told = problems(
        r#"{"routing": {"routes": [{"name": "r", "variants": [{"name": "v"}]}]}, "discovery": 7,
            "breaker": {"breakers": [{"name": "b", "target": {"cluster": 7}}], "other": 1}, "more": {}}"#,
    );
    let paths: Vec<&str> = told.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    let expected = [
        "more",
        "routing.routes[0].variants[0]",
        "breaker.breakers[0].target.cluster",
        "breaker.other",
        "discovery",
    ];
    assert_eq!(paths, expected, "{told:?}");
}

#[test]
fn a_document_that_is_another_modules_says_where_it_belongs() {
    let parts = "expected `ratelimit`, `routing`, `breaker` or `discovery`";
    assert_eq!(problems("{}"), [format!("configuration: has no part, {parts}")]);
    assert_eq!(problems(r#"{"breaker": null}"#), [format!("configuration: has no part, {parts}")]);
    let limits = problems(LIMITS);
    assert!(limits[0].starts_with("limits: belongs into `ratelimit`, "), "{limits:?}");
    let error = CircuitBreaker::configure(all("{}").as_bytes(), Placement::Downstream).err().unwrap();
    let told = error.problems[0].to_string();
    assert!(told.starts_with("ratelimit: belongs to tidegate.wasm, "), "{told}");
}

#[test]
fn a_scope_at_the_top_is_that_of_each_part_without_one() {
    let limits = LIMITS.replacen('{', r#"{"scope": "own", "#, 1);
    let json = all(&fixed(&["10.0.0.1:80"], "")).replace(LIMITS, &limits);
    let json = json.replacen('{', r#"{"scope": "top", "#, 1);
    let stage = Fused::configure(json.as_bytes(), Placement::Downstream).unwrap();
    for metric in stage.metrics() {
        let scope = if metric.name.contains("ratelimit") { ".scope.own." } else { ".scope.top." };
        assert!(metric.name.contains(scope), "{}", metric.name);
    }
    let twice = Fused::configure(json.replace("own", "top").as_bytes(), Placement::Downstream).unwrap();
    assert_ne!(stage.cells().next(), twice.cells().next(), "its cells, too");
}

#[test]
fn each_part_may_stand_alone() {
    let discovery = fixed(&["10.0.0.1:80"], "");
    let parts =
        [("ratelimit", LIMITS), ("routing", ROUTING), ("breaker", BREAKER), ("discovery", &discovery)];
    for (name, part) in parts {
        let worker = worker(&format!(r#"{{"$schema": "x", "{name}": {part}}}"#));
        let (verdict, exchange) = worker.begin(&on_main("/"));
        assert!(matches!(verdict, Verdict::Continue(_)), "{name}: {verdict:?}");
        worker.end(exchange, &SimResponse::upstream(200));
        let own = format!("tidegate.{name}.");
        assert!(worker.stage().metrics().iter().all(|metric| metric.name.starts_with(&own)), "{name}");
        worker.tick();
    }
}

const CLUSTERS: &str = r#"{
    "routing": {"routes": [{"name": "r", "variants": [{"name": "v", "cluster": "up", "weight": 100}]}]},
    "breaker": {"breakers": [{"name": "b", "target": {"cluster": "up"}, "consecutive_failures": 1}]}}"#;

#[test]
fn a_breaker_guards_the_cluster_that_routing_chose_and_no_client_can() {
    let worker = worker(CLUSTERS);
    let (verdict, exchange) = worker.begin(&SimRequest::get("/"));
    assert!(matches!(verdict, Verdict::Continue(_)));
    worker.end(exchange, &SimResponse::upstream(503));
    let forged = SimRequest::get("/").header("x-tidegate-cluster", b"elsewhere");
    for request in [SimRequest::get("/"), forged] {
        assert_eq!(reply(worker.begin(&request).0).details, "tidegate_breaker_open:b", "{request:?}");
    }
    assert_eq!(count(&worker, "tidegate.breaker.breaker.b.refused"), 2);
    assert_eq!(count(&worker, "tidegate.routing.route.r.variant.v.requests"), 3);
}

#[test]
fn a_fallback_takes_the_place_of_the_cluster_that_routing_chose() {
    let json = CLUSTERS.replace(
        r#""consecutive_failures": 1"#,
        r#""state": "forced_open", "fallback": [{"cluster": "spare"}]"#,
    );
    let worker = worker(&json);
    let Verdict::Continue(edits) = worker.request(&SimRequest::get("/")) else { panic!("refused") };
    let set: Vec<&Edit> = edits.iter().filter(|edit| matches!(edit, Edit::SetRequestHeader(..))).collect();
    assert_eq!(set, [&Edit::SetRequestHeader("x-tidegate-cluster".into(), "spare".into())], "{edits:?}");
}

/// A response that counts what it is asked.
struct Counted(SimResponse, Cell<u32>);

impl Response for Counted {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.1.set(self.1.get() + u32::from(name == ":status"));
        Response::header(&self.0, name)
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        Response::attribute(&self.0, which)
    }
}

#[test]
fn the_status_is_asked_once_for_all() {
    let worker = worker(&all(&fixed(&["10.0.0.1:80"], "")));
    let (_, mut exchange) = worker.begin(&on_main("/"));
    let response = Counted(SimResponse::upstream(200), Cell::new(0));
    exchange.response(worker.stage(), &response, &worker.host);
    assert_eq!(response.1.get(), 1);
}

/// Discovery answers, since no endpoint of its service is known.
#[test]
fn what_earlier_stages_gave_comes_back_when_a_later_one_answers() {
    let json = format!(r#"{{"breaker": {BREAKER}, "discovery": {}}}"#, fixed(&["10.0.0.1:80"], ""))
        .replace(r#""prefix": "/""#, r#""prefix": "/orders""#)
        .replacen(r#""registries""#, r#""no_match": "not_found", "registries""#, 1);
    let worker = worker(&json);
    let (_, exchange) = worker.begin(&on_main("/orders"));
    worker.end(exchange, &SimResponse::upstream(503));
    worker.host.set(Span::from_millis(1_000));
    let (verdict, exchange) = worker.begin(&on_main("/elsewhere"));
    assert_eq!(reply(verdict).details, "tidegate_discovery_no_service");
    assert_eq!(
        facts(&worker, &exchange),
        ["tidegate.breaker=probe:b", "tidegate.steering=passed:b"],
        "as in a chain"
    );
    worker.end(exchange, &SimResponse::local(404, "tidegate_discovery_no_service", 0));
    let (verdict, exchange) = worker.begin(&on_main("/orders"));
    assert!(matches!(verdict, Verdict::Continue(_)), "the only permit is there again: {verdict:?}");
    assert_eq!(worker.outcome(&exchange).as_deref(), Some("probe:b"));
}

#[test]
fn a_reply_carries_what_earlier_stages_tell_the_client() {
    let json = all(&fixed(&["10.0.0.1:80"], ""))
        .replace(r#""consecutive_failures": 1"#, r#""state": "forced_open""#);
    let worker = worker(&json);
    let refused = reply(worker.request(&on_main("/")));
    assert_eq!(refused.details, "tidegate_breaker_open:b");
    let names: Vec<&str> = refused.headers.iter().map(|(name, _)| name.as_str()).collect();
    let ends = ["x-variant", "set-cookie", "set-cookie", "ratelimit-policy", "ratelimit"];
    assert!(names.ends_with(&ends), "{names:?}");
}

/// A worker whose registry has not answered, and a request that waits for it.
fn held() -> (Sim, tidegate_sim::Exchange<Fused>, Vec<Edit>) {
    let worker = worker(&all(&config("", "")));
    worker.tick();
    let (verdict, exchange) = worker.begin(&on_main("/").header("x-tidegate-cluster", b"forged"));
    let Verdict::Await(edits) = verdict else { panic!("{verdict:?}") };
    (worker, exchange, edits)
}

#[test]
fn a_request_that_waited_goes_on_with_the_edits_of_the_last_stage_alone() {
    let (worker, mut exchange, edits) = held();
    assert!(edits.contains(&Edit::RemoveRequestHeader("x-tidegate-cluster".into())), "{edits:?}");
    assert!(matches!(worker.wait(&mut exchange), Verdict::Await(edits) if edits.is_empty()));
    let asked = worker.host.take_questions().remove(0);
    worker.answer(&answer(&asked, 10, &["10.0.0.1:80"]));
    let Verdict::Continue(edits) = worker.wait(&mut exchange) else { panic!("it waits") };
    assert_eq!(edits, [Edit::SetRequestHeader(STEER.into(), "10.0.0.1:80".into())]);
    let edits = worker.end(exchange, &SimResponse::upstream(200));
    assert_eq!(names(&edits), ["x-variant", "set-cookie", "set-cookie", "ratelimit-policy", "ratelimit"]);
    assert_eq!(count(&worker, "tidegate.ratelimit.limit.l.admitted"), 1);
}

#[test]
fn a_request_that_waited_in_vain_is_answered_as_though_at_once() {
    let (worker, mut exchange, _) = held();
    let asked = worker.host.take_questions().remove(0);
    worker.answer(&answer(&asked, 10, &[]));
    let refused = reply(worker.wait(&mut exchange));
    assert!(refused.details.starts_with("tidegate_discovery_"), "{refused:?}");
    assert!(refused.headers.iter().any(|(name, _)| name == "x-variant"), "{refused:?}");
    let (verdict, _) = worker.begin(&on_main("/"));
    assert!(reply(verdict).details.starts_with("tidegate_discovery_"), "no breaker opened for it");
}

#[test]
fn the_placement_around_attempts_has_breakers_of_endpoints_and_discovery_alone() {
    let json = all(&fixed(&["10.0.0.1:80", "10.0.0.2:80"], r#""attempts": 2"#))
        .replace(r#"{"route": "main"}"#, r#"{"endpoint": "orders"}"#);
    let edge = worker(&json);
    let host = SimHost::new(edge.host.store().clone());
    let around = Worker::beside(&edge, &json, Placement::Attempt, host).unwrap();
    let (verdict, exchange) = edge.begin(&on_main("/"));
    assert!(matches!(verdict, Verdict::Continue(_)), "{verdict:?}");
    let told = facts(&edge, &exchange);
    let state = told.iter().find_map(|fact| fact.strip_prefix("tidegate.discovery=")).unwrap().to_owned();
    let address = state.split(' ').nth(1).unwrap().to_owned();
    let attempt = SimRequest::get("/")
        .attribute(Attribute::Discovered, state.as_bytes())
        .attribute(Attribute::Cluster, b"orders")
        .attribute(Attribute::Endpoint, address.as_bytes());
    let (verdict, one) = around.begin(&attempt);
    let Verdict::Continue(edits) = verdict else { panic!("{verdict:?}") };
    let other = if address == "10.0.0.1:80" { "10.0.0.2:80" } else { "10.0.0.1:80" };
    assert_eq!(header(&edits, STEER), Some(other), "where the next attempt goes");
    let hosts = 10_u64.to_le_bytes();
    around.end(one, &SimResponse::upstream(503).attribute(Attribute::Endpoints, &hosts));
    assert_eq!(reply(around.begin(&attempt).0).details, "tidegate_breaker_open:b", "its endpoint's breaker");
    edge.end(exchange, &SimResponse::upstream(503));
    let (_, limited) = around.begin(&SimRequest::get("/"));
    assert!(facts(&around, &limited).is_empty(), "limits and routes are not asked");
    assert!(around.stage().metrics().iter().all(|metric| !metric.name.contains("ratelimit")));
}

#[test]
fn a_flight_ends_without_a_judgement_when_its_request_was_not_sent() {
    let worker: Worker<Discovery, SimHost> =
        Worker::new(&fixed(&["10.0.0.1:80"], ""), SimHost::new(Arc::default())).unwrap();
    let mut state = <Discovery as Stage>::Exchange::default();
    let verdict = worker.stage().on_request(&mut state, &SimRequest::get("/"), &worker.host);
    assert!(matches!(verdict, Verdict::Continue(_)), "{verdict:?}");
    assert_eq!(worker.memory().count(), 1);
    worker.stage().on_end(&mut state, Ending::NeverSent, &NoResponse, &worker.host);
    assert_eq!(worker.memory().count(), 0);
    worker.tick();
    assert_eq!(worker.host.count(worker.counter("tidegate.discovery.service.orders.failures")), 0);
}
