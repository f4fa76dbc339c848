//! Runs the contracts inside Envoy: the store's through the glue's own store, and the route's.
//!
//! Each request runs the store's once, on cells named after the request's path, and is answered
//! with 200 or with 500 and the promise that was not kept. One for `/route` goes on, and its response
//! says what this filter noted.

use std::rc::Rc;

use tidegate_glue::envoy::Envoy;
use tidegate_policy::config::{ConfigError, Reader};
use tidegate_policy::host::{Host, Store, StoreError};
use tidegate_policy::http::{
    Callback, CellSpec, Edit, Metric, Placement, Reply, Request, RequestExt, Response, Stage, Verdict,
};
use tidegate_sim::contract;

tidegate_glue::filter!(Contract);

/// Has no configuration.
struct Contract;

impl Stage for Contract {
    const NAME: &'static str = "contract";
    const CALLBACKS: &'static [Callback] = &[Callback::RequestHeaders, Callback::ResponseHeaders];

    type Exchange = String;
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

    fn on_request(&self, noted: &mut String, request: &impl Request, _host: &impl Host) -> Verdict {
        if request.path() == b"/route" {
            return contract::note(noted, request);
        }
        let name = String::from_utf8_lossy(request.path()).into_owned();
        let (status, body) = match contract::check(&Envoy, &name) {
            Ok(()) => (200, "kept".to_owned()),
            Err(broken) => (500, broken),
        };
        let details = "contract".to_owned();
        Verdict::Reply(Reply { status, grpc_status: 0, headers: Vec::new(), body, details })
    }

    fn on_response(&self, noted: &mut String, response: &impl Response, _host: &impl Host) -> Vec<Edit> {
        if noted.is_empty() {
            return Vec::new();
        }
        contract::tell(noted, response)
    }
}
