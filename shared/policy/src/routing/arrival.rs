//! Where requests arrive: whether a route of Envoy obeys the header with a variant's cluster.
//!
//! Envoy chooses the route behind the last filter, so where a request went shows with its response. To
//! ask costs as much as a small filter, so it is asked of one request between two ticks. A route may
//! match the header's value and lead to a cluster that is named otherwise, as those of Istio do; but two
//! variants in one cluster are none.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use super::config::Policy;
use super::route::Route;
use super::variant::{Target, Variant};
use crate::hash::xxh64::xxh64;
use crate::http::{Attribute, Response};

/// What one worker learned of the clusters in which variants arrive.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Whether the next response is asked.
    due: Cell<bool>,
    /// Of each route, and of each of its variants, the hash of the cluster that was reached last.
    reached: RefCell<Vec<Vec<Option<u64>>>>,
}

// === impl Arrivals ===

impl Arrivals {
    pub(super) fn new(routes: &[Route]) -> Self {
        let none = |route: &Route| alloc::vec![None; route.variants.len()];
        Self { due: Cell::new(false), reached: RefCell::new(routes.iter().map(none).collect()) }
    }

    /// Has the next response asked.
    pub(super) fn tick(&self) {
        self.due.set(true);
    }

    /// Looks whether a request of a variant reached the variant's cluster, if that is due; the line for
    /// the log if it did not. Not where Envoy has the weights, nor of one that another filter answered or
    /// sent elsewhere.
    pub(super) fn check(
        &self,
        policy: &Policy,
        at: usize,
        variant: usize,
        response: &impl Response,
    ) -> Option<String> {
        if !self.due.replace(false) || policy.headers.random.is_some() {
            return None;
        }
        let route = policy.routes.get(at)?;
        let Variant { name, target: Target::Cluster(goal), .. } = route.variants.get(variant)? else {
            return None;
        };
        let cluster = response.attribute(Attribute::Cluster)?;
        let is_upstreams = |details: Vec<u8>| details == b"via_upstream";
        let sent = || {
            response.attribute(Attribute::Details).is_some_and(is_upstreams)
                && response.attribute(Attribute::Steering).is_none()
        };
        let there = cluster == goal.as_bytes();
        if !(there || sent()) || !self.is_misrouted(at, route, variant, &cluster) {
            return None;
        }
        let (cluster, header) = (String::from_utf8_lossy(&cluster), &policy.headers.cluster);
        Some(format!(
            "{}/{name}: a request for cluster {goal} went to cluster {cluster}: Envoy needs a route, before the others, that matches if the header {header} is present and has `cluster_header: {header}`",
            route.name
        ))
    }

    /// Whether a request of a variant of the route at `at` was misrouted, which reached this cluster.
    fn is_misrouted(&self, at: usize, route: &Route, variant: usize, cluster: &[u8]) -> bool {
        let goal = |variant: usize| match route.variants.get(variant).map(|variant| &variant.target) {
            Some(Target::Cluster(goal)) => Some(goal.as_bytes()),
            _ => None,
        };
        let arrived = xxh64(cluster, 0);
        let mut reached = self.reached.borrow_mut();
        let Some(reached) = reached.get_mut(at) else { return false };
        if let Some(own) = reached.get_mut(variant) {
            *own = Some(arrived);
        }
        if goal(variant).is_none_or(|goal| goal == cluster) {
            return false;
        }
        // Variants may share a cluster on purpose, but then it is in the document under one name.
        let another =
            |other: &usize| *other != variant && goal(*other).is_some() && goal(*other) != goal(variant);
        let mut others = (0..route.variants.len()).filter(another).peekable();
        if others.peek().is_none() {
            return !goal(variant).is_some_and(|goal| has_part(cluster, goal));
        }
        others.any(|other| goal(other) == Some(cluster) || reached.get(other) == Some(&Some(arrived)))
    }
}

/// Whether a cluster's name has another as one of its parts, as the names that Istio and Consul make
/// have those of their subsets: `outbound|8080|v1|shop.example`, `v1.shop.default.dc1.internal`.
fn has_part(cluster: &[u8], name: &[u8]) -> bool {
    cluster.split(|byte| matches!(byte, b'|' | b'.' | b'/')).any(|part| part == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_variants_in_one_cluster_are_misrouted_and_other_names_are_not() {
        let json = br#"{"routes": [{"name": "r", "variants": [
            {"name": "a", "cluster": "v1"}, {"name": "b", "cluster": "v2", "weight": 1}]},
            {"name": "one", "variants": [{"name": "a", "cluster": "v1"}]}]}"#;
        let policy = Policy::parse(json).unwrap();
        let run = |steps: &[(usize, usize, &str)]| {
            let arrivals = Arrivals::new(&policy.routes);
            let step = |&(at, variant, cluster): &(usize, usize, &str)| {
                arrivals.is_misrouted(at, &policy.routes[at], variant, cluster.as_bytes())
            };
            steps.iter().map(step).collect::<Vec<_>>()
        };
        assert_eq!(run(&[(0, 0, "v1"), (0, 1, "v2"), (1, 0, "v1")]), [false; 3], "as they are named");
        assert_eq!(
            run(&[(0, 0, "long-1"), (0, 1, "long-2"), (0, 0, "long-1")]),
            [false; 3],
            "by their values"
        );
        assert_eq!(run(&[(0, 0, "v1"), (0, 1, "v1")]), [false, true], "the default is one of them");
        assert_eq!(
            run(&[(0, 0, "main"), (0, 1, "main"), (0, 0, "main")]),
            [false, true, true],
            "the default"
        );
        assert_eq!(run(&[(1, 0, "main")]), [true], "nothing to compare with");
        for made in ["outbound|8080|v1|shop.example", "v1.shop.default.dc1.internal", "route/v1/0"] {
            assert_eq!(run(&[(1, 0, made)]), [false], "a name made of it, {made}");
            assert_eq!(run(&[(0, 1, made), (0, 0, made)]), [false, true], "both in {made}");
        }
        assert_eq!(run(&[(1, 0, "outbound|8080||shop-v1.example")]), [true], "not a part");
    }
}
