//! What the filter counts: a closed list for each limit.
//!
//! `tidegate.ratelimit.limit.<name>.<metric>`, in a scope
//! `tidegate.ratelimit.scope.<scope>.limit.<name>.<metric>`. The names are the configuration's; nothing that a
//! client sends ever becomes part of one. `envoy-config/` has the `stats_tags` rule that
//! turns the name into a label.

use alloc::format;
use alloc::vec::Vec;

use crate::config::Scope;
use crate::http::{Metric, MetricKind};

/// What is counted of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitMetric {
    /// Requests that the limit let pass.
    Admitted,
    /// Compare-and-swaps lost to another worker, each tried again.
    Contended,
    /// Keys that lost their slot in a full block to a newcomer, which took their debt.
    Evicted,
    /// Requests that the filter could not decide and treated as `on_failure` says.
    Failed,
    /// Leases taken.
    Leases,
    /// Requests admitted from a lease, without touching the shared cell.
    Leased,
    /// Requests of newcomers refused for the debts of others: a part of those refused or observed.
    NewcomersRefused,
    /// Requests beyond the limit that passed because it only observes.
    Observed,
    /// Requests of newcomers to a full block admitted by its overflow bucket.
    Overflow,
    /// Requests refused.
    Refused,
    /// Leased requests that ended unspent and could not be given back.
    Stranded,
}

const ALL: [(LimitMetric, &str, &str); 11] = [
    (LimitMetric::Admitted, "admitted", "Requests let through."),
    (LimitMetric::Contended, "contended", "Compare-and-swaps lost to another worker and tried again."),
    (LimitMetric::Evicted, "evicted", "Keys displaced by a newcomer, which took over their debt."),
    (
        LimitMetric::Failed,
        "failed",
        "Requests that could not be decided and were treated as on_failure says.",
    ),
    (LimitMetric::Leases, "leases", "Leases taken for keys that are hot in a worker."),
    (LimitMetric::Leased, "leased", "Requests let through from a lease, without a shared cell."),
    (
        LimitMetric::NewcomersRefused,
        "newcomers_refused",
        "Requests refused at a full block, of keys that have no place in it.",
    ),
    (LimitMetric::Observed, "observed", "Requests beyond the limit let through by mode observe."),
    (
        LimitMetric::Overflow,
        "overflow",
        "Requests of newcomers let through by a full block's overflow bucket.",
    ),
    (LimitMetric::Refused, "refused", "Requests refused."),
    (LimitMetric::Stranded, "stranded", "Leased requests that ended unspent and could not be given back."),
];

/// The metrics of limits with these names, in order.
#[must_use]
pub fn metrics<'a>(scope: &Scope, limits: impl Iterator<Item = &'a str>) -> Vec<Metric> {
    let first = &scope.metrics("ratelimit");
    let of = |limit: &'a str| {
        ALL.iter().map(move |(_, word, help)| Metric {
            name: format!("{first}.limit.{limit}.{word}"),
            help,
            kind: MetricKind::Counter,
        })
    };
    limits.flat_map(of).collect()
}

/// The index of the counter `metric` of the limit at `limit` in that list.
#[must_use]
pub fn index(limit: usize, metric: LimitMetric) -> usize {
    limit.saturating_mul(ALL.len()).saturating_add(metric as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_stands_where_its_index_says() {
        let list = metrics(&Scope::default(), ["a", "b"].into_iter());
        for (limit, name) in ["a", "b"].iter().enumerate() {
            for (metric, word, _) in ALL {
                let expected = format!("tidegate.ratelimit.limit.{name}.{word}");
                assert_eq!(list[index(limit, metric)].name, expected);
            }
        }
        assert_eq!(list.len(), 22);
    }
}
