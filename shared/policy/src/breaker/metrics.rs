//! The metrics of the filter: a closed list for each breaker.
//!
//! `tidegate.breaker.breaker.<name>.<metric>`, in a scope
//! `tidegate.breaker.scope.<scope>.breaker.<name>.<metric>`. The names are the configuration's; nothing that
//! a client sends ever becomes part of one. `envoy-config/` has the `stats_tags` rule that
//! turns the name into a label.

use alloc::format;
use alloc::vec::Vec;

use super::transition::Reason;
use crate::config::Scope;
use crate::http::{Metric, MetricKind};

/// One metric of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerMetric {
    /// Requests that the breaker let pass.
    Admitted,
    /// Ejections that did not happen, because too few endpoints would be left.
    Capped,
    /// Compare-and-swaps lost to another worker, each tried again.
    Contended,
    /// Outcomes that were failures.
    Failed,
    /// Refused requests that went to another cluster.
    FellBack,
    /// Outcomes that say nothing about the target.
    Ignored,
    /// Requests that fell back and went to the cluster where they came from.
    Misrouted,
    /// Requests that it would have refused and that passed because it only observes.
    Observed,
    /// How many targets are not closed.
    Open,
    /// Requests that passed as probes.
    Probes,
    /// Requests refused.
    Refused,
    /// The share of requests that a soft breaker refuses.
    RefusingPercent,
    /// Calls that were slow.
    Slow,
    /// Outcomes that came too late for the state that admitted them.
    Stale,
    /// The state, by its number.
    State,
    /// Outcomes that were successes.
    Succeeded,
    /// Outcomes that were throttling.
    Throttled,
    /// Changes of state.
    Transitions,
    /// Times that shared cells failed, for a request or for an outcome.
    Undecided,
    /// Outcomes of targets that the table had no room for.
    Untracked,
    /// Whether no request has been the breaker's, though many have passed.
    Unused,
}

const ALL: [(BreakerMetric, &str, &str); 21] = [
    (BreakerMetric::Admitted, "admitted", "Requests admitted."),
    (BreakerMetric::Capped, "capped", "Ejections that max_ejection_percent prevented."),
    (BreakerMetric::Contended, "contended", "Compare-and-swaps lost to another worker and tried again."),
    (BreakerMetric::Failed, "failed", "Calls that failed."),
    (BreakerMetric::FellBack, "fell_back", "Refused requests that went to a fallback cluster."),
    (BreakerMetric::Ignored, "ignored", "Calls that count neither as success nor as failure."),
    (
        BreakerMetric::Misrouted,
        "misrouted",
        "Requests for a fallback cluster that Envoy sent where they came from.",
    ),
    (BreakerMetric::Observed, "observed", "Requests that mode observe admitted and enforce would refuse."),
    (BreakerMetric::Open, "open", "Targets that are not closed now."),
    (BreakerMetric::Probes, "probes", "Requests admitted as probes."),
    (BreakerMetric::Refused, "refused", "Requests refused."),
    (
        BreakerMetric::RefusingPercent,
        "refusing_percent",
        "The share of requests that admission refuses now, in percent.",
    ),
    (BreakerMetric::Slow, "slow", "Calls that were slow, whether they succeeded or failed."),
    (BreakerMetric::Stale, "stale", "Outcomes that came after the state that admitted them had ended."),
    (
        BreakerMetric::State,
        "state",
        "0 closed, 1 open, 2 half-open or open with its time over, 3 forced open, 4 disabled, 5 metrics only.",
    ),
    (BreakerMetric::Succeeded, "succeeded", "Calls that succeeded."),
    (BreakerMetric::Throttled, "throttled", "Calls that the target throttled."),
    (BreakerMetric::Transitions, "transitions", "Changes of state, whatever the reason."),
    (
        BreakerMetric::Undecided,
        "undecided",
        "Times that shared cells failed, for a request, which on_failure decides, or for an outcome.",
    ),
    (BreakerMetric::Untracked, "untracked", "Outcomes of targets that the table had no room for."),
    (
        BreakerMetric::Unused,
        "unused",
        "1 while none of the requests that passed the filter, the first 1,000 or more, was the breaker's.",
    ),
];

/// Those that show what is now.
pub(super) const GAUGES: [BreakerMetric; 4] =
    [BreakerMetric::Open, BreakerMetric::RefusingPercent, BreakerMetric::State, BreakerMetric::Unused];

const EACH: usize = ALL.len() + Reason::ALL.len();

/// The metrics of breakers with these names, in order.
#[must_use]
pub fn metrics<'a>(scope: &Scope, breakers: impl Iterator<Item = &'a str>) -> Vec<Metric> {
    let first = scope.metrics("breaker");
    let of = |breaker: &'a str| {
        let kind = |metric| {
            if GAUGES.contains(metric) {
                MetricKind::Gauge
            } else {
                MetricKind::Counter
            }
        };
        let all =
            ALL.iter().map(move |(metric, word, help)| (format!("{breaker}.{word}"), *help, kind(metric)));
        let reasons = Reason::ALL.into_iter().map(move |reason| {
            (format!("{breaker}.transitions.{}", reason.word()), reason.help(), MetricKind::Counter)
        });
        all.chain(reasons)
    };
    let metric = |(name, help, kind)| Metric { name: format!("{first}.breaker.{name}"), help, kind };
    breakers.flat_map(of).map(metric).collect()
}

/// The index of a metric of the breaker at `breaker` in [`metrics`].
#[must_use]
pub fn index(breaker: usize, metric: BreakerMetric) -> usize {
    breaker.saturating_mul(EACH).saturating_add(metric as usize)
}

/// The index of the transitions for a reason of the breaker at `breaker` in [`metrics`].
#[must_use]
pub fn reason(breaker: usize, reason: Reason) -> usize {
    breaker.saturating_mul(EACH).saturating_add(ALL.len()).saturating_add(reason as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_at_its_index() {
        let list = metrics(&Scope::default(), ["a", "b"].into_iter());
        for (breaker, name) in ["a", "b"].iter().enumerate() {
            for (metric, word, _) in ALL {
                let expected = format!("tidegate.breaker.breaker.{name}.{word}");
                assert_eq!(list[index(breaker, metric)].name, expected);
            }
            for of in Reason::ALL {
                let expected = format!("tidegate.breaker.breaker.{name}.transitions.{}", of.word());
                assert_eq!(list[reason(breaker, of)].name, expected);
            }
        }
        assert_eq!(list.len(), 58);
    }
}
