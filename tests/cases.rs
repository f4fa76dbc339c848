//! The cases on the simulator.

use std::sync::Arc;

use tidegate_policy::http::{Edit, Verdict};
use tidegate_policy::ratelimit::RateLimitWithHeaders;
use tidegate_policy::time::Span;
use tidegate_sim::{SimHost, SimRequest, SimStore, Worker};
use tidegate_tests::cases::{self, Case, Expect, Step};

#[test]
fn the_simulator_does_as_the_cases_say() {
    let cases = cases::all();
    assert!(cases.len() >= 20, "only {} cases", cases.len());
    for case in &cases {
        run(case);
    }
}

fn run(case: &Case) {
    let host = SimHost::new(Arc::new(SimStore::default()));
    let worker = Worker::<RateLimitWithHeaders, _>::new(&case.config, host)
        .unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
    for (index, step) in case.steps.iter().enumerate() {
        worker.host.set(Span::from_millis(step.at_ms));
        for time in 0..step.times {
            let place = format!("{}, step {index}, time {time}", case.name);
            one(&worker, step, &place);
        }
    }
}

fn one(worker: &Worker<RateLimitWithHeaders, SimHost>, step: &Step, place: &str) {
    let mut request = SimRequest::request(&step.method, &step.path);
    for (name, value) in step.header_pairs() {
        request = request.header(name, value.as_bytes());
    }
    if step.from.is_some() {
        request = request.from(step.from);
    }
    let (verdict, edits, outcome) = worker.exchange(&request);
    let (got, headers) = match verdict {
        Verdict::Continue(_) => (Expect::Admit, edits.iter().filter_map(added).collect()),
        Verdict::Reply(reply) => (Expect::Refuse, reply.headers),
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

fn added(edit: &Edit) -> Option<(String, String)> {
    match edit {
        Edit::AddResponseHeader(name, value) => Some((name.clone(), value.clone())),
        _ => None,
    }
}
