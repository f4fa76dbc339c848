//! One request in flight: where it went, and what its endpoints are credited or blamed with.
//!
//! The placement around the exchange chooses the first endpoint and begins a flight; the one around
//! each attempt counts the attempt's outcome and chooses the next endpoint. Without that placement a
//! flight has no attempts, and the first placement counts for itself.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt::Write;

use crate::balance::Pool;
use crate::discovery::catalog::ejections::Ejections;
use crate::discovery::catalog::service_view::ServiceView;
use crate::discovery::catalog::table::Table;
use crate::discovery::config::policy::Steer;
use crate::discovery::metrics::ServiceMetric;
use crate::discovery::request::outcome::{Outcome, RequestEnd, Suspect};
use crate::host::Host;
use crate::time::{Span, Timestamp};

/// A request in flight.
#[derive(Debug)]
pub struct Flight {
    /// Its service.
    pub view: Rc<ServiceView>,
    /// The endpoints from which it chooses.
    pub table: Rc<Table>,
    /// The subset of them that it is for.
    pub pool: Rc<Pool>,
    /// The hash of its key, when the choice is by hash.
    pub hash: Option<u64>,
    /// The endpoints that it was sent to or will be, in order.
    pub picks: RefCell<Picks>,
    /// Attempts that began.
    pub attempts: Cell<u32>,
    /// Whether its client speaks gRPC: then responses are judged by their headers.
    pub grpc: bool,
    /// An attempt that ended before its response did, and not yet for a known reason.
    pub suspect: Cell<Option<Suspect>>,
    /// How the request ended, if it did before its last attempt.
    pub end: Cell<Option<RequestEnd>>,
}

/// The endpoints of one request, in the flight itself: nothing more is allocated.
///
/// ```
/// use tidegate_policy::discovery::request::flight::Picks;
///
/// let mut picks = Picks::default();
/// picks.add(4);
/// picks.add(2);
/// assert_eq!([picks.of(0), picks.of(1)], [Some(4), Some(2)]);
/// assert_eq!(picks.of(2), Some(2), "the last one again when there is no other");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Picks {
    list: [u32; MOST],
    count: usize,
}

/// Most endpoints that one request tries: the most that `attempts` may be.
pub const MOST: usize = 10;
/// A broken attempt counts as having taken at least this long: an endpoint that refuses connections at
/// once must not look like the fastest one.
const SLOW: Span = Span::from_secs(1);

// === impl Flight ===

impl Flight {
    /// A request that begins.
    #[must_use]
    pub fn new(
        view: &Rc<ServiceView>,
        table: &Rc<Table>,
        pool: Rc<Pool>,
        hash: Option<u64>,
        picks: Picks,
        grpc: bool,
    ) -> Self {
        Self {
            view: Rc::clone(view),
            table: Rc::clone(table),
            pool,
            hash,
            picks: RefCell::new(picks),
            attempts: Cell::default(),
            grpc,
            suspect: Cell::default(),
            end: Cell::default(),
        }
    }

    /// The endpoint of the `attempt`th attempt, counted from 0. Where Envoy chooses from a list it
    /// passes over endpoints that its cluster does not have: there the one that it `reported` counts.
    pub fn endpoint(&self, attempt: u32, reported: &dyn Fn() -> Option<Vec<u8>>) -> Option<u32> {
        match self.view.policy().steer {
            Steer::OriginalDst { .. } => self.picks.borrow().of(attempt),
            Steer::OverrideHost { .. } => self.table.place(&reported()?),
        }
    }

    /// An attempt begins.
    pub fn began(&self, endpoint: u32) {
        self.view.count(ServiceMetric::Attempts);
        if let Some(load) = self.table.load(endpoint) {
            load.began();
        }
    }

    /// An attempt is over that took this long: to the response's headers, if there was a response.
    pub fn ended(&self, endpoint: u32, outcome: Outcome, took: Span, now: Timestamp) {
        self.left(endpoint);
        self.learn(endpoint, outcome, took, now);
    }

    /// An attempt is over, whatever its outcome.
    pub fn left(&self, endpoint: u32) {
        if let Some(load) = self.table.load(endpoint) {
            load.left();
        }
    }

    /// Takes an outcome into the endpoint's latency and success.
    #[inline(never)]
    pub fn learn(&self, endpoint: u32, outcome: Outcome, took: Span, now: Timestamp) {
        let rtt = match outcome {
            Outcome::Answered(_) => took,
            Outcome::Broken => took.max(SLOW),
            Outcome::Left => return,
        };
        let failed = outcome.failed();
        if let Some(load) = self.table.load(endpoint) {
            load.learned(now, Some(rtt), !failed);
        }
        if failed {
            self.view.count(ServiceMetric::Failures);
        }
    }

    /// Takes an outcome into the endpoint's consecutive failures, and ejects it when they are enough.
    #[inline(never)]
    pub fn judge(&self, endpoint: u32, outcome: Outcome, now: Timestamp, host: &impl Host) {
        let Some(params) = self.view.ejections().map(Ejections::params) else { return };
        let Some(status) = outcome.status() else { return };
        let Some(cell) = self.table.runs(endpoint) else { return };
        let mut runs = cell.get();
        let trips = runs.take(status, params.consecutive_5xx, params.consecutive_gateway_failure);
        cell.set(runs);
        if trips.any_5xx || trips.gateway {
            self.view.eject(&self.table, endpoint, now, host);
        }
    }

    /// Whether headers are enough to judge an endpoint: nothing that follows makes a failure well, and
    /// of a response without a body nothing follows.
    #[must_use]
    pub fn judges_headers(&self, outcome: Outcome, end_of_stream: bool) -> bool {
        self.grpc || end_of_stream || outcome.failed()
    }

    /// The request of an attempt that ended before its response did is over, too.
    pub fn settle(&self, suspect: Suspect, end: RequestEnd, now: Timestamp, host: &impl Host) {
        let patience = self.view.ejections().and_then(|ejections| ejections.params().patience);
        self.blame(suspect, suspect.at_end(end, patience), now, host);
    }

    /// The outcome of an attempt that ended before its response did has become known.
    pub fn blame(&self, suspect: Suspect, outcome: Outcome, now: Timestamp, host: &impl Host) {
        self.learn(suspect.endpoint, outcome, suspect.took, now);
        self.judge(suspect.endpoint, outcome, now, host);
    }
}

// === impl Picks ===

impl Picks {
    /// Adds one, if there is room.
    pub fn add(&mut self, endpoint: u32) {
        if let Some(place) = self.list.get_mut(self.count) {
            *place = endpoint;
            self.count = self.count.saturating_add(1);
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[u32] {
        self.list.get(..self.count).unwrap_or(&[])
    }

    /// The one of the `attempt`th attempt, counted from 0: the last one is tried again when there is
    /// no other.
    #[must_use]
    pub fn of(&self, attempt: u32) -> Option<u32> {
        let all = self.all();
        let at = usize::try_from(attempt).unwrap_or(usize::MAX);
        all.get(at).or(all.last()).copied()
    }

    /// The addresses of all of them, separated by commas.
    #[must_use]
    pub fn addresses(&self, table: &Table) -> Rc<str> {
        let mut all = String::new();
        for text in self.all().iter().filter_map(|endpoint| table.text(*endpoint)) {
            let comma = if all.is_empty() { "" } else { "," };
            let _ = write!(all, "{comma}{text}");
        }
        all.into()
    }
}
