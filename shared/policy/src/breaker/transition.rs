//! From one state of a breaker to another, and why.

use super::params::BreakerParams;
use crate::breaker::cells::record::Record;
use crate::breaker::state::State;

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// So many failures in a row.
    Consecutive,
    /// The half-open time was over.
    Expired,
    /// The share of failures.
    FailureRate,
    /// Too many probes failed.
    ProbesFailed,
    /// Enough probes came back well.
    ProbesPassed,
    /// The share of slow calls.
    SlowRate,
    /// The open time was over.
    WaitedOut,
}

// === impl Reason ===

impl Reason {
    /// All of them, in alphabetical order of their words.
    pub const ALL: [Self; 7] = [
        Self::Consecutive,
        Self::Expired,
        Self::FailureRate,
        Self::ProbesFailed,
        Self::ProbesPassed,
        Self::SlowRate,
        Self::WaitedOut,
    ];

    /// What it means, for the reference.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::Consecutive => "Opened after consecutive_failures failures in a row.",
            Self::Expired => "Opened again because probes did not come back in max_half_open_ms.",
            Self::FailureRate => "Opened at failure_rate_percent.",
            Self::ProbesFailed => "Opened again because probes failed or were slow.",
            Self::ProbesPassed => "Closed because probes passed.",
            Self::SlowRate => "Opened at slow_rate_percent.",
            Self::WaitedOut => "Half-open because the open time was over.",
        }
    }

    /// One word, as in logs and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Consecutive => "consecutive",
            Self::Expired => "expired",
            Self::FailureRate => "failure_rate",
            Self::ProbesPassed => "probes_passed",
            Self::ProbesFailed => "probes_failed",
            Self::SlowRate => "slow_rate",
            Self::WaitedOut => "waited_out",
        }
    }
}

// === impl Record ===

impl Record {
    /// Ends a half-open state that is over: open again, and longer if something was learnt.
    pub fn expire(&mut self, params: &BreakerParams, now_ms: u64, draw: u64) -> bool {
        let over = self.state == State::HalfOpen && self.at_ms != 0 && now_ms >= self.at_ms;
        if over {
            let learnt = self.probes.ok > 0 || self.probes.failed > 0;
            let streak = self.streak.saturating_add(u16::from(learnt));
            self.open(params, streak, now_ms, draw);
        }
        over
    }

    /// Enters the state that the configuration demands.
    pub fn force(&mut self, state: State, now_ms: u64) {
        self.enter(state);
        self.at_ms = now_ms;
    }

    /// Makes a record that was written for other parameters one of these, in the state that they
    /// demand; `true` if it was.
    pub fn adopt(&mut self, params: &BreakerParams, now_ms: u64) -> bool {
        let tag = params.tag();
        if self.tag == tag {
            return false;
        }
        if self.tag != 0 || params.demanded != State::Closed {
            self.take_over(params, now_ms);
        }
        self.tag = tag;
        true
    }

    /// Makes it a record of these parameters, in the state that they demand.
    pub fn take_over(&mut self, params: &BreakerParams, now_ms: u64) {
        self.force(params.demanded, now_ms);
        self.streak = 0;
        self.tag = params.tag();
    }

    /// The streak less one for each span that the breaker was closed.
    pub(super) fn decayed(&self, params: &BreakerParams, now_ms: u64) -> u16 {
        let forgotten = now_ms.saturating_sub(self.at_ms).checked_div(params.streak_decay_ms).unwrap_or(0);
        self.streak.saturating_sub(u16::try_from(forgotten).unwrap_or(u16::MAX))
    }

    pub(super) fn open(&mut self, params: &BreakerParams, streak: u16, now_ms: u64, draw: u64) {
        self.enter(State::Open);
        self.streak = streak;
        let wait = params.wait(streak);
        self.at_ms = now_ms.saturating_add(wait).saturating_add(params.jitter(wait, draw));
    }

    pub(super) fn enter(&mut self, state: State) {
        self.state = state;
        self.generation = self.generation.wrapping_add(1);
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> BreakerParams {
        BreakerParams { minimum_calls: 6, consecutive_failures: 3, ..BreakerParams::default() }
    }

    #[test]
    fn other_parameters_start_over_and_the_same_do_not() {
        let tag = params().tag();
        for (before, generation) in [(0, 7), (tag, 7), (tag ^ 1, 8)] {
            let open = State::Open;
            let mut record = Record { state: open, generation: 7, tag: before, ..Record::new(&params()) };
            assert_eq!(record.adopt(&params(), 1), before != tag);
            assert_eq!((record.generation, record.tag), (generation, tag), "{before:#x}");
            assert_eq!(record.state == open, generation == 7, "{before:#x}");
        }
    }

    #[test]
    fn what_the_parameters_demand_is_entered_once() {
        let params = BreakerParams { demanded: State::ForcedOpen, ..params() };
        let mut record = Record::new(&params);
        assert!(record.adopt(&params, 5));
        assert_eq!((record.state, record.generation, record.at_ms), (State::ForcedOpen, 1, 5));
        assert!(!record.adopt(&params, 6));
        assert_eq!((record.generation, record.at_ms), (1, 5));
    }

    /// A document that demanded a state was withdrawn, and nobody configured the one before anew.
    #[test]
    fn a_state_that_nobody_demands_any_more_is_left() {
        use State::{Closed, Disabled, ForcedOpen, MetricsOnly};
        for held in [ForcedOpen, Disabled, MetricsOnly] {
            let mut record =
                Record { state: held, generation: 7, streak: 3, tag: 1, ..Record::new(&params()) };
            record.take_over(&params(), 5);
            assert_eq!((record.state, record.generation, record.streak), (Closed, 8, 0), "{}", held.word());
            assert_eq!(record.tag, params().tag());
        }
    }

    #[test]
    fn reasons_stand_where_their_number_says() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{}", reason.word());
        }
        assert!(Reason::ALL.map(Reason::word).is_sorted());
    }
}
