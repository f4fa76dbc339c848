//! What a local is made of: what a worker knows of a target, and what it hands out.

use crate::breaker::cells::record::Record;
use crate::breaker::config::Breaker;
use crate::breaker::metrics::{self, BreakerMetric};
use crate::breaker::state::State;
use crate::breaker::transition::Reason;
use crate::breaker::worker::delta::Delta;
use crate::host::Host;
use crate::http::classify::Class;

/// What is at hand when a breaker is asked or told.
pub(crate) struct Context<'a, H> {
    pub(crate) breaker: &'a Breaker,
    /// The breaker's place in the configuration.
    pub(crate) at: usize,
    pub(crate) host: &'a H,
    pub(crate) now_ms: u64,
    /// For the random part of an open time, and for the share that a soft breaker refuses.
    pub(crate) draw: u64,
}

/// The permission to pass that an exchange keeps until its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) breaker: usize,
    pub(crate) target: u64,
    pub(crate) generation: u32,
    pub(crate) probe: bool,
    pub(crate) started_ms: u64,
}

/// The answer for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Admit(Ticket),
    /// It passes, and nobody wants to know what came of it.
    Pass,
    Refuse {
        retry_after_ms: Option<u64>,
    },
}

/// A target that this worker met.
#[derive(Default)]
pub(crate) struct Entry {
    pub(crate) delta: Delta,
    /// When the oldest request began whose outcome is in the delta.
    pub(crate) since_ms: u64,
    pub(crate) flushed_ms: u64,
    pub(crate) used_ms: u64,
    /// Whether others know the target, too.
    pub(crate) tracked: bool,
    pub(crate) head: Option<Head>,
    /// The counter of transitions as it was when the head was read.
    pub(crate) seen: Option<u64>,
}

/// What a worker knows of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) state: State,
    pub(crate) generation: u32,
    pub(crate) at_ms: u64,
    pub(crate) run: u32,
    /// Whether anything in the window speaks against the target.
    pub(crate) troubled: bool,
    /// Whether at least half of what makes it open speaks against it.
    pub(crate) nearly: bool,
    /// The share of requests that a soft breaker refuses.
    pub(crate) share: f64,
}

// === impl Entry ===

impl Entry {
    /// Takes what others know. Counts of an earlier state are not for the one that is now.
    pub(crate) fn learn(&mut self, cx: &Context<'_, impl Host>, head: Option<Head>) {
        self.head = head;
        self.tracked = head.is_some();
        if let (Some(head), false) = (head, cx.breaker.target.is_many()) {
            if head.generation != self.delta.generation {
                cx.count(BreakerMetric::Stale, self.delta.total().into());
                self.delta.restart(head.generation);
            }
        }
    }
}

// === impl Head ===

impl Head {
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

    pub(crate) fn refusing_percent(self) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
        let pct = (self.share * 100.0) as u64;
        pct
    }
}

// === impl Context ===

impl<H: Host> Context<'_, H> {
    pub(crate) fn count(&self, what: BreakerMetric, n: u64) {
        if n > 0 {
            self.host.add(metrics::index(self.at, what), n);
        }
    }

    pub(crate) fn count_reason(&self, reason: Reason) {
        self.host.add(metrics::reason(self.at, reason), 1);
    }

    pub(crate) fn count_outcome(&self, class: Class, slow: bool) {
        self.count(
            match class {
                Class::Failure => BreakerMetric::Failed,
                Class::Ignored => BreakerMetric::Ignored,
                Class::Success => BreakerMetric::Succeeded,
                Class::Throttled => BreakerMetric::Throttled,
            },
            1,
        );
        self.count(BreakerMetric::Slow, u64::from(slow && class != Class::Ignored));
    }
}
