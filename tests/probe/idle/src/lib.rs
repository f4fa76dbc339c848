//! A filter of ours that does nothing: what our glue costs before a stage does anything.

use std::rc::Rc;

use tidegate_policy::config::{ConfigError, Reader};
use tidegate_policy::host::{Host, Store, StoreError};
use tidegate_policy::http::{Callback, CellSpec, Metric, Placement, Request, Stage, Verdict};

tidegate_glue::filter!(Idle);

/// Has no configuration and remembers nothing.
struct Idle;

impl Stage for Idle {
    const NAME: &'static str = "idle";
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

    fn on_request(&self, _exchange: &mut (), _request: &impl Request, _host: &impl Host) -> Verdict {
        Verdict::Continue(Vec::new())
    }
}
