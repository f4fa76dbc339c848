//! What a breaker decides, as functions from a record to the next: a request passes or not, an
//! outcome opens or closes.
//!
//! Closed opens when a merge fulfils a condition, in this order: consecutive failures, failure
//! rate, slow rate. Open becomes half-open with the first request after its time, which is
//! the first probe. Half-open admits as many probes as it has permits, opens again as soon
//! as their failures cannot be made up for, closes when as many came back, and goes by those that came
//! back after its time. Each transition is one generation, and the worker whose write wins made it: only then
//! was the random part of an open time drawn. Normative are the vectors `breaker_transitions`.

use super::params::BreakerParams;
use super::state::State;
use super::transition::{self, Reason};
use crate::breaker::cells::probes::{reaches, Probes};
use crate::breaker::cells::record::{Counts, Record};
use crate::breaker::worker::delta::{Delta, LeftOut};
use crate::http::classify::Class;

/// The answer for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// It passes. Its outcome counts for `generation` only.
    Admit {
        /// The generation of the state that admitted it.
        generation: u32,
        /// Whether it is a probe, whose outcome is merged at once.
        probe: bool,
    },
    /// It does not pass.
    Refuse {
        /// When it is worth asking again, in milliseconds; `None` when that is not known.
        retry_after_ms: Option<u64>,
    },
}

/// A merge: what it left out, and what it led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// What was left out.
    pub left: LeftOut,
    /// Why the state changed, if it did.
    pub reason: Option<Reason>,
    /// The window that the decision was made on.
    pub window: Counts,
    /// How many consecutive failures there were.
    pub run: u32,
}

/// A probe that comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The generation of the state that admitted it.
    pub generation: u32,
    /// Whether its body was still to come when it passed.
    pub upload: bool,
}

/// Decides a request at `now_ms`, with a body that is still to come or without one; changes the record when that is a transition or takes a permit.
/// `draw` is for the random part of an open time, or for a permit that is about to be renewed.
///
/// ```
/// use tidegate_policy::breaker::decide::{admit, merge, Admission};
/// use tidegate_policy::breaker::{BreakerParams, Delta, Reason, Record};
/// use tidegate_policy::http::classify::Class;
///
/// let params = BreakerParams { consecutive_failures: 2, jitter_percent: 0, ..Default::default() };
/// let (mut record, mut delta) = (Record::new(&params), Delta::new(0));
/// delta.count(&params, 10, Class::Failure, false);
/// delta.count(&params, 20, Class::Failure, false);
/// assert_eq!(merge(&mut record, &params, &delta, 20, 0).reason, Some(Reason::Consecutive));
///
/// let refused = Admission::Refuse { retry_after_ms: Some(params.base_open_ms) };
/// assert_eq!(admit(&mut record, &params, false, 20, 0), (refused, None));
/// ```
pub fn admit(
    record: &mut Record,
    params: &BreakerParams,
    upload: bool,
    now_ms: u64,
    draw: u64,
) -> (Admission, Option<Reason>) {
    let admit = |generation, probe| Admission::Admit { generation, probe };
    let ended = transition::expire(record, params, now_ms, draw);
    if ended.is_some() && record.state == State::Open {
        return (refuse(record, now_ms), ended);
    }
    match record.state {
        State::Closed | State::Disabled | State::MetricsOnly => (admit(record.generation, false), ended),
        State::ForcedOpen => (Admission::Refuse { retry_after_ms: None }, None),
        State::Open if now_ms < record.at_ms => (refuse(record, now_ms), None),
        State::Open => {
            transition::half_open(record, params, now_ms);
            record.probes = Probes { issued: 1, uploads: u16::from(upload), ..Probes::default() };
            (admit(record.generation, true), Some(Reason::WaitedOut))
        }
        State::HalfOpen => {
            let left_ms = record.at_ms.saturating_sub(now_ms);
            let renewed = params.renewed(params.max_half_open_ms.saturating_sub(left_ms), draw);
            match record.probes.admit(params.half_open_permits, renewed, upload) {
                Some(probes) => {
                    record.probes = probes;
                    (admit(record.generation, true), None)
                }
                None => (refuse(record, now_ms), None),
            }
        }
    }
}

/// Takes the outcome of a probe: the reason of a transition, if that makes one. `None` when it comes
/// too late for this state, or has no answer and its permit is another's.
pub fn probed(
    record: &mut Record,
    params: &BreakerParams,
    probe: Probe,
    class: Class,
    slow: bool,
    now_ms: u64,
    draw: u64,
) -> Option<Option<Reason>> {
    let next = record.probes.with(class, slow, probe.upload);
    judge(record, params, probe, next, now_ms, draw)
}

/// Takes what another filter says of a probe: as [`probed`], but the permit stays what it is, because
/// the filter that took it gives it back.
pub fn blamed(
    record: &mut Record,
    params: &BreakerParams,
    probe: Probe,
    class: Class,
    slow: bool,
    now_ms: u64,
    draw: u64,
) -> Option<Option<Reason>> {
    let Probes { issued, uploads, .. } = record.probes;
    let next = record.probes.with(class, slow, false).map(|next| Probes { issued, uploads, ..next });
    judge(record, params, probe, next, now_ms, draw)
}

/// Goes on with the probes as they are `next`, if this one is of the state that is.
fn judge(
    record: &mut Record,
    params: &BreakerParams,
    probe: Probe,
    next: Option<Probes>,
    now_ms: u64,
    draw: u64,
) -> Option<Option<Reason>> {
    if probe.generation != record.generation || record.state != State::HalfOpen {
        return None;
    }
    record.probes = next?;
    let verdict = record.probes.verdict(params);
    Some(verdict.map(|well| transition::probed(record, params, well, now_ms, draw)))
}

/// Adds what a worker counted, and opens the breaker if that fulfils a condition.
pub fn merge(record: &mut Record, params: &BreakerParams, delta: &Delta, now_ms: u64, draw: u64) -> Merged {
    let nothing = Merged { left: LeftOut::default(), reason: None, window: Counts::default(), run: 0 };
    if record.state == State::Disabled {
        return Merged { left: LeftOut { dropped: delta.total(), discarded: 0 }, ..nothing };
    }
    let may_trip = record.state == State::Closed && delta.generation == record.generation;
    let left = delta.merge_into(record);
    let (window, run) = (record.window(params, now_ms), record.consecutive);
    let reason = if may_trip { exceeded(run, window, params) } else { None };
    if reason.is_some() {
        let streak = transition::decayed_streak(record, params, now_ms).saturating_add(1);
        transition::open(record, params, streak, now_ms, draw);
    }
    Merged { left, reason, window, run }
}

/// Which condition for opening is fulfilled by `run` consecutive failures and the outcomes of a
/// window.
fn exceeded(run: u32, window: Counts, params: &BreakerParams) -> Option<Reason> {
    if params.consecutive_failures > 0 && run >= params.consecutive_failures {
        return Some(Reason::Consecutive);
    }
    let Counts { total, failed, slow } = window;
    if total == 0 || total < params.minimum_calls {
        return None;
    }
    if reaches(failed, params.failure_rate_percent, total) {
        return Some(Reason::FailureRate);
    }
    reaches(slow, params.slow_rate_percent, total).then_some(Reason::SlowRate)
}

fn refuse(record: &Record, now_ms: u64) -> Admission {
    let retry_after_ms = (record.at_ms != 0).then(|| record.at_ms.saturating_sub(now_ms));
    Admission::Refuse { retry_after_ms }
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
            reason = merge(record, params, &delta, now_ms, 0).reason;
        }
        reason
    }

    /// A half-open breaker whose probes so far came back like this, and the last reason.
    fn probe(params: &BreakerParams, letters: &str) -> (Record, Option<Reason>) {
        let mut record = Record::new(params);
        count(&mut record, params, "FFF", 0);
        let mut reason = None;
        for (class, slow) in calls(letters) {
            let Admission::Admit { generation, probe: true } = admit(&mut record, params, false, 5_000, 0).0
            else {
                panic!("{letters}: no probe in {record:?}")
            };
            let probe = Probe { generation, upload: false };
            reason = probed(&mut record, params, probe, class, slow, 5_001, 0).unwrap();
        }
        (record, reason)
    }

    #[test]
    fn opens_for_the_first_condition_that_is_fulfilled() {
        #[rustfmt::skip]
        let cases = [
            // name                          calls     expected
            ("three consecutive",            "FFF",    Some(Reason::Consecutive)),
            ("consecutive comes first",      "SSSFFF", Some(Reason::Consecutive)),
            ("ignored is transparent",       "FFIF",   Some(Reason::Consecutive)),
            ("ignored counts nowhere",       "FFSIII", None),
            ("too few for a rate",           "FSFSF",  None),
            ("a success makes the rate",     "FSFSFS", Some(Reason::FailureRate)),
            ("below the rate",               "FFSSSS", None),
            ("throttled is no run",          "TTTSS",  None),
            ("throttled counts as failed",   "TTTSSS", Some(Reason::FailureRate)),
            ("throttled does not end a run", "FFTF",   Some(Reason::Consecutive)),
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
    fn no_call_opens_nothing() {
        let params = BreakerParams { consecutive_failures: 0, ..params() };
        assert_eq!(count(&mut Record::new(&params), &params, "FFFFF", 0), None, "runs are off");
        let params = BreakerParams { minimum_calls: 0, ..params };
        assert_eq!(merge(&mut Record::new(&params), &params, &Delta::new(0), 0, 0).reason, None, "no calls");
    }

    #[test]
    fn probes_decide_whether_it_closes_or_opens_again() {
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
    fn an_expired_half_open_time_goes_by_the_probes_that_came_back() {
        let wait = |streak| Admission::Refuse { retry_after_ms: Some(params().wait(streak)) };
        #[rustfmt::skip]
        let cases = [
            // probes  said                                               streak  reason
            ("I",      wait(1),                                           1,      Reason::Expired),
            ("F",      wait(2),                                           2,      Reason::ProbesFailed),
            ("S",      Admission::Admit { generation: 3, probe: false },  0,      Reason::ProbesPassed),
        ];
        for (probes, said, streak, reason) in cases {
            let (mut record, _) = probe(&params(), probes);
            let (end, generation) = (record.at_ms, record.generation);
            assert_eq!(admit(&mut record, &params(), false, end, 0), (said, Some(reason)), "{probes}");
            assert_eq!((record.streak, record.generation), (streak, generation + 1), "{probes}");
        }
    }

    #[test]
    fn half_open_without_an_end_waits_for_its_probes() {
        let params = BreakerParams { max_half_open_ms: 0, half_open_permits: 1, ..params() };
        let (mut record, _) = probe(&params, "I");
        let _ = admit(&mut record, &params, false, 5_002, 0);
        assert_eq!(
            admit(&mut record, &params, false, u64::MAX, 0),
            (Admission::Refuse { retry_after_ms: None }, None)
        );
    }

    #[test]
    fn a_state_that_the_configuration_holds_stays() {
        #[rustfmt::skip]
        let cases = [
            // state             admission                                              counts
            (State::ForcedOpen,  Admission::Refuse { retry_after_ms: None },            3),
            (State::Disabled,    Admission::Admit { generation: 1, probe: false },      0),
            (State::MetricsOnly, Admission::Admit { generation: 1, probe: false },      3),
        ];
        for (state, expected, counts) in cases {
            let mut record = Record::new(&params());
            transition::force(&mut record, state, 0);
            assert_eq!(count(&mut record, &params(), "FFF", 0), None, "{state:?}");
            assert_eq!(admit(&mut record, &params(), false, u64::MAX, 0), (expected, None), "{state:?}");
            assert_eq!(record.window(&params(), 0).total, counts, "{state:?}");
        }
    }

    #[test]
    fn a_closed_breaker_forgets_one_opening_for_each_decay_time() {
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
