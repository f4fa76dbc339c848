//! What the stages of one module do together and the filters of a chain cannot: routing passes over what a
//! breaker would refuse, and a ramp ends with the request that opened its breaker. And what they
//! do as in a chain: no ejected endpoint is chosen, and what was taken for a request that is not sent comes
//! back.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{json, Value};
use tidegate_policy::fused::Fused;
use tidegate_policy::http::{Attribute, Edit, Placement, Stage, Verdict};
use tidegate_policy::time::Span;
use tidegate_sim::{Exchange, SimHost, SimRequest, SimResponse, SimStore, Worker};

use crate::discovery::{fixed, header, STEER};

type Sim = Worker<Fused, SimHost>;

/// A user of the second of two variants that weigh the same, and one of the first.
const USERS: [&str; 2] = ["bob", "ann"];

/// A worker that knows metrics by their names, as in a proxy.
fn worker(store: &Arc<SimStore>, document: &Value) -> Sim {
    let json = document.to_string();
    let stage = Fused::configure(json.as_bytes(), Placement::Downstream).unwrap();
    Worker::new(&json, SimHost::naming(Arc::clone(store), &stage.metrics())).unwrap()
}

fn alone(document: &Value) -> Sim {
    worker(&Arc::default(), document)
}

fn variant(name: &str, weight: u32) -> Value {
    json!({"name": name, "cluster": name, "weight": weight})
}

/// A route whose users stick to variants, and breakers that open with the first failure, for a second.
fn document(variants: &Value, breakers: &[Value]) -> Value {
    let defaults = json!({"consecutive_failures": 1, "base_open_ms": 1000, "jitter_percent": 0,
        "half_open_permits": 1});
    let breaker = |(at, own): (usize, &Value)| {
        let mut breaker = defaults.clone();
        breaker["name"] = json!(format!("b{at}"));
        own.as_object().unwrap().iter().for_each(|(name, value)| breaker[name] = value.clone());
        breaker
    };
    let breakers: Vec<Value> = breakers.iter().enumerate().map(breaker).collect();
    let route = json!({"name": "r", "variants": variants,
        "sticky": {"experiment": "e", "by": [{"header": "x-user"}]}});
    json!({"routing": {"routes": [route]}, "breaker": {"breakers": breakers}})
}

fn two() -> Value {
    json!([variant("a", 50), variant("b", 50)])
}

fn of<'a>(user: &'a str) -> SimRequest<'a> {
    SimRequest::get("/").header("x-user", user.as_bytes())
}

/// What routing and breakers say of a request: the variant and why, `refused:b0`.
fn told(worker: &Sim, exchange: &Exchange<Fused>) -> String {
    let mut words = Vec::new();
    exchange.facts(worker.stage(), &mut |name, text| match name {
        "tidegate.routing" => words.extend(text.split(' ').skip(2).take(2).map(str::to_owned)),
        "tidegate.breaker" => words.push(text.to_owned()),
        _ => {}
    });
    words.join(" ")
}

/// Sends a request that its upstream answers with a status; what was told of it.
fn ask(worker: &Sim, request: &SimRequest<'_>, status: u32) -> String {
    let (verdict, exchange) = worker.begin(request);
    let told = told(worker, &exchange);
    match verdict {
        Verdict::Continue(_) => worker.end(exchange, &SimResponse::upstream(status)),
        Verdict::Reply(reply) => worker.end(exchange, &SimResponse::local(reply.status, &reply.details, 0)),
        Verdict::Await(_) => panic!("it waits"),
    };
    told
}

fn at(worker: &Sim, ms: u64) {
    worker.host.set(Span::from_millis(ms));
}

fn count(worker: &Sim, name: &str) -> u64 {
    worker.host.count(worker.counter(name))
}

#[test]
fn a_variant_whose_breaker_is_open_is_passed_over_and_gets_its_users_back() {
    let [user, other] = USERS;
    for target in [json!({"cluster": "b"}), json!({"variant": "r/b"})] {
        let worker = alone(&document(&two(), &[json!({"target": target})]));
        assert_eq!(ask(&worker, &of(other), 200), "a sticky");
        assert_eq!(ask(&worker, &of(user), 503), "b sticky");
        let (verdict, exchange) = worker.begin(&of(user));
        assert_eq!(told(&worker, &exchange), "a passed_over", "{target}");
        let Verdict::Continue(edits) = verdict else { panic!("{verdict:?}") };
        assert_eq!(header(&edits, "x-tidegate-cluster"), Some("a"), "{edits:?}");
        worker.end(exchange, &SimResponse::upstream(200));
        assert_eq!(ask(&worker, &of(other), 200), "a sticky");
        at(&worker, 999);
        assert_eq!(ask(&worker, &of(user), 200), "a passed_over");
        // Its time is over: the next user of it is the probe, and while there is no other permit…
        at(&worker, 1_000);
        let (_, probe) = worker.begin(&of(user));
        assert_eq!(told(&worker, &probe), "b sticky probe:b0");
        assert_eq!(ask(&worker, &of(user), 200), "a passed_over");
        worker.end(probe, &SimResponse::upstream(200));
        assert_eq!(ask(&worker, &of(user), 200), "b sticky", "as ever");
        assert_eq!(count(&worker, "tidegate.routing.route.r.passed_over"), 3);
        assert_eq!(count(&worker, "tidegate.routing.route.r.variant.a.requests"), 5);
        assert_eq!(count(&worker, "tidegate.breaker.breaker.b0.refused"), 0);
    }
}

/// One client holds the only permit of a half-open breaker. In the second second there is another one or not,
/// by chance: who does not get it goes to the other variant, and is not refused.
#[test]
fn a_held_probe_gets_no_user_refused_while_permits_are_renewed_by_chance() {
    for target in [json!({"cluster": "b"}), json!({"variant": "r/b"})] {
        let further = json!({"target": target, "max_half_open_ms": 60_000});
        let both = [further.clone(), further];
        for breakers in [&both[..1], &both[..]] {
            let worker = alone(&document(&two(), breakers));
            assert_eq!(ask(&worker, &of(USERS[0]), 503), "b sticky");
            at(&worker, 1_000);
            let (_, probe) = worker.begin(&of(USERS[0]));
            let mut seen = BTreeSet::new();
            for turn in 0..500 {
                at(&worker, 3_000 + turn);
                let (verdict, exchange) = worker.begin(&of(USERS[0]));
                seen.insert(told(&worker, &exchange));
                assert!(matches!(verdict, Verdict::Continue(_)), "{seen:?} {turn}");
                // It leaves, and its permit comes back.
                worker.abort(exchange, &SimResponse::none());
            }
            assert!(seen.contains("a passed_over") && seen.len() > 1, "{seen:?}");
            assert_eq!(count(&worker, "tidegate.breaker.breaker.b0.refused"), 0);
            worker.end(probe, &SimResponse::upstream(200));
        }
    }
}

#[test]
fn a_service_whose_breaker_is_open_is_passed_over_before_an_endpoint_is_chosen() {
    let service = |name: &str| json!({"name": name, "service": {"name": name}, "weight": 50});
    let mut all =
        document(&json!([service("orders"), service("more")]), &[json!({"target": {"service": "more"}})]);
    all["discovery"] = serde_json::from_str(&fixed(&["10.0.0.1:80"], "")).unwrap();
    let more = json!([{"address": "10.0.0.2", "port": 80}]);
    all["discovery"]["registries"]["main"]["static"]["services"]["more"] = more;
    all["discovery"]["services"].as_array_mut().unwrap().push(json!({"name": "more", "registry": "main"}));
    let worker = alone(&all);
    assert_eq!(ask(&worker, &of(USERS[0]), 503), "more sticky");
    let (verdict, exchange) = worker.begin(&of(USERS[0]));
    assert_eq!(told(&worker, &exchange), "orders passed_over");
    let Verdict::Continue(edits) = verdict else { panic!("{verdict:?}") };
    assert_eq!(header(&edits, STEER), Some("10.0.0.1:80"), "{edits:?}");
    worker.end(exchange, &SimResponse::upstream(200));
}

/// Another worker opened the breaker: no request of this one is refused before it knows.
#[test]
fn a_breaker_that_another_worker_opened_is_passed_over_from_the_first_request_on() {
    let store = Arc::default();
    let all = document(&two(), &[json!({"target": {"cluster": "b"}})]);
    let [one, other] = [(); 2].map(|()| worker(&store, &all));
    assert_eq!(ask(&other, &of(USERS[0]), 200), "b sticky");
    assert_eq!(ask(&one, &of(USERS[0]), 503), "b sticky");
    assert_eq!(ask(&other, &of(USERS[0]), 200), "a passed_over");
}

#[test]
fn requests_go_past_an_open_breaker_to_the_baseline_else_to_the_heaviest() {
    let three = |a: u32, b: u32, c: u32| json!([variant("a", a), variant("b", b), variant("c", c)]);
    let open = |names: &[&str]| -> Vec<Value> {
        names.iter().map(|name| json!({"target": {"cluster": name}, "state": "forced_open"})).collect()
    };
    let ramped = {
        let mut three = three(40, 30, 30);
        three[1]["ramp"] = json!({"steps": [{"weight": 30, "hold_ms": 60_000}]});
        three
    };
    #[rustfmt::skip]
    let cases = [
        // weights             open                 who gets requests, and how
        (three(60, 20, 20), &["b"][..],         "a passed_over, a sticky, c sticky"),
        (three(60, 20, 20), &["a"],             "b passed_over, b sticky, c sticky"),
        (three(60, 10, 30), &["a"],             "b sticky, c passed_over, c sticky"),
        (three(60, 20, 20), &["a", "b"],        "c passed_over, c sticky"),
        (three(60, 40, 0),  &["a", "b"],        "a sticky refused:b0, b sticky refused:b1"),
        (three(60, 20, 20), &["a", "b", "c"],   "a sticky refused:b0, b sticky refused:b1, c sticky refused:b2"),
        // A ramp gets what it was tried with.
        (ramped,            &["a"],             "b sticky, c passed_over, c sticky"),
    ];
    for (variants, names, expected) in cases {
        let worker = alone(&document(&variants, &open(names)));
        worker.tick();
        at(&worker, 1);
        worker.tick();
        let users: Vec<String> = (0..60).map(|number| format!("user-{number}")).collect();
        let seen: BTreeSet<String> = users.iter().map(|user| ask(&worker, &of(user), 200)).collect();
        let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
        assert_eq!(seen.join(", "), expected, "{names:?} of {variants}");
    }
}

#[test]
fn a_breaker_that_stops_not_all_or_says_where_to_go_is_not_passed_over() {
    let further = [
        ("has a fallback", json!({"fallback": [{"cluster": "spare"}]}), "b sticky fallback:b0"),
        ("observes", json!({"mode": "observe"}), "b sticky observed:b0"),
        ("has conditions", json!({"match": {"path": {"prefix": "/"}}}), "b sticky refused:b0"),
        ("is of a key", json!({"target": {"key": [{"header": "x-user"}]}}), "b sticky refused:b0"),
    ];
    for (what, further, expected) in further {
        let mut breaker = json!({"target": {"cluster": "b"}, "state": "forced_open"});
        further.as_object().unwrap().iter().for_each(|(name, value)| breaker[name] = value.clone());
        let worker = alone(&document(&two(), &[breaker]));
        assert_eq!(ask(&worker, &of(USERS[0]), 200), expected, "one that {what}");
    }
}

#[test]
fn whom_a_trusted_caller_sends_to_a_variant_is_refused_there() {
    let breaker = json!({"target": {"cluster": "b"}, "state": "forced_open"});
    let mut all = document(&two(), &[breaker]);
    all["routing"]["force"] = json!({"from": ["192.0.2.0/24"]});
    let worker = alone(&all);
    let request = of(USERS[1]).header("x-force-variant", b"b").from(Some([192, 0, 2, 1].into()));
    assert_eq!(ask(&worker, &request, 200), "b forced refused:b0");
}

/// The breaker of a canary opens with a response: the next request of this worker, without a tick, and those
/// of others find the ramp aborted.
#[test]
fn a_breaker_that_opens_ends_the_ramp_of_its_variant_at_once() {
    let mut variants = two();
    variants[1]["ramp"] = json!({"steps": [{"weight": 80, "hold_ms": 60_000}], "abort": {"breaker": "b0"}});
    let all = document(&variants, &[json!({"target": {"cluster": "b"}, "mode": "observe"})]);
    let store = Arc::default();
    let [one, other] = [(); 2].map(|()| worker(&store, &all));
    one.tick();
    at(&one, 1);
    one.tick();
    assert_eq!(ask(&other, &of(USERS[0]), 200), "b sticky");
    assert_eq!(ask(&one, &of(USERS[0]), 503), "b sticky");
    assert_eq!(count(&one, "tidegate.routing.route.r.aborted"), 1);
    let notes = one.host.take_notes();
    assert!(notes.iter().any(|line| line.contains("aborted: its breaker is open")), "{notes:?}");
    assert_eq!(ask(&one, &of(USERS[0]), 200), "a sticky", "it is no user of the canary any more");
    assert_eq!(ask(&other, &of(USERS[0]), 200), "a sticky");
}

#[test]
fn no_ejected_endpoint_is_chosen_and_each_comes_back() {
    let discovery: Value = serde_json::from_str(&fixed(&["10.0.0.1:80", "10.0.0.2:80"], "")).unwrap();
    let worker = alone(&json!({"breaker": {"breakers": [{"name": "b", "target": {"service": "orders"},
        "consecutive_failures": 100, "minimum_calls": 1_000}]}, "discovery": discovery}));
    let address = |edits: &[Edit]| header(edits, STEER).unwrap().to_owned();
    let mut failed = 0;
    while failed < 5 {
        let (verdict, exchange) = worker.begin(&SimRequest::get("/"));
        let Verdict::Continue(edits) = verdict else { panic!("{verdict:?}") };
        if address(&edits) == "10.0.0.2:80" {
            failed += 1;
            worker.end(exchange, &SimResponse::upstream(503));
        } else {
            worker.abort(exchange, &SimResponse::none());
        }
    }
    let reached = || -> BTreeSet<String> {
        let one = |_| match worker.request(&SimRequest::get("/")) {
            Verdict::Continue(edits) => address(&edits),
            other => panic!("{other:?}"),
        };
        (0..20).map(one).collect()
    };
    assert_eq!(reached(), BTreeSet::from(["10.0.0.1:80".to_owned()]));
    at(&worker, 30_000);
    worker.tick();
    assert_eq!(reached().len(), 2);
}

/// Around an attempt the breaker of the endpoint is asked before discovery, which has no room for a retry: the
/// permit that the breaker gave is there for the next request.
#[test]
fn a_retry_that_the_budget_refuses_gives_the_permit_of_its_endpoint_back() {
    let budget = r#""attempts": 2, "outlier_detection": false,
        "retry": {"budget": {"budget_percent": 0, "min_retry_concurrency": 0}}"#;
    let discovery: Value = serde_json::from_str(&fixed(&["10.0.0.1:80", "10.0.0.2:80"], budget)).unwrap();
    let breaker = json!({"name": "b", "target": {"endpoint": "orders"}, "consecutive_failures": 1,
        "base_open_ms": 1000, "jitter_percent": 0, "half_open_permits": 1, "max_ejection_percent": 100});
    let all = json!({"breaker": {"breakers": [breaker]}, "discovery": discovery});
    let edge = alone(&all);
    let host = SimHost::new(edge.host.store().clone());
    let around = Worker::beside(&edge, &all.to_string(), Placement::Attempt, host).unwrap();
    let hosts = 2_u64.to_le_bytes();
    let attempt = |state: &str, number: u64, endpoint: &str| {
        let request = SimRequest::get("/")
            .attribute(Attribute::Discovered, state.as_bytes())
            .attribute(Attribute::Cluster, b"orders");
        let count = number.to_le_bytes();
        let request = request.attribute(Attribute::Endpoint, endpoint.as_bytes());
        around.begin(&request.attribute(Attribute::AttemptCount, &count))
    };
    let begin = || {
        let (verdict, exchange) = edge.begin(&SimRequest::get("/"));
        assert!(matches!(verdict, Verdict::Continue(_)), "{verdict:?}");
        let mut state = String::new();
        exchange.facts(edge.stage(), &mut |_, text| state = text.to_owned());
        (state, exchange)
    };
    let failed = SimResponse::upstream(503).attribute(Attribute::Endpoints, &hosts);
    let ends = |exchange| around.end(exchange, &failed);

    let (state, first) = begin();
    let one = state.split(' ').nth(1).unwrap().to_owned();
    let other = if one == "10.0.0.1:80" { "10.0.0.2:80" } else { "10.0.0.1:80" };
    ends(attempt(&state, 1, &one).1);
    edge.end(first, &failed);
    assert!(matches!(attempt(&state, 1, &one).0, Verdict::Reply(_)), "its breaker is open");
    at(&edge, 1_000);
    at(&around, 1_000);
    let (state, second) = begin();
    ends(attempt(&state, 1, other).1);
    let (verdict, _) = attempt(&state, 2, &one);
    let Verdict::Reply(reply) = verdict else { panic!("{verdict:?}") };
    assert!(reply.body.contains("retry_budget"), "{reply:?}");
    edge.end(second, &failed);
    let (state, _third) = begin();
    let (verdict, exchange) = attempt(&state, 1, &one);
    assert!(matches!(verdict, Verdict::Continue(_)), "{verdict:?}");
    assert_eq!(told(&around, &exchange), "probe:b");
}
