//! All that one worker asks: the questions of its configuration.

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::discovery::cells::question::Question;
use crate::discovery::cells::snapshot;
use crate::discovery::config::policy::Policy;
use crate::discovery::metrics::Places;
use crate::discovery::refresh::query::{Context, Query};
use crate::discovery::refresh::registry_state::RegistryState;
use crate::discovery::refresh::slots::Slots;
use crate::draws::Draws;
use crate::hash::xxh64::xxh64;
use crate::host::{Answer, Host, Store, StoreError};
use crate::sort;
use crate::watch::cells::{self, Worker};
use crate::watch::status;

/// What one worker does about all questions of its configuration.
#[derive(Debug)]
pub struct Poller {
    queries: Vec<Query>,
    registries: Vec<RegistryState>,
    policy: Rc<Policy>,
    draws: Draws,
    /// Names the worker among all that ever were.
    worker: u64,
    /// Names the configuration.
    config: u64,
}

/// Each worker takes the next number.
const WORKERS_CELL: &str = "tidegate/d1workers";

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
        let query = |(at, question): (usize, Question)| {
            let has =
                |(service, all): (usize, &Vec<Option<usize>>)| all.contains(&Some(at)).then_some(service);
            let services = places.iter().enumerate().filter_map(has).collect();
            Query::new(policy, question, services)
        };
        Self {
            queries: questions.into_iter().enumerate().filter_map(query).collect(),
            registries: (0..policy.registries.len()).map(|at| RegistryState::new(policy, at)).collect(),
            policy: Rc::clone(policy),
            draws: Draws::default(),
            worker: 0,
            config,
        }
    }

    /// The cells that are needed, with their sizes.
    pub fn cells(&self) -> impl Iterator<Item = (&str, usize)> {
        let workers = core::iter::once((WORKERS_CELL, cells::WORKERS_BYTES));
        workers.chain(self.queries.iter().flat_map(|query| {
            let cells = query.cells();
            [(cells.status.as_str(), status::BYTES), (cells.answer.as_str(), snapshot::HEADER)]
        }))
    }

    /// Takes a number, and has the workers of this configuration ask from now on.
    ///
    /// # Errors
    /// The cells cannot be written.
    pub fn start(&mut self, secret: &[u8], store: &dyn Store) -> Result<(), StoreError> {
        self.worker = cells::enlist(WORKERS_CELL, store)?;
        self.draws = Draws::seeded(xxh64(secret, self.worker));
        self.queries.iter().try_for_each(|query| query.cells().register(self.config, store))
    }

    /// The configuration goes: others need not wait for its leases to end.
    pub fn stop(&mut self, store: &dyn Store) {
        for query in &mut self.queries {
            query.stop(self.worker, self.config, store);
        }
    }

    /// The timer: leases are taken and renewed, questions asked that are due.
    pub fn tick(&mut self, places: &Places, host: &impl Host) {
        let worker = Worker { id: self.worker, config: self.config, now: host.now() };
        let registries = &self.registries;
        let context = Context { worker, draws: &self.draws, places, registries, host };
        self.queries.iter_mut().for_each(|query| query.tick(&context));
        ask_due(&mut self.queries, &self.policy, &context);
    }

    /// Takes an answer to one of its calls.
    pub fn answered(&mut self, answer: &impl Answer, places: &Places, host: &impl Host) {
        let token = answer.token();
        let began = host.now();
        let others = self.queries.iter().filter(|query| query.rests(began) && !query.made(token)).count();
        let Some(query) = self.queries.iter_mut().find(|query| query.made(token)) else { return };
        let worker = Worker { id: self.worker, config: self.config, now: began };
        let registries = &self.registries;
        let mut context = Context { worker, draws: &self.draws, places, registries, host };
        query.answered(answer, &context);
        context.worker.now = host.now();
        query.took(context.worker.now.since(began), others, context.worker.now);
        // The next queries need not wait for the timer.
        ask_due(&mut self.queries, &self.policy, &context);
    }
}

/// Asks what is due, the longest overdue first, as many at a time as each registry takes.
fn ask_due<H: Host>(queries: &mut [Query], policy: &Policy, context: &Context<'_, H>) {
    let due = |(at, query): (usize, &Query)| Some((query.due_since(context.worker.now)?, at));
    let mut due: Vec<(u64, usize)> = queries.iter().enumerate().filter_map(due).collect();
    if due.is_empty() {
        return;
    }
    sort::sort(&mut due);
    let mut slots = Slots::new(policy.registries.len());
    for query in queries.iter() {
        query.in_flight().into_iter().for_each(|failing| slots.take(query.registry(), failing));
    }
    for (_, at) in due {
        let Some(query) = queries.get_mut(at) else { continue };
        let most = policy.registries.get(query.registry()).map_or(0, |one| one.kind.max_in_flight());
        let next = query.next(context);
        if next.is_none_or(|failing| slots.has_room(query.registry(), failing, most)) {
            next.into_iter().for_each(|failing| slots.take(query.registry(), failing));
            query.ask(context);
        }
    }
}
