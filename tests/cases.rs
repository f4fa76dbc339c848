//! The cases on the simulator.

use std::sync::Arc;

use tidegate_policy::breaker::CircuitBreaker;
use tidegate_policy::discovery::Discovery;
use tidegate_policy::http::{Attribute, Edit, Stage, Verdict};
use tidegate_policy::ratelimit::RateLimitWithHeaders;
use tidegate_policy::routing::Routing;
use tidegate_policy::time::Span;
use tidegate_sim::{SimHost, SimRequest, SimResponse, SimStore, Worker};
use tidegate_tests::cases::{self, Case, Expect, Step};

#[test]
fn the_simulator_limits_as_the_cases_say() {
    all_of::<RateLimitWithHeaders>("ratelimit", 20);
}

#[test]
fn the_simulator_breaks_circuits_as_the_cases_say() {
    all_of::<CircuitBreaker>("breaker", 12);
}

#[test]
fn the_simulator_routes_as_the_cases_say() {
    all_of::<Routing>("routing", 12);
}

#[test]
fn the_simulator_finds_endpoints_as_the_cases_say() {
    all_of::<Discovery>("discovery", 25);
}

#[test]
fn every_file_of_cases_is_run() {
    let run = ["breaker", "discovery", "ratelimit", "routing"];
    let others = cases::all().into_iter().filter(|case| !run.contains(&&*case.filter));
    assert_eq!(others.map(|case| case.name).collect::<Vec<_>>(), [""; 0]);
}

fn all_of<S: Stage>(filter: &str, least: usize) {
    let cases = cases::of(filter);
    assert!(cases.len() >= least, "only {} cases", cases.len());
    for case in &cases {
        run::<S>(case);
    }
}

fn run<S: Stage>(case: &Case) {
    let host = SimHost::new(Arc::new(SimStore::default()));
    let worker =
        Worker::<S, _>::new(&case.config, host).unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
    for (index, step) in case.steps.iter().enumerate() {
        worker.host.set(Span::from_millis(step.at_ms));
        for time in 0..step.times {
            let place = format!("{}, step {index}, time {time}", case.name);
            one(&worker, step, &place);
        }
    }
}

fn one<S: Stage>(worker: &Worker<S, SimHost>, step: &Step, place: &str) {
    let mut request = SimRequest::request(&step.method, &step.path).attribute(Attribute::Cluster, b"up");
    for (name, value) in step.header_pairs() {
        request = request.header(name, value.as_bytes());
    }
    if step.from.is_some() {
        request = request.from(step.from);
    }
    let (verdict, exchange) = worker.begin(&request);
    let outcome = worker.outcome(&exchange);
    let (got, headers) = match verdict {
        Verdict::Continue(edits) => {
            for (name, expected) in &step.sends {
                assert_eq!(&sent(step, &edits, name), expected, "{place}: {name} goes on");
            }
            let edits = worker.end(exchange, &SimResponse::upstream(step.answers));
            (Expect::Admit, edits.iter().filter_map(added).collect())
        }
        Verdict::Reply(reply) => (Expect::Refuse, reply.headers),
        Verdict::Await(_) => panic!("{place}: it waits"),
    };
    assert_eq!(got, step.expect, "{place}");
    for (name, expected) in &step.gives {
        let value = headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value);
        assert_eq!(value, expected, "{place}: {name}");
    }
    if let Some(expected) = &step.logs {
        assert_eq!(outcome.as_deref().unwrap_or_default(), expected, "{place}: access log");
    }
}

/// The value of a request header as it goes on.
fn sent(step: &Step, edits: &[Edit], name: &str) -> String {
    let same = |other: &str| other.eq_ignore_ascii_case(name);
    let own = step.header_pairs().filter(|(other, _)| same(other)).map(|(_, value)| value);
    let mut value = own.collect::<Vec<_>>().join(",");
    for edit in edits {
        match edit {
            Edit::DropRequestHeader(other) | Edit::RemoveRequestHeader(other) if same(other) => value.clear(),
            Edit::SetRequestHeader(other, set) if same(other) => value = set.to_string(),
            _ => {}
        }
    }
    value
}

fn added(edit: &Edit) -> Option<(String, String)> {
    match edit {
        Edit::AddResponseHeader(name, value) | Edit::SetResponseHeader(name, value) => {
            Some((name.clone(), value.clone()))
        }
        _ => None,
    }
}
