//! What the filter counts: a closed list for each limit.
//!
//! `tidegate.ratelimit.limit.<name>.<metric>`, in a scope
//! `tidegate.ratelimit.scope.<scope>.limit.<name>.<metric>`. The names are the configuration's; nothing that a
//! client sends ever becomes part of one. `envoy-config/` has the `stats_tags` rule that
//! turns the name into a label.

use alloc::format;
use alloc::vec::Vec;

use crate::config::Scope;
use crate::http::{steering, Metric};

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
    /// Whether no request has had it, though many have passed.
    Unused,
}

const ALL: [(LimitMetric, &str); 12] = [
    (LimitMetric::Admitted, "admitted"),
    (LimitMetric::Contended, "contended"),
    (LimitMetric::Evicted, "evicted"),
    (LimitMetric::Failed, "failed"),
    (LimitMetric::Leases, "leases"),
    (LimitMetric::Leased, "leased"),
    (LimitMetric::NewcomersRefused, "newcomers_refused"),
    (LimitMetric::Observed, "observed"),
    (LimitMetric::Overflow, "overflow"),
    (LimitMetric::Refused, "refused"),
    (LimitMetric::Stranded, "stranded"),
    (LimitMetric::Unused, "unused"),
];

/// The metrics of limits with these names, in order.
#[must_use]
pub fn metrics<'a>(scope: &Scope, limits: impl Iterator<Item = &'a str>) -> Vec<Metric> {
    let first = &scope.metrics("ratelimit");
    let of = |limit: &'a str| {
        ALL.iter().map(move |(metric, word)| {
            let name = format!("{first}.limit.{limit}.{word}");
            if *metric == LimitMetric::Unused {
                Metric::gauge(name)
            } else {
                Metric::counter(name)
            }
        })
    };
    let forged = Metric::counter(format!("{first}.{}", steering::ROUTE_FORGED));
    limits.flat_map(of).chain([forged]).collect()
}

/// The index of the counter of requests that were refused for a header, behind those of so many limits.
#[must_use]
pub fn route_forged(limits: usize) -> usize {
    limits.saturating_mul(ALL.len())
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
            for (metric, word) in ALL {
                let expected = format!("tidegate.ratelimit.limit.{name}.{word}");
                assert_eq!(list[index(limit, metric)].name, expected);
            }
        }
        assert_eq!(list[route_forged(2)].name, "tidegate.ratelimit.route_forged");
        assert_eq!(list.len(), 25);
    }
}
