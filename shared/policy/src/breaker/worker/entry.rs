//! What a worker keeps of one target: its counts since the last merge, and the head of the record.

use crate::breaker::cells::record::{Counts, Record};
use crate::breaker::metrics::BreakerMetric;
use crate::breaker::params::BreakerParams;
use crate::breaker::state::State;
use crate::breaker::worker::context::{Context, Ticket};
use crate::breaker::worker::delta::Delta;
use crate::host::Host;
use crate::http::classify::Class;

/// How often ticks merge good outcomes. A request does when no tick did for twice as long.
const FLUSH_MS: u64 = 100;

/// One target, as this worker sees it.
#[derive(Default)]
pub(crate) struct Entry {
    pub(crate) delta: Delta,
    /// What was merged in the last window, since the target was last open: the record can lose it to
    /// another target, which this worker then makes up for.
    own: Delta,
    /// Its failures, and what it inherited: who has the least gives its place to another target.
    pub(crate) rank: u32,
    /// When the oldest request began whose outcome is in the delta.
    pub(crate) since_ms: u64,
    pub(crate) flushed_ms: u64,
    pub(crate) used_ms: u64,
    /// Whether the target has a record. One with a single target always has.
    pub(crate) tracked: bool,
    pub(crate) head: Option<Head>,
    /// The counter of transitions as it was when the head was read.
    pub(crate) seen: Option<u64>,
}

/// What a worker remembers of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) state: State,
    pub(crate) generation: u32,
    pub(crate) at_ms: u64,
    /// Consecutive failures.
    pub(crate) run: u32,
    /// Whether anything in the window failed or was slow.
    pub(crate) troubled: bool,
    /// Whether the window has at least half of the failure rate that opens it.
    pub(crate) nearly: bool,
    /// The share of requests that a soft breaker refuses.
    pub(crate) share: f64,
}

// === impl Entry ===

impl Entry {
    /// The head, if no breaker changed its state since it was read.
    pub(crate) fn fresh(&self, seen: u64) -> Option<Option<Head>> {
        (self.seen == Some(seen)).then_some(self.head)
    }

    /// Takes what the record says; `None` when there is no record.
    pub(crate) fn learn(&mut self, head: Option<Head>, seen: u64, now_ms: u64) {
        (self.head, self.tracked) = (head, head.is_some());
        (self.seen, self.used_ms) = (Some(seen), now_ms);
        if head.is_some_and(|head| head.state.is_tripped()) {
            self.own.restart(0);
        }
    }

    /// Counts the outcome of a request. Whether to merge now: a failure or slow call at once, since
    /// it may open the breaker for all workers; a success when it ends a run, or when it is due.
    #[inline(never)]
    pub(crate) fn count(
        &mut self,
        cx: &Context<'_, impl Host>,
        ticket: &Ticket,
        class: Class,
        slow: bool,
    ) -> bool {
        if self.delta.slots.is_empty() {
            self.since_ms = ticket.started_ms;
        }
        self.since_ms = self.since_ms.min(ticket.started_ms);
        self.used_ms = cx.now_ms;
        self.delta.count(cx.params, cx.now_ms, class, slow);
        if class != Class::Success || slow {
            self.rank = self.rank.saturating_add(1);
            return true;
        }
        let ends_run = self.head.is_some_and(|head| head.run > 0);
        let due = cx.now_ms.saturating_sub(self.flushed_ms) >= FLUSH_MS.saturating_mul(2)
            || self.head.is_some_and(|head| head.troubled)
                && self.delta.total() >= cx.breaker.params.minimum_calls;
        let now = (ends_run || due) && self.tracked;
        if !now && self.delta.slots.len() > usize::try_from(cx.params.slots).unwrap_or(1) {
            self.delta.prune(cx.params, cx.now_ms);
        }
        now
    }

    /// All that this worker counted in the last window, for a record that is new.
    pub(crate) fn all(&self) -> Delta {
        let mut all = self.own.clone();
        all.extend(&self.delta);
        all
    }

    /// How many consecutive failures this worker merged that a record with this window has to have:
    /// if it has fewer it was lost since, and another worker made it anew. Where there were successes
    /// they may have ended the run, and where the breaker was open since it has ended.
    pub(crate) fn own_run(&self, window: Counts, closed_since_ms: u64) -> u32 {
        if window.failed == window.total && self.own.run_ms >= closed_since_ms {
            self.own.trailing_failures
        } else {
            0
        }
    }

    /// Takes what was counted over into what was merged.
    pub(crate) fn remember(&mut self) {
        self.own.extend(&self.delta);
        self.delta.restart(0);
    }

    /// Forgets what was merged before the window.
    pub(crate) fn forget_old(&mut self, params: &BreakerParams, now_ms: u64) {
        self.own.prune(params, now_ms);
        if self.own.slots.is_empty() {
            self.own.restart(0);
        }
    }

    /// Takes the record that the delta was merged into; counts what the merge left out as stale.
    #[inline(never)]
    pub(crate) fn merged(&mut self, cx: &Context<'_, impl Host>, record: &Record, stale: u32) {
        cx.count(BreakerMetric::Stale, stale.into());
        if record.state.is_tripped() {
            self.own.restart(0);
        }
        self.delta.restart(record.generation);
        self.head = Some(Head::of(record, cx));
    }

    /// Whether the target has consecutive failures, or half of the failure rate that opens it, so
    /// that the class of a success must be known exactly.
    pub(crate) fn is_troubled(&self) -> bool {
        self.tracked && self.delta.has_trouble() || self.head.is_some_and(|head| head.run > 0 || head.nearly)
    }
}

// === impl Head ===

impl Head {
    #[inline(never)]
    pub(crate) fn of(record: &Record, cx: &Context<'_, impl Host>) -> Self {
        let window = record.window(&cx.breaker.params, cx.now_ms);
        let rate = cx.breaker.params.failure_rate_percent;
        let share = cx.breaker.soft.map_or(0.0, |soft| soft.share(window, rate));
        Self {
            state: record.state,
            generation: record.generation,
            at_ms: record.at_ms,
            run: record.consecutive,
            troubled: window.failed > 0 || window.slow > 0,
            nearly: window.failed > 0
                && u64::from(window.failed).saturating_mul(200)
                    >= u64::from(rate).saturating_mul(window.total.into()),
            share,
        }
    }

    /// The state, as the gauge shows it: an open breaker whose time is over lets the next request probe.
    pub(crate) fn shown(&self, now_ms: u64) -> State {
        if self.state == State::Open && now_ms >= self.at_ms {
            State::HalfOpen
        } else {
            self.state
        }
    }

    /// The share of requests that a soft breaker refuses, in percent.
    pub(crate) fn refusing_percent(self) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
        let percent = (self.share * 100.0) as u64;
        percent
    }
}
