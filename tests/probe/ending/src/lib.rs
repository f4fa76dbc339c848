//! Logs what can be read once an exchange is over: why it ended, whatever became of it.

use std::rc::Rc;

use tidegate_policy::config::{ConfigError, Reader};
use tidegate_policy::host::{Host, Store, StoreError};
use tidegate_policy::http::{
    Attribute, Callback, CellSpec, Ending, Metric, Placement, Request, Response, ResponseExt, Stage, Verdict,
};

tidegate_glue::filter!(Ends);

/// Has no configuration and remembers nothing.
struct Ends;

impl Stage for Ends {
    const NAME: &'static str = "ending";
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

    fn on_end(&self, _exchange: &mut (), _ending: Ending, end: &impl Response, host: &impl Host) {
        let text = |which| {
            let bytes = end.attribute(which).unwrap_or_else(|| b"absent".to_vec());
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (details, flags) = (text(Attribute::Details), end.number(Attribute::Flags));
        let cluster = text(Attribute::Cluster);
        host.note(&format!("ended: details {details}, flags {flags:#x}, cluster {cluster}"));
    }
}
