//! Who may be tried, in which order: the rule of `docs/endpoints.md`, by events that are ordinary.

use std::collections::BTreeSet;

use tidegate_policy::http::{Attribute, Verdict};
use tidegate_sim::{SimAnswer, SimQuestion, SimRequest, SimResponse};

use crate::discovery::{answer, attempts, config, of, polled, reached, Workers};
use crate::discovery_both::{flags, Both};

/// One Envoy in a world in which some endpoints are dead.
pub(crate) struct World {
    pub(crate) both: Both,
    pub(crate) dead: BTreeSet<String>,
    most: u32,
    /// Endpoints in the order in which they were tried.
    pub(crate) tried: Vec<String>,
    /// Questions that the registry did not answer yet.
    waiting: Vec<SimQuestion>,
}

impl World {
    pub(crate) fn new(json: &str, most: u32) -> Self {
        Self::of(Both::new(json), most)
    }

    pub(crate) fn of(both: Both, most: u32) -> Self {
        Self { both, dead: BTreeSet::new(), most, tried: Vec::new(), waiting: Vec::new() }
    }

    pub(crate) fn at(&self, ms: u64) {
        self.both.edge.at(ms);
        self.both.around.host.set(tidegate_policy::time::Span::from_millis(ms));
    }

    /// The timer, and what the registry says to the questions that wait for an answer.
    pub(crate) fn tick(&mut self, says: &mut dyn FnMut(&SimQuestion) -> Option<SimAnswer>) {
        let edge = &self.both.edge.all[0];
        edge.tick();
        for _ in 0..20 {
            self.waiting.extend(edge.host.take_questions());
            let answers: Vec<SimAnswer> = self.waiting.iter().filter_map(&mut *says).collect();
            if answers.is_empty() {
                return;
            }
            self.waiting.retain(|question| says(question).is_none());
            answers.iter().for_each(|answer| edge.answer(answer));
        }
    }

    /// A request and its attempts, as Envoy makes them: a refused connection is tried again at once, and so
    /// is a 503. Whether it is answered.
    pub(crate) fn request(&mut self, fails: &dyn Fn(&str) -> bool) -> bool {
        let mut call = self.both.begin();
        if !call.next.starts_with("10.") {
            return false;
        }
        for left in (0..self.most).rev() {
            let one = self.both.attempt(&mut call);
            if matches!(one.verdict, Verdict::Reply(_)) {
                self.both.around.abort(one.exchange, &SimResponse::none());
                break;
            }
            self.tried.push(one.went.clone());
            if self.dead.contains(&one.went) {
                self.both.broken(one, &refused());
                if left == 0 {
                    self.both.gone(call, &flags(1 << 5));
                    return false;
                }
            } else if fails(&one.went) {
                self.both.answered(one, 503);
            } else {
                self.both.answered(one, 200);
                self.both.end(call, 200);
                return true;
            }
        }
        self.both.end(call, 503);
        false
    }
}

pub(crate) fn refused() -> SimResponse {
    let none = SimResponse::none().unconnected();
    none.attribute(Attribute::TransportFailure, b"delayed_connect_error:_Connection_refused")
}

pub(crate) fn names(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|n| format!("10.0.0.{n}:80")).collect()
}

pub(crate) fn texts(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

/// What a registry says of these addresses.
type Says<'a> = &'a dyn Fn(&SimQuestion, u64, &[&str]) -> SimAnswer;

/// Errors among 40 requests a second for 40 s, when from 1 s on the registry names other instances, and those
/// that it no longer names stop a second after it said so.
fn errors(json: &str, most: u32, before: &[String], after: &[String], says: Says<'_>) -> usize {
    let mut world = World::new(json, most);
    let (mut errors, mut told) = (0, None);
    for ms in (0..41_000_u64).step_by(25) {
        world.at(ms);
        if told.is_some_and(|told| ms == told + 1_000) {
            world.dead = before.iter().filter(|one| !after.contains(one)).cloned().collect();
        }
        if ms % 100 == 0 {
            // A query with the newest index waits for a change.
            let (list, index) = if ms < 1_000 { (before, 10) } else { (after, 11) };
            let newest = format!("index={index}");
            world.tick(&mut |question| {
                if question.subject().contains(&newest) {
                    return None;
                }
                told = told.or((ms >= 1_000).then_some(ms));
                Some(says(question, index, &texts(list)))
            });
        }
        errors += usize::from(!world.request(&|_| false));
    }
    assert!(told.is_some_and(|told| told < 10_000), "it was told at {told:?}");
    errors
}

/// Half of the requests failed, for as long as the smaller answer was held back.
#[test]
fn instances_that_the_registry_no_longer_names_get_no_request_while_others_do() {
    for most in [1, 2] {
        let json = config("", &format!(r#""attempts": {most}"#));
        let says = &|question: &SimQuestion, index: u64, list: &[&str]| answer(question, index, list);
        let cases = [
            ("ten become two", names(1..=10), names(1..=2)),
            ("four become one", names(1..=4), names(4..=4)),
            ("five become three", names(1..=5), names(3..=5)),
            ("a job is started elsewhere", names(1..=4), names(21..=24)),
            ("and begins with one", names(1..=8), names(21..=21)),
        ];
        for (name, before, after) in cases {
            assert_eq!(errors(&json, most, &before, &after, says), 0, "{name}, attempts {most}");
        }
    }
}

#[test]
fn addresses_that_dns_no_longer_has_get_no_request_while_others_do() {
    for most in [1, 2] {
        let query = format!(r#""dns": {{"name": "orders.shop", "port": 80}}, "attempts": {most}"#);
        let json = of(r#""dns": {"resolver": "host"}"#, "", &query);
        let says = &|question: &SimQuestion, _: u64, list: &[&str]| {
            let addresses: Vec<(u32, &str)> =
                list.iter().map(|one| (5, one.trim_end_matches(":80"))).collect();
            question.addresses(&addresses)
        };
        assert_eq!(errors(&json, most, &names(1..=8), &names(1..=2), says), 0, "attempts {most}");
    }
}

/// A job was stopped whole, and its last answer is kept because an empty one is not believed. Each endpoint is
/// asked once, and then the client is told at once; when the job is back all is well.
#[test]
fn a_kept_endpoint_that_refuses_a_connection_gets_nothing_until_the_registry_names_it() {
    let json =
        polled(r#""ttl_ms": 1000, "flap_damping": false"#, r#""attempts": 1, "outlier_detection": false"#);
    let all = names(1..=4);
    let mut world = World::new(&json, 1);
    let run = |world: &mut World, from: u64, to: u64, list: &[String]| {
        let mut errors = 0;
        for ms in (from..to).step_by(100) {
            world.at(ms);
            world.tick(&mut |question| Some(answer(question, 10, &texts(list))));
            errors += usize::from(!world.request(&|_| false));
        }
        errors
    };
    assert_eq!(run(&mut world, 0, 1_000, &all), 0);
    assert_eq!(run(&mut world, 1_000, 3_000, &[]), 0, "the registry may be wrong");
    world.dead = all.iter().cloned().collect();
    world.tried.clear();
    assert_eq!(run(&mut world, 3_000, 60_000, &[]), 570);
    world.tried.sort();
    assert_eq!(world.tried, all, "each was tried once");
    let lines = world.both.edge.notes();
    let line = "service orders: endpoint 10.0.0.1:80 refused a connection and gets nothing until the registry names it again, or for an hour";
    let lines = [lines, world.both.around.host.take_notes()].concat();
    assert!(lines.iter().any(|one| one == line), "{lines:?}");
    assert_eq!(reached(&world.both.edge.all[0]), "503 no_endpoints");
    world.dead.clear();
    let errors = run(&mut world, 60_000, 61_500, &all[..1]);
    assert!(errors <= 12, "{errors} until the next question");
    assert_eq!(reached(&world.both.edge.all[0]), "1");
    // Dropped once more, it is given another chance.
    assert_eq!(run(&mut world, 61_500, 65_000, &[]), 0);
}

/// The registry says so, and a panic does not know better: 80 % of the requests failed, for ever.
#[test]
fn critical_instances_get_no_request_while_others_pass() {
    let list: Vec<String> = names(1..=10)
        .into_iter()
        .enumerate()
        .map(|(n, one)| if n < 8 { one + " critical" } else { one })
        .collect();
    for (fields, most) in
        [("", 1), (r#""attempts": 2"#, 2), (r#""balance": "maglev""#, 1), (r#""balance": "peak_ewma""#, 1)]
    {
        let mut world = World::new(&config("", fields), most);
        world.dead = names(1..=8).into_iter().collect();
        world.tick(&mut |question| Some(answer(question, 10, &texts(&list))));
        let errors = (0..400).filter(|_| !world.request(&|_| false)).count();
        assert_eq!(errors, 0, "{fields}");
        assert_eq!(world.tried.len(), 400, "{fields}: no attempt was wasted");
    }
    // Better than nothing.
    let all: Vec<String> = names(1..=3).into_iter().map(|one| one + " critical").collect();
    let mut world = World::new(&config("", ""), 1);
    world.tick(&mut |question| Some(answer(question, 10, &texts(&all))));
    assert!(world.request(&|_| false));
    let mut world = World::new(&config("", r#""panic_threshold_percent": 0"#), 1);
    world.tick(&mut |question| Some(answer(question, 10, &texts(&all))));
    assert!(!world.request(&|_| false), "unless the configuration says no");
}

/// Eight of ten instances died and their registry does not know: at most half may be ejected, but those that
/// refuse connections are avoided however many they are.
#[test]
fn endpoints_that_refuse_connections_are_avoided_however_many_they_are() {
    for (most, few) in [(1, 60), (2, 0)] {
        let json = config("", &format!(r#""attempts": {most}"#));
        let mut world = World::new(&json, most);
        let all = names(1..=10);
        world.tick(&mut |question| Some(answer(question, 10, &texts(&all))));
        world.dead = all[..8].iter().cloned().collect();
        let mut errors = 0;
        for ms in (0..40_000_u64).step_by(25) {
            world.at(ms);
            let failed = !world.request(&|_| false);
            // Two that are not known to be dead may meet in a request at first.
            errors += usize::from(failed && (most == 1 || ms >= 1_000));
        }
        // Each is tried again after 1, 2, 4, 8 and 16 s.
        assert!(errors <= few, "attempts {most}: {errors} of 1,600");
        world.dead.clear();
        world.at(100_000);
        assert_eq!(
            reached(&world.both.edge.all[0]),
            "10 1 2 3 4 5 6 7 8 9",
            "and they are back by themselves"
        );
    }
}

/// The pool of a subset, too: what is only kept is as if it was not there.
#[test]
fn a_subset_of_kept_endpoints_is_as_an_empty_one_when_it_has_a_fallback() {
    let fields = |fallback: &str| format!(r#""subset": {{"tags": ["v2"], "fallback": "{fallback}"}}"#);
    let before = [
        "10.0.0.1:80 passing v1",
        "10.0.0.2:80 passing v2",
        "10.0.0.3:80 passing v2",
        "10.0.0.4:80 passing v2",
    ];
    for (fallback, expected) in [("any_endpoint", "1"), ("no_fallback", "2 3 4")] {
        let workers = Workers::knowing(1, &polled(r#""ttl_ms": 1000"#, &fields(fallback)), &before);
        assert_eq!(reached(&workers.all[0]), "2 3 4", "{fallback}");
        workers.run(100, 3_000, &mut |_, question| Some(answer(question, 11, &before[..1])));
        assert_eq!(reached(&workers.all[0]), expected, "{fallback}");
    }
}

/// A stream that lasts pinned the whole table with which it began: one held stream for each change of a large
/// service filled the VM.
#[test]
fn a_request_in_flight_keeps_no_table() {
    use tidegate_policy::discovery::stage::Discovery;
    let workers = Workers::knowing(1, &config("", r#""attempts": 3"#), &["10.0.0.1:80", "10.0.0.2:80"]);
    let worker = &workers.all[0];
    let Discovery::Downstream { requests, .. } = worker.stage() else { panic!("downstream") };
    let table = || {
        std::rc::Rc::downgrade(
            &requests.views()[0].table(tidegate_policy::time::Timestamp::ZERO, &worker.host).unwrap(),
        )
    };
    let (mut tables, mut streams) = (Vec::new(), Vec::new());
    for index in 0..20 {
        streams.push(worker.begin(&SimRequest::get("/")).1);
        tables.push(table());
        let last = format!("10.0.0.{}:80", 3 + index);
        let question = worker.host.take_questions();
        let question = question.first().unwrap_or_else(|| panic!("a question at {index}"));
        worker.answer(&answer(question, 20 + index, &["10.0.0.1:80", "10.0.0.2:80", &last]));
        workers.at(100 * (index + 1)).tick();
        let _ = table();
    }
    let alive = tables.iter().filter(|table| table.upgrade().is_some()).count();
    assert!(alive <= 1, "{alive} tables are kept by {} streams", streams.len());
    streams.into_iter().for_each(|stream| drop(worker.end(stream, &SimResponse::upstream(200))));
    assert_eq!(workers.memory(), 0);
}

/// One stream for each configuration that there was, say.
#[test]
fn a_configuration_that_goes_keeps_no_table_for_its_streams() {
    use tidegate_policy::discovery::stage::Discovery;
    use tidegate_policy::http::Stage;
    let json = config("", r#""attempts": 2"#);
    let edge = Workers::knowing(1, &json, &["10.0.0.1:80", "10.0.0.2:80"]);
    let both = Both { around: attempts(&edge.all[0], &json), edge };
    let (stream, mut other) = (both.begin(), both.begin());
    let worker = &both.edge.all[0];
    let Discovery::Downstream { requests, .. } = worker.stage() else { panic!("downstream") };
    let now = tidegate_policy::time::Timestamp::ZERO;
    let table = std::rc::Rc::downgrade(&requests.views()[0].table(now, &worker.host).unwrap());
    worker.stage().stop(&worker.host);
    assert!(table.upgrade().is_none(), "the stream keeps what it picked");
    both.end(stream, 200);
    // Another request of the old configuration is still tried at another endpoint.
    let first = both.attempt(&mut other);
    let went = first.went.clone();
    both.answered(first, 503);
    let second = both.attempt(&mut other);
    assert!(second.went != went, "{went} twice");
    both.answered(second, 200);
    both.end(other, 200);
    assert_eq!(both.in_flight(), 0);
}
