//! The breaker filter, made to trap on demand, for tests of what becomes of probes.
//!
//! A request with `x-trap: request` ends the VM before the filter decides, so it is asked no
//! permit. Everything else is the filter's own.

use tidegate_policy::breaker::CircuitBreaker;
use tidegate_policy::config::ConfigError;
use tidegate_policy::host::{Host, Store, StoreError};
use tidegate_policy::http::{
    Callback, CellSpec, Edit, Metric, Placement, Request, RequestExt, Response, Stage, Verdict,
};

tidegate_glue::filter!(Trap);

/// The filter behind its trap.
struct Trap(CircuitBreaker);

impl Stage for Trap {
    const NAME: &'static str = CircuitBreaker::NAME;
    const PROPERTY: &'static str = CircuitBreaker::PROPERTY;
    const CALLBACKS: &'static [Callback] = CircuitBreaker::CALLBACKS;
    const TICK_MS: u32 = CircuitBreaker::TICK_MS;

    type Exchange = <CircuitBreaker as Stage>::Exchange;
    type Memory = <CircuitBreaker as Stage>::Memory;

    fn configure(json: &[u8], placement: Placement) -> Result<Self, ConfigError> {
        CircuitBreaker::configure(json, placement).map(Self)
    }

    fn cells(&self) -> impl Iterator<Item = CellSpec> {
        self.0.cells()
    }

    fn start(&mut self, store: &impl Store) -> Result<(), StoreError> {
        self.0.start(store)
    }

    fn stop(&self, store: &impl Store) {
        self.0.stop(store);
    }

    fn metrics(&self) -> Vec<Metric> {
        self.0.metrics()
    }

    fn on_request(&self, exchange: &mut Self::Exchange, request: &impl Request, host: &impl Host) -> Verdict {
        if request.header("x-trap") == Some(b"request") {
            panic!("trap: asked for in request headers");
        }
        self.0.on_request(exchange, request, host)
    }

    fn on_response(
        &self,
        exchange: &mut Self::Exchange,
        response: &impl Response,
        host: &impl Host,
    ) -> Vec<Edit> {
        self.0.on_response(exchange, response, host)
    }

    fn on_trailers(&self, exchange: &mut Self::Exchange, trailers: &impl Response, host: &impl Host) {
        self.0.on_trailers(exchange, trailers, host);
    }

    fn on_end(&self, exchange: &mut Self::Exchange, end: &impl Response, host: &impl Host) {
        self.0.on_end(exchange, end, host);
    }

    fn outcome<'a>(&'a self, exchange: &'a Self::Exchange) -> Option<&'a str> {
        self.0.outcome(exchange)
    }

    fn on_tick(&self, host: &impl Host) {
        self.0.on_tick(host);
    }
}
