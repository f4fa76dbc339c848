//! Requests through the filters, in the order of time: each ends when its upstream answers, while others go
//! on.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tidegate_policy::time::Span;
use tidegate_sim::SimResponse;

use super::{Arrival, Tally};
use crate::engine::{Attending, Engine, Passing, Router, Stop};
use crate::find::Chain;

/// A simulation that goes on.
pub struct Simulation<'e> {
    engine: &'e Engine,
    router: Router<'e>,
    start: Span,
    /// Requests that have not ended, the next one first.
    pending: BinaryHeap<Reverse<Due>>,
    /// What waits for them, by their numbers.
    waiting: Vec<Option<Waiting<'e>>>,
    free: Vec<usize>,
    tally: Tally,
    /// Endpoints that fail every request.
    down: Vec<String>,
}

struct Waiting<'e> {
    attending: Vec<Box<dyn Attending + 'e>>,
    response: SimResponse,
}

/// When a request ends, and its number.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due(Span, usize);

/// The header with the endpoint of a discovered service.
const ENDPOINT: &str = "x-envoy-original-dst-host";

// === impl Simulation ===

impl<'e> Simulation<'e> {
    /// Nothing has arrived yet.
    #[must_use]
    pub fn new(chain: &'e Chain, engine: &'e Engine, usual: &str, down: &[String]) -> Self {
        let (pending, waiting, free) = (BinaryHeap::new(), Vec::new(), Vec::new());
        let (router, start, tally) = (Router::new(chain, usual), engine.now(), Tally::new(chain));
        let down = down.to_vec();
        Self { engine, router, start, pending, waiting, free, tally, down }
    }

    /// How many arrived.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.tally.total()
    }

    /// A request arrives. One that is older than the last is taken to arrive with it.
    pub fn take(&mut self, arrival: Arrival) {
        let at = self.start.plus(arrival.at).max(self.engine.now());
        self.end_until(at);
        self.engine.advance(at);
        let mut passing: Passing = arrival.request;
        self.router.choose(&mut passing);
        let mut attending = Vec::with_capacity(self.engine.links.len());
        let mut stopped = None;
        for link in &self.engine.links {
            let (stop, _, waiting) = link.begin(&mut passing);
            attending.push(waiting);
            if let Some(stop) = stop {
                stopped = Some((link.filter(), stop));
                break;
            }
        }
        if stopped.is_none() {
            self.router.choose(&mut passing);
        }
        let since = at.minus(self.start);
        self.tally.add(since, &passing, stopped.as_ref());
        let (response, took) = match stopped {
            Some((_, Stop::Answered(reply))) => {
                (SimResponse::local(reply.status, &reply.details, 0), Span::ZERO)
            }
            Some((_, Stop::Held)) => (SimResponse::none(), Span::ZERO),
            None => {
                let endpoint = passing.bytes(ENDPOINT).unwrap_or_default();
                let is_down = self.down.iter().any(|down| down.as_bytes() == endpoint);
                (SimResponse::upstream(if is_down { 503 } else { arrival.status }), arrival.took)
            }
        };
        let waiting = Waiting { attending, response: passing.told(response) };
        if took == Span::ZERO {
            waiting.end();
            return;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.waiting.push(None);
            self.waiting.len() - 1
        });
        if let Some(place) = self.waiting.get_mut(number) {
            *place = Some(waiting);
        }
        self.pending.push(Reverse(Due(at.plus(took), number)));
    }

    /// All that ends until then.
    fn end_until(&mut self, at: Span) {
        while let Some(Reverse(Due(due, number))) = self.pending.pop() {
            if due > at {
                self.pending.push(Reverse(Due(due, number)));
                return;
            }
            self.engine.advance(due);
            if let Some(waiting) = self.waiting.get_mut(number).and_then(Option::take) {
                self.free.push(number);
                waiting.end();
            }
        }
    }

    /// All requests end; what was counted.
    #[must_use]
    pub fn finish(mut self) -> Tally {
        self.end_until(Span::from_nanos(u64::MAX));
        let metrics = self.engine.links.iter().flat_map(|link| link.metrics()).collect();
        let notes = self.engine.links.iter().flat_map(|link| link.notes()).collect();
        self.tally.closed(metrics, notes)
    }
}

impl Waiting<'_> {
    fn end(self) {
        for attending in self.attending.into_iter().rev() {
            attending.end(&self.response);
        }
    }
}
