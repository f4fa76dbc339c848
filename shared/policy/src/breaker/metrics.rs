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
use crate::http::{steering, Metric};

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

const ALL: [(BreakerMetric, &str); 21] = [
    (BreakerMetric::Admitted, "admitted"),
    (BreakerMetric::Capped, "capped"),
    (BreakerMetric::Contended, "contended"),
    (BreakerMetric::Failed, "failed"),
    (BreakerMetric::FellBack, "fell_back"),
    (BreakerMetric::Ignored, "ignored"),
    (BreakerMetric::Misrouted, "misrouted"),
    (BreakerMetric::Observed, "observed"),
    (BreakerMetric::Open, "open"),
    (BreakerMetric::Probes, "probes"),
    (BreakerMetric::Refused, "refused"),
    (BreakerMetric::RefusingPercent, "refusing_percent"),
    (BreakerMetric::Slow, "slow"),
    (BreakerMetric::Stale, "stale"),
    (BreakerMetric::State, "state"),
    (BreakerMetric::Succeeded, "succeeded"),
    (BreakerMetric::Throttled, "throttled"),
    (BreakerMetric::Transitions, "transitions"),
    (BreakerMetric::Undecided, "undecided"),
    (BreakerMetric::Untracked, "untracked"),
    (BreakerMetric::Unused, "unused"),
];

/// Those that show what is now.
pub(super) const GAUGES: [BreakerMetric; 4] =
    [BreakerMetric::Open, BreakerMetric::RefusingPercent, BreakerMetric::State, BreakerMetric::Unused];

const EACH: usize = ALL.len() + Reason::ALL.len();

/// The metrics of breakers with these names, in order.
#[must_use]
pub fn metrics<'a>(scope: &Scope, breakers: impl Iterator<Item = &'a str>) -> Vec<Metric> {
    let first = &scope.metrics("breaker");
    let of = |breaker: &'a str| {
        let all = ALL.iter().map(move |(metric, word)| {
            let name = format!("{first}.breaker.{breaker}.{word}");
            if GAUGES.contains(metric) {
                Metric::gauge(name)
            } else {
                Metric::counter(name)
            }
        });
        let name = move |of: Reason| format!("{first}.breaker.{breaker}.transitions.{}", of.word());
        all.chain(Reason::ALL.into_iter().map(move |of| Metric::counter(name(of))))
    };
    let forged = Metric::counter(format!("{first}.{}", steering::ROUTE_FORGED));
    breakers.flat_map(of).chain([forged]).collect()
}

/// The index of the counter of requests that were refused for a header, behind those of so many breakers.
#[must_use]
pub fn route_forged(breakers: usize) -> usize {
    breakers.saturating_mul(EACH)
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
            for (metric, word) in ALL {
                let expected = format!("tidegate.breaker.breaker.{name}.{word}");
                assert_eq!(list[index(breaker, metric)].name, expected);
            }
            for of in Reason::ALL {
                let expected = format!("tidegate.breaker.breaker.{name}.transitions.{}", of.word());
                assert_eq!(list[reason(breaker, of)].name, expected);
            }
        }
        assert_eq!(list[route_forged(2)].name, "tidegate.breaker.route_forged");
        assert_eq!(list.len(), 59);
    }
}
