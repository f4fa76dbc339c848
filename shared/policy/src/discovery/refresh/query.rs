//! Asking a registry about one service: one worker, on behalf of all.
//!
//! Every worker could ask; the one with the question's lease does ([`crate::watch`]). It keeps what the registry said,
//! distrusts an answer that shrinks too fast and endpoints that come and go, and publishes what is to be
//! served as the question's snapshot. When a registry fails, its last good answer is served further; after
//! some failures the lease changes hands, as the worker, or its configuration, may be at fault.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::discovery::cells::question::Question;
use crate::discovery::cells::snapshot::{self, State};
use crate::discovery::config::policy::{Cache, Policy};
use crate::discovery::metrics::{self, Places, RegistryMetric, ServiceMetric};
use crate::discovery::refresh::leader::QuestionLeader;
use crate::discovery::refresh::registry_state::RegistryState;
use crate::discovery::refresh::session::{FetchError, Session};
use crate::discovery::registry::AnswerError;
use crate::draws::Draws;
use crate::host::{Answer, Host, Store, Token};
use crate::time::{Span, Timestamp};
use crate::watch::cells::{Cells, Worker};
use crate::watch::leader::LONGEST_WAIT;
use crate::watch::origin::Origin;
use crate::watch::rest::Rest;

/// What one worker does about one question.
#[derive(Debug)]
pub struct Query {
    question: Question,
    cache: Rc<Cache>,
    policy: Rc<Policy>,
    /// `registry main: orders`, for the log.
    title: String,
    /// The services that have the question, for their gauges.
    services: Vec<usize>,
    /// When to look again who asks.
    look_ms: u64,
    /// While this worker asks.
    leader: Option<QuestionLeader>,
    /// What its answers cost this worker.
    rest: Rest,
}

/// What a query needs of its worker.
pub struct Context<'a, H> {
    /// The worker, and the instant.
    pub worker: Worker,
    /// Its random numbers.
    pub draws: &'a Draws,
    /// Where its metrics are.
    pub places: &'a Places,
    /// What it knows of each registry.
    pub registries: &'a [RegistryState],
    /// Its host.
    pub host: &'a H,
}

// === impl Query ===

impl Query {
    /// A question that these services have; `None` when its registry is not there.
    #[must_use]
    pub fn new(policy: &Rc<Policy>, question: Question, services: Vec<usize>) -> Option<Self> {
        let registry = policy.registries.get(question.registry)?;
        Some(Self {
            cache: Rc::new(registry.cache.clone()),
            policy: Rc::clone(policy),
            title: format!("registry {}: {}", registry.name, question.query.name()),
            services,
            look_ms: 0,
            leader: None,
            rest: Rest::default(),
            question,
        })
    }

    /// Where workers share who asks, and the answer.
    #[must_use]
    pub fn cells(&self) -> &Cells {
        &self.question.cells
    }

    /// Whether it made this call.
    #[must_use]
    pub fn made(&self, token: Token) -> bool {
        self.leader.as_ref().is_some_and(|it| it.session.made(token))
    }

    /// The configuration goes: other workers need not wait for its lease to end.
    pub fn stop(&mut self, worker: u64, config: u64, store: &dyn Store) {
        self.leader = None;
        self.question.cells.retire(worker, config, store);
    }

    /// The registry, as its place in the policy.
    #[must_use]
    pub fn registry(&self) -> usize {
        self.question.registry
    }

    /// Since when it should be asked, in milliseconds; `None` when that is not due, or another worker's.
    #[must_use]
    pub fn due_since(&self, now: Timestamp) -> Option<u64> {
        let it = self.leader.as_ref().filter(|it| !it.session.is_in_flight())?;
        let rested =
            it.served.state == State::None || it.must_confirm(now) || self.rest.wait(now) == Span::ZERO;
        // Without the lease it has to be looked at first.
        let asks = it.leader.is_due(now) && now.as_millis() < it.leader.expires_ms;
        (asks && rested).then_some(it.leader.next_ms)
    }

    /// Whether it rests after its last answers.
    #[must_use]
    pub fn rests(&self, now: Timestamp) -> bool {
        self.rest.rests(now)
    }

    /// Takes what an answer cost, while `others` rest.
    pub fn took(&mut self, cost: Span, others: usize, now: Timestamp) {
        self.rest.took(cost, others, now);
    }

    /// Whether its query in flight is one that the registry answers at once, and whether the one before
    /// failed.
    #[must_use]
    pub fn in_flight(&self) -> Option<bool> {
        let it = self.leader.as_ref().filter(|it| it.session.is_in_flight() && it.held.is_none())?;
        Some(it.leader.failures > 0)
    }

    /// Whether its next query is one that the registry answers at once, and whether the last one failed.
    #[must_use]
    pub fn next<H>(&self, context: &Context<'_, H>) -> Option<bool> {
        let it = self.leader.as_ref().filter(|_| self.next_hold(context).is_none())?;
        Some(it.leader.failures > 0)
    }

    fn next_hold<H>(&self, context: &Context<'_, H>) -> Option<Span> {
        let hold = self.leader.as_ref()?.next_hold()?;
        self.wait(hold, context)
    }

    /// How long queries may be held that could be for `hold`; `None` for not at all.
    fn wait<H>(&self, hold: Span, context: &Context<'_, H>) -> Option<Span> {
        let state = context.registries.get(self.question.registry).filter(|_| self.question.waits)?;
        state.wait(hold, context.worker.now)
    }

    /// The timer: the lease is taken or renewed, a query without an answer given up.
    pub fn tick<H: Host>(&mut self, context: &Context<'_, H>) {
        let now = context.worker.now;
        if self.leader.is_none() && now.as_millis() >= self.look_ms {
            self.lead(context);
        }
        if self.leader.as_ref().is_some_and(|it| it.leader.must_renew(now)) {
            self.renew(context);
        }
        let Some(it) = &mut self.leader else { return };
        if it.session.is_in_flight() && now.since(it.leader.asked) > it.session.patience() {
            it.session.give_up();
            self.failed(&FetchError::Answer(AnswerError::NoAnswer), context);
        }
        self.expire(context);
    }

    /// Leads if no other worker does.
    fn lead<H: Host>(&mut self, context: &Context<'_, H>) {
        let cells = &self.question.cells;
        let (leader, look_ms) = cells.lead(&context.worker, context.host);
        self.look_ms = look_ms;
        let Some(mut leader) = leader else { return };
        // Without the snapshot, an empty answer would have nothing to be compared with.
        let Ok(cell) = context.host.load(&cells.answer) else { return };
        let known = cell.and_then(|(bytes, _)| snapshot::decode(&bytes, cells.question)).unwrap_or_default();
        let registry = self.policy.registries.get(self.question.registry);
        let protocol = registry.and_then(|registry| registry.kind.protocol(&self.question.query));
        let Some(protocol) = protocol else { return };
        // What another configuration had for a period does not bind this one.
        if self.question.polled > 0 && known.state == State::None {
            let state = context.registries.get(self.question.registry);
            state.into_iter().for_each(|state| state.note_polled(self.question.polled, context.host));
        }
        leader.wait_at_most(Span::from_millis(self.cache.ttl_ms).max(LONGEST_WAIT), context.worker.now);
        self.leader = Some(QuestionLeader::new(leader, known, Session::new(protocol)));
    }

    fn renew<H: Host>(&mut self, context: &Context<'_, H>) {
        let Some(it) = &mut self.leader else { return };
        if !self.question.cells.renew(&mut it.leader, &context.worker, context.host) {
            self.release(context);
        }
    }

    /// Another worker may ask.
    fn release<H: Host>(&mut self, context: &Context<'_, H>) {
        let Some(it) = self.leader.take() else { return };
        self.look_ms = self.question.cells.release(&it.leader, &context.worker, context.host);
    }

    /// Asks the registry.
    pub fn ask<H: Host>(&mut self, context: &Context<'_, H>) {
        let hold = self.next_hold(context);
        let Some(it) = &mut self.leader else { return };
        context.host.add(context.places.registry(self.question.registry, RegistryMetric::Queries), 1);
        it.leader.asked = context.worker.now;
        it.held = hold;
        if let Err(error) = it.session.ask(hold, context.host) {
            self.failed(&error, context);
        }
    }

    /// Takes an answer to one of its calls.
    pub fn answered<H: Host>(&mut self, answer: &impl Answer, context: &Context<'_, H>) {
        let Some(it) = &mut self.leader else { return };
        let most = usize::try_from(self.cache.max_bytes).unwrap_or(usize::MAX);
        match it.session.answered(answer, most, context.host) {
            None => {}
            Some(Ok(mut answer)) => {
                let (found, now) = (&mut answer.found, context.worker.now);
                let count = found.endpoints.len();
                found.endpoints.retain(|one| self.policy.allow.has(one.address, one.port));
                let forbidden = count.saturating_sub(found.endpoints.len());
                found.skipped = found.skipped.saturating_add(forbidden);
                self.learn(context);
                let Some(it) = &self.leader else { return };
                let hold = it.session.holds_queries();
                if hold.is_some_and(|hold| self.wait(hold, context).is_none()) {
                    answer.holds = answer.holds.or(Some(Span::ZERO));
                }
                let Some(it) = &mut self.leader else { return };
                let changed = it.took(answer, &self.cache, now, context.draws.next(now));
                self.log(context);
                if changed {
                    self.publish(context);
                }
            }
            Some(Err(error)) => self.failed(&error, context),
        }
    }

    fn failed<H: Host>(&mut self, error: &FetchError, context: &Context<'_, H>) {
        let now = context.worker.now;
        if error.is_unknown() {
            self.learn(context);
        }
        let Some(it) = &mut self.leader else { return };
        if it.is_cut_by(error, now) {
            // Whether the registry is well is the next query's to say.
            return;
        }
        let changed = it.failed(error, &self.cache, now, context.draws.next(now));
        if let FetchError::Answer(AnswerError::Status(status)) = error {
            let state = context.registries.get(self.question.registry);
            state.into_iter().for_each(|state| state.advise(*status, context.host));
        }
        if !error.is_unknown() {
            context.host.add(context.places.registry(self.question.registry, RegistryMetric::Failures), 1);
        }
        self.log(context);
        if changed {
            self.publish(context);
        }
        if self.leader.as_ref().is_some_and(|it| it.leader.hands_on()) {
            self.release(context);
        }
    }

    /// The query after one that was cut was answered: the registry is well.
    fn learn<H: Host>(&mut self, context: &Context<'_, H>) {
        let Some(it) = &self.leader else { return };
        let state = context.registries.get(self.question.registry);
        if let (Some(cut), Some(hold), Some(state)) = (&it.cut, it.session.holds_queries(), state) {
            state.learn(cut, hold, context.worker.now, context.host);
        }
    }

    /// Writes new lines to the log, and shows whether a set is held back.
    fn log<H: Host>(&mut self, context: &Context<'_, H>) {
        let Some(it) = &mut self.leader else { return };
        for line in it.lines.drain(..) {
            context.host.note(&format!("{}: {line}", self.title));
        }
        let holding = u64::from(it.is_holding());
        if it.shown_holding != Some(holding) {
            it.shown_holding = Some(holding);
            for service in &self.services {
                context.host.set(context.places.service(*service, ServiceMetric::HoldActive), holding);
            }
        }
    }

    /// Gives up an answer that is too old.
    fn expire<H: Host>(&mut self, context: &Context<'_, H>) {
        let Some(it) = &mut self.leader else { return };
        if it.expire(&self.cache, context.worker.now) {
            self.log(context);
            self.publish(context);
        }
    }

    /// Publishes what is to be served, unless another worker leads by now.
    #[inline(never)]
    fn publish<H: Host>(&mut self, context: &Context<'_, H>) {
        let Some(it) = &self.leader else { return };
        let cells = &self.question.cells;
        let origin = Origin { term: it.leader.term, question: cells.question };
        let answer = snapshot::encode(origin, &it.served);
        if !cells.publish(&it.leader, &answer, &context.worker, context.host) {
            // The next leader publishes it anew.
            self.leader = None;
            return;
        }
        context.host.raise(metrics::CHANGES);
        context.host.add(context.places.registry(self.question.registry, RegistryMetric::Changes), 1);
    }
}
