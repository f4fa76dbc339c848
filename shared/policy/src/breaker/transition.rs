//! The transitions of a breaker, each with its reason.
//!
//! [`super::decide`] says when one is due; what it does to the record stands here, so that every
//! transition counts a generation and forgets what was counted before it.

use super::params::BreakerParams;
use crate::breaker::cells::record::Record;
use crate::breaker::state::State;

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `consecutive_failures` was reached.
    Consecutive,
    /// The half-open time was over and no probe had come back.
    Expired,
    /// `failure_rate_percent` was reached.
    FailureRate,
    /// The cluster had no healthy endpoint, and there is a fallback.
    NoHealthyUpstream,
    /// Too many probes failed.
    ProbesFailed,
    /// Enough probes succeeded.
    ProbesPassed,
    /// `slow_rate_percent` was reached.
    SlowRate,
    /// The open time was over.
    WaitedOut,
}

// === impl Reason ===

impl Reason {
    /// All of them, in alphabetical order of their words.
    pub const ALL: [Self; 8] = [
        Self::Consecutive,
        Self::Expired,
        Self::FailureRate,
        Self::NoHealthyUpstream,
        Self::ProbesFailed,
        Self::ProbesPassed,
        Self::SlowRate,
        Self::WaitedOut,
    ];

    /// One word, as in logs and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Consecutive => "consecutive",
            Self::Expired => "expired",
            Self::FailureRate => "failure_rate",
            Self::NoHealthyUpstream => "no_healthy_upstream",
            Self::ProbesPassed => "probes_passed",
            Self::ProbesFailed => "probes_failed",
            Self::SlowRate => "slow_rate",
            Self::WaitedOut => "waited_out",
        }
    }
}

/// Opens a breaker for the `streak`th consecutive time.
#[inline(never)]
pub(super) fn open(record: &mut Record, params: &BreakerParams, streak: u16, now_ms: u64, draw: u64) {
    enter(record, State::Open);
    record.streak = streak;
    let wait = params.wait(streak);
    record.at_ms = now_ms.saturating_add(wait).saturating_add(params.jitter(wait, draw));
}

/// Makes an open breaker half-open, for `max_half_open_ms` or without an end.
pub(super) fn half_open(record: &mut Record, params: &BreakerParams, now_ms: u64) {
    enter(record, State::HalfOpen);
    record.at_ms = match params.max_half_open_ms {
        0 => 0,
        most => now_ms.saturating_add(most),
    };
}

/// Closes a breaker. Its streak goes at once, or one for each `streak_decay_ms`.
fn close(record: &mut Record, params: &BreakerParams, now_ms: u64) {
    enter(record, State::Closed);
    record.at_ms = now_ms;
    if params.streak_decay_ms == 0 {
        record.streak = 0;
    }
}

/// Ends a half-open time that is over: those probes that came back decide, and if none did, the breaker
/// opens for as long as before. The reason, if it was over.
#[inline(never)]
pub fn expire(record: &mut Record, params: &BreakerParams, now_ms: u64, draw: u64) -> Option<Reason> {
    if record.state != State::HalfOpen || record.at_ms == 0 || now_ms < record.at_ms {
        return None;
    }
    Some(match record.probes.late_verdict(params) {
        None => {
            open(record, params, record.streak, now_ms, draw);
            Reason::Expired
        }
        Some(well) => probed(record, params, well, now_ms, draw),
    })
}

/// Closes a half-open breaker whose probes are well, or opens it for longer.
pub(super) fn probed(
    record: &mut Record,
    params: &BreakerParams,
    well: bool,
    now_ms: u64,
    draw: u64,
) -> Reason {
    if well {
        close(record, params, now_ms);
        return Reason::ProbesPassed;
    }
    open(record, params, record.streak.saturating_add(1), now_ms, draw);
    Reason::ProbesFailed
}

/// Enters the state that the configuration demands.
pub fn force(record: &mut Record, state: State, now_ms: u64) {
    enter(record, state);
    record.at_ms = now_ms;
}

/// Makes a record that was written for other parameters one of these, in the state that they
/// demand; `true` if it was.
pub fn adopt(record: &mut Record, params: &BreakerParams, now_ms: u64) -> bool {
    let tag = params.tag();
    if record.tag == tag {
        return false;
    }
    // A tag of 0 is a cell that was never written: closed already.
    if record.tag != 0 || params.demanded != State::Closed {
        take_over(record, params, now_ms);
    }
    record.tag = tag;
    true
}

/// Makes any record one of these parameters, in the state that they demand.
#[inline(never)]
pub fn take_over(record: &mut Record, params: &BreakerParams, now_ms: u64) {
    force(record, params.demanded, now_ms);
    record.streak = 0;
    record.tag = params.tag();
}

/// The streak of a closed breaker, less one for each `streak_decay_ms` that it was closed.
pub(super) fn decayed_streak(record: &Record, params: &BreakerParams, now_ms: u64) -> u16 {
    let forgotten = now_ms.saturating_sub(record.at_ms).checked_div(params.streak_decay_ms).unwrap_or(0);
    record.streak.saturating_sub(u16::try_from(forgotten).unwrap_or(u16::MAX))
}

/// Every transition is a generation of its own, and forgets what was counted.
fn enter(record: &mut Record, state: State) {
    record.state = state;
    record.generation = record.generation.wrapping_add(1);
    record.clear();
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
            assert_eq!(adopt(&mut record, &params(), 1), before != tag);
            assert_eq!((record.generation, record.tag), (generation, tag), "{before:#x}");
            assert_eq!(record.state == open, generation == 7, "{before:#x}");
        }
    }

    #[test]
    fn a_demanded_state_is_entered_once() {
        let params = BreakerParams { demanded: State::ForcedOpen, ..params() };
        let mut record = Record::new(&params);
        assert!(adopt(&mut record, &params, 5));
        assert_eq!((record.state, record.generation, record.at_ms), (State::ForcedOpen, 1, 5));
        assert!(!adopt(&mut record, &params, 6));
        assert_eq!((record.generation, record.at_ms), (1, 5));
    }

    /// A document that held a state was withdrawn, and the host did not configure the one before again.
    #[test]
    fn a_state_that_no_document_demands_any_more_is_left() {
        use State::{Closed, Disabled, ForcedOpen, MetricsOnly};
        for held in [ForcedOpen, Disabled, MetricsOnly] {
            let mut record =
                Record { state: held, generation: 7, streak: 3, tag: 1, ..Record::new(&params()) };
            take_over(&mut record, &params(), 5);
            assert_eq!((record.state, record.generation, record.streak), (Closed, 8, 0), "{}", held.word());
            assert_eq!(record.tag, params().tag());
        }
    }

    #[test]
    fn each_reason_is_at_the_index_of_its_number() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{}", reason.word());
        }
        assert!(Reason::ALL.map(Reason::word).is_sorted());
    }
}
