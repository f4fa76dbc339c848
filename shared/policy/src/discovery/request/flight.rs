//! One request in flight: where it went, and what its endpoints are credited or blamed with.
//!
//! The placement around the exchange chooses the first endpoint and begins a flight; the one around
//! each attempt counts the attempt's outcome and chooses the next endpoint. Without that placement a
//! flight has no attempts, and the first placement counts for itself.
//!
//! A flight keeps what it picked and nothing else of the endpoints: a further one is picked among those
//! that there are by then, and a stream that lasts for days does not keep a table.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt::Write;

use crate::balance::{Ask, Pool};
use crate::discovery::catalog::endpoint_stats::EndpointStats;
use crate::discovery::catalog::service_view::ServiceView;
use crate::discovery::catalog::table::Table;
use crate::discovery::config::policy::{Steer, Subset};
use crate::discovery::metrics::ServiceMetric;
use crate::discovery::request::handover::{self, Report};
use crate::discovery::request::outcome::{Outcome, RequestEnd, Suspect};
use crate::host::Host;
use crate::http::{Attribute, Response};
use crate::time::{Span, Timestamp};

/// A request in flight.
#[derive(Debug)]
pub struct Flight {
    /// Its service.
    pub view: Rc<ServiceView>,
    /// The subset of its endpoints that it is for, unless it is the service's own.
    pub subset: Option<Rc<Subset>>,
    /// The hash of its key, when the choice is by hash.
    pub hash: Option<u64>,
    /// The endpoints that it was sent to or will be, in order.
    pub picks: RefCell<Picks>,
    /// Attempts that began.
    pub attempts: Cell<u32>,
    /// Whether the last attempt got no connection: the next one costs the service nothing.
    pub unsent: Cell<bool>,
    /// Whether its client speaks gRPC: then responses are judged by their headers.
    pub grpc: bool,
    /// An attempt that ended before its response did, and not yet for a known reason.
    pub suspect: RefCell<Option<Suspect>>,
    /// How the request ended, if it did before its last attempt.
    pub end: Cell<Option<RequestEnd>>,
    /// What the placement around the exchange is to learn of the attempts, when it is in another VM: that one
    /// judges them, and here nothing is known of endpoints.
    pub report: Option<Report>,
}

/// The endpoints of one request, in the flight itself: nothing more is allocated.
///
/// ```
/// use tidegate_policy::balance::{ServiceLoad, DEFAULT_DECAY};
/// use tidegate_policy::discovery::catalog::endpoint_stats::EndpointStats;
/// use tidegate_policy::discovery::request::flight::Picks;
///
/// let requests = ServiceLoad::new(DEFAULT_DECAY);
/// let mut picks = Picks::default();
/// for last in [4, 2] {
///     picks.add(EndpointStats::new(([10, 0, 0, last].into(), 80), &requests));
/// }
/// assert_eq!(picks.addresses().as_ref(), "10.0.0.4:80,10.0.0.2:80");
/// let texts = [0, 1, 2].map(|attempt| picks.of(attempt).unwrap().text.to_string());
/// assert_eq!(texts[1..], ["10.0.0.2:80", "10.0.0.2:80"], "the last one again when there is no other");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Picks {
    list: [Option<Rc<EndpointStats>>; MOST],
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
        subset: Option<Rc<Subset>>,
        hash: Option<u64>,
        picks: Picks,
        grpc: bool,
    ) -> Self {
        Self {
            view: Rc::clone(view),
            subset,
            hash,
            picks: RefCell::new(picks),
            attempts: Cell::default(),
            unsent: Cell::default(),
            grpc,
            suspect: RefCell::default(),
            end: Cell::default(),
            report: None,
        }
    }

    /// Whether this is its first endpoint.
    #[must_use]
    pub fn is_first(&self, text: &str) -> bool {
        self.picks.borrow().of(0).is_some_and(|first| *first.text == *text)
    }

    /// The endpoint of the `attempt`th attempt, counted from 0. Where Envoy chooses from a list it
    /// passes over endpoints that its cluster does not have: there the one that it `reported` counts.
    pub fn endpoint(
        &self,
        attempt: u32,
        reported: &dyn Fn() -> Option<Vec<u8>>,
    ) -> Option<Rc<EndpointStats>> {
        match self.view.policy().steer {
            Steer::OriginalDst { .. } => self.picks.borrow().of(attempt).cloned(),
            Steer::OverrideHost { .. } => self.named(&reported()?),
        }
    }

    /// The endpoint with this address and port in text.
    #[must_use]
    pub fn named(&self, text: &[u8]) -> Option<Rc<EndpointStats>> {
        let picked = self.picks.borrow().named(text);
        picked.or_else(|| self.view.stats_of(text))
    }

    /// The endpoint for the attempt after those that are picked, among those that there are now: another
    /// one, or the last one again, for which nothing changes, when all that are good enough were tried.
    pub fn pick_another(&self, draw: u64, now: Timestamp, host: &impl Host) -> Option<Rc<EndpointStats>> {
        let table = self.view.table(now, host).ok()?;
        let pool = table.pool_of(self.subset.as_deref(), now);
        let ask = Ask { draw, hash: self.hash, taken: &[] };
        self.picks.borrow().another(&table, &pool, &ask, now)
    }

    /// An attempt begins.
    pub fn began(&self, endpoint: &EndpointStats) {
        // The first one of a request of another VM is counted there.
        if self.report.is_none() || self.attempts.get() > 1 {
            self.view.count(ServiceMetric::Attempts);
        }
        endpoint.load.began();
    }

    /// An attempt is over that took this long: to the response's headers, if there was a response.
    pub fn ended(&self, endpoint: &EndpointStats, outcome: Outcome, took: Span, now: Timestamp) {
        endpoint.load.left();
        self.learn(endpoint, outcome, took, now);
    }

    /// Takes an outcome into the endpoint's latency and success.
    #[inline(never)]
    pub fn learn(&self, endpoint: &EndpointStats, outcome: Outcome, took: Span, now: Timestamp) {
        let rtt = match outcome {
            Outcome::Answered(_) => took,
            Outcome::Broken | Outcome::Refused => took.max(SLOW),
            Outcome::Left => return,
        };
        let failed = outcome.failed();
        endpoint.load.learned(now, Some(rtt), !failed);
        if failed && self.report.is_none() {
            self.view.count(ServiceMetric::Failures);
        }
    }

    /// Takes an outcome into the endpoint's consecutive failures, and ejects it when they are enough. That
    /// it refused a connection is enough to avoid it for a while.
    #[inline(never)]
    pub fn judge(&self, endpoint: &EndpointStats, outcome: Outcome, now: Timestamp, host: &impl Host) {
        if let Some(report) = &self.report {
            return report.add(&endpoint.text, outcome);
        }
        if outcome == Outcome::Refused {
            self.view.count(ServiceMetric::ConnectFailures);
            return self.view.refused(endpoint, now, host);
        }
        let Some(params) = self.view.ejections().params() else { return };
        let Some(status) = outcome.status() else { return };
        let mut runs = endpoint.runs.get();
        let trips = runs.take(status, params.consecutive_5xx, params.consecutive_gateway_failure);
        endpoint.runs.set(runs);
        if trips.any_5xx || trips.gateway {
            self.view.eject(endpoint, now, host);
        }
    }

    /// The endpoint of the last attempt, where no filter of this VM sees attempts. Learns how those before it
    /// ended, if another VM saw them: without its word Envoy has tried no other endpoint.
    pub fn last_endpoint(
        &self,
        end: &impl Response,
        now: Timestamp,
        host: &impl Host,
    ) -> Option<Rc<EndpointStats>> {
        let reported = || end.attribute(Attribute::Endpoint);
        let has_more = self.view.service().is_some_and(|service| service.attempts > 1);
        match has_more.then(|| end.attribute(Attribute::Attempted)).flatten() {
            Some(report) => {
                self.hear(&report, now, host);
                self.named(&reported()?)
            }
            None => self.endpoint(0, &reported),
        }
    }

    /// Learns how attempts ended that another VM saw.
    #[inline(never)]
    fn hear(&self, report: &[u8], now: Timestamp, host: &impl Host) {
        for (text, outcome) in handover::reported(report) {
            if outcome != Outcome::Refused {
                // The attempt that followed was paid for there; both budgets have the same rule.
                let _ = self.view.retry_budget().take(None);
            }
            let Some(endpoint) = self.named(text.as_bytes()) else { continue };
            if outcome.failed() {
                self.learn(&endpoint, outcome, Span::ZERO, now);
            }
            self.judge(&endpoint, outcome, now, host);
        }
    }

    /// Whether headers are enough to judge an endpoint: nothing that follows makes a failure well, and
    /// of a response without a body nothing follows.
    #[must_use]
    pub fn judges_headers(&self, outcome: Outcome, end_of_stream: bool) -> bool {
        self.grpc || end_of_stream || outcome.failed()
    }

    /// The request of an attempt that ended before its response did is over, too.
    pub fn settle(&self, suspect: &Suspect, end: RequestEnd, now: Timestamp, host: &impl Host) {
        let patience = self.view.ejections().params().and_then(|params| params.patience);
        self.blame(suspect, suspect.at_end(end, patience), now, host);
    }

    /// The outcome of an attempt that ended before its response did has become known.
    pub fn blame(&self, suspect: &Suspect, outcome: Outcome, now: Timestamp, host: &impl Host) {
        self.learn(&suspect.endpoint, outcome, suspect.took, now);
        self.judge(&suspect.endpoint, outcome, now, host);
    }
}

// === impl Picks ===

impl Picks {
    /// Adds one, if there is room.
    pub fn add(&mut self, endpoint: Rc<EndpointStats>) {
        if let Some(place) = self.list.get_mut(self.count) {
            *place = Some(endpoint);
            self.count = self.count.saturating_add(1);
        }
    }

    /// Adds the last one once more, if there is one.
    pub fn add_last_again(&mut self) {
        let last = self.all().next_back().cloned();
        last.into_iter().for_each(|last| self.add(last));
    }

    /// All of them.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Rc<EndpointStats>> {
        self.list.iter().flatten()
    }

    /// The hashes of those that count as refusing connections.
    #[must_use]
    pub fn refusing(&self) -> Vec<u64> {
        self.all().filter(|one| one.is_refusing()).map(|one| one.hash).collect()
    }

    /// These and more of a table, `most` in all, as far as each is another one.
    #[must_use]
    pub fn filled(
        &self,
        most: u32,
        table: &Table,
        pool: &Pool,
        ask: &dyn Fn() -> Ask<'static>,
        now: Timestamp,
    ) -> Self {
        let mut all = self.clone();
        for _ in 1..most {
            match all.another(table, pool, &ask(), now) {
                Some(next) => all.add(next),
                None => break,
            }
        }
        all
    }

    /// One more of a table: another one, or the last one again, for which nothing changes, when all that
    /// are good enough were tried.
    #[must_use]
    pub fn another(
        &self,
        table: &Table,
        pool: &Pool,
        ask: &Ask<'_>,
        now: Timestamp,
    ) -> Option<Rc<EndpointStats>> {
        let next = table.pick(pool, now, &Ask { taken: &self.places(table), ..*ask }).or_else(|| {
            let last = self.all().next_back().filter(|last| table.place(last.key).is_some());
            let is_good = last.is_some_and(|last| last.load.last_resort().is_none());
            if is_good {
                None
            } else {
                table.pick(pool, now, &Ask { taken: &[], ..*ask })
            }
        });
        table.stats(next?).cloned()
    }

    /// Where they are in a table, as far as they are.
    #[must_use]
    pub fn places(&self, table: &Table) -> Vec<u32> {
        self.all().filter_map(|endpoint| table.place(endpoint.key)).collect()
    }

    /// The one of the `attempt`th attempt, counted from 0: the last one is tried again when there is
    /// no other.
    #[must_use]
    pub fn of(&self, attempt: u32) -> Option<&Rc<EndpointStats>> {
        let at = usize::try_from(attempt).unwrap_or(usize::MAX).min(self.count.saturating_sub(1));
        self.list.get(at)?.as_ref()
    }

    /// The one of the `attempt`th attempt, counted from 0, if it is another one than that of the attempt before.
    #[must_use]
    pub fn next(&self, attempt: u32) -> Option<&Rc<EndpointStats>> {
        self.list.get(usize::try_from(attempt).ok()?)?.as_ref()
    }

    /// The one with this address and port in text.
    fn named(&self, text: &[u8]) -> Option<Rc<EndpointStats>> {
        self.all().find(|endpoint| endpoint.text.as_bytes() == text).cloned()
    }

    /// The addresses of all of them, separated by commas.
    #[must_use]
    pub fn addresses(&self) -> Rc<str> {
        let mut all = String::new();
        for endpoint in self.all() {
            let comma = if all.is_empty() { "" } else { "," };
            let _ = write!(all, "{comma}{}", endpoint.text);
        }
        all.into()
    }
}
