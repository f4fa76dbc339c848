//! What tests of the breaker have in common: a few workers with one clock, and letters for calls.

use std::sync::Arc;

use tidegate_policy::breaker::stage::CircuitBreaker;
use tidegate_policy::http::{Attribute, Reply, Verdict};
use tidegate_policy::time::Span;
use tidegate_sim::{SimHost, SimRequest, SimResponse, SimStore, Worker};

pub(crate) type Sim = Worker<CircuitBreaker, SimHost>;
pub(crate) type Exchange = tidegate_sim::Exchange<CircuitBreaker>;

/// The workers of one Envoy.
pub(crate) struct Workers {
    pub(crate) store: Arc<SimStore>,
    pub(crate) all: Vec<Sim>,
}

/// One breaker `a` of the cluster `up` without jitter, with these fields besides.
pub(crate) fn config(fields: &str) -> String {
    of(r#"{"cluster": "up"}"#, fields)
}

/// One breaker `a` of a target.
pub(crate) fn of(target: &str, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { ", " };
    format!(r#"{{"breakers": [{{"name": "a", "target": {target}, "jitter_percent": 0{comma}{fields}}}]}}"#)
}

/// A request to the cluster `up`.
pub(crate) fn up<'a>() -> SimRequest<'a> {
    to("up")
}

pub(crate) fn to<'a>(cluster: &'a str) -> SimRequest<'a> {
    SimRequest::get("/").attribute(Attribute::Cluster, cluster.as_bytes())
}

/// The reply, which there must be.
pub(crate) fn reply(verdict: Verdict) -> Reply {
    match verdict {
        Verdict::Reply(reply) => reply,
        Verdict::Await(edits) | Verdict::Continue(edits) => panic!("no reply but {edits:?}"),
    }
}

/// A response for a letter: `S`uccess, `F`ailure, `T`hrottled, `N`ot found, `L`ocal reply of
/// another filter; `None` when the `C`lient left before there was one.
pub(crate) fn response(letter: char) -> Option<SimResponse> {
    Some(match letter {
        'S' => SimResponse::upstream(200),
        'F' => SimResponse::upstream(503),
        'T' => SimResponse::upstream(429),
        'N' => SimResponse::upstream(404),
        'L' => SimResponse::local(503, "", 0),
        'C' => return None,
        _ => panic!("{letter} is no outcome"),
    })
}

/// Ends an exchange as a letter says.
pub(crate) fn end(worker: &Sim, exchange: Exchange, letter: char) {
    match response(letter) {
        Some(response) => drop(worker.end(exchange, &response)),
        None => {
            let gone = SimResponse::none().attribute(Attribute::Flags, &(1_u64 << 14).to_le_bytes());
            worker.abort(exchange, &gone);
        }
    }
}

/// Asks: `+` passes, `p` passes as a probe, `-` does not pass.
pub(crate) fn ask(worker: &Sim, request: &SimRequest<'_>) -> (char, Exchange) {
    let (verdict, exchange) = worker.begin(request);
    let outcome = worker.outcome(&exchange);
    let probe = outcome.is_some_and(|word| word.starts_with("probe:"));
    let passes = matches!(verdict, Verdict::Continue(_));
    (
        if probe {
            'p'
        } else if passes {
            '+'
        } else {
            '-'
        },
        exchange,
    )
}

/// One exchange after another, each ended as its letter says; the answers to the requests.
pub(crate) fn calls(worker: &Sim, request: &SimRequest<'_>, letters: &str) -> String {
    let one = |letter| {
        let (word, exchange) = ask(worker, request);
        if word != '-' {
            end(worker, exchange, letter);
        }
        word
    };
    letters.chars().map(one).collect()
}

// === impl Workers ===

impl Workers {
    pub(crate) fn new(count: usize, json: &str) -> Self {
        Self::on(&Arc::default(), count, json)
    }

    pub(crate) fn on(store: &Arc<SimStore>, count: usize, json: &str) -> Self {
        let worker = |_| Worker::new(json, SimHost::new(store.clone())).expect("a right configuration");
        Self { store: store.clone(), all: (0..count).map(worker).collect() }
    }

    /// What access logs say of an exchange.
    pub(crate) fn outcome(&self, exchange: &Exchange) -> String {
        self.all[0].outcome(exchange).unwrap_or_default()
    }

    /// Around attempts.
    pub(crate) fn attempts(count: usize, json: &str) -> Self {
        Self::attempts_on(&Arc::default(), count, json)
    }

    pub(crate) fn attempts_on(store: &Arc<SimStore>, count: usize, json: &str) -> Self {
        let worker = |_| Worker::attempt(json, SimHost::new(store.clone())).expect("a right configuration");
        Self { store: store.clone(), all: (0..count).map(worker).collect() }
    }

    /// Moves all clocks.
    pub(crate) fn at(&self, ms: u64) -> &Self {
        self.all.iter().for_each(|worker| worker.host.set(Span::from_millis(ms)));
        self
    }

    pub(crate) fn tick(&self) -> &Self {
        self.all.iter().for_each(Worker::tick);
        self
    }

    /// Calls of the first worker to the cluster `up`.
    pub(crate) fn calls(&self, letters: &str) -> String {
        calls(&self.all[0], &up(), letters)
    }

    /// What a metric of the breaker `a` came to on all workers together.
    pub(crate) fn count(&self, what: &str) -> u64 {
        self.count_of("a", what)
    }

    pub(crate) fn count_of(&self, breaker: &str, what: &str) -> u64 {
        let name = format!("tidegate.breaker.breaker.{breaker}.{what}");
        self.all.iter().map(|worker| worker.host.count(worker.counter(&name))).sum()
    }

    /// The state of the breaker `a` as the first worker shows it.
    pub(crate) fn state(&self) -> u64 {
        self.all[0].tick();
        self.all[0].host.count(self.all[0].counter("tidegate.breaker.breaker.a.state"))
    }

    /// The lines for the log of all workers since the last time.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.all.iter().flat_map(|worker| worker.host.take_notes()).collect()
    }
}
