//! The service `catalog` in two variants, and the routing before them.

use std::time::Instant;

use serde_json::{json, Value};
use tidegate_tests::Bootstrap;

use crate::script::{CANARY, STABLE};
use crate::service::Service;

/// The servers, one for each variant.
#[derive(Debug)]
pub(crate) struct Catalog {
    stable: Service,
    canary: Service,
    /// What had reached either when the ramp was over for good.
    end: Option<Reached>,
}

/// Requests that reached the variants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) stable: u64,
    pub(crate) canary: u64,
}

/// The path of the service.
pub(crate) const PATH: &str = "/catalog";
/// The name of the route.
pub(crate) const NAME: &str = "catalog";
/// The request header that users stick by.
pub(crate) const USER: &str = "x-user";
/// The response header that says which variant was chosen.
pub(crate) const VARIANT: &str = "x-tidegate-variant";
const STABLE_CLUSTER: &str = "catalog-stable";
const CANARY_CLUSTER: &str = "catalog-canary";

// === impl Catalog ===

impl Catalog {
    /// Starts both. The canary is well until [`begin`](Self::begin).
    pub(crate) fn start() -> Self {
        let (stable, canary) = (Service::start("stable", STABLE), Service::start("canary", CANARY));
        Self { stable, canary, end: None }
    }

    /// The script of the canary starts.
    pub(crate) fn begin(&self, start: Instant) {
        self.canary.begin(start);
    }

    /// The route of the filter's document. Steps are short, so that all of them are taken before the canary
    /// fails; two bad intervals then end the ramp.
    pub(crate) fn routing() -> Value {
        let ramp = json!({
            "interval_ms": 1000,
            "steps": [
                {"weight": 10, "hold_ms": 3000},
                {"weight": 25, "hold_ms": 3000},
                {"weight": 50, "hold_ms": 600_000},
            ],
            // A busy machine is slow at times. That is not what is to be seen here.
            "abort": {"min_success_percent": 99, "min_samples": 5, "max_failed": 2, "max_p99_ms": 2000},
        });
        let route = json!({
            "name": NAME,
            "match": [{"path": {"exact": PATH}}],
            "sticky": {"experiment": "catalog-v2", "by": [{"header": USER}]},
            "variants": [
                {"name": "stable", "cluster": STABLE_CLUSTER, "weight": 90},
                {"name": "canary", "cluster": CANARY_CLUSTER, "weight": 10, "ramp": ramp},
            ],
        });
        json!({"routes": [route], "headers": {"response": VARIANT}})
    }

    /// Puts both servers into Envoy.
    pub(crate) fn add(&self, config: Bootstrap) -> Bootstrap {
        config
            .cluster(STABLE_CLUSTER, &self.stable.addresses())
            .cluster(CANARY_CLUSTER, &self.canary.addresses())
            .route(json!({
                "match": {"path": PATH},
                "route": {"cluster_header": "x-tidegate-cluster", "timeout": "2s"},
            }))
    }

    /// The ramp is over for good; [`since`](Self::since) counts from here.
    pub(crate) fn end(&mut self) {
        let now = self.reached();
        self.end.get_or_insert(now);
    }

    /// What reached the variants after the [`end`](Self::end), if it came.
    pub(crate) fn since(&self) -> Option<Reached> {
        let (now, end) = (self.reached(), self.end?);
        Some(Reached { stable: now.stable - end.stable, canary: now.canary - end.canary })
    }

    /// Drops what the servers remember of requests.
    pub(crate) fn forget(&self) {
        self.stable.forget();
        self.canary.forget();
    }

    fn reached(&self) -> Reached {
        Reached { stable: self.stable.count(), canary: self.canary.count() }
    }
}
