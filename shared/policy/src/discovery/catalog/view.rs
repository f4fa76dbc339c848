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
use crate::discovery::catalog::table::{hash_of, Mind, Near, Table};
use crate::discovery::cells::ejection::{self, Rest};
use crate::discovery::cells::question::Question;
use crate::discovery::cells::snapshot::{Entry, State};
use crate::discovery::config::policy::{Policy, Service};
use crate::discovery::endpoint::Key;
use crate::discovery::metrics::{self, Of, Places};
use crate::discovery::request::reply::Why;
use crate::host::Host;
use crate::time::{Span, Timestamp};

/// One service as one worker sees it.
#[derive(Debug)]
pub struct View {
    policy: Rc<Policy>,
    at: usize,
    places: Places,
    sources: Vec<Source>,
    ejection_cell: String,
    pub(crate) whole: Rc<Whole>,
    minds: RefCell<BTreeMap<Key, Mind>>,
    near: OnceCell<Near>,
    table: RefCell<Option<Rc<Table>>>,
    rests: RefCell<Vec<Rest>>,
    /// The millisecond at which the next rest ends.
    returns_ms: Cell<u64>,
    epoch: Cell<Option<u64>>,
    pub(crate) retrying: Cell<u32>,
    /// When the first request had to wait, as long as nothing is known.
    waits_since: Cell<Option<Timestamp>>,
    counts: [Cell<u64>; COUNTED.len()],
}

/// What each worker counts by itself, told with each tick.
const COUNTED: [Of; 8] = [
    Of::Attempts,
    Of::Ejections,
    Of::Failures,
    Of::Held,
    Of::Refused,
    Of::Requests,
    Of::Retries,
    Of::RetriesRefused,
];

// === impl View ===

impl View {
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
            minds: RefCell::default(),
            near: OnceCell::new(),
            table: RefCell::default(),
            rests: RefCell::default(),
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
    pub fn settle_near(&self, near: &dyn Fn() -> Near) {
        self.near.get_or_init(near);
    }

    /// Counts one.
    pub fn count(&self, of: Of) {
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
    pub fn table(&self, now: Timestamp, host: &impl Host) -> Result<Rc<Table>, Why> {
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
        let gauge = |of: Of, n: usize| host.set(self.places.service(self.at, of), n as u64);
        gauge(Of::Endpoints, table.len());
        gauge(Of::Healthy, table.healthy());
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
    fn why(&self) -> Why {
        let states = self.sources.iter().map(Source::state);
        // The worst of the states is the most telling: nothing yet, then a failure.
        let rank = |state: State| match state {
            State::None => Why::NotKnownYet,
            State::Expired => Why::Expired,
            State::Known => Why::NoEndpoints,
            State::Unknown => Why::UnknownService,
        };
        let all: Vec<Why> = states.map(rank).collect();
        let order = [Why::NotKnownYet, Why::Expired, Why::NoEndpoints];
        order.into_iter().find(|why| all.contains(why)).unwrap_or(Why::UnknownService)
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
                    let rests = ejection::decode(&bytes);
                    changed |= *self.rests.borrow() != rests;
                    *self.rests.borrow_mut() = rests;
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
        let near = self.near.get().cloned().unwrap_or_else(|| Near { zone: "".into(), seed: now.as_nanos() });
        let mut minds = self.minds.borrow_mut();
        let mut next = BTreeMap::new();
        let mut mind = |key: Key| {
            let new = || Mind { load: Load::new(&self.whole), runs: Rc::default() };
            let mind = minds.get(&key).cloned().unwrap_or_else(new);
            next.insert(key, mind.clone());
            mind
        };
        let table =
            Table::new(&entries, &self.policy.allow, &service.balance, &service.subset, near, &mut mind);
        *minds = next;
        // Made before a request needs it.
        let _ = table.own_pool(now);
        *self.table.borrow_mut() = Some(Rc::new(table));
    }

    /// Takes out and back who rests or does not any more.
    fn settle(&self, now: Timestamp, host: &impl Host) {
        if let Some(table) = &*self.table.borrow() {
            self.returns_ms.set(table.settle(&self.rests.borrow(), now).unwrap_or(u64::MAX));
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
