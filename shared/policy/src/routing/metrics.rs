//! What the filter counts and shows: a closed list for each route and each variant.
//!
//! `tidegate.routing.route.<route>.<metric>` and, below it, `variant.<variant>.<metric>`; in a scope
//! `tidegate.routing.scope.<scope>.route.<route>.<metric>`. The names are
//! the configuration's; nothing that a client sends ever becomes part of one. After these stand the
//! states of the breakers that ramps watch, which are the breaker filter's and are only read.

use alloc::format;
use alloc::vec::Vec;

use super::config::Policy;
use crate::config::Scope;
use crate::http::{steering, Metric};

/// What is counted of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteMetric {
    /// Ramps given up.
    Aborted,
    /// Steps taken.
    Advanced,
    /// Requests whose variant a trusted caller named.
    Forced,
    /// Intervals that held a ramp where it was.
    Halted,
    /// Changes of weights.
    Moves,
    /// Requests that would have been routed if the route were not observing.
    Observed,
    /// Requests whose variant was passed over.
    PassedOver,
    /// Ramps that are through.
    Promoted,
    /// Requests whose identity chose the variant.
    Sticky,
    /// Times that shared cells failed.
    Undecided,
    /// Whether no request has taken it, though many have passed.
    Unused,
}

/// What is counted of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariantMetric {
    /// Requests that failed, of routes with a ramp.
    Failed,
    /// Requests that reached another cluster, of those that were asked.
    Misrouted,
    /// Requests routed to it.
    Requests,
    /// What it weighs.
    Weight,
}

/// Where the metrics of each route begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(Vec<usize>);

/// Where the counter of requests that no route takes stands.
pub const UNMATCHED: usize = 0;
/// Where the counter of requests stands that were refused for a header that the filter removed.
pub const ROUTE_FORGED: usize = 1;

const ROUTE: [(RouteMetric, &str); 11] = [
    (RouteMetric::Aborted, "aborted"),
    (RouteMetric::Advanced, "advanced"),
    (RouteMetric::Forced, "forced"),
    (RouteMetric::Halted, "halted"),
    (RouteMetric::Moves, "moves"),
    (RouteMetric::Observed, "observed"),
    (RouteMetric::PassedOver, "passed_over"),
    (RouteMetric::Promoted, "promoted"),
    (RouteMetric::Sticky, "sticky"),
    (RouteMetric::Undecided, "undecided"),
    (RouteMetric::Unused, "unused"),
];
const VARIANT: [(VariantMetric, &str); 4] = [
    (VariantMetric::Failed, "failed"),
    (VariantMetric::Misrouted, "misrouted"),
    (VariantMetric::Requests, "requests"),
    (VariantMetric::Weight, "weight"),
];

/// The metrics of a policy, in order, and where each route's begin.
#[must_use]
pub fn metrics(policy: &Policy) -> (Vec<Metric>, Places) {
    let metric = |name, gauge: bool| if gauge { Metric::gauge(name) } else { Metric::counter(name) };
    let first = policy.scope.metrics("routing");
    let own = ["unmatched", steering::ROUTE_FORGED];
    let mut list: Vec<Metric> = own.iter().map(|word| Metric::counter(format!("{first}.{word}"))).collect();
    let mut places = Vec::new();
    for route in &policy.routes {
        places.push(list.len());
        let name = format!("{first}.route.{}", route.name);
        list.extend(
            ROUTE.iter().map(|(of, word)| metric(format!("{name}.{word}"), *of == RouteMetric::Unused)),
        );
        for variant in &route.variants {
            let name = format!("{name}.variant.{}", variant.name);
            list.extend(
                VARIANT
                    .iter()
                    .map(|(of, word)| metric(format!("{name}.{word}"), *of == VariantMetric::Weight)),
            );
        }
    }
    (list, Places(places))
}

/// The gauge of the state of a breaker of the same scope, which the breaker filter sets.
#[must_use]
pub fn breaker_state(scope: &Scope, name: &str) -> Metric {
    Metric::gauge(format!("{}.breaker.{name}.state", scope.metrics("breaker")))
}

// === impl Places ===

impl Places {
    /// Where `what` of a route stands.
    #[must_use]
    pub fn route(&self, route: usize, what: RouteMetric) -> usize {
        self.0.get(route).map_or(usize::MAX, |from| from.saturating_add(what as usize))
    }

    /// Where `of` of a variant stands.
    #[must_use]
    pub fn variant(&self, route: usize, variant: usize, of: VariantMetric) -> usize {
        let before = variant.saturating_mul(VARIANT.len()).saturating_add(ROUTE.len());
        self.0.get(route).map_or(usize::MAX, |from| from.saturating_add(before).saturating_add(of as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_stands_where_its_place_says() {
        let json = r#"{"routes": [
            {"name": "a", "variants": [{"name": "v", "cluster": "c"}]},
            {"name": "b", "variants": [{"name": "v", "cluster": "c"}, {"name": "w", "cluster": "d"}]}]}"#;
        let policy = Policy::parse(json.as_bytes()).unwrap();
        let (list, places) = metrics(&policy);
        assert_eq!(list[UNMATCHED].name, "tidegate.routing.unmatched");
        assert_eq!(list[ROUTE_FORGED].name, "tidegate.routing.route_forged");
        for (at, route) in policy.routes.iter().enumerate() {
            let name = format!("tidegate.routing.route.{}", route.name);
            for (what, word) in ROUTE {
                assert_eq!(list[places.route(at, what)].name, format!("{name}.{word}"));
            }
            for (index, variant) in route.variants.iter().enumerate() {
                for (of, word) in VARIANT {
                    let expected = format!("{name}.variant.{}.{word}", variant.name);
                    assert_eq!(list[places.variant(at, index, of)].name, expected);
                }
            }
        }
        assert_eq!(list.len(), 2 + 2 * 11 + 3 * 4);
    }
}
