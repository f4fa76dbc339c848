//! One filter of a chain, whatever its stage.

use std::sync::Arc;

use tidegate_policy::breaker::CircuitBreaker;
use tidegate_policy::discovery::Discovery;
use tidegate_policy::fused::Fused;
use tidegate_policy::http::{Edit, Reply, Stage, Verdict};
use tidegate_policy::ratelimit::{RateLimit, RateLimitWithHeaders};
use tidegate_policy::routing::Routing;
use tidegate_policy::time::Span;
use tidegate_sim::worker::StartError;
use tidegate_sim::{Exchange, SimHost, SimResponse, SimStore, Worker};

use super::Passing;
use crate::filter::Filter;

/// One filter of a chain.
pub trait Link {
    /// Which one.
    fn filter(&self) -> Filter;

    /// Sees a request, changes it as it wants, and stays with it until its end.
    fn begin<'a>(&'a self, passing: &mut Passing) -> (Option<Stop>, Vec<Edit>, Box<dyn Attending + 'a>);

    /// Moves its clock.
    fn set(&self, at: Span);

    /// Keeps house.
    fn tick(&self);

    /// What it wrote into the log.
    fn notes(&self) -> Vec<String>;

    /// Its metrics that are not 0, and what they stand at.
    fn metrics(&self) -> Vec<(String, u64)>;
}

/// Why a request does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The filter answered it.
    Answered(Reply),
    /// It is held back: nothing is known yet that it needs.
    Held,
}

/// A filter that waits for the end of a request.
pub trait Attending {
    /// The response passes by, and with it the end.
    fn end(self: Box<Self>, response: &SimResponse) -> Vec<Edit>;
}

struct Running<S: Stage> {
    filter: Filter,
    worker: Worker<S, SimHost>,
    metrics: Vec<String>,
}

struct Waiting<'a, S: Stage> {
    worker: &'a Worker<S, SimHost>,
    exchange: Exchange<S>,
}

/// The filter with a document.
///
/// # Errors
/// The document is wrong.
pub(super) fn of(filter: Filter, json: &str, store: &Arc<SimStore>) -> Result<Box<dyn Link>, String> {
    match filter {
        Filter::Breaker => start::<CircuitBreaker>(filter, json, store),
        Filter::Discovery => start::<Discovery>(filter, json, store),
        Filter::Fused => start::<Fused>(filter, json, store),
        Filter::RateLimit => start::<RateLimit>(filter, json, store),
        Filter::RateLimitWithHeaders => start::<RateLimitWithHeaders>(filter, json, store),
        Filter::Routing => start::<Routing>(filter, json, store),
    }
}

fn start<S: Stage + 'static>(
    filter: Filter,
    json: &str,
    store: &Arc<SimStore>,
) -> Result<Box<dyn Link>, String> {
    let stage = S::configure(json.as_bytes(), tidegate_policy::http::Placement::Downstream);
    let metrics = stage.map_err(|error| error.to_string())?.metrics();
    let host = SimHost::naming(store.clone(), &metrics);
    let worker = Worker::<S, _>::new(json, host).map_err(|error| match error {
        StartError::Config(error) => error.to_string(),
        StartError::Store(error) => error.to_string(),
    })?;
    let metrics = metrics.into_iter().map(|metric| metric.name).collect();
    Ok(Box::new(Running { filter, worker, metrics }))
}

impl<S: Stage> Link for Running<S> {
    fn filter(&self) -> Filter {
        self.filter
    }

    fn begin<'a>(&'a self, passing: &mut Passing) -> (Option<Stop>, Vec<Edit>, Box<dyn Attending + 'a>) {
        let (verdict, exchange) = self.worker.begin(&passing.seen());
        exchange.facts(self.worker.stage(), &mut |name, text| passing.tell(name, text));
        let (stop, edits) = match verdict {
            Verdict::Await(edits) => (Some(Stop::Held), edits),
            Verdict::Continue(edits) => (None, edits),
            Verdict::Reply(reply) => (Some(Stop::Answered(reply)), Vec::new()),
        };
        passing.apply(&edits);
        (stop, edits, Box::new(Waiting { worker: &self.worker, exchange }))
    }

    fn set(&self, at: Span) {
        self.worker.host.set(at);
    }

    fn tick(&self) {
        self.worker.tick();
    }

    fn notes(&self) -> Vec<String> {
        self.worker.host.take_notes()
    }

    fn metrics(&self) -> Vec<(String, u64)> {
        let counts = self.metrics.iter().enumerate();
        let counts = counts.map(|(index, name)| (name.clone(), self.worker.host.count(index)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

impl<S: Stage> Attending for Waiting<'_, S> {
    fn end(self: Box<Self>, response: &SimResponse) -> Vec<Edit> {
        self.worker.end(self.exchange, response)
    }
}
