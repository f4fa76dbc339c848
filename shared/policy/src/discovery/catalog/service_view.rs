//! One service as one worker sees it: its endpoints, and what was counted of requests to them.
//!
//! All requests between two changes use the same table. A counter that all workers see rises with each
//! change, so that being up to date costs one read of it for each request.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, RefCell};

use crate::balance::{Algorithm, ServiceLoad, DEFAULT_DECAY};
use crate::discovery::catalog::ejections::Ejections;
use crate::discovery::catalog::endpoint_stats::EndpointStats;
use crate::discovery::catalog::retry_budget::RetryBudget;
use crate::discovery::catalog::source::Source;
use crate::discovery::catalog::table::{Locality, Table};
use crate::discovery::catalog::unavailable::Unavailable;
use crate::discovery::cells::ejection::NAMED_AGAIN;
use crate::discovery::cells::question::Question;
use crate::discovery::cells::snapshot::Entry;
use crate::discovery::config::policy::{Policy, Service};
use crate::discovery::endpoint::{Key, MAX_ENDPOINTS};
use crate::discovery::metrics::{self, ServiceCounters, ServiceMetric};
use crate::host::Host;
use crate::sort;
use crate::split::derive;
use crate::time::{Span, Timestamp};

/// One service as one worker sees it.
///
/// ```
/// use std::rc::Rc;
/// use tidegate_policy::discovery::catalog::service_view::ServiceView;
/// use tidegate_policy::discovery::cells::question;
/// use tidegate_policy::discovery::Policy;
///
/// let json = br#"{
///     "registries": {"main": {"consul": {"cluster": "consul"}}},
///     "services": [{"name": "orders", "registry": "main", "match": {"path": {"prefix": "/orders"}}}],
///     "allow": ["10.0.0.0/8:8080"]
/// }"#;
/// let policy = Rc::new(Policy::parse(json).unwrap());
/// let (questions, places) = question::all(&policy);
/// let view = ServiceView::new(&policy, 0, &questions, &places[0]).unwrap();
/// assert_eq!(view.service().map(|service| &*service.name), Some("orders"));
/// assert!(view.ejections().params().is_some(), "endpoints are ejected unless the configuration says no");
/// ```
#[derive(Debug)]
pub struct ServiceView {
    policy: Rc<Policy>,
    at: usize,
    sources: Vec<Source>,
    ejections: Ejections,
    requests: Rc<ServiceLoad>,
    retry_budget: RetryBudget,
    counters: ServiceCounters,
    /// Endpoints that are gone from the table and have requests in flight: they would be idle if they came
    /// back. Sorted by key.
    leaving: RefCell<Vec<Rc<EndpointStats>>>,
    locality: OnceCell<Locality>,
    table: RefCell<Option<Rc<Table>>>,
    /// How many endpoints of the table are no last resort.
    healthy: Cell<usize>,
    /// The value of the counter of changes for which the table is up to date.
    epoch: Cell<Option<u64>>,
    /// How many tables there were.
    tables: Cell<u64>,
    /// When the first request had to wait, as long as nothing is known.
    waits_since: Cell<Option<Timestamp>>,
}

/// How long what is known of an endpoint that is gone is kept, if there are not too many.
const REMEMBERED: Span = Span::from_secs(600);

// === impl ServiceView ===

impl ServiceView {
    /// The view of the service at `at`, with a question or none for each of its sources.
    #[must_use]
    #[inline(never)]
    pub fn new(
        policy: &Rc<Policy>,
        at: usize,
        questions: &[Question],
        places: &[Option<usize>],
    ) -> Option<Self> {
        let service = policy.services.get(at)?;
        let sources = service.sources.iter().zip(places).map(|(source, place)| {
            let registry = policy.registries.get(source.registry);
            let fixed = registry.map_or(&[][..], |registry| registry.kind.endpoints(&source.query));
            let question = place.and_then(|place| questions.get(place));
            Source::new(question, fixed)
        });
        let requests = ServiceLoad::new(decay(service));
        Some(Self {
            at,
            sources: sources.collect(),
            ejections: Ejections::new(service, &policy.scope),
            retry_budget: RetryBudget::of(&service.retry),
            requests,
            counters: ServiceCounters::new(policy, at),
            leaving: RefCell::default(),
            locality: OnceCell::new(),
            table: RefCell::default(),
            healthy: Cell::default(),
            epoch: Cell::default(),
            tables: Cell::default(),
            waits_since: Cell::default(),
            policy: Rc::clone(policy),
        })
    }

    /// The service's configuration.
    #[must_use]
    pub fn service(&self) -> Option<&Service> {
        self.policy.services.get(self.at)
    }

    /// The whole configuration.
    #[must_use]
    pub fn policy(&self) -> &Rc<Policy> {
        &self.policy
    }

    /// The service's ejections.
    #[must_use]
    pub fn ejections(&self) -> &Ejections {
        &self.ejections
    }

    /// How many of its requests are in flight in this worker.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.requests.active()
    }

    /// The service's retry budget on this worker.
    #[must_use]
    pub fn retry_budget(&self) -> &RetryBudget {
        &self.retry_budget
    }

    /// Whether endpoints are chosen by the latency or the success of their answers.
    #[must_use]
    pub fn learns(&self) -> bool {
        let algorithm = self.service().map(|service| service.balance.algorithm);
        matches!(algorithm, Some(Algorithm::PeakEwma | Algorithm::Logistic(_)))
    }

    /// Sets the worker's locality, which is known with the first request.
    pub fn settle_locality(&self, locality: &dyn Fn() -> Locality) {
        self.locality.get_or_init(locality);
    }

    /// Counts one.
    pub fn count(&self, metric: ServiceMetric) {
        self.counters.add(metric);
    }

    /// Hands what was counted to the host; how many requests were among it.
    pub fn publish(&self, host: &impl Host) -> u64 {
        let mut requests = 0;
        for (place, n) in self.counters.take() {
            host.add(place, n);
            if place == self.counters.place(ServiceMetric::Requests) {
                requests = n;
            }
        }
        requests
    }

    /// The endpoints, up to date. A store that fails is no reason to have none: then the last ones
    /// serve on.
    ///
    /// # Errors
    /// Why there are no endpoints.
    pub fn table(&self, now: Timestamp, host: &impl Host) -> Result<Rc<Table>, Unavailable> {
        let epoch = host.read(metrics::CHANGES);
        if self.epoch.get() != Some(epoch) {
            self.adopt(now, epoch, host);
        } else if self.ejection_ended(now) {
            self.settle(now, host);
        }
        let table = self.table.borrow();
        match &*table {
            Some(table) if !table.is_empty() => Ok(Rc::clone(table)),
            _ => Err(Unavailable::of(self.sources.iter().map(Source::state))),
        }
    }

    /// Takes in changes before a request needs them, and shows them: gauges need not wait for a
    /// request, and the gauges of an earlier configuration do not stay.
    pub fn follow(&self, now: Timestamp, host: &impl Host) {
        if self.table.borrow().is_some() {
            let _ = self.table(now, host);
            self.show(host);
        }
    }

    /// What is remembered of the endpoint with this address and port in text, if it is one.
    #[must_use]
    pub fn stats_of(&self, text: &[u8]) -> Option<Rc<EndpointStats>> {
        let table = self.table.borrow();
        let table = table.as_ref()?;
        table.stats(table.place_of(text)?).cloned()
    }

    /// What is remembered of an endpoint that is in no table: nothing, but its requests are the service's.
    #[must_use]
    pub fn unlisted(&self, key: Key) -> Rc<EndpointStats> {
        EndpointStats::new(key, &self.requests)
    }

    /// Forgets the endpoints: the configuration goes, but streams that began under it may last for days. For a
    /// further attempt of one of them they are read again.
    pub fn forget(&self) {
        self.table.take();
        self.epoch.take();
        self.leaving.take();
        self.sources.iter().for_each(Source::forget);
    }

    /// Ejects an endpoint, unless it is ejected already or too many would be.
    #[inline(never)]
    pub fn eject(&self, endpoint: &EndpointStats, now: Timestamp, host: &impl Host) {
        let Some(table) = self.table.borrow().clone() else { return };
        let ejected = self.ejections.eject(&table, endpoint.hash, now, host);
        let (Ok(Some(ms)), Some(service)) = (ejected, self.service()) else { return };
        self.count(ServiceMetric::Ejections);
        host.raise(metrics::CHANGES);
        host.note(&format!("service {}: endpoint {} ejected for {ms} ms", service.name, endpoint.text));
    }

    /// Takes it that an endpoint refused a connection.
    #[inline(never)]
    pub fn refused(&self, endpoint: &EndpointStats, now: Timestamp, host: &impl Host) {
        let Some(table) = self.table.borrow().clone() else { return };
        // One that is gone from the registry gets nothing anyway.
        if table.place(endpoint.key).is_none() {
            return;
        }
        let refused = self.ejections.refuse(&table, endpoint.hash, now, host);
        let (Ok(Some(ms)), Some(service)) = (refused, self.service()) else { return };
        host.raise(metrics::CHANGES);
        // One that refuses some connections and takes others would fill the log.
        if endpoint.noted.get().is_some_and(|noted| now.since(noted) < Span::from_secs(1)) {
            return;
        }
        endpoint.noted.set(Some(now));
        let until = match ms {
            NAMED_AGAIN => "gets nothing until the registry names it again, or for an hour".to_string(),
            ms => format!("is a last resort for {ms} ms"),
        };
        let text = &endpoint.text;
        host.note(&format!("service {}: endpoint {text} refused a connection and {until}", service.name));
    }

    /// Takes it that an endpoint which refused a connection answers again.
    #[inline(never)]
    pub fn accepted(&self, endpoint: &EndpointStats, now: Timestamp, host: &impl Host) {
        if self.ejections.accept(endpoint.hash, now, host) == Ok(true) {
            host.raise(metrics::CHANGES);
        }
    }

    /// Whether requests may wait for a first snapshot: for `hold_ms` after the first one had to. When
    /// nothing is known then, later ones would wait in vain.
    #[must_use]
    pub fn may_wait(&self, now: Timestamp) -> bool {
        let since = self.waits_since.get().unwrap_or(now);
        self.waits_since.set(Some(since));
        let hold_ms = self.service().map_or(0, |service| service.hold_ms);
        now.since(since) < Span::from_millis(hold_ms)
    }

    fn show(&self, host: &impl Host) {
        let table = self.table.borrow();
        let Some(table) = &*table else { return };
        let gauge = |metric: ServiceMetric, n: usize| host.set(self.counters.place(metric), n as u64);
        gauge(ServiceMetric::Endpoints, table.len());
        gauge(ServiceMetric::Healthy, self.healthy.get());
    }

    fn ejection_ended(&self, now: Timestamp) -> bool {
        self.ejections.has_ended(now)
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
        match self.ejections.read(host) {
            Ok(new) => changed |= new,
            Err(_) => all_read = false,
        }
        if let (true, Some(table)) = (changed, &*self.table.borrow()) {
            all_read &= self.ejections.forget_named(table, host).is_ok();
        }
        // All services hear of a change of any; most have nothing new.
        if changed || self.ejection_ended(now) {
            self.settle(now, host);
        }
        // What could not be read is read again with the next request.
        self.epoch.set(all_read.then_some(epoch));
    }

    fn rebuild(&self, now: Timestamp) {
        let Some(service) = self.service() else { return };
        let guards: Vec<_> = self.sources.iter().map(Source::entries).collect();
        let entries: Vec<&[Entry]> = guards.iter().map(|guard| &**guard).collect();
        let unknown = || Locality { zone: "".into(), seed: now.as_nanos() };
        let mut locality = self.locality.get().cloned().unwrap_or_else(unknown);
        // What is drawn is drawn anew for each table: with one seed, all would begin with the same endpoints.
        self.tables.set(self.tables.get().wrapping_add(1));
        locality.seed = derive(locality.seed, self.tables.get());
        let before = self.table.borrow().clone();
        let known = before.as_ref().map_or(&[][..], |before| before.all_stats());
        let mut leaving = self.leaving.borrow_mut();
        let mut stats = |key: Key| {
            let known = found(known, key).or_else(|| found(&leaving, key));
            let stats = known.map_or_else(|| EndpointStats::new(key, &self.requests), Rc::clone);
            stats.gone.set(None);
            stats
        };
        let table =
            Table::new(&entries, &self.policy.allow, &service.balance, &service.subset, locality, &mut stats);
        // One that is gone, and has requests in flight, would be idle if it came back; and one that always
        // fails would begin a new run each time that an answer of a name server has it again.
        leaving.extend(known.iter().cloned());
        leaving.retain(|stats| table.place(stats.key).is_none());
        let few = leaving.len() <= MAX_ENDPOINTS;
        leaving.retain(|stats| {
            let gone = stats.gone.get().unwrap_or(now);
            stats.gone.set(Some(gone));
            stats.load.active() > 0 || (few && now.since(gone) < REMEMBERED)
        });
        sort::sort_by(&mut leaving, &|a, b| a.key.cmp(&b.key));
        let table = match &before {
            Some(before) => table.following(before, now),
            None => table,
        };
        // Made before a request needs it.
        let _ = table.own_pool(now);
        *self.table.borrow_mut() = Some(Rc::new(table));
    }

    /// Takes ejected endpoints out of the pools, and takes those back whose ejection is over.
    fn settle(&self, now: Timestamp, host: &impl Host) {
        if let Some(table) = &*self.table.borrow() {
            self.ejections.apply(table, now);
            self.healthy.set(table.healthy());
        }
        self.show(host);
    }
}

/// What is remembered of an endpoint, in a list that is sorted by keys.
fn found(list: &[Rc<EndpointStats>], key: Key) -> Option<&Rc<EndpointStats>> {
    list.binary_search_by(|stats| stats.key.cmp(&key)).ok().and_then(|at| list.get(at))
}

/// How soon latencies are forgotten. Algorithms that do not read them have the default.
fn decay(service: &Service) -> Span {
    match &service.balance.algorithm {
        Algorithm::PeakEwma | Algorithm::Logistic(_) => service.decay,
        _ => DEFAULT_DECAY,
    }
}
