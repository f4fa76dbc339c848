//! Breakers that no request has: that is said once, by whichever worker, with what to write instead.

use std::cell::RefCell;
use std::sync::Arc;

use tidegate_policy::breaker::CircuitBreaker;
use tidegate_policy::discovery::Discovery;
use tidegate_policy::http::{Placement, Stage};
use tidegate_policy::routing::Routing;
use tidegate_policy::time::Span;
use tidegate_sim::chain::Link;
use tidegate_sim::{Of, SimChain, SimHost, SimResponse, SimRoute, SimStore, To, Worker};

use crate::breaker::{calls, of, to, Sim, Workers};
use crate::discovery::{fixed, Numbers};

/// Two breakers, of the clusters `up` and `rare`.
const TWO: &str = r#"{"breakers": [{"name": "a", "target": {"cluster": "up"}}, {"name": "r", "target": {"cluster": "rare"}}]}"#;

/// So many good calls to a cluster, on the workers in turn.
fn spread(workers: &Workers, cluster: &str, count: usize) {
    for worker in workers.all.iter().cycle().take(count) {
        calls(worker, &to(cluster), "S");
    }
}

/// Ticks of all workers in the seconds of a range.
fn seconds(workers: &Workers, range: std::ops::Range<u64>) {
    for second in range {
        workers.at(second * 1_000).tick();
    }
}

#[test]
fn a_breaker_without_requests_is_told_once_for_all_workers() {
    let workers = Workers::new(4, TWO);
    seconds(&workers, 0..2);
    spread(&workers, "up", 999);
    seconds(&workers, 2..20);
    assert_eq!((workers.notes(), workers.count_of("r", "unused")), (vec![], 0), "too few to say anything");
    spread(&workers, "up", 1);
    seconds(&workers, 20..30);
    assert_eq!(
        workers.notes(),
        ["r: no request yet among 1000 requests was for cluster rare: none reached a cluster"]
    );
    let gauges = |name| workers.all.iter().map(|worker| gauge(worker, name)).max();
    assert_eq!((gauges("a"), gauges("r")), (Some(0), Some(1)));
    spread(&workers, "up", 5_000);
    seconds(&workers, 30..40);
    assert_eq!(workers.notes(), [""; 0]);
}

fn gauge(worker: &Sim, name: &str) -> u64 {
    worker.host.count(worker.counter(&format!("tidegate.breaker.breaker.{name}.unused")))
}

/// A document that comes again, and a VM that starts anew, find that it was said; the gauge stands.
#[test]
fn what_was_told_is_not_told_again_after_a_reload() {
    let store = Arc::new(SimStore::default());
    for expected in [1, 0] {
        let workers = Workers::on(&store, 2, TWO);
        seconds(&workers, 0..1);
        spread(&workers, "up", 2_000);
        seconds(&workers, 1..10);
        assert_eq!(workers.notes().len(), expected);
        assert_eq!(workers.all.iter().map(|worker| gauge(worker, "r")).max(), Some(1));
    }
}

/// One worker saw it a moment ago, and adds it only after another has counted the thousandth request.
#[test]
fn a_rare_target_that_any_worker_saw_is_no_alarm() {
    let workers = Workers::new(2, TWO);
    seconds(&workers, 0..2);
    calls(&workers.all[1], &to("rare"), "S");
    (0..1_000).for_each(|_| drop(calls(&workers.all[0], &to("up"), "S")));
    workers.at(2_000).all[0].tick();
    workers.at(2_900).all[1].tick();
    seconds(&workers, 3..20);
    assert_eq!((workers.notes(), workers.count_of("r", "unused")), (vec![], 0));
}

#[test]
fn the_gauge_falls_when_the_first_request_comes() {
    let workers = Workers::new(1, TWO);
    seconds(&workers, 0..1);
    spread(&workers, "up", 1_000);
    seconds(&workers, 1..10);
    assert_eq!(workers.count_of("r", "unused"), 1);
    spread(&workers, "rare", 1);
    seconds(&workers, 10..12);
    assert_eq!((workers.count_of("r", "unused"), workers.notes().len()), (0, 1));
    let before = workers.store.calls();
    workers.all[0].tick();
    seconds(&workers, 12..13);
    spread(&workers, "up", 2_000);
    let ticks = workers.store.calls() - before;
    assert!(ticks <= 2 * 2 * 4, "{ticks}: nothing more to learn");
}

/// It has requests when another fails.
#[test]
fn breakers_of_fallbacks_are_not_told() {
    let json = r#"{"breakers": [
        {"name": "a", "target": {"cluster": "up"}, "fallback": [{"cluster": "b"}, {"cluster": "c"}]},
        {"name": "b", "target": {"cluster": "b"}}]}"#;
    let workers = Workers::new(1, json);
    seconds(&workers, 0..1);
    spread(&workers, "up", 2_000);
    seconds(&workers, 1..10);
    assert_eq!(workers.notes(), [""; 0]);
}

#[test]
fn breakers_of_keys_and_of_some_requests_are_told_too() {
    for (target, fields, expected) in [
        (r#"{"key": [{"header": "x-tenant"}]}"#, "", "had all parts of its key: no request has them"),
        (
            r#"{"cluster": "up"}"#,
            r#""match": {"method": "PUT"}"#,
            "was for cluster up: none reached a cluster",
        ),
    ] {
        let workers = Workers::new(1, &of(target, fields));
        seconds(&workers, 0..1);
        spread(&workers, "up", 1_000);
        seconds(&workers, 1..10);
        assert_eq!(workers.notes(), [format!("a: no request yet among 1000 requests {expected}")]);
    }
}

/// What a chain's breaker says after a thousand requests, which carry these headers.
fn told(
    breaker: &Worker<CircuitBreaker, SimHost>,
    chain: &SimChain<'_>,
    headers: &[(&str, &str)],
) -> Vec<String> {
    for second in 0..10 {
        breaker.host.set(Span::from_secs(second));
        breaker.tick();
        for _ in 0..200 {
            chain.send(headers, &|_| SimResponse::upstream(200), &RefCell::default());
        }
    }
    breaker.host.take_notes()
}

fn worker<S: Stage>(json: &str) -> Worker<S, SimHost> {
    Worker::new(json, SimHost::new(Arc::default())).unwrap_or_else(|error| panic!("{json}: {error:?}"))
}

/// The document of the issue: a breaker of the cluster to which only a route behind the last filter leads.
#[test]
fn the_line_names_the_target_that_works() {
    let routing = r#"{"routes": [{"name": "shop", "variants": [{"name": "canary", "cluster": "v2"}]}]}"#;
    let long = "outbound|80|v2|shop";
    let endpoints =
        SimRoute { name: "e", of: Of::Having("x-envoy-original-dst-host"), to: To::Cluster("discovered") };
    let matched = SimRoute { name: "m", of: Of::Saying("x-tidegate-cluster", "v2"), to: To::Cluster(long) };
    let main = SimRoute { name: "main", of: Of::All, to: To::Cluster("main") };
    let routes = [endpoints, matched, main.clone()];
    #[rustfmt::skip]
    let cases = [
        ("db", r#"{"cluster": "discovered"}"#, "was for cluster discovered: requests reach it by a route that Envoy chooses behind the last filter; use the target {\"service\": \"orders\"}, behind discovery"),
        ("bd", r#"{"service": "orders"}"#, "was for service orders: discovery chooses it behind this filter; put the breaker last, right before the router"),
        ("db", r#"{"service": "order"}"#, "was for service order: discovery chose orders"),
        ("rb", r#"{"cluster": "outbound|80|v2|shop"}"#, "was for cluster outbound|80|v2|shop: requests reach it by a route that Envoy chooses behind the last filter; use the target {\"variant\": \"shop/canary\"}"),
        ("rb", r#"{"cluster": "outbound|80|v1|shop"}"#, "was for cluster outbound|80|v1|shop: the routing filter names clusters v2; use one of these, or the target {\"variant\": \"shop/canary\"}"),
        ("rb", r#"{"variant": "shop/stable"}"#, "was for variant shop/stable: the routing filter chose shop/canary"),
        ("rb", r#"{"service": "orders"}"#, "was for service orders: discovery chose none"),
        ("b", r#"{"variant": "shop/stable"}"#, "was for variant shop/stable: the routing filter chose none"),
        ("b", r#"{"cluster": "mian"}"#, "was for cluster mian: requests reached clusters main"),
        ("b", r#"{"route": "mian"}"#, "was on route mian: Envoy's routes were main"),
    ];
    for (order, target, expected) in cases {
        let (routing, discovery) =
            (worker::<Routing>(routing), worker::<Discovery>(&fixed(&["10.0.0.1:80"], "")));
        let breaker = worker::<CircuitBreaker>(&of(target, ""));
        let link = |letter| match letter {
            'r' => &routing as &dyn Link,
            'd' => &discovery,
            _ => &breaker,
        };
        let chain = SimChain::new(order.chars().map(link).collect(), &routes);
        let lines = told(&breaker, &chain, &[]);
        assert_eq!(lines.len(), 1, "{order} {target}: {lines:?}");
        let (_, line) = lines[0].split_once(" requests ").unwrap();
        assert_eq!(line, expected, "{order} {target}");
    }
}

#[test]
fn no_text_of_a_client_is_in_the_line() {
    let named =
        SimRoute { name: "", of: Of::Having("x-tidegate-cluster"), to: To::Named("x-tidegate-cluster") };
    let main = SimRoute { name: "", of: Of::All, to: To::Cluster("main") };
    let breaker = worker::<CircuitBreaker>(&of(r#"{"cluster": "mian"}"#, ""));
    let chain = SimChain::new(vec![&breaker], &[named, main]);
    let lines = told(&breaker, &chain, &[("x-tidegate-cluster", "evil"), ("x-user", "evil")]);
    assert_eq!(lines.len(), 1);
    assert!(!lines[0].contains("evil"), "{lines:?}");
}

// === a document with nothing for its placement ===

/// Under Istio the name of a plugin is its root id.
#[test]
fn a_document_with_nothing_for_its_placement_is_told_once() {
    let cluster = of(r#"{"cluster": "up"}"#, "");
    let workers = Workers::attempts(3, &cluster);
    seconds(&workers, 0..5);
    let lines = workers.notes();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("nothing of the document is for a filter around attempts"), "{lines:?}");
    assert!(lines[0].contains("pluginName"), "{lines:?}");

    let endpoint = of(r#"{"endpoint": "up"}"#, "");
    let workers = Workers::new(3, &endpoint);
    seconds(&workers, 0..5);
    let lines = workers.notes();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("nothing of the document refuses requests at a listener"), "{lines:?}");
}

/// At the listener one of endpoints learns why attempts were broken off. One of clusters may stand around
/// attempts because all policies are in one module.
#[test]
fn a_document_in_both_places_is_right() {
    for target in [r#"{"endpoint": "up"}"#, r#"{"cluster": "up"}"#] {
        let (store, json) = (Arc::new(SimStore::default()), of(target, ""));
        let listener = Workers::on(&store, 1, &json);
        let host = SimHost::new(Arc::clone(&store));
        let attempts = Worker::beside(&listener.all[0], &json, Placement::Attempt, host).unwrap();
        for second in 0..5 {
            listener.at(second * 1_000).tick();
            attempts.host.set(Span::from_secs(second));
            attempts.tick();
        }
        assert_eq!((listener.notes(), attempts.host.take_notes()), (vec![], vec![]), "{target}");
    }
}

/// The same document in both places, or only at the listener: the breaker of endpoints has no attempts there.
#[test]
fn a_breaker_of_endpoints_without_its_filter_is_told() {
    let json = r#"{"breakers": [{"name": "a", "target": {"cluster": "up"}}, {"name": "e", "target": {"endpoint": "up"}}]}"#;
    let workers = Workers::new(2, json);
    seconds(&workers, 0..1);
    spread(&workers, "up", 1_000);
    seconds(&workers, 1..10);
    let lines = workers.notes();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("e: no request yet among 1000 requests was for an endpoint of cluster up"),
        "{lines:?}"
    );
    assert!(lines[0].contains("upstream_http_filters"), "{lines:?}");

    let store = Arc::new(SimStore::default());
    let listener = Workers::on(&store, 2, json);
    let attempts = Workers::attempts_on(&store, 2, json);
    seconds(&listener, 0..1);
    seconds(&attempts, 0..1);
    spread(&listener, "up", 1_000);
    spread_attempts(&attempts);
    for second in 1..10 {
        attempts.at(second * 1_000).tick();
        listener.at(second * 1_000).tick();
    }
    assert_eq!((listener.notes(), attempts.notes()), (vec![], vec![]));
}

fn spread_attempts(attempts: &Workers) {
    use tidegate_policy::http::Attribute;
    for worker in &attempts.all {
        calls(worker, &to("up").attribute(Attribute::Endpoint, b"10.0.0.1:80"), "S");
    }
}

// === any history ===

/// All workers tick, at any time. A breaker is told at most once; never one of which any worker had a request
/// two seconds before; and each that has none is told when a thousand requests have passed and four seconds
/// more.
#[test]
fn in_any_history_exactly_the_breakers_without_requests_are_told() {
    let mut alarms = 0;
    for seed in 0..200 {
        alarms += history(&mut Numbers(seed), seed);
    }
    assert!((200..400).contains(&alarms), "{alarms}: of one breaker always, of another now and then");
}

/// How many breakers are told in one history.
fn history(numbers: &mut Numbers, seed: u64) -> usize {
    let names = ["up", "rare", "never"];
    let breaker = |name| format!(r#"{{"name": "{name}", "target": {{"cluster": "{name}"}}}}"#);
    let json = format!(r#"{{"breakers": [{}]}}"#, names.map(breaker).join(", "));
    let workers = Workers::new(1 + numbers.below(4), &json);
    let (mut now_ms, mut total, mut first, mut lines) = (0, 0, [None; 3], Vec::new());
    workers.at(0).tick();
    let (busy, quiet) = (50 + numbers.below(150), 14);
    for step in 0..busy + quiet {
        if step < busy && numbers.below(4) == 0 {
            let (at, count) = (usize::from(numbers.below(20) == 0), 1 + numbers.below(100));
            let worker = &workers.all[numbers.below(workers.all.len())];
            (0..count).for_each(|_| drop(calls(worker, &to(names[at]), "S")));
            first[at].get_or_insert(now_ms);
            total += count;
        } else {
            now_ms += if step < busy { 1 + numbers.below(400) as u64 } else { 399 };
            workers.at(now_ms).tick();
            lines.extend(workers.notes().into_iter().map(|line| (now_ms, line)));
        }
    }
    for (name, first) in names.iter().zip(first) {
        let start = format!("{name}: no request yet");
        let told: Vec<u64> =
            lines.iter().filter(|(_, line)| line.starts_with(&start)).map(|(at, _)| *at).collect();
        let expected = usize::from(first.is_none() && total >= 1_000);
        assert!(told.len() <= 1 && told.len() >= expected, "{seed}: {name} of {total} requests: {lines:?}");
        assert!(told.is_empty() || total >= 1_000, "{seed}: {name} of {total} requests: {lines:?}");
        if let (Some(told), Some(first)) = (told.first(), first) {
            assert!(first + 2_000 > *told, "{seed}: {name} told at {told}, its first request at {first}");
        }
    }
    lines.len()
}
