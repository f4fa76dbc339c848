//! The breaker filter as a stage: each callback of the host, passed on to where it is decided.
//!
//! [`CircuitBreaker`] holds nothing but `Breakers`. Requests go to `request.rs`, responses and ends
//! of exchanges to `outcome.rs`.

use alloc::rc::Rc;
use alloc::vec::Vec;

use super::breakers::Breakers;
use super::config::Policy;
use super::exchange::Exchange;
use super::live::Live;
use super::metrics;
use super::outcome::Settlement;
use super::request::Checks;
use crate::claims::Claim;
use crate::config::Reader;
use crate::host::{Host, Store, StoreError};
use crate::http::steering::Note;
use crate::http::{
    Callback, CellSpec, Edit, Ending, Metric, Parsed, Placement, Request, Response, Stage, Verdict,
};

/// The breaker filter.
///
/// ```
/// use tidegate_policy::breaker::CircuitBreaker;
/// use tidegate_policy::http::{Placement, Stage};
///
/// let json = br#"{"breakers": [{"name": "checkout", "target": {"cluster": "checkout"}}]}"#;
/// let stage = CircuitBreaker::configure(json, Placement::Downstream).unwrap();
/// assert_eq!(stage.cells().count(), 2, "one target, one record, and what was seen of it");
/// assert!(stage.metrics().iter().any(|m| m.name == "tidegate.breaker.breaker.checkout.refused"));
/// ```
pub struct CircuitBreaker {
    breakers: Breakers,
}

impl CircuitBreaker {
    /// What it was told.
    pub(crate) fn policy(&self) -> &Policy {
        &self.breakers.policy
    }

    /// Whether the breaker at `at` would refuse a request now, if it has one target: for a module that can
    /// send the request elsewhere. With a body that is to come or without.
    pub(crate) fn would_refuse(&self, at: usize, upload: bool, host: &impl Host) -> bool {
        self.breakers.would_refuse(at, upload, host.now(), host)
    }

    /// A request was sent elsewhere, since the breaker at `at` would have refused it: it is one that requests
    /// have.
    pub(crate) fn saw(&self, at: usize) {
        self.breakers.unused.usage.saw(at);
    }
}

impl Stage for CircuitBreaker {
    const NAME: &'static str = "breaker";
    const CLAIMS: bool = true;
    const CALLBACKS: &'static [Callback] = &[
        Callback::RequestBody,
        Callback::RequestHeaders,
        Callback::RequestTrailers,
        Callback::ResponseBody,
        Callback::ResponseHeaders,
        Callback::ResponseTrailers,
        Callback::Tick,
    ];
    const TICK_MS: u32 = 100;

    type Exchange = Exchange;
    type Memory = Live;

    fn read(reader: &Reader<'_>, placement: Placement) -> Option<Self> {
        Some(Self { breakers: Breakers::new(Policy::read(reader)?, placement) })
    }

    fn cells(&self) -> impl Iterator<Item = CellSpec> {
        self.breakers.cells()
    }

    fn start(&mut self, memory: &Rc<Live>, store: &impl Store) -> Result<(), StoreError> {
        self.breakers.start(store)?;
        self.breakers.join(memory);
        Ok(())
    }

    fn stop(&self, host: &impl Host) {
        self.breakers.leave(host);
    }

    fn metrics(&self) -> Vec<Metric> {
        let policy = &self.breakers.policy;
        metrics::metrics(&policy.scope, policy.breakers.iter().map(|breaker| breaker.name.as_str()))
    }

    fn claims(&self) -> Vec<Claim> {
        let policy = &self.breakers.policy;
        policy.breakers.iter().map(|breaker| breaker.claim(&policy.scope)).collect()
    }

    fn reads_headers(&self) -> bool {
        self.breakers.reads_headers
    }

    fn on_request(&self, exchange: &mut Exchange, request: &impl Request, host: &impl Host) -> Verdict {
        if self.breakers.idle {
            self.breakers.unused.usage.passed(self.breakers.placement);
            return Verdict::Continue(Vec::new());
        }
        let request = &Parsed::new(request);
        Checks::new(&self.breakers, exchange, host).run(request)
    }

    fn on_forged(&self, host: &impl Host) {
        host.add(metrics::route_forged(self.breakers.policy.breakers.len()), 1);
    }

    fn on_request_complete(&self, exchange: &mut Exchange, host: &impl Host) {
        // Probes that wait for the end have left the exchange.
        if exchange.first.is_some() || exchange.held.is_some() || self.breakers.blames {
            exchange.completed_ms.get_or_insert_with(|| host.now().as_millis());
        }
    }

    fn on_response(&self, exchange: &mut Exchange, response: &impl Response, host: &impl Host) -> Vec<Edit> {
        if exchange.fell_back.is_some() {
            Settlement::new(&self.breakers, response, host).on_arrival(exchange);
        } else {
            self.breakers.reached.learn(exchange, response);
        }
        self.breakers.unused.sample(response);
        if exchange.first.is_some() || self.breakers.blames {
            Settlement::new(&self.breakers, response, host).on_response(exchange);
        }
        Vec::new()
    }

    fn on_trailers(&self, exchange: &mut Exchange, trailers: &impl Response, host: &impl Host) {
        if let Some(answered) = exchange.answered.filter(|answered| answered.lacks_status) {
            Settlement::new(&self.breakers, trailers, host).on_trailers(exchange, answered.took_ms);
        }
    }

    fn on_end(&self, exchange: &mut Exchange, ending: Ending, end: &impl Response, host: &impl Host) {
        self.breakers.waiting.recall(exchange);
        if exchange.fell_back.is_some() && ending != Ending::NeverSent {
            Settlement::new(&self.breakers, end, host).on_arrival(exchange);
        }
        if exchange.first.is_some() || self.breakers.blames && ending == Ending::Incomplete {
            let settlement = match self.breakers.well_ended(exchange, ending) {
                Some(now) => Settlement::at(now, &self.breakers, end, host),
                None => Settlement::new(&self.breakers, end, host),
            };
            settlement.on_end(exchange, ending);
        }
    }

    fn facts(&self, exchange: &Exchange, tell: &mut dyn FnMut(&'static str, &str)) {
        if let Some(text) = self.breakers.label(exchange) {
            tell("tidegate.breaker", text);
        }
        if let Some(breaker) = exchange.evaded.and_then(|at| self.breakers.get(at)) {
            Note::Passed(&breaker.name).tell(tell);
        }
    }

    fn on_tick(&self, host: &impl Host) {
        self.breakers.tick(host);
    }
}
