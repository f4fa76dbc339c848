//! The discovery filter, made to trap on demand, for tests of what is known afterwards.
//!
//! A request with `x-trap: request` ends the VM before the filter decides. Everything else is the
//! filter's own.

use std::rc::Rc;

use tidegate_policy::config::ConfigError;
use tidegate_policy::discovery::Discovery;
use tidegate_policy::host::{Answer, Host, Store, StoreError};
use tidegate_policy::http::{
    Callback, CellSpec, Edit, Metric, Placement, Request, RequestExt, Response, Stage, Verdict,
};

tidegate_glue::filter!(Trap);

/// The filter behind its trap.
struct Trap(Discovery);

impl Stage for Trap {
    const NAME: &'static str = Discovery::NAME;
    const PROPERTY: &'static str = Discovery::PROPERTY;
    const CALLBACKS: &'static [Callback] = Discovery::CALLBACKS;
    const TICK_MS: u32 = Discovery::TICK_MS;

    type Exchange = <Discovery as Stage>::Exchange;
    type Memory = <Discovery as Stage>::Memory;

    fn configure(json: &[u8], placement: Placement) -> Result<Self, ConfigError> {
        Discovery::configure(json, placement).map(Self)
    }

    fn share(&mut self, memory: &Rc<Self::Memory>) {
        self.0.share(memory);
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

    fn reads_headers(&self) -> bool {
        self.0.reads_headers()
    }

    fn on_request(&self, exchange: &mut Self::Exchange, request: &impl Request, host: &impl Host) -> Verdict {
        if request.header("x-trap") == Some(b"request") {
            panic!("trap: asked for in request headers");
        }
        self.0.on_request(exchange, request, host)
    }

    fn on_wait(&self, exchange: &mut Self::Exchange, host: &impl Host) -> Verdict {
        self.0.on_wait(exchange, host)
    }

    fn on_callout(&self, answer: &impl Answer, host: &impl Host) {
        self.0.on_callout(answer, host);
    }

    fn on_response(
        &self,
        exchange: &mut Self::Exchange,
        response: &impl Response,
        host: &impl Host,
    ) -> Vec<Edit> {
        self.0.on_response(exchange, response, host)
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
