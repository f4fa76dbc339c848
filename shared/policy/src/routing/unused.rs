//! Routes that no request takes, though many have passed, and a filter that stands where routes have no effect:
//! what is said of them, once for all workers.

use alloc::format;
use alloc::string::String;
use core::cell::Cell;

use super::config::Policy;
use super::metrics::{Places, RouteMetric};
use super::route::Route;
use crate::host::Host;
use crate::http::Placement;
use crate::usage::Usage;

/// Which routes have had requests.
#[derive(Debug)]
pub(super) struct Unused {
    pub(super) usage: Usage,
    /// Whether the filter stands around attempts, and nobody was told so yet.
    misplaced: Cell<bool>,
}

/// The line for the log of a filter around attempts.
const MISPLACED: &str =
    "nothing of the document is for a filter around attempts, as the root id `attempt` says of this one: Envoy has \
     chosen its route by then; at a listener, give it another root id (Istio: pluginName)";

// === impl Unused ===

impl Unused {
    pub(super) fn new(policy: &Policy, placement: Placement) -> Self {
        Self {
            usage: Usage::of("w1", policy.routes.len(), policy.identity),
            misplaced: Cell::new(placement == Placement::Attempt),
        }
    }

    /// Says and shows it.
    pub(super) fn tell(&self, routes: &[Route], places: &Places, host: &impl Host) {
        if self.misplaced.take() && self.usage.is_first_misplaced(host) {
            host.note(MISPLACED);
        }
        self.usage.tell(host, &|at| places.route(at, RouteMetric::Unused), &|at, requests| {
            routes.get(at).map_or_else(String::new, |route| line(route, requests))
        });
    }
}

fn line(route: &Route, requests: u64) -> String {
    format!(
        "{}: no request yet among {requests} requests took the route: its `match` holds for none, or a route that \
         comes first takes them; correct one of these, or remove the route",
        route.name
    )
}
