//! The log line of a transition: from which state to which, the reason, and the numbers behind it.

use alloc::format;
use alloc::string::String;

use super::params::BreakerParams;
use super::transition::Reason;
use crate::breaker::cells::probes::Probes;
use crate::breaker::cells::record::{Counts, Record};
use crate::breaker::config::target::Target;
use crate::breaker::state::State;

/// The numbers behind a transition.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence {
    /// The outcomes in the window.
    pub window: Counts,
    /// Consecutive failures.
    pub run: u32,
    /// The probes that had come back.
    pub probes: Probes,
}

// === impl Evidence ===

impl Evidence {
    /// Of a merge.
    #[must_use]
    pub fn of_window(window: Counts, run: u32) -> Self {
        Self { window, run, ..Self::default() }
    }

    /// Of a half-open breaker.
    #[must_use]
    pub fn of_probes(probes: Probes) -> Self {
        Self { probes, ..Self::default() }
    }
}

/// The line for the log when a request fell back to a cluster and went to another.
#[must_use]
pub fn misrouted(name: &str, to: &Target, reached: &[u8], header: &str) -> String {
    let reached = String::from_utf8_lossy(reached);
    let to = match to {
        Target::Cluster(cluster) => cluster,
        _ => "another cluster",
    };
    format!(
        "{name}: a request that fell back to cluster {to} went to cluster {reached}: Envoy needs a route, before \
         the others, that matches if the header {header} is present and has `cluster_header: {header}`"
    )
}

/// The line for the log: `checkout: closed -> open (consecutive): …`.
#[must_use]
pub fn line(
    name: &str,
    params: &BreakerParams,
    from: State,
    to: &Record,
    reason: Reason,
    evidence: &Evidence,
    now_ms: u64,
) -> String {
    let Counts { total, failed, slow } = evidence.window;
    let Probes { ok, failed: bad, slow: slow_probes, .. } = evidence.probes;
    let window_ms = params.window_ms();
    let came = u32::from(ok).saturating_add(bad.into());
    let because = match reason {
        Reason::Consecutive => {
            format!(
                "{} consecutive failures; {failed} of {total} calls failed in {window_ms} ms",
                evidence.run
            )
        }
        Reason::FailureRate => format!(
            "{failed} of {total} calls failed in {window_ms} ms, the limit is {} %",
            params.failure_rate_percent
        ),
        Reason::NoHealthyUpstream => String::from("the cluster has no healthy endpoint"),
        Reason::SlowRate => format!(
            "{slow} of {total} calls took over {} ms, the limit is {} %",
            params.slow_call_ms, params.slow_rate_percent
        ),
        Reason::ProbesFailed | Reason::ProbesPassed => {
            let permits = params.half_open_permits;
            format!("{bad} of {came} probes failed and {slow_probes} were slow, of {permits} permitted")
        }
        Reason::Expired => {
            format!("none of the probes came back in {} ms", params.max_half_open_ms)
        }
        Reason::WaitedOut => format!("the open time is over, {} probes may pass", params.half_open_permits),
    };
    let then = match to.state {
        State::Open => {
            let (left, streak) = (to.at_ms.saturating_sub(now_ms), to.streak);
            format!("; open for {left} ms, {streak}{} consecutive opening", ordinal(streak))
        }
        _ => String::new(),
    };
    format!("{name}: {} -> {} ({}): {because}{then}", from.word(), to.state.word(), reason.word())
}

/// The ending of an ordinal number: 1st, 2nd, 3rd, 4th, 11th.
fn ordinal(number: u16) -> &'static str {
    match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_end_as_in_english() {
        let numbers = [1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111, 112];
        let expected = ["st", "nd", "rd", "th", "th", "th", "th", "st", "nd", "st", "th", "th"];
        assert_eq!(numbers.map(ordinal), expected);
    }

    #[test]
    fn a_line_has_the_states_the_reason_and_the_open_time() {
        let params = BreakerParams::default();
        let window = Counts { total: 12, failed: 7, slow: 3 };
        let probes = Probes { issued: 5, ok: 1, failed: 3, ..Probes::default() };
        let evidence = Evidence { window, run: 5, probes };
        let open = Record { state: State::Open, at_ms: 6_000, streak: 2, ..Record::new(&params) };
        let half_open = Record { state: State::HalfOpen, ..Record::new(&params) };
        let (closed, opens) = (Record::new(&params), "; open for 5000 ms, 2nd consecutive opening");
        #[rustfmt::skip]
        let cases = [
            (State::Closed, &open, Reason::Consecutive, "5 consecutive failures; 7 of 12 calls failed in 10000 ms"),
            (State::Closed, &open, Reason::FailureRate, "7 of 12 calls failed in 10000 ms, the limit is 50 %"),
            (State::Closed, &open, Reason::SlowRate, "3 of 12 calls took over 2000 ms, the limit is 100 %"),
            (State::Closed, &open, Reason::NoHealthyUpstream, "the cluster has no healthy endpoint"),
            (State::HalfOpen, &open, Reason::ProbesFailed, "3 of 4 probes failed and 0 were slow, of 5 permitted"),
            (State::HalfOpen, &open, Reason::Expired, "none of the probes came back in 30000 ms"),
            (State::Open, &half_open, Reason::WaitedOut, "the open time is over, 5 probes may pass"),
            (State::HalfOpen, &closed, Reason::ProbesPassed, "3 of 4 probes failed and 0 were slow, of 5 permitted"),
        ];
        for (from, to, reason, why) in cases {
            let then = if to.state == State::Open { opens } else { "" };
            let (word, before, after) = (reason.word(), from.word(), to.state.word());
            let expected = format!("a: {before} -> {after} ({word}): {why}{then}");
            assert_eq!(line("a", &params, from, to, reason, &evidence, 1_000), expected);
        }
    }
}
