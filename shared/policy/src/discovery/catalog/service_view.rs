//! One service as one worker sees it: its endpoints, and what came of requests to them.
//!
//! All requests between two changes use the same table. A counter that all workers see tells of a
//! change, so that the price of being up to date is one read of it for each request.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, RefCell};

use crate::balance::{Algorithm, Load, Whole, DEFAULT_DECAY};
use crate::discovery::catalog::source::Source;
use crate::discovery::catalog::table::{hash_of, EndpointStats, Locality, Table};
use crate::discovery::cells::ejection::{self, Ejection};
use crate::discovery::cells::question::Question;
use crate::discovery::cells::snapshot::{Entry, State};
use crate::discovery::config::policy::{Policy, Service};
use crate::discovery::endpoint::Key;
use crate::discovery::metrics::{self, Places, ServiceMetric};
use crate::discovery::request::reply::RefusalReason;
use crate::host::Host;
use crate::time::{Span, Timestamp};

/// One service as one worker sees it.
#[derive(Debug)]
pub struct ServiceView {
    policy: Rc<Policy>,
    at: usize,
    places: Places,
    sources: Vec<Source>,
    ejection_cell: String,
    pub(crate) whole: Rc<Whole>,
    stats: RefCell<BTreeMap<Key, EndpointStats>>,
    locality: OnceCell<Locality>,
    table: RefCell<Option<Rc<Table>>>,
    ejections: RefCell<Vec<Ejection>>,
    /// The millisecond at which the next rest ends.
    returns_ms: Cell<u64>,
    epoch: Cell<Option<u64>>,
    pub(crate) retrying: Cell<u32>,
    /// When the first request had to wait, as long as nothing is known.
    waits_since: Cell<Option<Timestamp>>,
    counts: [Cell<u64>; COUNTED.len()],
}

/// What each worker counts by itself, told with each tick.
const COUNTED: [ServiceMetric; 8] = [
    ServiceMetric::Attempts,
    ServiceMetric::Ejections,
    ServiceMetric::Failures,
    ServiceMetric::Held,
    ServiceMetric::Refused,
    ServiceMetric::Requests,
    ServiceMetric::Retries,
    ServiceMetric::RetriesRefused,
];

// === impl ServiceView ===

impl ServiceView {
    /// The view of the service at `at`, with a question or none for each of its sources.
    #[must_use]
    pub fn new(
        policy: &Rc<Policy>,
        at: usize,
        questions: &[Question],
        places: &[Option<usize>],
    ) -> Option<Self> {
        let service = policy.services.get(at)?;
        let sources = service.sources.iter().zip(places).map(|(source, place)| {
            let kind = policy.registries.get(source.registry).map(|registry| &registry.kind);
            let question = place.and_then(|place| questions.get(place));
            Source::new(question, kind, &source.query.name)
        });
        Some(Self {
            at,
            places: Places::new(policy),
            sources: sources.collect(),
            ejection_cell: format!("tidegate/d1e{:016x}", hash_of(&service.name)),
            whole: Whole::new(decay(service)),
            stats: RefCell::default(),
            locality: OnceCell::new(),
            table: RefCell::default(),
            ejections: RefCell::default(),
            returns_ms: Cell::new(u64::MAX),
            epoch: Cell::default(),
            retrying: Cell::default(),
            waits_since: Cell::default(),
            counts: Default::default(),
            policy: Rc::clone(policy),
        })
    }

    /// What the configuration says of the service.
    #[must_use]
    pub fn service(&self) -> Option<&Service> {
        self.policy.services.get(self.at)
    }

    /// Whether endpoints are chosen by what is learned of their answers.
    #[must_use]
    pub fn learns(&self) -> bool {
        let algorithm = self.service().map(|service| service.balance.algorithm);
        matches!(algorithm, Some(Algorithm::PeakEwma | Algorithm::Logistic(_)))
    }

    /// The whole policy.
    #[must_use]
    pub fn policy(&self) -> &Rc<Policy> {
        &self.policy
    }

    /// The cell in which workers share whom they ejected; `None` when nobody is.
    #[must_use]
    pub fn ejection_cell(&self) -> Option<&str> {
        self.service()?.ejection.as_ref().map(|_| self.ejection_cell.as_str())
    }

    /// Where the worker is, which is found out with the first request.
    pub fn settle_locality(&self, locality: &dyn Fn() -> Locality) {
        self.locality.get_or_init(locality);
    }

    /// Counts one.
    pub fn count(&self, of: ServiceMetric) {
        if let Some(count) = COUNTED.iter().position(|one| *one == of).and_then(|at| self.counts.get(at)) {
            count.set(count.get().saturating_add(1));
        }
    }

    /// Tells what was counted.
    pub fn tell(&self, host: &impl Host) {
        for (of, count) in COUNTED.iter().zip(&self.counts) {
            let n = count.take();
            if n > 0 {
                host.add(self.places.service(self.at, *of), n);
            }
        }
    }

    /// The endpoints, up to date; why there are none, if there are none. The store failing is no
    /// reason: then what was known before counts.
    ///
    /// # Errors
    /// Why a request cannot be sent anywhere.
    pub fn table(&self, now: Timestamp, host: &impl Host) -> Result<Rc<Table>, RefusalReason> {
        let epoch = host.read(metrics::CHANGES);
        if self.epoch.get() != Some(epoch) {
            self.adopt(now, epoch, host);
        } else if now.as_millis() >= self.returns_ms.get() {
            self.settle(now, host);
        }
        let table = self.table.borrow();
        match &*table {
            Some(table) if !table.is_empty() => Ok(Rc::clone(table)),
            _ => Err(self.why()),
        }
    }

    /// Takes in what others changed before a request asks for it, and shows it: gauges need not wait
    /// for one, and what a configuration that goes showed last does not stay.
    pub fn follow(&self, now: Timestamp, host: &impl Host) {
        if self.table.borrow().is_some() {
            let _ = self.table(now, host);
            self.show(host);
        }
    }

    fn show(&self, host: &impl Host) {
        let table = self.table.borrow();
        let Some(table) = &*table else { return };
        let gauge = |of: ServiceMetric, n: usize| host.set(self.places.service(self.at, of), n as u64);
        gauge(ServiceMetric::Endpoints, table.len());
        gauge(ServiceMetric::Healthy, table.healthy());
    }

    /// Whether requests may wait for a first snapshot: for a while after the first one had to. When
    /// nothing is known then, those that come later would wait in vain.
    #[must_use]
    pub fn may_wait(&self, now: Timestamp) -> bool {
        let since = self.waits_since.get().unwrap_or(now);
        self.waits_since.set(Some(since));
        let hold_ms = self.service().map_or(0, |service| service.hold_ms);
        now.since(since) < Span::from_millis(hold_ms)
    }

    /// Whether somebody may still say where the service is.
    fn why(&self) -> RefusalReason {
        let states = self.sources.iter().map(Source::state);
        // The worst of the states is the most telling: nothing yet, then a failure.
        let rank = |state: State| match state {
            State::None => RefusalReason::NotKnownYet,
            State::Expired => RefusalReason::Expired,
            State::Known => RefusalReason::NoEndpoints,
            State::Unknown => RefusalReason::UnknownService,
        };
        let all: Vec<RefusalReason> = states.map(rank).collect();
        let order = [RefusalReason::NotKnownYet, RefusalReason::Expired, RefusalReason::NoEndpoints];
        order.into_iter().find(|why| all.contains(why)).unwrap_or(RefusalReason::UnknownService)
    }

    #[inline(never)]
    fn adopt(&self, now: Timestamp, epoch: u64, host: &impl Host) {
        let mut all_read = true;
        let mut changed = self.table.borrow().is_none();
        for source in &self.sources {
            match source.read(host) {
                Ok(new) => changed |= new,
                Err(_) => all_read = false,
            }
        }
        if changed {
            self.rebuild(now);
        }
        if let Some(cell) = self.ejection_cell() {
            match host.load(cell) {
                Ok(Some((bytes, _))) => {
                    let ejections = ejection::decode(&bytes);
                    changed |= *self.ejections.borrow() != ejections;
                    *self.ejections.borrow_mut() = ejections;
                }
                _ => all_read = false,
            }
        }
        // All services are told of a change of any.
        if changed || now.as_millis() >= self.returns_ms.get() {
            self.settle(now, host);
        }
        // What could not be read is asked for again with the next request.
        self.epoch.set(all_read.then_some(epoch));
    }

    fn rebuild(&self, now: Timestamp) {
        let Some(service) = self.service() else { return };
        let guards: Vec<_> = self.sources.iter().map(Source::entries).collect();
        let entries: Vec<&[Entry]> = guards.iter().map(|guard| &**guard).collect();
        let locality = self
            .locality
            .get()
            .cloned()
            .unwrap_or_else(|| Locality { zone: "".into(), seed: now.as_nanos() });
        let mut known = self.stats.borrow_mut();
        let mut next = BTreeMap::new();
        let mut stats = |key: Key| {
            let new = || EndpointStats { load: Load::new(&self.whole), runs: Rc::default() };
            let stats = known.get(&key).cloned().unwrap_or_else(new);
            next.insert(key, stats.clone());
            stats
        };
        let table =
            Table::new(&entries, &self.policy.allow, &service.balance, &service.subset, locality, &mut stats);
        *known = next;
        // Made before a request needs it.
        let _ = table.own_pool(now);
        *self.table.borrow_mut() = Some(Rc::new(table));
    }

    /// Takes ejected endpoints out of the pools, and takes those back whose ejection is over.
    fn settle(&self, now: Timestamp, host: &impl Host) {
        if let Some(table) = &*self.table.borrow() {
            self.returns_ms.set(table.settle(&self.ejections.borrow(), now).unwrap_or(u64::MAX));
        }
        self.show(host);
    }
}

fn decay(service: &Service) -> Span {
    match &service.balance.algorithm {
        Algorithm::PeakEwma | Algorithm::Logistic(_) => service.decay,
        _ => DEFAULT_DECAY,
    }
}
