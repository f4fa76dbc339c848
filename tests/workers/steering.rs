//! What clients gain by headers that steer: nothing, in any order of the filters.

use std::cell::RefCell;
use std::sync::Arc;

use tidegate_policy::breaker::stage::CircuitBreaker;
use tidegate_policy::discovery::Discovery;
use tidegate_policy::http::Stage;
use tidegate_policy::ratelimit::RateLimit;
use tidegate_policy::routing::Routing;
use tidegate_policy::time::Span;
use tidegate_sim::chain::Link;
use tidegate_sim::{Of, Passage, SimChain, SimHost, SimResponse, SimRoute, SimStore, To, Worker};

const LIMITS: &str =
    r#"{"limits": [{"name": "l", "requests": 1000000, "per_ms": 1000, "key": [{"constant": "x"}]}]}"#;

/// Owns a header that names variants and one with a number, and has no route for our requests.
const ROUTING: &str = r#"{"headers": {"variant": "x-variant", "random": "x-random"}, "routes": [
    {"name": "r", "match": {"path": {"prefix": "/routed"}}, "variants": [{"name": "v", "cluster": "guarded"}]}]}"#;

/// The same, with a route for all.
const ROUTES_ALL: &str = r#"{"headers": {"variant": "x-variant", "random": "x-random"}, "routes": [
    {"name": "r", "variants": [{"name": "v", "cluster": "guarded"}]}]}"#;

/// How Envoy may be told where to, and the headers by which it is.
const STEERED: [(&str, Of, To); 6] = [
    ("cluster_header", Of::Having("x-tidegate-cluster"), To::Named("x-tidegate-cluster")),
    ("a match on the cluster", Of::Saying("x-tidegate-cluster", "other"), To::Cluster("other")),
    ("a match on the variant", Of::Saying("x-variant", "other"), To::Cluster("other")),
    ("header_name", Of::All, To::Drawn("x-random", ["guarded", "other"])),
    ("ORIGINAL_DST", Of::Having("x-envoy-original-dst-host"), To::Cluster("discovered")),
    ("override_host", Of::Having("x-tidegate-endpoints"), To::Cluster("discovered")),
];

/// What a client may send to steer.
const FORGED: [(&str, &str); 7] = [
    ("x-tidegate-cluster", "other"),
    ("x-tidegate-cluster", "guarded"),
    ("x-variant", "other"),
    ("x-random", "77"),
    ("x-envoy-original-dst-host", "10.0.0.9:80"),
    ("x-tidegate-endpoints", "10.0.0.9:80"),
    ("x_tidegate_cluster", "other"),
];

fn discovery(steer: &str) -> String {
    crate::discovery::fixed(&["10.0.0.1:80"], "")
        .replace(r#""prefix": "/""#, r#""prefix": "/discovered""#)
        .replacen('{', &format!(r#"{{"steer": "{steer}", "#), 1)
}

fn breaker(target: &str, fields: &str) -> String {
    format!(
        r#"{{"breakers": [{{"name": "a", "target": {target}, {fields}, "jitter_percent": 0}},
                          {{"name": "o", "target": {{"cluster": "other"}}, {fields}, "jitter_percent": 0, "mode": "observe"}}]}}"#
    )
}

fn worker<S: Stage>(store: &Arc<SimStore>, json: &str) -> Worker<S, SimHost> {
    Worker::new(json, SimHost::new(Arc::clone(store))).unwrap_or_else(|error| panic!("{json}: {error:?}"))
}

/// Every order of every choice of filters that has the breaker in it: 0 limits, 1 routing, 2 discovery.
fn orders() -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = vec![Vec::new()];
    let mut at = 0;
    while let Some(order) = all.get(at).cloned() {
        for next in (0..4).filter(|next| !order.contains(next)) {
            all.push(order.iter().copied().chain([next]).collect());
        }
        at += 1;
    }
    all.retain(|order| order.contains(&BREAKER));
    all
}

const BREAKER: usize = 3;

/// Up to three of the headers that may be forged, each once, and each alone twice and thrice.
fn forgeries() -> Vec<Vec<(&'static str, &'static str)>> {
    let mut all = Vec::new();
    for (at, one) in FORGED.into_iter().enumerate() {
        all.extend([vec![one], vec![one, one], vec![one, one, one]]);
        for (to, two) in FORGED.into_iter().enumerate().skip(at + 1) {
            all.push(vec![one, two]);
            all.extend(FORGED.into_iter().skip(to + 1).map(|three| vec![one, two, three]));
        }
    }
    all
}

/// Sends requests through every order of the filters and every way to steer.
fn everywhere(
    breaker_json: &str,
    routing: &str,
    check: impl Fn(&SimChain<'_>, &Worker<CircuitBreaker, SimHost>, &str),
) {
    for (way, of, to) in STEERED {
        let steer = if way == "override_host" { "override_host" } else { "original_dst" };
        // Where routing chooses, Envoy has to know how it says so.
        let first = SimRoute { name: "steered", of, to };
        let chosen = SimRoute {
            name: "chosen",
            of: Of::Having("x-tidegate-cluster"),
            to: To::Named("x-tidegate-cluster"),
        };
        let main = SimRoute { name: "main", of: Of::All, to: To::Cluster("guarded") };
        let routes = if routing == ROUTES_ALL { vec![first, chosen, main] } else { vec![first, main] };
        for order in orders() {
            let store = Arc::new(SimStore::default());
            let limits = worker::<RateLimit>(&store, LIMITS);
            let routing = worker::<Routing>(&store, routing);
            let discovery = worker::<Discovery>(&store, &discovery(steer));
            let breaker = worker::<CircuitBreaker>(&store, breaker_json);
            let all: [&dyn Link; 4] = [&limits, &routing, &discovery, &breaker];
            let chain = SimChain::new(order.iter().map(|at| all[*at]).collect(), &routes);
            check(&chain, &breaker, &format!("{way}, order {order:?}"));
        }
    }
}

fn send(chain: &SimChain<'_>, headers: &[(&str, &str)], status: u32) -> Passage {
    chain.send(headers, &|_| SimResponse::upstream(status), &RefCell::default())
}

/// Where a request went; the status of what a filter answered.
fn goes(chain: &SimChain<'_>, headers: &[(&str, &str)]) -> String {
    match send(chain, headers, 200) {
        Passage::Answered(reply) => reply.status.to_string(),
        Passage::Held => panic!("held"),
        Passage::Went { cluster, .. } => cluster,
    }
}

#[test]
fn no_forged_header_passes_an_open_breaker_in_any_order() {
    let forced = r#""state": "forced_open""#;
    for (target, routing) in [
        (r#"{"cluster": "guarded"}"#, ROUTING),
        (r#"{"cluster": "guarded"}"#, ROUTES_ALL),
        (r#"{"route": "main"}"#, ROUTING),
    ] {
        everywhere(&breaker(target, forced), routing, |chain, _, which| {
            // There all requests are on a route with another name.
            if target.contains("route") && which.starts_with("header_name") {
                return;
            }
            assert_eq!(goes(chain, &[]), "503", "{target}, {which}: honest");
            for headers in forgeries() {
                let went = goes(chain, &headers);
                assert_ne!(went, "guarded", "{target}, {which}: {headers:?}");
            }
        });
    }
}

#[test]
fn forged_requests_are_refused_while_any_breaker_is_open() {
    everywhere(
        &breaker(r#"{"cluster": "elsewhere"}"#, r#""state": "forced_open""#),
        ROUTING,
        |chain, _, which| {
            let honest = goes(chain, &[]);
            assert_eq!(honest, "guarded", "{which}");
            assert_eq!(goes(chain, &[("x-tidegate-cluster", "other")]), "503", "{which}");
        },
    );
}

#[test]
fn while_all_breakers_are_closed_forged_requests_pass_and_count_for_none() {
    let json = breaker(r#"{"cluster": "guarded"}"#, r#""state": "metrics_only""#);
    everywhere(&json, ROUTING, |chain, breaker, which| {
        let count =
            |name: &str| breaker.host.count(breaker.counter(&format!("tidegate.breaker.breaker.{name}")));
        for headers in forgeries() {
            let before = (count("a.failed"), count("o.failed"));
            let Passage::Went { cluster, headers: left } = send(chain, &headers, 503) else {
                panic!("{which}: {headers:?} did not go on")
            };
            let counted = (count("a.failed") - before.0, count("o.failed") - before.1);
            let kept = |(name, _): &(&str, &str)| left.iter().any(|(own, _)| own == name);
            // Without a filter that removes it, a header is the request's own, and so is its route.
            let honest = headers.iter().all(kept);
            let expected = match (honest, cluster.as_str()) {
                (true, "guarded") => (1, 0),
                (true, "other") => (0, 1),
                _ => counted,
            };
            assert_eq!(counted, expected, "{which}: {headers:?} to {cluster}");
            if !honest {
                let wrong = match cluster.as_str() {
                    "guarded" => counted.1,
                    "other" => counted.0,
                    _ => counted.0 + counted.1,
                };
                assert_eq!(wrong, 0, "{which}: {headers:?} to {cluster} counted for another");
            }
        }
    });
}

/// A request that a breaker sent elsewhere does not come back to the cluster it guards.
#[test]
fn no_fallback_leads_back_to_the_failing_cluster_in_any_order() {
    let fallback = r#""state": "forced_open", "fallback": [{"cluster": "other"}]"#;
    let json = breaker(r#"{"cluster": "guarded"}"#, fallback).replace(r#""state": "forced_open", "fallback": [{"cluster": "other"}], "jitter_percent": 0, "mode": "observe""#, r#""jitter_percent": 0"#);
    everywhere(&json, ROUTING, |chain, _, which| {
        if which.starts_with("cluster_header") {
            let went = goes(chain, &[]);
            // Behind the breaker, the rate limit and routing take its header for a client's.
            let behind = which.split('3').next_back().unwrap_or_default();
            let lost = behind.contains(['0', '1']);
            assert_eq!(went, if lost { "503" } else { "other" }, "{which}");
        }
    });
}

#[test]
fn a_rate_limit_leaves_alone_what_routing_chose() {
    let json = breaker(r#"{"cluster": "elsewhere"}"#, r#""consecutive_failures": 3"#);
    everywhere(&json, ROUTES_ALL, |chain, _, which| {
        let Passage::Went { headers, .. } = send(chain, &[], 200) else { panic!("{which}") };
        let chosen = headers.iter().any(|(name, value)| name == "x-tidegate-cluster" && value == "guarded");
        assert_eq!(chosen, which.contains('1'), "{which}: {headers:?}");
    });
}

/// No route obeys the header: the request goes to the failing cluster.
#[test]
fn a_fallback_that_does_not_arrive_is_counted_told_once_and_left_out() {
    let json = r#"{"breakers": [
        {"name": "a", "target": {"cluster": "guarded"}, "consecutive_failures": 3, "jitter_percent": 0,
         "base_open_ms": 60000, "fallback": [{"cluster": "backup"}, {"cluster": "spare"}]},
        {"name": "b", "target": {"cluster": "backup"}, "consecutive_failures": 2},
        {"name": "s", "target": {"cluster": "spare"}, "consecutive_failures": 2}]}"#;
    let main = SimRoute { name: "", of: Of::All, to: To::Cluster("guarded") };
    for (obeyed, expected) in [
        (None, "guarded guarded guarded guarded guarded 503 503"),
        (Some("backup"), "guarded guarded guarded backup backup guarded 503"),
        (Some("spare"), "guarded guarded guarded guarded spare spare 503"),
    ] {
        let worker = worker::<CircuitBreaker>(&Arc::new(SimStore::default()), json);
        let obeys =
            |name| SimRoute { name: "", of: Of::Saying("x-tidegate-cluster", name), to: To::Cluster(name) };
        let routes: Vec<_> = obeyed.map(obeys).into_iter().chain([main.clone()]).collect();
        let chain = SimChain::new(vec![&worker], &routes);
        let went: Vec<_> = (0..7)
            .map(|_| match send(&chain, &[], 503) {
                Passage::Answered(reply) => reply.status.to_string(),
                Passage::Held => panic!("held"),
                Passage::Went { cluster, .. } => cluster,
            })
            .collect();
        assert_eq!(went.join(" "), expected, "{obeyed:?}");
        let count =
            |name: &str| worker.host.count(worker.counter(&format!("tidegate.breaker.breaker.{name}")));
        let reached = |cluster: &str| went.iter().filter(|went| *went == cluster).count() as u64;
        // Each outcome is that of the cluster that gave it.
        let failed = ["a", "b", "s"].map(|name| count(&format!("{name}.failed")));
        assert_eq!(failed, [reached("guarded"), reached("backup"), reached("spare")], "{obeyed:?}");
        assert_eq!(count("a.misrouted"), reached("guarded") - 3, "{obeyed:?}");
        let notes = worker.host.take_notes();
        let told: Vec<_> = notes.iter().filter(|line| line.contains("fell back")).collect();
        assert_eq!(told.len(), usize::from(count("a.misrouted") > 0), "{notes:?}");
        if let Some(line) = told.first() {
            assert!(line.contains("x-tidegate-cluster is present"), "{line}");
            assert!(line.contains("went to cluster guarded"), "{line}");
        }
        // Routes can change.
        worker.host.set(Span::from_millis(10_000));
        let again = goes(&chain, &[]);
        assert_eq!(again, if obeyed == Some("backup") { "backup" } else { "guarded" }, "{obeyed:?}");
    }
}

/// A route may lead to a cluster of another name: Istio writes such routes.
#[test]
fn a_fallback_to_a_cluster_of_another_name_is_none_of_these() {
    let json = r#"{"breakers": [{"name": "a", "target": {"cluster": "guarded"}, "state": "forced_open",
        "fallback": [{"cluster": "v2"}]}]}"#;
    let worker = worker::<CircuitBreaker>(&Arc::new(SimStore::default()), json);
    let named = SimRoute {
        name: "",
        of: Of::Saying("x-tidegate-cluster", "v2"),
        to: To::Cluster("outbound|80|v2|shop"),
    };
    let main = SimRoute { name: "", of: Of::All, to: To::Cluster("guarded") };
    let chain = SimChain::new(vec![&worker], &[named, main]);
    for _ in 0..10 {
        assert_eq!(goes(&chain, &[]), "outbound|80|v2|shop");
    }
    assert_eq!(worker.host.count(worker.counter("tidegate.breaker.breaker.a.misrouted")), 0);
    assert_eq!(worker.host.take_notes(), [""; 0]);
}

/// Of a variant that no route of Envoy obeys, and of those that one does.
#[test]
fn a_variant_that_arrives_elsewhere_is_counted_and_told_once() {
    let json = r#"{"routes": [{"name": "r", "variants": [
        {"name": "stable", "cluster": "guarded", "weight": 1}, {"name": "canary", "cluster": "other", "weight": 1}]}]}"#;
    let main = SimRoute { name: "", of: Of::All, to: To::Cluster("guarded") };
    let named =
        SimRoute { name: "", of: Of::Having("x-tidegate-cluster"), to: To::Named("x-tidegate-cluster") };
    let [long_1, long_2] = [("guarded", "long-1"), ("other", "long-2")].map(|(value, cluster)| SimRoute {
        name: "",
        of: Of::Saying("x-tidegate-cluster", value),
        to: To::Cluster(cluster),
    });
    for (routes, misrouted) in
        [(vec![main.clone()], true), (vec![named, main.clone()], false), (vec![long_1, long_2, main], false)]
    {
        let store = Arc::new(SimStore::default());
        let worker = worker::<Routing>(&store, json);
        let chain = SimChain::new(vec![&worker], &routes);
        let count = |name: &str| {
            worker.host.count(worker.counter(&format!("tidegate.routing.route.r.variant.{name}.misrouted")))
        };
        for ms in 0..100 {
            worker.host.set(Span::from_millis(ms * 100));
            worker.tick();
            // Only one of these is asked.
            (0..3).for_each(|_| drop(send(&chain, &[], 200)));
        }
        let canaries = count("canary");
        assert_eq!(canaries > 20, misrouted, "{canaries} of 100 asked, {routes:?}");
        assert!(canaries < 80, "{canaries}");
        assert_eq!(count("stable"), 0);
        let notes = worker.host.take_notes();
        assert_eq!(notes.len(), usize::from(misrouted), "{notes:?}");
        assert!(notes.iter().all(|line| line.starts_with("r/canary: a request for cluster other went to")));
    }
}

/// A breaker that falls back, or refuses, is no reason to doubt the route.
#[test]
fn what_a_breaker_sends_elsewhere_is_not_misrouted() {
    let routing = r#"{"routes": [{"name": "r", "variants": [{"name": "v", "cluster": "guarded"}]}]}"#;
    for fallback in [r#", "fallback": [{"cluster": "other"}]"#, ""] {
        let fields = format!(r#""state": "forced_open"{fallback}"#);
        let breaker = breaker(r#"{"cluster": "guarded"}"#, r#""state": "forced_open""#).replacen(
            r#""state": "forced_open""#,
            &fields,
            1,
        );
        let store = Arc::new(SimStore::default());
        let (routing, breaker) =
            (worker::<Routing>(&store, routing), worker::<CircuitBreaker>(&store, &breaker));
        let named =
            SimRoute { name: "", of: Of::Having("x-tidegate-cluster"), to: To::Named("x-tidegate-cluster") };
        let main = SimRoute { name: "", of: Of::All, to: To::Cluster("main") };
        let chain = SimChain::new(vec![&routing, &breaker], &[named, main]);
        for _ in 0..5 {
            routing.tick();
            assert_eq!(goes(&chain, &[]), if fallback.is_empty() { "503" } else { "other" });
        }
        assert_eq!(routing.host.count(routing.counter("tidegate.routing.route.r.variant.v.misrouted")), 0);
    }
}

/// A metric says so, of the filter that took the header away.
#[test]
fn a_request_that_passed_by_a_header_which_is_removed_is_refused_and_counted() {
    let store = Arc::new(SimStore::default());
    let breaker = worker::<CircuitBreaker>(
        &store,
        r#"{"breakers": [{"name": "b", "target": {"cluster": "guarded"}, "state": "forced_open"}]}"#,
    );
    let discovery = worker::<Discovery>(&store, &discovery("original_dst"));
    let endpoints =
        SimRoute { name: "e", of: Of::Having("x-envoy-original-dst-host"), to: To::Cluster("discovered") };
    let main = SimRoute { name: "main", of: Of::All, to: To::Cluster("guarded") };
    let chain = SimChain::new(vec![&breaker, &discovery], &[endpoints, main]);
    let Passage::Answered(reply) = send(&chain, &[("x-envoy-original-dst-host", "10.0.0.9:80")], 200) else {
        panic!("it went on")
    };
    assert_eq!(reply.details, "tidegate_route_forged:b");
    let counted = |name: &str| discovery.host.count(discovery.counter(name));
    assert_eq!(counted("tidegate.discovery.route_forged"), 1);
}
