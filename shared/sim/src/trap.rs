//! A stage that traps on demand, for tests of what becomes of a worker whose VM ended.

use std::rc::Rc;

use tidegate_policy::claims::Claim;
use tidegate_policy::config::Reader;
use tidegate_policy::host::{Answer, Host, Store, StoreError};
use tidegate_policy::http::{
    Callback, CellSpec, Edit, Ending, Metric, Placement, Request, RequestExt, Response, Stage, Verdict,
};

/// A stage behind its trap: a request with `x-trap: request` ends the VM before the stage sees it, so
/// that nothing is charged or asked for it. Everything else is the stage's own.
#[derive(Debug)]
pub struct Trap<S>(S);

impl<S: Stage> Stage for Trap<S> {
    const NAME: &'static str = S::NAME;
    const CALLBACKS: &'static [Callback] = S::CALLBACKS;
    const SEVERAL: bool = S::SEVERAL;
    const CLAIMS: bool = S::CLAIMS;
    const TICK_MS: u32 = S::TICK_MS;
    const WAIT_MS: u32 = S::WAIT_MS;

    type Exchange = S::Exchange;
    type Memory = S::Memory;

    fn read(reader: &Reader<'_>, placement: Placement) -> Option<Self> {
        S::read(reader, placement).map(Self)
    }

    fn cells(&self) -> impl Iterator<Item = CellSpec> {
        self.0.cells()
    }

    fn start(&mut self, memory: &Rc<Self::Memory>, store: &impl Store) -> Result<(), StoreError> {
        self.0.start(memory, store)
    }

    fn stop(&self, host: &impl Host) {
        self.0.stop(host);
    }

    fn metrics(&self) -> Vec<Metric> {
        self.0.metrics()
    }

    fn claims(&self) -> Vec<Claim> {
        self.0.claims()
    }

    fn on_request(&self, exchange: &mut Self::Exchange, request: &impl Request, host: &impl Host) -> Verdict {
        assert!(request.header("x-trap") != Some(b"request"), "trap: asked for in request headers");
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

    fn on_trailers(&self, exchange: &mut Self::Exchange, trailers: &impl Response, host: &impl Host) {
        self.0.on_trailers(exchange, trailers, host);
    }

    fn on_request_complete(&self, exchange: &mut Self::Exchange, host: &impl Host) {
        self.0.on_request_complete(exchange, host);
    }

    fn on_end(&self, exchange: &mut Self::Exchange, ending: Ending, end: &impl Response, host: &impl Host) {
        self.0.on_end(exchange, ending, end, host);
    }

    fn facts(&self, exchange: &Self::Exchange, tell: &mut dyn FnMut(&'static str, &str)) {
        self.0.facts(exchange, tell);
    }

    fn on_tick(&self, host: &impl Host) {
        self.0.on_tick(host);
    }
}
