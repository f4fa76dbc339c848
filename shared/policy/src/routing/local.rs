//! The ramps of a route on one worker: a copy of where they are, what the worker counted, and
//! the turn that one of all workers takes when an interval is over.
//!
//! Where a ramp is lies in one cell and what its requests did in another. Every worker adds what
//! it counted with each tick; the first whose tick finds an interval over, and whose write wins,
//! judges it and moves the ramp for all. A counter of moves shows it to the others at once.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use super::decide::Weights;
use super::judge::{Fault, Judgement};
use super::metrics::{Places, RouteMetric, VariantMetric};
use super::outcome::Outcome;
use super::ramp::{self, Event, Phase, Ramp, State};
use super::route::Route;
use super::tally::{self, Tally};
use crate::config::Scope;
use crate::host::{rewrite, Host, Store, StoreError};
use crate::http::{CellSpec, Seed};

/// The ramps of a route on one worker.
pub(super) struct LocalRoute {
    route: usize,
    ramps: Vec<LocalRamp>,
    weights: RefCell<Weights>,
    /// The counter of moves as it was when the copies were made.
    seen: Cell<Option<u64>>,
}

/// One ramp on one worker.
struct LocalRamp {
    variant: usize,
    /// The cell with its state; the one with its tally has the same name, ending in `t`.
    cell: String,
    state: Cell<State>,
    /// What was counted and not published yet: of one interval, or of two.
    pending: RefCell<Vec<Tally>>,
    /// Where the state of its breaker stands among the metrics.
    breaker: Option<usize>,
}

/// How long after its end an interval is judged, so that every worker has published its counts: it does
/// with each tick, every 100 ms, and a tick may come late.
const GRACE_MS: u64 = 250;
/// States in which a breaker lets nothing through: open, and forced open.
const OPEN: [u64; 2] = [1, 3];

// === impl LocalRoute ===

impl LocalRoute {
    /// The ramps of a route. `breakers` is where states of breakers begin among the metrics, in the
    /// order of the ramps that watch one.
    pub(super) fn new(
        at: usize,
        route: &Route,
        scope: &Scope,
        breakers: &mut impl Iterator<Item = usize>,
    ) -> Self {
        let mut ramps = Vec::new();
        for (variant, of) in route.variants.iter().enumerate() {
            let Some(ramp) = &of.ramp else { continue };
            let number = scope.number(&format!("{}/{}", route.name, of.name));
            ramps.push(LocalRamp {
                variant,
                cell: format!("tidegate/w1{number:06x}"),
                state: Cell::new(ramp.fresh()),
                pending: RefCell::default(),
                breaker: ramp.breaker.as_ref().and_then(|_| breakers.next()),
            });
        }
        let weights = RefCell::new(Weights::new(route, &[]));
        Self { route: at, ramps, weights, seen: Cell::new(None) }
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = CellSpec> + '_ {
        self.ramps.iter().flat_map(|local| {
            [
                CellSpec { name: local.cell.clone(), seed: Seed::Zeros(ramp::BYTES) },
                CellSpec { name: local.tally(), seed: Seed::Zeros(tally::BYTES) },
            ]
        })
    }

    /// Starts ramps over that another schedule had left somewhere, and moves all by the rules of this
    /// configuration from now on. Only a start does: a configuration that drains must not undo what
    /// the one that follows it began.
    pub(super) fn adopt(&self, route: &Route, store: &impl Store) -> Result<(), StoreError> {
        for local in &self.ramps {
            let Some(ramp) = local.ramp(route) else { continue };
            let tag = ramp.tag();
            rewrite(store, &local.tally(), &mut |bytes| {
                (tally::tag(bytes) != Some(tag)).then(|| tally::empty(tag))
            })?;
            rewrite(store, &local.cell, &mut |bytes| {
                let before = State::decode(bytes);
                let state = ramp.adopt(before);
                local.state.set(state);
                (state != before).then(|| state.encode().to_vec())
            })?;
        }
        Ok(())
    }

    /// Runs `decide` with what the variants weigh now.
    pub(super) fn with_weights<T>(
        &self,
        route: &Route,
        places: &Places,
        host: &impl Host,
        decide: impl FnOnce(&Weights) -> T,
    ) -> Result<T, StoreError> {
        if !self.ramps.is_empty() {
            let moves = host.read(places.route(self.route, RouteMetric::Moves));
            if self.seen.get() != Some(moves) {
                self.refresh(route, host)?;
                self.seen.set(Some(moves));
            }
        }
        Ok(decide(&self.weights.borrow()))
    }

    /// Whether what comes of requests matters.
    pub(super) fn judges(&self) -> bool {
        !self.ramps.is_empty()
    }

    /// Counts a request that ended. One whose client left counts where it had waited for longer than
    /// the ramp allows: for less there may be as many reasons as clients.
    pub(super) fn count(&self, route: &Route, variant: usize, outcome: Outcome, host: &impl Host) {
        let Outcome { failed, took_ms, left } = outcome;
        for local in &self.ramps {
            let Some(ramp) = local.ramp(route) else { continue };
            if variant != local.variant && variant != route.baseline {
                continue;
            }
            let most_ms = ramp.demands.max_p99_ms;
            if left && (most_ms == 0 || took_ms <= most_ms) {
                continue;
            }
            let Some(interval) = ramp.interval(&local.state.get(), clock(ramp, host)) else { continue };
            let mut pending = local.pending.borrow_mut();
            let at = match pending.iter().position(|tally| tally.interval == interval) {
                Some(at) => at,
                None => {
                    pending.push(Tally { interval, ..Tally::default() });
                    pending.len().saturating_sub(1)
                }
            };
            let Some(tally) = pending.get_mut(at) else { continue };
            let counts = if variant == local.variant { &mut tally.variant } else { &mut tally.baseline };
            counts.add(failed, took_ms);
        }
    }

    /// Tells what was counted, and moves ramps whose interval is over.
    pub(super) fn tick(&self, route: &Route, places: &Places, host: &impl Host) -> Result<(), StoreError> {
        let done = self.ramps.iter().try_for_each(|local| {
            local.publish(route, host)?;
            self.advance(local, route, places, host)
        });
        let moves = host.read(places.route(self.route, RouteMetric::Moves));
        self.refresh(route, host)?;
        self.seen.set(Some(moves));
        for (variant, weight) in self.weights.borrow().weights.iter().enumerate() {
            host.set(places.variant(self.route, variant, VariantMetric::Weight), u64::from(*weight));
        }
        done
    }

    /// Aborts the ramps whose breaker is open, before a tick would.
    pub(super) fn heed(&self, route: &Route, places: &Places, host: &impl Host) -> Result<(), StoreError> {
        let mut watched = self.ramps.iter().filter(|local| local.is_cut_off(host));
        watched.try_for_each(|local| self.advance(local, route, places, host))
    }

    /// Reads where the ramps are. One that another schedule moved meanwhile stays where it was.
    fn refresh(&self, route: &Route, store: &impl Store) -> Result<(), StoreError> {
        if self.ramps.is_empty() {
            return Ok(());
        }
        let mut ramped: Vec<Option<u32>> = alloc::vec![None; route.variants.len()];
        for local in &self.ramps {
            let Some((ramp, variant)) = local.ramp(route).zip(route.variants.get(local.variant)) else {
                continue;
            };
            let (bytes, _) = store.load(&local.cell)?.ok_or(StoreError::Unavailable)?;
            let state = State::decode(&bytes);
            if state.tag == ramp.tag() {
                local.state.set(state);
            }
            if let Some(weight) = ramped.get_mut(local.variant) {
                *weight = Some(ramp.weight(&local.state.get(), variant.weight));
            }
        }
        *self.weights.borrow_mut() = Weights::new(route, &ramped);
        Ok(())
    }

    /// Takes the turn of all workers, if there is one to take.
    fn advance(
        &self,
        local: &LocalRamp,
        route: &Route,
        places: &Places,
        host: &impl Host,
    ) -> Result<(), StoreError> {
        let Some(ramp) = local.ramp(route) else { return Ok(()) };
        let clock_ms = clock(ramp, host);
        let open = local.is_cut_off(host);
        let mut done = None;
        rewrite(host, &local.cell, &mut |bytes| {
            // What a try did that lost to another worker is done by that one.
            done = None;
            let state = State::decode(bytes);
            if (state.tag, state.rules) != (ramp.tag(), ramp.rules()) {
                return None;
            }
            let begins = state.phase == Phase::Waiting;
            let now_ms = if begins { clock_ms } else { clock_ms.saturating_sub(GRACE_MS) };
            let (next, event, why) = if open && !begins {
                let (next, event) = ramp.abort(state);
                (next, event, "its breaker is open")
            } else if ramp.is_due(&state, now_ms) {
                let judgement = self.judge(local, route, ramp, &state, now_ms, host);
                let (next, event) = ramp.check(state, now_ms, judgement);
                (next, event, if begins { "its time has come" } else { why(judgement) })
            } else {
                return None;
            };
            done = Some((state, next, event, why));
            (next != state).then(|| next.encode().to_vec())
        })?;
        let Some((before, state, event, why)) = done.filter(|(before, state, ..)| before != state) else {
            return Ok(());
        };
        local.state.set(state);
        self.announce(local, route, ramp, (before, state), event, why, places, host);
        Ok(())
    }

    /// What the interval that ended last says.
    fn judge(
        &self,
        local: &LocalRamp,
        route: &Route,
        ramp: &Ramp,
        state: &State,
        now_ms: u64,
        store: &impl Store,
    ) -> Judgement {
        let ended = ramp.interval(state, now_ms).and_then(|interval| interval.checked_sub(1));
        let (Some(ended), Ok(Some((bytes, _)))) = (ended, store.load(&local.tally())) else {
            return Judgement::Inconclusive;
        };
        let tally = Tally::read(&bytes, ramp.tag(), ended);
        let baseline = self.weights.borrow().weights.get(route.baseline).copied().unwrap_or(0);
        ramp.demands.judge(tally.variant.sample(), (baseline > 0).then(|| tally.baseline.sample()))
    }

    #[expect(clippy::too_many_arguments, reason = "what there is to say")]
    fn announce(
        &self,
        local: &LocalRamp,
        route: &Route,
        ramp: &Ramp,
        (before, state): (State, State),
        event: Event,
        why: &str,
        places: &Places,
        host: &impl Host,
    ) {
        let (what, word) = match event {
            Event::Abort => (RouteMetric::Aborted, "aborted"),
            Event::Advance => (RouteMetric::Advanced, "advanced"),
            Event::Halt => (RouteMetric::Halted, "halted"),
            Event::Promote => (RouteMetric::Promoted, "promoted"),
            Event::None => return,
        };
        host.add(places.route(self.route, what), 1);
        let Some(variant) = route.variants.get(local.variant) else { return };
        let weight = |state| ramp.weight(state, variant.weight);
        if weight(&before) != weight(&state) || event != Event::Halt {
            host.raise(places.route(self.route, RouteMetric::Moves));
        }
        let (from, to, total) = (weight(&before), weight(&state), route.total);
        if event == Event::Halt && before.failed == state.failed {
            // Too few requests, or a pause: once an interval, and no news.
            return;
        }
        host.note(&format!(
            "{}/{}: ramp {word}: {why}; weight {from} -> {to} of {total}",
            route.name, variant.name
        ));
    }
}

// === impl LocalRamp ===

impl LocalRamp {
    fn ramp<'r>(&self, route: &'r Route) -> Option<&'r Ramp> {
        route.variants.get(self.variant)?.ramp.as_ref()
    }

    /// Whether its breaker lets nothing through.
    fn is_cut_off(&self, host: &impl Host) -> bool {
        self.breaker.is_some_and(|breaker| OPEN.contains(&host.read(breaker)))
    }

    fn tally(&self) -> String {
        format!("{}t", self.cell)
    }

    /// Adds the counts to those of the other workers. Counts that could not be published are
    /// published with a later tick, if they are of the last two intervals: older ones are not judged.
    fn publish(&self, route: &Route, store: &impl Store) -> Result<(), StoreError> {
        let Some(tag) = self.ramp(route).map(Ramp::tag) else { return Ok(()) };
        let mut done = Ok(());
        let mut pending = self.pending.borrow_mut();
        pending.retain(|tally| {
            let published = rewrite(store, &self.tally(), &mut |bytes| tally.merge_into(bytes, tag));
            done = done.and(published);
            published.is_err()
        });
        let old = pending.len().saturating_sub(2);
        pending.drain(..old);
        done
    }
}

/// The time by which a ramp goes, in milliseconds: a date needs the wall clock, and without one
/// the steady clock is better.
fn clock(ramp: &Ramp, host: &impl Host) -> u64 {
    let now = if ramp.start_ms.is_some() { host.wall() } else { host.now() };
    now.as_millis()
}

fn why(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Pass => "the interval went well",
        Judgement::Inconclusive => "too few requests to judge",
        Judgement::Fail(Fault::Success) => "too many requests failed",
        Judgement::Fail(Fault::Latency) => "slow requests took too long",
    }
}
