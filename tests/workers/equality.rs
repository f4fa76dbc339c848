//! One module with all stages does what a chain of their filters does, on the same requests: where each
//! goes, with which headers, what its client gets, the facts, the metrics, the log, and every cell.
//!
//! It may differ in one thing only, [`is_passed_over`]: where the chain chooses a variant and its breaker
//! refuses, the module may have chosen another. From that request on the two have different pasts, so
//! such a document is compared no further, and another one in its place. (That a breaker which opens
//! aborts a ramp at once, and not with the next tick, no document here can show: none has such a ramp.)

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{json, Value};
use tidegate_policy::breaker::CircuitBreaker;
use tidegate_policy::discovery::Discovery;
use tidegate_policy::fused::Fused;
use tidegate_policy::host::Store;
use tidegate_policy::http::{Edit, Placement, Stage};
use tidegate_policy::ratelimit::RateLimitWithHeaders;
use tidegate_policy::routing::Routing;
use tidegate_policy::time::Span;
use tidegate_sim::chain::Link;
use tidegate_sim::{Of, Passage, SimChain, SimHost, SimResponse, SimRoute, SimStore, To, Worker};
use tidegate_tests::cases;
use tidegate_tests::corpus::{Ask, Chance, Drawn};

/// How Envoy obeys the filters.
const ROUTES: [SimRoute; 3] = [
    SimRoute { name: "endpoint", of: Of::Having("x-envoy-original-dst-host"), to: To::Cluster("discovered") },
    SimRoute { name: "cluster", of: Of::Having("x-tidegate-cluster"), to: To::Named("x-tidegate-cluster") },
    SimRoute { name: "main", of: Of::All, to: To::Cluster("up") },
];

/// A filter of either layout, whatever its stage.
trait Filter: Link {
    fn at(&self, ms: u64);
    fn ticks(&self);
    fn counts(&self, into: &mut BTreeMap<String, u64>);
    fn notes(&self) -> Vec<String>;
}

impl<S: Stage> Filter for Worker<S, SimHost> {
    fn at(&self, ms: u64) {
        self.host.set(Span::from_millis(ms));
    }

    fn ticks(&self) {
        self.tick();
    }

    /// A metric that two stages know is one: it counts once.
    fn counts(&self, into: &mut BTreeMap<String, u64>) {
        let own: BTreeMap<String, u64> = (self.stage().metrics().into_iter().enumerate())
            .map(|(index, metric)| (metric.name, self.host.count(index)))
            .collect();
        own.into_iter().for_each(|(name, count)| *into.entry(name).or_default() += count);
    }

    /// As one module writes them.
    fn notes(&self) -> Vec<String> {
        let begin = if S::NAME == Fused::NAME { String::new() } else { format!("{}: ", S::NAME) };
        self.host.take_notes().into_iter().map(|line| begin.clone() + &line).collect()
    }
}

/// Filters with cells of their own.
struct Layout {
    store: Arc<SimStore>,
    filters: Vec<Box<dyn Filter>>,
}

/// What came of a request.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// Where it went and with which headers, or the reply without its headers.
    passage: String,
    /// The headers that the filters give the client.
    gives: Vec<(String, String)>,
    facts: BTreeMap<String, String>,
    notes: Vec<String>,
}

fn filter<S: Stage + 'static>(store: &Arc<SimStore>, document: &Value) -> Box<dyn Filter> {
    let json = document.to_string();
    let stage = S::configure(json.as_bytes(), Placement::Downstream)
        .unwrap_or_else(|error| panic!("{error}: {json}"));
    let host = SimHost::naming(Arc::clone(store), &stage.metrics());
    Box::new(Worker::<S, _>::new(&json, host).unwrap_or_else(|error| panic!("{error:?}: {json}")))
}

// === impl Layout ===

impl Layout {
    fn chain(parts: &[(&'static str, Value)]) -> Self {
        let store = Arc::new(SimStore::default());
        let link = |(name, part): &(&'static str, Value)| match *name {
            "ratelimit" => filter::<RateLimitWithHeaders>(&store, part),
            "routing" => filter::<Routing>(&store, part),
            "breaker" => filter::<CircuitBreaker>(&store, part),
            _ => filter::<Discovery>(&store, part),
        };
        Self { filters: parts.iter().map(link).collect(), store }
    }

    fn fused(parts: &[(&'static str, Value)]) -> Self {
        let store = Arc::new(SimStore::default());
        let document: Value = parts.iter().map(|(name, part)| ((*name).to_owned(), part.clone())).collect();
        Self { filters: vec![filter::<Fused>(&store, &document)], store }
    }

    fn ask(&self, ask: &Ask) -> Outcome {
        self.filters.iter().for_each(|filter| filter.at(ask.at_ms));
        let chain =
            SimChain::new(self.filters.iter().map(|filter| &**filter as &dyn Link).collect(), &ROUTES);
        let mut headers = vec![(":path", ask.path)];
        headers.extend(&ask.headers);
        let edits = RefCell::default();
        let passage = chain.send(&headers, &|_| SimResponse::upstream(ask.answers), &edits);
        let (passage, mut gives) = match passage {
            Passage::Answered(mut reply) => {
                let gives = std::mem::take(&mut reply.headers);
                (format!("{reply:?}"), gives)
            }
            Passage::Held => ("held".to_owned(), Vec::new()),
            Passage::Went { cluster, mut headers } => {
                headers.sort();
                (format!("{cluster} {headers:?}"), Vec::new())
            }
        };
        edits.take().into_iter().for_each(|edit| edited(&mut gives, edit));
        let mut notes: Vec<String> = self.filters.iter().flat_map(|filter| filter.notes()).collect();
        notes.sort();
        Outcome { passage, gives, facts: chain.told(), notes }
    }

    fn tick(&self) {
        self.filters.iter().for_each(|filter| filter.ticks());
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        self.filters.iter().for_each(|filter| filter.counts(&mut counts));
        counts
    }

    fn cells(&self) -> BTreeMap<String, Vec<u8>> {
        let load = |name: &String| self.store.load(name).unwrap().unwrap().0;
        self.store.names().into_iter().map(|name| (name.clone(), load(&name))).collect()
    }
}

fn edited(gives: &mut Vec<(String, String)>, edit: Edit) {
    match edit {
        Edit::AddResponseHeader(name, value) => gives.push((name, value)),
        Edit::SetResponseHeader(name, value) => {
            gives.retain(|(own, _)| !own.eq_ignore_ascii_case(&name));
            gives.push((name, value));
        }
        other => panic!("no edit of a response: {other:?}"),
    }
}

/// Where two maps differ, by the chain's and the module's value.
fn differing<V: PartialEq + std::fmt::Debug>(
    chain: &BTreeMap<String, V>,
    fused: &BTreeMap<String, V>,
) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = chain.keys().chain(fused.keys()).collect();
    let pairs = names.into_iter().map(|name| (name, chain.get(name), fused.get(name)));
    let unequal = pairs.filter(|(_, one, other)| one != other);
    unequal.map(|(name, one, other)| format!("{name}: {one:?}, {other:?}")).collect()
}

/// Whether the chain refused a request because of the variant that it had chosen, and the module chose
/// another variant of the same route.
fn is_passed_over(parts: &[(&'static str, Value)], chain: &Outcome, fused: &Outcome) -> bool {
    // The cluster or service, the route, the variant, why.
    let chosen = |outcome: &Outcome| -> Vec<String> {
        let fact = outcome.facts.get("tidegate.routing").map_or("", String::as_str);
        fact.split([' ', ';']).filter(|word| !word.contains('=')).map(str::to_owned).collect()
    };
    let (one, other) = (chosen(chain), chosen(fused));
    let ([goal, route, variant, ..], [_, same, another, why, _]) = (&one[..], &other[..]) else {
        return false;
    };
    let targets = [
        json!({"cluster": goal}),
        json!({"service": goal}),
        json!({"variant": format!("{route}/{variant}")}),
    ];
    let breakers = parts.iter().filter_map(|(_, part)| part.get("breakers")?.as_array()).flatten();
    let mut guards = breakers.filter(|breaker| {
        targets.contains(&breaker["target"])
            && ["fallback", "match", "mode", "soft"].iter().all(|field| breaker[field].is_null())
    });
    let refused = chain.passage.contains(r#"details: "tidegate_breaker_open:"#);
    refused && why == "passed_over" && route == same && variant != another && guards.next().is_some()
}

/// Sends requests through both layouts; how many were not plainly let through. `None` when the module
/// passed over a variant.
fn hold(place: &str, parts: &[(&'static str, Value)], asks: &[Ask]) -> Option<usize> {
    let (chain, fused) = (Layout::chain(parts), Layout::fused(parts));
    let mut stopped = 0;
    for (index, ask) in asks.iter().enumerate() {
        let place = || format!("{place}, request {index}: {ask:?}\n{parts:?}");
        let (one, other) = (chain.ask(ask), fused.ask(ask));
        if one != other && is_passed_over(parts, &one, &other) {
            return None;
        }
        assert_eq!(one, other, "{}", place());
        stopped += usize::from(one.passage.starts_with("Reply"));
        if index % 3 == 2 {
            chain.tick();
            fused.tick();
            assert_eq!(differing(&chain.counts(), &fused.counts()), [""; 0], "{}", place());
            assert_eq!(differing(&chain.cells(), &fused.cells()), [""; 0], "{}", place());
        }
    }
    Some(stopped)
}

#[test]
fn one_module_does_as_a_chain_on_a_thousand_documents_made_up() {
    let (mut stopped, mut alike, mut passed_over) = (0, 0, 0);
    for seed in 0.. {
        let Drawn { parts, asks } = Drawn::new(seed, Chance::Yes, 12);
        match hold(&format!("seed {seed}"), &parts, &asks) {
            None => passed_over += 1,
            Some(more) => (stopped, alike) = (stopped + more, alike + 1),
        }
        if alike == 1_000 {
            break;
        }
    }
    assert!((2_000..10_000).contains(&stopped), "{stopped} of 12000 were answered");
    assert!((20..200).contains(&passed_over), "{passed_over} documents in which a variant was passed over");
}

/// Each case as it is, and with the other filters around it.
#[test]
fn one_module_does_as_a_chain_on_all_cases() {
    let others = [
        (
            "ratelimit",
            json!({"limits": [{"name": "other", "key": ["host"], "requests": 9, "per_ms": 60_000}], "headers_on_admitted": true}),
        ),
        (
            "routing",
            json!({"headers": {"response": "x-was"}, "routes": [{"name": "other", "variants": [{"name": "v", "cluster": "up"}]}]}),
        ),
        (
            "breaker",
            json!({"breakers": [{"name": "other", "target": {"key": [{"header": "x-user"}]}, "consecutive_failures": 2}]}),
        ),
        ("discovery", serde_json::from_str(&crate::discovery::fixed(&["10.0.0.1:80"], "")).unwrap()),
    ];
    let all = cases::all();
    assert!(all.len() > 80, "only {} cases", all.len());
    for case in all {
        let document: Value = serde_json::from_str(&case.config).unwrap();
        let own = |name: &str| name == case.filter;
        let alone: Vec<_> =
            others.iter().filter(|(name, _)| own(name)).map(|(name, _)| (*name, document.clone())).collect();
        let among: Vec<_> = others
            .iter()
            .map(|(name, other)| (*name, if own(name) { document.clone() } else { other.clone() }))
            .collect();
        let asks: Vec<Ask> = case.steps.iter().flat_map(asks_of).collect();
        for parts in [alone, among] {
            assert!(hold(&case.name, &parts, &asks).is_some(), "{}: no variant is passed over", case.name);
        }
    }
}

/// The requests of a step. Their texts live as long as the test.
fn asks_of(step: &cases::Step) -> Vec<Ask> {
    let kept = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let headers = step.header_pairs().map(|(name, value)| (kept(name), kept(value))).collect();
    let ask = Ask { at_ms: step.at_ms, path: kept(&step.path), headers, answers: step.answers };
    vec![ask; step.times]
}
