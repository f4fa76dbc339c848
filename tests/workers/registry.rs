//! A Consul in virtual time: it holds queries, counts connections, and may have a proxy in front.

use std::collections::BTreeMap;

use tidegate_sim::{SimAnswer, SimQuestion};

use crate::discovery::{instances, Workers};

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It is answered.
    Up,
    /// Nothing answers it.
    Hung,
    /// It is refused, also one that was held.
    Down,
}

/// A query in flight.
struct Open {
    worker: usize,
    question: SimQuestion,
    service: String,
    /// The index to differ from; 0 for an answer at once.
    index: u64,
    wait_ms: u64,
    since: u64,
}

/// The registry, with what it was asked.
pub(crate) struct Registry {
    pub(crate) state: State,
    /// How long an answer takes.
    pub(crate) delay_ms: u64,
    /// The most queries in flight. One more gets 429.
    pub(crate) limit: usize,
    /// After how long a proxy in front ends any query, and with which status; 0 for no response.
    pub(crate) cut: Option<(u64, u32)>,
    /// Services that are not answered, by the end of their names.
    pub(crate) mute: Option<&'static str>,
    /// The index and the endpoints of each service.
    services: BTreeMap<String, (u64, Vec<String>)>,
    index: u64,
    open: Vec<Open>,
    /// The most queries that were held, and in flight, at one time.
    pub(crate) most: (usize, usize),
    /// How many queries were refused for the limit.
    pub(crate) refused: usize,
    /// The instants at which each service was asked.
    pub(crate) asked: BTreeMap<String, Vec<u64>>,
    /// The waits that were asked for.
    pub(crate) waits: Vec<u64>,
}

// === impl Open ===

impl Open {
    fn new(worker: usize, question: SimQuestion, now: u64) -> Self {
        let subject = question.subject().trim_start_matches("/v1/health/service/").to_owned();
        let (service, query) = subject.split_once('?').unwrap_or((&subject, ""));
        let field = |name| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let ms = |text: &str| match text.strip_suffix("ms") {
            Some(ms) => ms.parse::<u64>().expect("a number"),
            None => 1_000 * text.trim_end_matches('s').parse::<u64>().expect("a number"),
        };
        Self {
            worker,
            service: service.to_owned(),
            index: field("index").map_or(0, |text| text.parse().expect("a number")),
            wait_ms: field("wait").map_or(0, ms),
            since: now,
            question,
        }
    }
}

// === impl Registry ===

impl Registry {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Up,
            delay_ms: 0,
            limit: usize::MAX,
            cut: None,
            mute: None,
            services: BTreeMap::new(),
            index: 1,
            open: Vec::new(),
            most: (0, 0),
            refused: 0,
            asked: BTreeMap::new(),
            waits: Vec::new(),
        }
    }

    /// The service has these endpoints from now on.
    pub(crate) fn register(&mut self, service: &str, endpoints: &[&str]) {
        self.index += 1;
        let endpoints = endpoints.iter().map(|one| (*one).to_owned()).collect();
        self.services.insert(service.to_owned(), (self.index, endpoints));
    }

    /// What is asked by the queries that are held.
    pub(crate) fn held(&self) -> Vec<String> {
        let short = |open: &Open| {
            let subject = open.question.subject().trim_start_matches("/v1/health/service/");
            subject.split("index=").next().unwrap_or_default().trim_end_matches(['?', '&']).to_owned()
        };
        let mut held: Vec<_> = self.open.iter().filter(|open| open.index > 0).map(short).collect();
        held.sort_unstable();
        held
    }

    /// Lets time pass in ticks of 100 ms. Answers that take no time come at once.
    pub(crate) fn run(&mut self, workers: &Workers, from: u64, to: u64) {
        for ms in (from..=to).step_by(100) {
            workers.at(ms).tick();
            for round in 0.. {
                assert!(round < 3_000, "questions without end at {ms}");
                let mut idle = true;
                for (at, worker) in workers.all.iter().enumerate() {
                    for question in worker.host.take_questions() {
                        self.take(at, question, ms).into_iter().for_each(|answer| worker.answer(&answer));
                        idle = false;
                    }
                }
                while let Some((worker, answer)) = self.next(ms) {
                    workers.all[worker].answer(&answer);
                    idle = false;
                }
                if idle {
                    break;
                }
            }
        }
    }

    /// Takes a query; the answer if there is one at once because of the limit.
    fn take(&mut self, worker: usize, question: SimQuestion, now: u64) -> Option<SimAnswer> {
        let open = Open::new(worker, question, now);
        self.asked.entry(open.service.clone()).or_default().push(now);
        if open.index > 0 {
            self.waits.push(open.wait_ms);
        }
        if self.open.len() >= self.limit {
            self.refused += 1;
            return Some(open.question.answer(429));
        }
        self.open.push(open);
        let held = self.open.iter().filter(|open| open.index > 0).count();
        self.most = (self.most.0.max(held), self.most.1.max(self.open.len()));
        None
    }

    /// The next answer that is due by now.
    fn next(&mut self, now: u64) -> Option<(usize, SimAnswer)> {
        let (at, answer) =
            self.open.iter().enumerate().find_map(|(at, open)| Some((at, self.answer(open, now)?)))?;
        Some((self.open.remove(at).worker, answer))
    }

    fn answer(&self, open: &Open, now: u64) -> Option<SimAnswer> {
        let age = now - open.since;
        let status = |status| match status {
            0 => open.question.failure(),
            status => open.question.answer(status),
        };
        if self.state == State::Down {
            return Some(status(self.cut.map_or(503, |_| 502)));
        }
        let empty = (1, Vec::new());
        let (index, list) = self.services.get(&open.service).unwrap_or(&empty);
        let mute = self.mute.is_some_and(|end| open.service.ends_with(end));
        let wait = if open.index > 0 && *index <= open.index { open.wait_ms } else { self.delay_ms };
        if self.state == State::Up && !mute && age >= wait {
            let list: Vec<&str> = list.iter().map(String::as_str).collect();
            let answer = open.question.answer(200).header("x-consul-index", &index.to_string());
            return Some(answer.body(&instances(&list)));
        }
        let cut = self.cut.filter(|(ms, _)| age >= *ms).map(|(_, code)| status(code));
        // Envoy's own, when the callout takes too long.
        let timeout = match &open.question.asked {
            tidegate_sim::Asked::Http { timeout_ms, .. } => u64::from(*timeout_ms),
            tidegate_sim::Asked::Name(_) => u64::MAX,
        };
        cut.or_else(|| (age >= timeout).then(|| status(504)))
    }
}
