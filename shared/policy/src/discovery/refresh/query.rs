//! Asking registries: one worker for each question, on behalf of all.
//!
//! Every worker could ask; whoever holds the question's lease does. It keeps what the registry said,
//! distrusts what shrinks too fast or comes and goes, and writes what is to be served into the
//! question's snapshot cell, with its term as a fence: one that lost the lease meanwhile changes nothing.
//! When a registry fails, its last good answer is served on; after some failures the lease changes
//! hands, as it may be the worker, or its configuration, that is at fault.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::discovery::cells::question::Question;
use crate::discovery::cells::snapshot;
use crate::discovery::config::policy::{Cache, Policy};
use crate::discovery::metrics::{self, Places, RegistryMetric, ServiceMetric};
use crate::discovery::refresh::leader::Lead;
use crate::discovery::refresh::session::{FetchError, Session};
use crate::discovery::registry::AnswerError;
use crate::draws::Draws;
use crate::hash::xxh64::xxh64;
use crate::host::{rewrite, Answer, Host, Store, StoreError};
use crate::time::{Span, Timestamp};
use crate::watch::status::{self, Status};

/// What one worker does about all questions of its configuration.
#[derive(Debug)]
pub struct Poller {
    watches: Vec<Watch>,
    draws: Draws,
    /// Names the worker among all that ever were.
    worker: u64,
    /// Names the configuration.
    config: u64,
}

/// What one worker does about one question.
#[derive(Debug)]
struct Watch {
    question: Question,
    cache: Rc<Cache>,
    policy: Rc<Policy>,
    /// `registry main, service orders`, for the log.
    title: String,
    /// The services that have the question, for their gauges.
    services: Vec<usize>,
    /// When to look again who asks.
    look_ms: u64,
    /// While this worker asks.
    lead: Option<Lead>,
}

/// Each worker takes the next number.
const WORKERS_CELL: &str = "tidegate/d1workers";
/// The lease is renewed when it is this near to its end.
const RENEW: Span = Span::from_secs(2);
/// After failures nobody waits for longer.
const LONGEST_WAIT: Span = Span::from_secs(60);
/// After so many failures another worker may try.
const HANDS_ON: u32 = 3;

// === impl Poller ===

impl Poller {
    /// A worker that asks these questions; `places` says which each service has.
    #[must_use]
    pub fn new(
        policy: &Rc<Policy>,
        questions: Vec<Question>,
        places: &[Vec<Option<usize>>],
        config: u64,
    ) -> Self {
        let watch = |(at, question): (usize, Question)| {
            let registry = policy.registries.get(question.registry)?;
            let has =
                |(service, all): (usize, &Vec<Option<usize>>)| all.contains(&Some(at)).then_some(service);
            Some(Watch {
                cache: Rc::new(registry.cache.clone()),
                policy: Rc::clone(policy),
                title: format!("registry {}: {}", registry.name, question.query.name()),
                services: places.iter().enumerate().filter_map(has).collect(),
                look_ms: 0,
                lead: None,
                question,
            })
        };
        Self {
            watches: questions.into_iter().enumerate().filter_map(watch).collect(),
            draws: Draws::default(),
            worker: 0,
            config,
        }
    }

    /// The cells that are needed, with their sizes.
    pub fn cells(&self) -> impl Iterator<Item = (&str, usize)> {
        let workers = core::iter::once((WORKERS_CELL, 8));
        workers.chain(self.watches.iter().flat_map(|watch| {
            [
                (watch.question.status_cell.as_str(), status::BYTES),
                (watch.question.snapshot_cell.as_str(), snapshot::HEADER),
            ]
        }))
    }

    /// Takes a number, and has the workers of this configuration ask from now on.
    ///
    /// # Errors
    /// The cells cannot be written.
    pub fn start(&mut self, secret: &[u8], store: &dyn Store) -> Result<(), StoreError> {
        let mut worker = 0;
        rewrite(store, WORKERS_CELL, &mut |bytes| {
            let last = bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
            worker = last.wrapping_add(1).max(1);
            Some(worker.to_le_bytes().to_vec())
        })?;
        self.worker = worker;
        self.draws = Draws::seeded(xxh64(secret, worker));
        self.watches.iter().try_for_each(|watch| watch.set_config(self.config, store))
    }

    /// The configuration goes: others need not wait for its leases to end.
    pub fn stop(&mut self, store: &dyn Store) {
        for watch in &mut self.watches {
            watch.lead = None;
            let _ = rewrite(store, &watch.question.status_cell, &mut |bytes| {
                let mut status = Status::decode(bytes, watch.question.hash);
                let ours = status.config == self.config || status.lease.holder == self.worker;
                if status.lease.holder == self.worker {
                    status.lease.expires_ms = 0;
                }
                if status.config == self.config {
                    status.config = 0;
                }
                ours.then(|| status.encode(watch.question.hash))
            });
        }
    }

    /// The timer: leases are taken and renewed, questions asked that are due.
    pub fn tick(&mut self, places: &Places, host: &impl Host) {
        let now = host.now();
        for watch in &mut self.watches {
            let worker = Worker { id: self.worker, config: self.config, now, places, host };
            watch.tick(&worker, &self.draws);
        }
    }

    /// There is an answer.
    pub fn answered(&mut self, answer: &impl Answer, places: &Places, host: &impl Host) {
        let now = host.now();
        let token = answer.token();
        let asked = |watch: &&mut Watch| watch.lead.as_ref().is_some_and(|lead| lead.session.made(token));
        let Some(watch) = self.watches.iter_mut().find(asked) else { return };
        let worker = Worker { id: self.worker, config: self.config, now, places, host };
        watch.answered(answer, &worker, &self.draws);
    }
}

/// Who does something, and when.
struct Worker<'a, H> {
    id: u64,
    config: u64,
    now: Timestamp,
    places: &'a Places,
    host: &'a H,
}

// === impl Watch ===

impl Watch {
    fn set_config(&self, config: u64, store: &dyn Store) -> Result<(), StoreError> {
        rewrite(store, &self.question.status_cell, &mut |bytes| {
            let status = Status::decode(bytes, self.question.hash);
            (status.config != config).then(|| Status { config, ..status }.encode(self.question.hash))
        })
    }

    fn tick<H: Host>(&mut self, worker: &Worker<'_, H>, draws: &Draws) {
        let now_ms = worker.now.as_millis();
        if self.lead.is_none() && now_ms >= self.look_ms {
            self.look(worker);
        }
        let expires = self.lead.as_ref().map(|lead| lead.expires_ms.saturating_sub(now_ms));
        if expires.is_some_and(|left| left < RENEW.as_millis()) {
            self.renew(worker);
        }
        let Some(lead) = &mut self.lead else { return };
        if lead.session.is_in_flight() {
            if worker.now.since(lead.asked) > lead.session.patience() {
                lead.session.give_up();
                self.failed(&FetchError::Answer(AnswerError::NoAnswer), worker, draws);
            }
        } else if now_ms >= lead.next_ms {
            self.ask(worker, draws);
        }
        self.expire(worker);
    }

    /// Looks who asks, and does if nobody else.
    fn look<H: Host>(&mut self, worker: &Worker<'_, H>) {
        let hash = self.question.hash;
        let mut found = Status::default();
        let mut taken = None;
        let result = rewrite(worker.host, &self.question.status_cell, &mut |bytes| {
            found = Status::decode(bytes, hash);
            taken = found
                .is_for(worker.config, worker.now)
                .then(|| found.taken(worker.id, hash, worker.now))
                .flatten();
            taken.map(|status| Status { config: worker.config, ..status }.encode(hash))
        });
        let now_ms = worker.now.as_millis();
        // When there is nothing to be had, whoever has it is asked about again in a second at most.
        self.look_ms = now_ms.saturating_add(1_000).min(found.lease.expires_ms.max(now_ms.saturating_add(1)));
        if let (Ok(()), Some(status)) = (result, taken) {
            // Without it, an empty answer would have nothing to be compared with.
            let Ok(cell) = worker.host.load(&self.question.snapshot_cell) else { return };
            let known = cell.and_then(|(bytes, _)| snapshot::decode(&bytes, hash)).unwrap_or_default();
            let registry = self.policy.registries.get(self.question.registry);
            let protocol = registry.and_then(|registry| registry.kind.protocol(&self.question.query));
            let Some(protocol) = protocol else { return };
            let mut lead = Lead::new(&status, known, Session::new(protocol));
            // What another configuration had for a period does not bind this one.
            let latest = now_ms.saturating_add(self.cache.ttl_ms.max(LONGEST_WAIT.as_millis()));
            lead.next_ms = lead.next_ms.min(latest);
            self.lead = Some(lead);
        }
    }

    fn renew<H: Host>(&mut self, worker: &Worker<'_, H>) {
        let Some(lead) = &mut self.lead else { return };
        let hash = self.question.hash;
        let mut kept = None;
        let result = rewrite(worker.host, &self.question.status_cell, &mut |bytes| {
            let status = Status::decode(bytes, hash);
            let ours = status.lease.holder == worker.id && status.lease.term == lead.term;
            let for_us = status.config == 0 || status.config == worker.config;
            kept = status.taken(worker.id, hash, worker.now).filter(|_| ours && for_us);
            kept.map(|status| lead.note(status).encode(hash))
        });
        match (result, kept) {
            (Ok(()), Some(status)) => lead.expires_ms = status.lease.expires_ms,
            _ => self.yield_to_others(worker),
        }
    }

    /// Another worker may ask: one of the configuration that is in force now, or of any.
    fn yield_to_others<H: Host>(&mut self, worker: &Worker<'_, H>) {
        let Some(lead) = self.lead.take() else { return };
        let hash = self.question.hash;
        let _ = rewrite(worker.host, &self.question.status_cell, &mut |bytes| {
            let mut status = Status::decode(bytes, hash);
            let ours = status.lease.holder == worker.id && status.lease.term == lead.term;
            status.lease = status.lease.release(worker.id, worker.now)?;
            if lead.failures >= HANDS_ON {
                status.config = 0;
            }
            ours.then(|| lead.note(status).encode(hash))
        });
        self.look_ms = worker.now.as_millis().saturating_add(1_000);
    }

    fn ask<H: Host>(&mut self, worker: &Worker<'_, H>, draws: &Draws) {
        let Some(lead) = &mut self.lead else { return };
        worker.host.add(worker.places.registry(self.question.registry, RegistryMetric::Fetches), 1);
        lead.asked = worker.now;
        let at_once = lead.asks_at_once();
        if let Err(error) = lead.session.ask(at_once, worker.host) {
            self.failed(&error, worker, draws);
        }
    }

    fn answered<H: Host>(&mut self, answer: &impl Answer, worker: &Worker<'_, H>, draws: &Draws) {
        let Some(lead) = &mut self.lead else { return };
        let most = usize::try_from(self.cache.max_bytes).unwrap_or(usize::MAX);
        match lead.session.answered(answer, most, worker.host) {
            None => {}
            Some(Ok(mut good)) => {
                let found = &mut good.found;
                let count = found.endpoints.len();
                found.endpoints.retain(|one| self.policy.allow.has(one.address, one.port));
                let forbidden = count.saturating_sub(found.endpoints.len());
                found.skipped = found.skipped.saturating_add(forbidden);
                let changed = lead.took(good, &self.cache, worker.now, draws.next(worker.now));
                self.speak(worker);
                if changed {
                    self.publish(worker);
                }
                // The next question need not wait for the timer, unless the lease has to be looked at.
                let now_ms = worker.now.as_millis();
                let due = |lead: &Lead| lead.next_ms <= now_ms && now_ms < lead.expires_ms;
                if self.lead.as_ref().is_some_and(due) {
                    self.ask(worker, draws);
                }
            }
            Some(Err(error)) => self.failed(&error, worker, draws),
        }
    }

    fn failed<H: Host>(&mut self, error: &FetchError, worker: &Worker<'_, H>, draws: &Draws) {
        let Some(lead) = &mut self.lead else { return };
        let unknown = error.is_unknown();
        let changed = lead.failed(error, &self.cache, worker.now, draws.next(worker.now));
        if !unknown {
            worker.host.add(worker.places.registry(self.question.registry, RegistryMetric::Failures), 1);
        }
        self.speak(worker);
        if changed {
            self.publish(worker);
        }
        let hands_on = self.lead.as_ref().is_some_and(|lead| lead.failures >= HANDS_ON);
        if hands_on {
            self.yield_to_others(worker);
        }
    }

    /// Says what is new, once.
    fn speak<H: Host>(&mut self, worker: &Worker<'_, H>) {
        let Some(lead) = &mut self.lead else { return };
        for line in lead.lines.drain(..) {
            worker.host.note(&format!("{}: {line}", self.title));
        }
        let holding = u64::from(lead.is_holding());
        if lead.shown_holding != Some(holding) {
            lead.shown_holding = Some(holding);
            for service in &self.services {
                worker.host.set(worker.places.service(*service, ServiceMetric::HoldActive), holding);
            }
        }
    }

    /// Gives up what is too old.
    fn expire<H: Host>(&mut self, worker: &Worker<'_, H>) {
        let Some(lead) = &mut self.lead else { return };
        if lead.expire(&self.cache, worker.now) {
            self.speak(worker);
            self.publish(worker);
        }
    }

    /// Writes what is to be served, unless another worker asks by now.
    #[inline(never)]
    fn publish<H: Host>(&mut self, worker: &Worker<'_, H>) {
        let Some(lead) = &mut self.lead else { return };
        let (hash, term) = (self.question.hash, lead.term);
        let holds = |status: &Status| status.lease.holds(worker.id, term, worker.now);
        let status = worker.host.load(&self.question.status_cell).ok().flatten();
        if !status.is_some_and(|(bytes, _)| holds(&Status::decode(&bytes, hash))) {
            // What cannot be told now is told when the lease could be read again.
            self.lead = None;
            return;
        }
        let new = snapshot::encode(snapshot::Origin { term, question: hash }, &lead.served);
        let mut fenced = false;
        let written = rewrite(worker.host, &self.question.snapshot_cell, &mut |bytes| {
            let later = |origin: snapshot::Origin| origin.question == hash && origin.term > term;
            fenced = snapshot::origin(bytes).is_some_and(later);
            (!fenced).then(|| new.clone())
        });
        let mut ours = false;
        let told = rewrite(worker.host, &self.question.status_cell, &mut |bytes| {
            let status = Status::decode(bytes, hash);
            let next = Status { version: status.version.wrapping_add(1), ..lead.note(status) };
            ours = !fenced && holds(&status);
            ours.then(|| next.encode(hash))
        });
        if !ours || written.is_err() || told.is_err() {
            // What is not told is told anew by whoever asks next.
            self.lead = None;
            return;
        }
        worker.host.raise(metrics::CHANGES);
        worker.host.add(worker.places.registry(self.question.registry, RegistryMetric::Changes), 1);
    }
}
