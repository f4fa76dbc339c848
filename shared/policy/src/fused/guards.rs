//! Which breakers guard the variants of routes, so that routing passes over those that let nothing through.
//!
//! A breaker is looked at before the choice if it would stop each request of the variant in any case: its
//! target is the variant, or its cluster or service; it has no conditions, acts, and refuses all or nothing.
//! One with a `fallback` is not: its document says where the requests go. Nor is one of a variant that is no
//! more than a status: its requests meet no breaker.

use alloc::vec::Vec;

use crate::breaker::config::target::Target as Guarded;
use crate::breaker::config::{Breaker, Mode, Policy as BreakerPolicy};
use crate::routing::variant::{Target, Variant};
use crate::routing::Policy as RoutingPolicy;

/// The breakers of all variants.
#[derive(Debug, Default)]
pub(super) struct Guards(Vec<Guard>);

/// A breaker of a variant, by their places.
#[derive(Debug)]
struct Guard {
    route: usize,
    variant: usize,
    breaker: usize,
}

// === impl Guards ===

impl Guards {
    pub(super) fn new(routing: &RoutingPolicy, breakers: &BreakerPolicy) -> Self {
        let mut guards = Vec::new();
        for (at, route) in routing.routes.iter().enumerate().filter(|(_, route)| route.variants.len() > 1) {
            for (number, variant) in route.variants.iter().enumerate() {
                let own = breakers
                    .breakers
                    .iter()
                    .enumerate()
                    .filter(|(_, breaker)| stops_all(breaker) && is_of(breaker, &route.name, variant));
                guards.extend(own.map(|(breaker, _)| Guard { route: at, variant: number, breaker }));
            }
        }
        Self(guards)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first breaker of a variant that `refuses`.
    pub(super) fn first(
        &self,
        route: usize,
        variant: usize,
        refuses: &dyn Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut own = self.0.iter().filter(|guard| guard.route == route && guard.variant == variant);
        own.find(|guard| refuses(guard.breaker)).map(|guard| guard.breaker)
    }
}

/// Whether a breaker refuses whatever its target gets, or nothing of it.
fn stops_all(breaker: &Breaker) -> bool {
    breaker.mode == Mode::Enforce
        && breaker.matches.is_empty()
        && breaker.fallback.is_empty()
        && breaker.soft.is_none()
}

fn is_of(breaker: &Breaker, route: &str, variant: &Variant) -> bool {
    match (&breaker.target, &variant.target) {
        (Guarded::Cluster(name), Target::Cluster(cluster)) => **name == **cluster,
        (Guarded::Service(name), Target::Service { name: service, .. }) => name == service,
        (_, Target::Status(_)) => false,
        (Guarded::Variant(name), _) => {
            name.split_once('/').is_some_and(|(of, own)| of == route && own == &*variant.name)
        }
        _ => false,
    }
}
