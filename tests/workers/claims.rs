//! Plugins of one Envoy that mean different things by one name: who is told, and when.

use std::sync::Arc;

use serde_json::{json, Value};
use tidegate_policy::breaker::CircuitBreaker;
use tidegate_policy::discovery::Discovery;
use tidegate_policy::fused::Fused;
use tidegate_policy::host::Clock;
use tidegate_policy::http::{Stage, Verdict};
use tidegate_policy::ratelimit::RateLimit;
use tidegate_policy::routing::Routing;
use tidegate_policy::time::Span;
use tidegate_sim::{explore, Claims, SimHost, SimRequest, SimStore, Worker};

use crate::breaker_workers::Numbers;

type Limiter = Worker<RateLimit, SimHost>;

/// Limits of these names and requests an hour.
fn limits(list: &[(&str, u32)]) -> Value {
    let limit = |(name, requests): &(&str, u32)| json!({"name": name, "key": [{"constant": "x"}], "requests": requests, "per_ms": 3_600_000});
    json!({"limits": list.iter().map(limit).collect::<Vec<_>>()})
}

fn plugin<S: Stage>(store: &Arc<SimStore>, name: &str, document: &Value) -> Worker<S, SimHost> {
    Worker::named(name, &document.to_string(), SimHost::new(store.clone())).expect("a right document")
}

fn admitted(worker: &Limiter, requests: u32) -> usize {
    (0..requests).filter(|_| matches!(worker.request(&SimRequest::get("/")), Verdict::Continue(_))).count()
}

/// Two teams had a limit `total` on one gateway, of 10 and of 1,000 an hour. Of 60 requests to the second
/// none was admitted after the first had spent its own, and nobody was told.
#[test]
fn two_plugins_with_other_rates_of_one_limit_are_named() {
    let store = Arc::default();
    let a: Limiter = plugin(&store, "team-a", &limits(&[("total", 10)]));
    let b: Limiter = plugin(&store, "team-b", &limits(&[("total", 1_000)]));
    assert_eq!(a.host.take_notes(), [""; 0]);
    assert_eq!(
        b.host.take_notes(),
        ["limit `total` is 1000 in 3600000 ms, burst 1000 here and 10 in 3600000 ms, burst 10 in plugin \
          \"team-a\"; they share its state and ruin it for each other: give one of the documents a `scope`, or \
          rename it in one"]
    );
    let mut apart = limits(&[("total", 10)]);
    apart["scope"] = json!("c");
    let c: Limiter = plugin(&store, "team-c", &apart);
    assert_eq!(c.host.take_notes(), [""; 0]);
    assert_eq!((admitted(&b, 60), admitted(&c, 60)), (60, 10));
}

#[test]
fn the_same_document_in_two_listeners_is_one_limit_and_no_conflict() {
    let store = Arc::default();
    let [a, b]: [Limiter; 2] = ["a", "b"].map(|name| plugin(&store, name, &limits(&[("total", 10)])));
    assert_eq!((admitted(&a, 60), admitted(&b, 60)), (10, 0));
    assert_eq!((a.host.take_notes(), b.host.take_notes()), (Vec::new(), Vec::new()));
}

#[test]
fn a_reload_keeps_debts_and_is_no_conflict() {
    let store = Arc::default();
    let old: Limiter = plugin(&store, "a", &limits(&[("total", 10)]));
    assert_eq!(admitted(&old, 60), 10);
    let new: Limiter = plugin(&store, "a", &limits(&[("total", 15)]));
    assert_eq!(admitted(&new, 60), 5);
    // The old one drains beside it.
    for second in 0..60 {
        for worker in [&old, &new] {
            worker.host.set(Span::from_secs(second));
            worker.tick();
            assert_eq!(worker.host.take_notes(), [""; 0], "after {second} s");
        }
    }
}

/// Envoy takes one listener after the other.
#[test]
fn a_reload_of_two_listeners_is_no_conflict() {
    let store = Arc::default();
    let mut workers =
        ["a", "b"].map(|name| vec![plugin::<RateLimit>(&store, name, &limits(&[("total", 10)]))]);
    for (listener, name) in ["a", "b"].into_iter().enumerate() {
        for second in 0..4 {
            for worker in workers.iter().flatten() {
                worker.host.set(Span::from_secs(60 + second + 4 * listener as u64));
                worker.tick();
                assert_eq!(worker.host.take_notes(), [""; 0]);
            }
        }
        let host = SimHost::new(store.clone());
        host.set(Span::from_secs(64 + 4 * listener as u64));
        let new = Worker::named(name, &limits(&[("total", 1_000)]).to_string(), host).unwrap();
        workers[listener].push(new);
    }
    for second in 68..100 {
        for worker in workers.iter().flatten() {
            worker.host.set(Span::from_secs(second));
            worker.tick();
            assert_eq!(worker.host.take_notes(), [""; 0], "after {second} s");
        }
    }
}

/// What each filter calls another meaning, and what not.
#[test]
fn each_filter_knows_what_it_means_by_a_name() {
    fn lines<S: Stage>(documents: [&Value; 2]) -> Vec<String> {
        let store = Arc::default();
        let _first: Worker<S, _> = plugin(&store, "a", documents[0]);
        plugin::<S>(&store, "b", documents[1]).host.take_notes()
    }
    let with = |document: &Value, pointer: &str, value: Value| {
        let mut document = document.clone();
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        document.pointer_mut(parent).expect("an object")[field] = value;
        document
    };
    let limit = limits(&[("total", 10)]);
    let breaker =
        json!({"breakers": [{"name": "b", "target": {"cluster": "up"}, "fallback": [{"cluster": "c"}]}]});
    let ramp = json!({"routes": [{"name": "r", "variants": [
        {"name": "stable", "cluster": "one", "weight": 90},
        {"name": "canary", "cluster": "two", "weight": 10, "max_weight": 60,
         "ramp": {"steps": [{"weight": 5, "hold_ms": 10_000}]}}]}]});
    type Lines = fn([&Value; 2]) -> Vec<String>;
    type Case<'a> = (&'a str, Lines, &'a Value, &'a str, Value, &'a [&'a str]);
    let service = json!({"registries": {"main": {"consul": {"cluster": "consul"}}, "next": {"consul": {"cluster": "c"}}},
        "allow": ["10.0.0.0/8:80"], "services": [{"name": "orders", "registry": "main", "outlier_detection": {}, "consul": {}}]});
    let all = json!({"ratelimit": limit, "routing": ramp, "breaker": breaker, "discovery": service});
    let ejection = "/services/0/outlier_detection/base_ejection_time_ms";
    let cases: [Case<'_>; 22] = [
        ("rate", lines::<RateLimit>, &limit, "/limits/0/burst", json!(20), &["limit `total` is "]),
        ("key", lines::<RateLimit>, &limit, "/limits/0/key", json!(["host"]), &["limit `total` is "]),
        (
            "table",
            lines::<RateLimit>,
            &limit,
            "/limits/0/key",
            json!([{"constant": "y"}]),
            &["limit `total` is "],
        ),
        ("mode", lines::<RateLimit>, &limit, "/limits/0/mode", json!("observe"), &[]),
        ("cost", lines::<RateLimit>, &limit, "/limits/0/cost", json!(2), &[]),
        ("name", lines::<RateLimit>, &limit, "/limits/0/name", json!("other"), &[]),
        ("scope", lines::<RateLimit>, &with(&limit, "/limits/0/burst", json!(20)), "/scope", json!("a"), &[]),
        (
            "threshold",
            lines::<CircuitBreaker>,
            &breaker,
            "/breakers/0/consecutive_failures",
            json!(9),
            &["breaker `b` is ", "breaker `b-fallback-1` is "],
        ),
        (
            "target",
            lines::<CircuitBreaker>,
            &breaker,
            "/breakers/0/target",
            json!({"route": "up"}),
            &["breaker `b` is "],
        ),
        (
            "window",
            lines::<CircuitBreaker>,
            &breaker,
            "/breakers/0/window_ms",
            json!(20_000),
            &["breaker `b` is ", "breaker `b-fallback-1` is "],
        ),
        ("mode", lines::<CircuitBreaker>, &breaker, "/breakers/0/mode", json!("observe"), &[]),
        (
            "steps",
            lines::<Routing>,
            &ramp,
            "/routes/0/variants/1/ramp/steps/0/weight",
            json!(6),
            &["ramp `r/canary` is "],
        ),
        (
            "rules",
            lines::<Routing>,
            &ramp,
            "/routes/0/variants/1/ramp/paused",
            json!(true),
            &["ramp `r/canary` is "],
        ),
        ("weight", lines::<Routing>, &ramp, "/routes/0/variants/0/cluster", json!("three"), &[]),
        ("ejection", lines::<Discovery>, &service, ejection, json!(1_000), &["service `orders` is "]),
        (
            "registry",
            lines::<Discovery>,
            &service,
            "/services/0/registry",
            json!("next"),
            &["service `orders` is "],
        ),
        (
            "query",
            lines::<Discovery>,
            &service,
            "/services/0/consul/datacenter",
            json!("b"),
            &["service `orders` is "],
        ),
        ("balance", lines::<Discovery>, &service, "/services/0/balance", json!("random"), &[]),
        ("all, rate", lines::<Fused>, &all, "/ratelimit/limits/0/burst", json!(20), &["limit `total` is "]),
        (
            "all, service",
            lines::<Fused>,
            &all,
            "/discovery/services/0/registry",
            json!("next"),
            &["service `orders` is "],
        ),
        (
            "all, rules",
            lines::<Fused>,
            &all,
            "/routing/routes/0/variants/1/ramp/paused",
            json!(true),
            &["ramp `r/canary` is "],
        ),
        ("all, mode", lines::<Fused>, &all, "/breaker/breakers/0/mode", json!("observe"), &[]),
    ];
    for (what, lines, document, pointer, value, expected) in cases {
        let other = with(document, pointer, value);
        let told = lines([document, &other]);
        assert_eq!(told.len(), expected.len(), "{what}: {told:?}");
        for (line, expected) in told.iter().zip(expected) {
            assert!(line.starts_with(expected) && line.contains(" in plugin \"a\";"), "{what}: {line}");
        }
        assert_eq!(lines([document, document]), [""; 0], "{what}");
    }
}

/// Workers of two plugins are configured at once, in every order of their calls.
#[test]
fn one_worker_tells_of_a_conflict_in_any_order() {
    let documents = [10, 1_000].map(|requests| limits(&[("total", requests)]).to_string());
    let runs = explore(
        2,
        Arc::default,
        |worker, gate| {
            let document = documents[worker].as_bytes();
            let stage = RateLimit::configure(document, tidegate_policy::http::Placement::Downstream).unwrap();
            let claims = Claims::of(&stage, (["a", "b"][worker], ""), document).unwrap();
            claims.configured(&gate, gate.now()).len()
        },
        |told, _, order| assert_eq!(told.iter().sum::<usize>(), 1, "order {order:?}"),
    );
    assert!(runs >= 20, "{runs} orders");
}

#[test]
fn a_store_that_fails_refuses_no_configuration() {
    let store = Arc::<SimStore>::default();
    let a: Limiter = plugin(&store, "a", &limits(&[("total", 10)]));
    a.host.fail(|_, _| Some(tidegate_policy::host::StoreError::Unavailable));
    a.host.set(Span::from_secs(60));
    a.tick();
    a.stop();
    assert_eq!(a.host.take_notes(), [""; 0]);
}

/// What happens to a plugin.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// It is configured, with this document; the workers of the one before drain.
    Configure(usize, usize),
    /// What drains has drained.
    Drained(usize),
    /// It is removed.
    Remove(usize),
    /// Its newest document is taken back while the one before drains, which is not configured anew.
    Revert(usize),
}

const PLUGINS: [&str; 3] = ["a", "b", "c"];
const DOCUMENTS: [&[(&str, u32)]; 4] =
    [&[("total", 10)], &[("total", 20)], &[("total", 10), ("other", 1)], &[("other", 2)]];

/// The documents of a plugin that have workers, the newest last, and these.
type Versions = Vec<(usize, Vec<Limiter>)>;

fn event(numbers: &mut Numbers) -> Event {
    let plugin = numbers.below(PLUGINS.len());
    match numbers.below(7) {
        0..=3 => Event::Configure(plugin, numbers.below(DOCUMENTS.len())),
        4 => Event::Drained(plugin),
        5 => Event::Remove(plugin),
        _ => Event::Revert(plugin),
    }
}

/// How many names there are of which this plugin and another one that lives mean different things.
fn conflicts(all: &[Versions; 3], plugin: usize) -> usize {
    let newest = |plugin: usize| all[plugin].last().map_or(&[][..], |(document, _)| DOCUMENTS[*document]);
    let others = (0..3).filter(|other| *other != plugin).flat_map(newest);
    let differs =
        |(name, requests): &(&str, u32)| newest(plugin).iter().any(|(n, r)| n == name && r != requests);
    others.filter(|claim| differs(claim)).count()
}

/// The plugins of an Envoy, through a history.
#[derive(Default)]
struct Plugins {
    store: Arc<SimStore>,
    all: [Versions; 3],
    second: u64,
}

impl Plugins {
    /// Something happens. Returns what is logged by all workers within 25 s.
    fn happens(&mut self, event: Event) -> Vec<String> {
        let stop = |(_, workers): (usize, Vec<Limiter>)| workers.iter().for_each(Worker::stop);
        let mut lines = Vec::new();
        match event {
            Event::Configure(plugin, document) => lines = self.configure(plugin, document),
            Event::Drained(plugin) => {
                let old = self.all[plugin].len().saturating_sub(1);
                self.all[plugin].drain(..old).for_each(stop);
            }
            Event::Remove(plugin) => self.all[plugin].drain(..).for_each(stop),
            Event::Revert(plugin) => {
                self.all[plugin].pop().map(stop);
            }
        }
        for _ in 0..25 {
            self.second += 1;
            for worker in self.all.iter().flatten().flat_map(|(_, workers)| workers) {
                worker.host.set(Span::from_secs(self.second));
                worker.tick();
                lines.extend(worker.host.take_notes());
            }
        }
        lines
    }

    /// Makes a worker that tries the document and is dropped, as Envoy does, and two that stay.
    fn configure(&mut self, plugin: usize, document: usize) -> Vec<String> {
        if self.all[plugin].last().is_some_and(|(newest, _)| *newest == document) {
            return Vec::new();
        }
        let json = limits(DOCUMENTS[document]).to_string();
        let worker = |_| {
            let host = SimHost::new(self.store.clone());
            host.set(Span::from_secs(self.second));
            Worker::named(PLUGINS[plugin], &json, host).expect("a right document")
        };
        let mut workers: Vec<Limiter> = (0..3).map(worker).collect();
        let lines = workers.iter().flat_map(|worker| worker.host.take_notes()).collect();
        workers.pop();
        // Envoy knows a document that drains again.
        let (known, others): (Versions, Versions) =
            std::mem::take(&mut self.all[plugin]).into_iter().partition(|(drains, _)| *drains == document);
        self.all[plugin] = others;
        workers.extend(known.into_iter().flat_map(|(_, workers)| workers));
        self.all[plugin].push((document, workers));
        lines
    }
}

/// Whenever a plugin begins to mean something else there is one line for each name of which it and another
/// one that lives disagree, and no other, by all workers together.
#[test]
fn a_line_is_written_exactly_when_two_live_plugins_disagree() {
    let mut told = 0;
    for seed in 1..=200 {
        let (mut numbers, mut plugins) = (Numbers(seed * 0x9e37_79b9), Plugins::default());
        for number in 0..12 {
            let newest =
                |plugins: &Plugins| plugins.all.each_ref().map(|of| of.last().map(|(document, _)| *document));
            let before = newest(&plugins);
            let event = event(&mut numbers);
            let lines = plugins.happens(event);
            let after = newest(&plugins);
            let changed = (0..3).filter(|plugin| before[*plugin] != after[*plugin]);
            let began: usize = changed.map(|plugin| conflicts(&plugins.all, plugin)).sum();
            assert_eq!(
                lines.len(),
                began,
                "seed {seed}, {number}: {event:?} at {} s: {lines:#?}",
                plugins.second
            );
            told += began;
        }
    }
    assert!(told > 300, "{told} conflicts");
}
