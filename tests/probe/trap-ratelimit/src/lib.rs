//! The rate-limit filter, made to trap on demand, for tests of what it remembers of before.
//!
//! A request with `x-trap: request` ends the VM before the filter decides, so it is charged
//! nowhere. Everything else is the filter's own.

use tidegate_policy::config::ConfigError;
use tidegate_policy::host::{Host, Store, StoreError};
use tidegate_policy::http::{
    Callback, CellSpec, Edit, Metric, Placement, Request, RequestExt, Response, Stage, Verdict,
};
use tidegate_policy::ratelimit::RateLimit;

tidegate_glue::filter!(Trap);

/// The filter behind its trap.
struct Trap(RateLimit);

impl Stage for Trap {
    const NAME: &'static str = RateLimit::NAME;
    const PROPERTY: &'static str = RateLimit::PROPERTY;
    const CALLBACKS: &'static [Callback] = RateLimit::CALLBACKS;

    type Exchange = <RateLimit as Stage>::Exchange;
    type Memory = <RateLimit as Stage>::Memory;

    fn configure(json: &[u8], placement: Placement) -> Result<Self, ConfigError> {
        RateLimit::configure(json, placement).map(Self)
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

    fn outcome<'a>(&'a self, exchange: &'a Self::Exchange) -> Option<&'a str> {
        self.0.outcome(exchange)
    }

    fn on_tick(&self, host: &impl Host) {
        self.0.on_tick(host);
    }
}
