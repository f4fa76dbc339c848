//! The transitions of a breaker, each a function from a record to the next.
//!
//! Closed opens when a merge fills a condition, in this order: failures in a row, failure
//! rate, slow rate. Open becomes half-open with the first request after its time, which is
//! the first probe. Half-open admits as many probes as it has permits, opens again as soon
//! as their failures cannot be made up for, closes when all came back, and gives up after
//! its time. Each transition is one generation, and whoever's write wins made it: only then
//! was the random part of an open time drawn (reference 1.8, T1 to T5).

use super::params::BreakerParams;
use super::transition::Reason;
use crate::breaker::cells::record::{Counts, Probes, Record};
use crate::breaker::state::State;
use crate::breaker::worker::delta::{Delta, LeftOut};
use crate::http::classify::Class;

/// The answer for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// It passes. Its outcome is for `generation` only.
    Admit {
        /// The generation of the state that admitted it.
        generation: u32,
        /// Whether it is a probe, whose outcome must be told at once.
        probe: bool,
    },
    /// It does not pass.
    Refuse {
        /// When it is worth asking again, in milliseconds; `None` when nobody knows.
        retry_after_ms: Option<u64>,
    },
}

/// What became of counts that were merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// What was left out.
    pub left: LeftOut,
    /// Why the state changed, if it did.
    pub reason: Option<Reason>,
    /// What was in the window that made up the decision.
    pub window: Counts,
    /// How many failures in a row there were.
    pub run: u32,
}

// === impl Record ===

impl Record {
    /// Decides a request at `now_ms`; changes the record when that is a transition or takes
    /// a permit. `draw` is for the random part of an open time.
    pub fn admit(&mut self, params: &BreakerParams, now_ms: u64, draw: u64) -> (Admission, Option<Reason>) {
        let admit = |generation, probe| Admission::Admit { generation, probe };
        if self.expire(params, now_ms, draw) {
            return (self.refuse(now_ms), Some(Reason::Expired));
        }
        match self.state {
            State::Closed | State::Disabled | State::MetricsOnly => (admit(self.generation, false), None),
            State::ForcedOpen => (Admission::Refuse { retry_after_ms: None }, None),
            State::Open if now_ms < self.at_ms => (self.refuse(now_ms), None),
            State::Open => {
                self.enter(State::HalfOpen);
                self.at_ms = match params.max_half_open_ms {
                    0 => 0,
                    most => now_ms.saturating_add(most),
                };
                self.probes.issued = 1;
                (admit(self.generation, true), Some(Reason::WaitedOut))
            }
            State::HalfOpen if self.probes.issued < params.half_open_permits => {
                self.probes.issued = self.probes.issued.saturating_add(1);
                (admit(self.generation, true), None)
            }
            State::HalfOpen => (self.refuse(now_ms), None),
        }
    }

    /// Takes the outcome of a probe that `generation` admitted. `None` when it comes too
    /// late for this state.
    pub fn probed(
        &mut self,
        params: &BreakerParams,
        generation: u32,
        class: Class,
        slow: bool,
        now_ms: u64,
        draw: u64,
    ) -> Option<Option<Reason>> {
        if generation != self.generation || self.state != State::HalfOpen {
            return None;
        }
        self.probes = self.probes.with(class, slow);
        let Probes { ok, failed, slow, .. } = self.probes;
        let permits = u32::from(params.half_open_permits);
        if reaches(failed.into(), params.failure_rate_percent, permits)
            || reaches(slow.into(), params.slow_rate_percent, permits)
        {
            self.open(params, self.streak.saturating_add(1), now_ms, draw);
            return Some(Some(Reason::ProbesFailed));
        }
        if u32::from(ok).saturating_add(failed.into()) >= permits {
            self.enter(State::Closed);
            self.at_ms = now_ms;
            if params.streak_decay_ms == 0 {
                self.streak = 0;
            }
            return Some(Some(Reason::ProbesPassed));
        }
        Some(None)
    }

    /// Adds what a worker counted, and opens if that fills a condition.
    pub fn merge(&mut self, params: &BreakerParams, delta: &Delta, now_ms: u64, draw: u64) -> Merged {
        let nothing = Merged { left: LeftOut::default(), reason: None, window: Counts::default(), run: 0 };
        if matches!(self.state, State::Disabled) {
            return Merged { left: LeftOut { dropped: delta.total(), discarded: 0 }, ..nothing };
        }
        let may_trip = self.state == State::Closed && delta.generation == self.generation;
        let left = delta.merge_into(self);
        let (window, run) = (self.window(params, now_ms), self.consecutive);
        let reason = if may_trip { self.exceeds(params, now_ms) } else { None };
        if reason.is_some() {
            let streak = self.decayed(params, now_ms).saturating_add(1);
            self.open(params, streak, now_ms, draw);
        }
        Merged { left, reason, window, run }
    }

    /// Which condition for opening is filled.
    #[must_use]
    pub fn exceeds(&self, params: &BreakerParams, now_ms: u64) -> Option<Reason> {
        if params.consecutive_failures > 0 && self.consecutive >= params.consecutive_failures {
            return Some(Reason::Consecutive);
        }
        let Counts { total, failed, slow } = self.window(params, now_ms);
        if total == 0 || total < params.minimum_calls {
            return None;
        }
        if reaches(failed, params.failure_rate_percent, total) {
            return Some(Reason::FailureRate);
        }
        reaches(slow, params.slow_rate_percent, total).then_some(Reason::SlowRate)
    }

    fn refuse(&self, now_ms: u64) -> Admission {
        let retry_after_ms = (self.at_ms != 0).then(|| self.at_ms.saturating_sub(now_ms));
        Admission::Refuse { retry_after_ms }
    }
}

/// Whether `part` of `total` is at least `pct` %.
fn reaches(part: u32, pct: u32, total: u32) -> bool {
    u64::from(part).saturating_mul(100) >= u64::from(pct).saturating_mul(total.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> BreakerParams {
        let (consecutive_failures, half_open_permits) = (3, 3);
        BreakerParams {
            minimum_calls: 6,
            consecutive_failures,
            half_open_permits,
            jitter_percent: 0,
            ..BreakerParams::default()
        }
    }

    /// Classes and slowness: a small letter was slow.
    fn calls(letters: &str) -> impl Iterator<Item = (Class, bool)> + '_ {
        letters.chars().map(|c| (Class::spelt(c.to_ascii_uppercase()), c.is_ascii_lowercase()))
    }

    /// Counts and merges each call; the last reason.
    fn count(record: &mut Record, params: &BreakerParams, letters: &str, now_ms: u64) -> Option<Reason> {
        let mut reason = None;
        for (class, slow) in calls(letters) {
            let mut delta = Delta::new(record.generation);
            delta.count(params, now_ms, class, slow);
            reason = record.merge(params, &delta, now_ms, 0).reason;
        }
        reason
    }

    /// A half-open breaker whose probes so far came back like this, and the last reason.
    fn probe(params: &BreakerParams, letters: &str) -> (Record, Option<Reason>) {
        let mut record = Record::new(params);
        count(&mut record, params, "FFF", 0);
        let mut reason = None;
        for (class, slow) in calls(letters) {
            let Admission::Admit { generation, probe: true } = record.admit(params, 5_000, 0).0 else {
                panic!("{letters}: no probe in {record:?}")
            };
            reason = record.probed(params, generation, class, slow, 5_001, 0).unwrap();
        }
        (record, reason)
    }

    #[test]
    fn opens_for_the_first_condition_that_is_filled() {
        #[rustfmt::skip]
        let cases = [
            // name                          calls     expected
            ("three in a row",               "FFF",    Some(Reason::Consecutive)),
            ("in a row comes first",         "SSSFFF", Some(Reason::Consecutive)),
            ("ignored is transparent",       "FFIF",   Some(Reason::Consecutive)),
            ("ignored counts nowhere",       "FFSIII", None),
            ("too few for a rate",           "FSFSF",  None),
            ("a success fills the rate",     "FSFSFS", Some(Reason::FailureRate)),
            ("below the rate",               "FFSSSS", None),
            ("throttled is no row",          "TTTSS",  None),
            ("throttled counts as failed",   "TTTSSS", Some(Reason::FailureRate)),
            ("throttled does not end a row", "FFTF",   Some(Reason::Consecutive)),
            ("all were slow",                "ssssss", Some(Reason::SlowRate)),
            ("most were slow",               "sssssS", None),
        ];
        for (name, calls, expected) in cases {
            let mut record = Record::new(&params());
            assert_eq!(count(&mut record, &params(), calls, 1_000), expected, "{name}");
            let open = Record {
                state: State::Open,
                streak: 1,
                generation: 1,
                at_ms: 6_000,
                ..Record::new(&params())
            };
            assert_eq!(record == open, expected.is_some(), "{name}: {record:?}");
        }
    }

    #[test]
    fn nothing_is_never_too_many() {
        let params = BreakerParams { consecutive_failures: 0, ..params() };
        assert_eq!(count(&mut Record::new(&params), &params, "FFFFF", 0), None, "runs are off");
        let params = BreakerParams { minimum_calls: 0, ..params };
        assert_eq!(Record::new(&params).merge(&params, &Delta::new(0), 0, 0).reason, None, "no calls");
    }

    #[test]
    fn probes_decide_what_follows() {
        #[rustfmt::skip]
        let cases = [
            // name                         probes  state            streak  reason
            ("all went well",               "SSS",  State::Closed,   0,      Some(Reason::ProbesPassed)),
            ("one of three failed",         "FSS",  State::Closed,   0,      Some(Reason::ProbesPassed)),
            ("one is still to come",        "FS",   State::HalfOpen, 1,      None),
            ("two cannot be made up for",   "FF",   State::Open,     2,      Some(Reason::ProbesFailed)),
            ("throttled fails",             "TT",   State::Open,     2,      Some(Reason::ProbesFailed)),
            ("all were slow",               "sss",  State::Open,     2,      Some(Reason::ProbesFailed)),
            ("two were slow",               "ssS",  State::Closed,   0,      Some(Reason::ProbesPassed)),
            ("ignored gives a permit back", "IiSSS", State::Closed,  0,      Some(Reason::ProbesPassed)),
        ];
        for (name, probes, state, streak, expected) in cases {
            let (record, reason) = probe(&params(), probes);
            assert_eq!((record.state, record.streak, reason), (state, streak, expected), "{name}");
        }
    }

    #[test]
    fn half_open_ends_in_time_and_counts_when_something_was_learnt() {
        for (probes, streak) in [("I", 1), ("S", 2), ("F", 2)] {
            let (mut record, _) = probe(&params(), probes);
            let (end, generation) = (record.at_ms, record.generation);
            let refused = Admission::Refuse { retry_after_ms: Some(params().wait(streak)) };
            assert_eq!(record.admit(&params(), end, 0), (refused, Some(Reason::Expired)), "{probes}");
            assert_eq!((record.streak, record.generation), (streak, generation + 1), "{probes}");
        }
    }

    #[test]
    fn half_open_without_an_end_waits_for_its_probes() {
        let params = BreakerParams { max_half_open_ms: 0, half_open_permits: 1, ..params() };
        let (mut record, _) = probe(&params, "I");
        let _ = record.admit(&params, 5_002, 0);
        assert_eq!(record.admit(&params, u64::MAX, 0), (Admission::Refuse { retry_after_ms: None }, None));
    }

    #[test]
    fn what_is_demanded_stays() {
        #[rustfmt::skip]
        let cases = [
            // state             admission                                              counts
            (State::ForcedOpen,  Admission::Refuse { retry_after_ms: None },            3),
            (State::Disabled,    Admission::Admit { generation: 1, probe: false },      0),
            (State::MetricsOnly, Admission::Admit { generation: 1, probe: false },      3),
        ];
        for (state, expected, counts) in cases {
            let mut record = Record::new(&params());
            record.force(state, 0);
            assert_eq!(count(&mut record, &params(), "FFF", 0), None, "{state:?}");
            assert_eq!(record.admit(&params(), u64::MAX, 0), (expected, None), "{state:?}");
            assert_eq!(record.window(&params(), 0).total, counts, "{state:?}");
        }
    }

    #[test]
    fn a_closed_breaker_forgets_one_opening_a_span() {
        let params = BreakerParams { streak_decay_ms: 10_000, ..params() };
        let (record, reason) = probe(&params, "SSS");
        assert_eq!((record.streak, reason), (1, Some(Reason::ProbesPassed)), "closing forgets nothing");
        for (closed_ms, streak) in [(9_999, 4), (10_000, 3), (20_000, 2), (30_000, 1), (u64::MAX, 1)] {
            let mut record = Record { streak: 3, ..Record::new(&params) };
            count(&mut record, &params, "FFF", closed_ms);
            assert_eq!(record.streak, streak, "closed for {closed_ms} ms");
        }
    }
}
