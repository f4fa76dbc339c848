//! What a breaker is asked with, and what it answers: the words between the stage and a worker's
//! breakers.

use crate::breaker::cells::record::Record;
use crate::breaker::cells::Updated;
use crate::breaker::config::Breaker;
use crate::breaker::metrics::{self, BreakerMetric};
use crate::breaker::params::BreakerParams;
use crate::breaker::report::{self, Evidence};
use crate::breaker::state::State;
use crate::breaker::transition::{self, Reason};
use crate::host::Host;
use crate::http::classify::Class;

/// What is at hand when a breaker decides a request or takes an outcome.
pub(crate) struct Context<'a, H> {
    pub(crate) breaker: &'a Breaker,
    /// The parameters that transitions are decided with. They are the breaker's own, but for a soft
    /// breaker, which never opens: see [`crate::breaker::worker::local::LocalBreaker`].
    pub(crate) params: &'a BreakerParams,
    /// The breaker's place in the configuration.
    pub(crate) at: usize,
    pub(crate) host: &'a H,
    /// Whether gauges are set: not by exchanges that outlive their configuration.
    pub(crate) shows: bool,
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
    /// Whether the body of the request was still to come.
    pub(crate) upload: bool,
    /// Whether the request passed without it: what permit there was is another ticket's.
    pub(crate) late: bool,
    pub(crate) started_ms: u64,
}

/// The answer for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It passes, and its outcome counts.
    Admit(Ticket),
    /// It passes, and its outcome counts nowhere.
    Pass,
    /// It does not pass.
    Refuse {
        /// How long until a request may pass; `None` when that is not known.
        retry_after_ms: Option<u64>,
    },
}

// === impl Context ===

impl<H: Host> Context<'_, H> {
    /// The state that the configuration holds the breaker in; closed for none.
    pub(crate) fn demanded(&self) -> State {
        self.breaker.params.demanded
    }

    /// The counter of transitions, which all workers see at once. When it moved, copies are stale.
    pub(crate) fn transitions(&self) -> u64 {
        self.host.read(metrics::index(self.at, BreakerMetric::Transitions))
    }

    /// Releases a record from a state that another document held it in, if this document holds it in
    /// none. Records are read before every change, so this one is seen in time.
    #[inline(never)]
    pub(crate) fn release(&self, record: &mut Record) {
        let params = &self.breaker.params;
        if params.demanded == State::Closed && !record.state.suits(State::Closed) {
            transition::take_over(record, params, self.now_ms);
        }
    }

    pub(crate) fn count(&self, metric: BreakerMetric, n: u64) {
        if n > 0 {
            self.host.add(metrics::index(self.at, metric), n);
        }
    }

    #[inline(never)]
    pub(crate) fn count_outcome(&self, class: Class, slow: bool) {
        self.count(
            match class {
                Class::Early | Class::Failure => BreakerMetric::Failed,
                Class::Ignored | Class::Left => BreakerMetric::Ignored,
                Class::Success => BreakerMetric::Succeeded,
                Class::Throttled => BreakerMetric::Throttled,
            },
            1,
        );
        self.count(BreakerMetric::Slow, u64::from(slow && class != Class::Ignored));
    }

    /// Sets a gauge.
    pub(crate) fn show(&self, metric: BreakerMetric, value: u64) {
        if self.shows {
            self.host.set(metrics::index(self.at, metric), value);
        }
    }

    /// Counts and logs a transition that this worker made.
    #[inline(never)]
    pub(crate) fn note(&self, done: &Updated, reason: Reason, evidence: &Evidence) {
        self.host.add(metrics::reason(self.at, reason), 1);
        let Breaker { name, params, .. } = self.breaker;
        let (from, to) = (done.before.state, &done.record);
        self.host.note(&report::line(name, params, from, to, reason, evidence, self.now_ms));
    }

    /// Makes other workers read the cells again.
    pub(crate) fn raise_transitions(&self) {
        self.host.raise(metrics::index(self.at, BreakerMetric::Transitions));
    }
}
