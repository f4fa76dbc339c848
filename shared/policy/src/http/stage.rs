//! A stage: one policy around one exchange.

use alloc::string::String;
use alloc::vec::Vec;

use super::message::Request;
use super::verdict::{Edit, Verdict};
use crate::config::ConfigError;
use crate::host::{Host, Store, StoreError};

/// One policy around one exchange. Glue and the simulator drive it; it never blocks.
pub trait Stage: Sized {
    /// One word, as in metrics and log lines.
    const NAME: &'static str;

    /// The filter state that carries [`Stage::outcome`]; Envoy puts `wasm.` before it.
    const PROPERTY: &'static str;

    /// What the host should call. A module exports these and no others, because the host
    /// enters the module for every callback that it finds.
    const CALLBACKS: &'static [Callback];

    /// What to remember between the callbacks of one exchange.
    type Exchange: Default;

    /// Makes the policy of a JSON document.
    ///
    /// # Errors
    /// Every problem of the document.
    fn configure(json: &[u8]) -> Result<Self, ConfigError>;

    /// Every cell that the policy uses, one at a time. The host creates the missing ones before
    /// traffic.
    fn cells(&self) -> impl Iterator<Item = CellSpec>;

    /// Reads what it needs from the cells, once, after they were created.
    ///
    /// # Errors
    /// When the store does not have what it should.
    fn start(&mut self, store: &impl Store) -> Result<(), StoreError>;

    /// The counters, in the order in which [`crate::host::Meter::add`] numbers them.
    fn counters(&self) -> Vec<Counter>;

    /// Decides a request.
    fn on_request(&self, exchange: &mut Self::Exchange, request: &impl Request, host: &impl Host) -> Verdict;

    /// Edits to the response of an exchange that went on.
    fn on_response(&self, exchange: &mut Self::Exchange, host: &impl Host) -> Vec<Edit> {
        let _ = (exchange, host);
        Vec::new()
    }

    /// One word or two on what was decided, for access logs; `None` when there is nothing
    /// to say. No user input.
    fn outcome<'a>(&'a self, exchange: &'a Self::Exchange) -> Option<&'a str> {
        let _ = exchange;
        None
    }

    /// Housekeeping, a few times a second on every worker.
    fn on_tick(&self, host: &impl Host) {
        let _ = host;
    }
}

/// What a host can call besides the callbacks that every module needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Callback {
    /// Request headers arrived.
    RequestHeaders,
    /// Response headers are about to leave.
    ResponseHeaders,
    /// The timer fired.
    Tick,
}

/// A cell to create before traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellSpec {
    /// Its name; never made of anything that a client sent.
    pub name: String,
    /// What it holds at first.
    pub seed: Seed,
}

/// The first bytes of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// So many random bytes.
    Random(usize),
    /// So many zero bytes.
    Zeros(usize),
}

/// A counter of the closed list that a stage declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its full name.
    pub name: String,
    /// What it counts, for the reference.
    pub help: &'static str,
}

// === impl Callback ===

impl Callback {
    /// The name under which a module exports it.
    #[must_use]
    pub const fn export(self) -> &'static str {
        match self {
            Self::RequestHeaders => "proxy_on_request_headers",
            Self::ResponseHeaders => "proxy_on_response_headers",
            Self::Tick => "proxy_on_tick",
        }
    }
}
