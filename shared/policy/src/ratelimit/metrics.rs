//! What the filter counts: a closed list for each limit.
//!
//! `tidegate.ratelimit.limit.<name>.<what>`. The name is the configuration's; nothing that
//! a client sends ever becomes part of one. `envoy-config/` has the `stats_tags` rule that
//! turns the name into a label.

use alloc::format;
use alloc::vec::Vec;

use crate::http::{Metric, MetricKind};

/// What is counted of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Requests that the limit let pass.
    Admitted,
    /// Compare-and-swaps lost to another worker, each tried again.
    Contended,
    /// Keys that lost their place in a full block to a newcomer, which took their debt.
    Evicted,
    /// Requests that the filter could not decide and treated as `on_failure` says.
    Failed,
    /// Leases taken.
    Leases,
    /// Requests admitted from a lease, without touching the shared cell.
    Leased,
    /// Requests beyond the limit that passed because it only observes.
    Observed,
    /// Requests of newcomers to a full block admitted by its overflow bucket.
    Overflow,
    /// Requests refused.
    Refused,
    /// Leased requests that ended unspent and could not be given back.
    Stranded,
}

const ALL: [(What, &str, &str); 10] = [
    (What::Admitted, "admitted", "Requests let through."),
    (What::Contended, "contended", "Compare-and-swaps lost to another worker and tried again."),
    (What::Evicted, "evicted", "Keys displaced by a newcomer, which took over their debt."),
    (What::Failed, "failed", "Requests that could not be decided and were treated as on_failure says."),
    (What::Leases, "leases", "Leases taken for keys that are hot in a worker."),
    (What::Leased, "leased", "Requests let through from a lease, without a shared cell."),
    (What::Observed, "observed", "Requests beyond the limit let through by mode observe."),
    (What::Overflow, "overflow", "Requests of newcomers let through by a full block's overflow bucket."),
    (What::Refused, "refused", "Requests refused."),
    (What::Stranded, "stranded", "Leased requests that ended unspent and could not be given back."),
];

/// The metrics of limits with these names, in order.
#[must_use]
pub fn metrics<'a>(limits: impl Iterator<Item = &'a str>) -> Vec<Metric> {
    let of = |limit: &'a str| {
        ALL.iter().map(move |(_, word, help)| Metric {
            name: format!("tidegate.ratelimit.limit.{limit}.{word}"),
            help,
            kind: MetricKind::Counter,
        })
    };
    limits.flat_map(of).collect()
}

/// Where the counter `what` of the limit at `limit` stands in that list.
#[must_use]
pub fn index(limit: usize, what: What) -> usize {
    limit.saturating_mul(ALL.len()).saturating_add(what as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_stands_where_its_index_says() {
        let list = metrics(["a", "b"].into_iter());
        for (limit, name) in ["a", "b"].iter().enumerate() {
            for (what, word, _) in ALL {
                let expected = format!("tidegate.ratelimit.limit.{name}.{word}");
                assert_eq!(list[index(limit, what)].name, expected);
            }
        }
        assert_eq!(list.len(), 20);
    }
}
