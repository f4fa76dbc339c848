//! All breakers of one configuration as one worker has them: what `request.rs` and `outcome.rs`
//! work on, and what a tick does.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;

use super::config::{Breaker, Mode, Policy};
use super::exchange::{Answered, Exchange};
use super::live::Live;
use super::metrics::{self, BreakerMetric};
use super::misroutes::{FellBack, Misroutes};
use super::reached::Reached;
use super::report;
use super::unused::Unused;
use super::waiting::{self, Waiting};
use crate::breaker::config::target::Target;
use crate::breaker::worker::context::{Context, Ticket};
use crate::breaker::worker::local::LocalBreaker;
use crate::draws::Draws;
use crate::hash::sip::{SipHash13, SipKey};
use crate::hash::xxh64::xxh64;
use crate::host::{Host, Store, StoreError};
use crate::http::classify::Class;
use crate::http::{choice, CellSpec, Ending, Placement};
use crate::secret;
use crate::time::Timestamp;

/// The policy, and this worker's state of it.
pub(super) struct Breakers {
    pub(super) policy: Policy,
    pub(super) placement: Placement,
    /// In the policy's order.
    locals: Vec<LocalBreaker>,
    /// Hashes keys and addresses, so that clients cannot choose who shares their record.
    pub(super) secret: SipKey,
    /// Whether requests are matched by headers.
    pub(super) reads_headers: bool,
    /// Whether an exchange that ends here may have been broken off by an endpoint that a breaker
    /// guards.
    pub(super) blames: bool,
    /// Whether it stands around attempts and guards no endpoint: then nothing is asked of a request.
    pub(super) idle: bool,
    /// When the last tick was.
    ticked: Cell<Timestamp>,
    /// Which breakers the worker's configurations have.
    live: Rc<Live>,
    /// Whether the configuration is gone, and its exchanges in flight show nothing any more.
    gone: Cell<bool>,
    pub(super) waiting: Waiting,
    pub(super) misroutes: Misroutes,
    pub(super) reached: Reached,
    pub(super) unused: Unused,
    /// What access logs say, by breaker.
    labels: Vec<[String; 5]>,
}

// === impl Breakers ===

impl Breakers {
    pub(super) fn new(policy: Policy, placement: Placement) -> Self {
        let here = |breaker: &&Breaker| breaker.target.placement() == placement;
        let reads = |breaker: &Breaker| {
            !breaker.matches.is_empty() || matches!(&breaker.target, Target::Key(key) if !key.is_constant())
        };
        let label =
            |breaker: &Breaker| choice::GUARDED.map(|(word, _)| alloc::format!("{word}:{}", breaker.name));
        Self {
            placement,
            locals: policy.breakers.iter().map(LocalBreaker::new).collect(),
            secret: SipKey::from_bytes([0; 16]),
            reads_headers: policy.breakers.iter().filter(here).any(reads),
            blames: placement == Placement::Downstream
                && policy.breakers.iter().any(Breaker::guards_endpoints),
            idle: placement == Placement::Attempt && !policy.breakers.iter().any(|breaker| here(&breaker)),
            ticked: Cell::default(),
            live: Rc::default(),
            gone: Cell::new(false),
            waiting: Waiting::default(),
            misroutes: Misroutes::default(),
            reached: Reached::new(&policy.breakers),
            unused: Unused::new(&policy, placement),
            labels: policy.breakers.iter().map(label).collect(),
            policy,
        }
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = CellSpec> + '_ {
        let cells = self.policy.breakers.iter().zip(&self.locals);
        cells.flat_map(|(breaker, local)| local.specs(&breaker.params)).chain([self.unused.usage.spec()])
    }

    pub(super) fn start(&mut self, store: &impl Store) -> Result<(), StoreError> {
        let bytes = secret::load(store)?;
        self.secret = SipKey::from_bytes(bytes);
        for (local, seed) in self.locals.iter_mut().zip(0..) {
            local.draws = Draws::seeded(xxh64(&bytes, seed));
        }
        let mut breakers = self.policy.breakers.iter().zip(&self.locals);
        breakers.try_for_each(|(breaker, local)| local.adopt(&breaker.params, store))
    }

    /// Counts the breakers among those that the worker's configurations have.
    pub(super) fn join(&mut self, live: &Rc<Live>) {
        self.live = Rc::clone(live);
        live.see(self.placement);
        self.policy.breakers.iter().for_each(|breaker| live.join(breaker.number));
    }

    /// The configuration goes. Gauges of breakers that no other configuration has show nothing.
    pub(super) fn leave(&self, host: &impl Host) {
        if self.gone.replace(true) {
            return;
        }
        for (at, breaker) in self.policy.breakers.iter().enumerate() {
            if self.live.leave(breaker.number) {
                metrics::GAUGES.iter().for_each(|gauge| host.set(metrics::index(at, *gauge), 0));
            }
        }
    }

    /// The breaker at a place of the configuration.
    pub(super) fn get(&self, at: usize) -> Option<&Breaker> {
        self.policy.breakers.get(at)
    }

    /// The worker's part of the breaker at `at`, with what it needs to decide at `now`.
    pub(super) fn local<'a, H: Host>(
        &'a self,
        at: usize,
        now: Timestamp,
        host: &'a H,
    ) -> Option<(&'a LocalBreaker, Context<'a, H>)> {
        self.with(at, now, host, false)
    }

    /// The same, or for a look ahead, which uses up no draw: the next question has that draw.
    #[inline(never)]
    fn with<'a, H: Host>(
        &'a self,
        at: usize,
        now: Timestamp,
        host: &'a H,
        looks: bool,
    ) -> Option<(&'a LocalBreaker, Context<'a, H>)> {
        let (breaker, local) = self.policy.breakers.get(at).zip(self.locals.get(at))?;
        let draw = if looks { local.draws.peek(now) } else { local.draws.next(now) };
        let (now_ms, shows) = (now.as_millis(), !self.gone.get());
        Some((local, Context { breaker, params: &local.params, at, host, shows, now_ms, draw }))
    }

    /// Whether the breaker at `at`, of one target, would refuse a request now: one that has a body to come
    /// or not. A renewed permit is there or not by chance: the request's own check has the same draw, so that it
    /// gets what it was promised.
    pub(super) fn would_refuse<H: Host>(&self, at: usize, upload: bool, now: Timestamp, host: &H) -> bool {
        let asked = self.with(at, now, host, true);
        asked.is_some_and(|(local, cx)| local.would_refuse(&cx, upload).unwrap_or(false))
    }

    /// The first breaker of a cluster or a route that may not let every request pass, as far as this
    /// worker knows, among those that are asked for.
    pub(super) fn blocking<H: Host>(
        &self,
        asked: impl Fn(&Breaker) -> bool,
        now: Timestamp,
        host: &H,
    ) -> Option<usize> {
        if self.placement == Placement::Attempt {
            return None;
        }
        let blocks = |at: usize| {
            let (local, cx) = self.local(at, now, host)?;
            Some(!local.would_pass(&cx, 0).unwrap_or(false))
        };
        self.policy.breakers.iter().zip(&self.locals).enumerate().position(|(at, (breaker, local))| {
            breaker.target.is_by_route()
                && breaker.mode == Mode::Enforce
                && local.blocks(&breaker.params).or_else(|| blocks(at)).unwrap_or(false)
                && asked(breaker)
        })
    }

    /// When an exchange ended that ended well, as far as that matters: not before its response's headers
    /// nor the last tick. To ask for the time costs as much as all else at such an end.
    pub(super) fn well_ended(&self, exchange: &Exchange, ending: Ending) -> Option<Timestamp> {
        let well = |answered: &Answered| !answered.failed && !answered.lacks_status;
        let answered = exchange.answered.filter(|answered| ending == Ending::Complete && well(answered))?;
        Some(Timestamp::from_nanos(answered.at_ms.saturating_mul(1_000_000)).max(self.ticked.get()))
    }

    /// Whether the class of a success must be known exactly.
    pub(super) fn is_troubled(&self, ticket: &Ticket) -> bool {
        self.locals.get(ticket.breaker).is_none_or(|local| local.is_troubled(ticket))
    }

    /// Takes the outcome of a request that passed the breaker of its ticket.
    #[inline(never)]
    pub(super) fn settle<H: Host>(
        &self,
        ticket: Ticket,
        class: Class,
        took_ms: u64,
        hosts: &dyn Fn() -> u64,
        now: Timestamp,
        host: &H,
    ) {
        let Some((local, cx)) = self.local(ticket.breaker, now, host) else { return };
        let slow = cx.breaker.params.is_slow(took_ms);
        if local.settle(&cx, ticket, class, slow, hosts).is_err() {
            cx.count(BreakerMetric::Undecided, 1);
        }
    }

    /// Takes that the cluster had no healthy endpoint for the request of a ticket.
    #[inline(never)]
    pub(super) fn on_no_endpoint<H: Host>(&self, ticket: &Ticket, now: Timestamp, host: &H) {
        let Some((local, cx)) = self.local(ticket.breaker, now, host) else { return };
        if local.on_no_endpoint(&cx, ticket).is_err() {
            cx.count(BreakerMetric::Undecided, 1);
        }
    }

    /// Counts a request that fell back and went where it came from, says so if it is the first, and
    /// leaves that fallback out for a while.
    #[inline(never)]
    pub(super) fn misrouted(&self, fell_back: FellBack, reached: &[u8], now: Timestamp, host: &impl Host) {
        let counter = metrics::index(fell_back.from, BreakerMetric::Misrouted);
        let known = self.get(fell_back.from).zip(self.get(fell_back.path.to));
        if let Some((from, to)) = known.filter(|_| host.read(counter) == 0) {
            host.note(&report::misrouted(&from.name, &to.target, reached, &self.policy.cluster_header));
        }
        host.raise(counter);
        self.misroutes.learn(fell_back, false, now.as_millis());
    }

    /// Gives back the permits of breakers that admitted a request which is not sent.
    #[inline(never)]
    pub(super) fn give_back<H: Host>(&self, exchange: &mut Exchange, now: Timestamp, host: &H) {
        exchange.label = None;
        exchange.evaded = None;
        for ticket in exchange.take().filter(|ticket| ticket.probe) {
            self.settle(ticket, Class::Ignored, 0, &|| 0, now, host);
        }
    }

    /// What stands for an endpoint in a table: the keyed hash of its address, as Envoy writes it.
    pub(super) fn endpoint(&self, address: &[u8]) -> u64 {
        let mut hash = SipHash13::new(self.secret);
        hash.write(address);
        hash.finish()
    }

    /// What access logs say of an exchange.
    pub(super) fn label(&self, exchange: &Exchange) -> Option<&str> {
        let (at, label) = exchange.label?;
        self.labels.get(at)?.get(label as usize).map(String::as_str)
    }

    /// Says, and shows, which breakers no request has had, and that this filter stands where nothing of its
    /// document is for.
    #[inline(never)]
    fn tell_unused(&self, now: Timestamp, host: &impl Host) {
        let Unused { usage, .. } = &self.unused;
        if self.unused.is_misplaced(&self.live, now) && usage.is_first_misplaced(host) {
            host.note(self.unused.misplaced());
        }
        let line =
            |at, requests| self.get(at).map_or_else(String::new, |own| self.unused.line(own, requests));
        usage.tell(host, &|at| metrics::index(at, BreakerMetric::Unused), &line);
        self.unused.tick();
    }

    /// Lets probes pass whose streams have been up for long, then does the housekeeping of each
    /// breaker.
    pub(super) fn tick(&self, host: &impl Host) {
        let now = host.now();
        self.ticked.set(now);
        self.reached.tick();
        let long_ms = |at: usize| self.get(at).map_or(0, |breaker| waiting::long_ms(&breaker.params));
        for (ticket, took_ms) in self.waiting.long(now.as_millis(), long_ms) {
            self.settle(ticket, Class::Success, took_ms, &|| 0, now, host);
        }
        self.tell_unused(now, host);
        for at in 0..self.locals.len() {
            let Some((local, cx)) = self.local(at, now, host) else { continue };
            if local.tick(&cx).is_err() {
                count(host, at, BreakerMetric::Undecided);
            }
        }
    }
}

/// Counts one on a metric of the breaker at `at`.
pub(super) fn count(host: &impl Host, at: usize, metric: BreakerMetric) {
    host.add(metrics::index(at, metric), 1);
}
