//! Runs the store contract inside Envoy, through the glue's own store.
//!
//! Each request runs it once, on cells named after the request's path, and is answered
//! with 200 or with 500 and the promise that was not kept.

use std::rc::Rc;

use tidegate_glue::envoy::Envoy;
use tidegate_policy::config::{ConfigError, Reader};
use tidegate_policy::host::{Host, Store, StoreError};
use tidegate_policy::http::{
    Callback, CellSpec, Metric, Placement, Reply, Request, RequestExt, Stage, Verdict,
};

tidegate_glue::filter!(Contract);

/// Has no configuration and remembers nothing.
struct Contract;

impl Stage for Contract {
    const NAME: &'static str = "contract";
    const CALLBACKS: &'static [Callback] = &[Callback::RequestHeaders];

    type Exchange = ();
    type Memory = ();

    fn read(_reader: &Reader<'_>, _placement: Placement) -> Option<Self> {
        Some(Self)
    }

    fn configure(_json: &[u8], _placement: Placement) -> Result<Self, ConfigError> {
        Ok(Self)
    }

    fn cells(&self) -> impl Iterator<Item = CellSpec> {
        std::iter::empty()
    }

    fn start(&mut self, _memory: &Rc<()>, _store: &impl Store) -> Result<(), StoreError> {
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    fn on_request(&self, _exchange: &mut (), request: &impl Request, _host: &impl Host) -> Verdict {
        let name = String::from_utf8_lossy(request.path()).into_owned();
        let (status, body) = match tidegate_sim::contract::check(&Envoy, &name) {
            Ok(()) => (200, "kept".to_owned()),
            Err(broken) => (500, broken),
        };
        let details = "contract".to_owned();
        Verdict::Reply(Reply { status, grpc_status: 0, headers: Vec::new(), body, details })
    }
}
