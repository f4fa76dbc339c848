//! The service `checkout`, its backup, and the breaker before them.

use std::time::Instant;

use serde_json::{json, Value};
use tidegate_tests::{Answer, Bootstrap, Upstream};

use crate::script::{Mood, CHECKOUT};
use crate::service::{Service, SERVED_BY};

/// The servers.
#[derive(Debug)]
pub(crate) struct Checkout {
    service: Service,
    backup: Upstream,
}

/// The path of the service.
pub(crate) const PATH: &str = "/checkout";
/// The name of the breaker and of its cluster.
pub(crate) const NAME: &str = "checkout";
const BACKUP: &str = "checkout-backup";

// === impl Checkout ===

impl Checkout {
    /// Starts both. The service is well until [`begin`](Self::begin).
    pub(crate) fn start() -> Self {
        let backup = Upstream::new(|_| Answer::new(200, "backup\n").header(SERVED_BY, "backup"));
        Self { service: Service::start(NAME, CHECKOUT), backup }
    }

    /// The script of the service starts.
    pub(crate) fn begin(&self, start: Instant) {
        self.service.begin(start);
    }

    /// The breaker of the filter's document. Times are short, so that much is to be seen soon.
    pub(crate) fn breaker() -> Value {
        let breaker = json!({
            "name": NAME,
            "target": {"cluster": NAME},
            "consecutive_failures": 5,
            "slow_call_ms": 300, "slow_rate_percent": 50, "minimum_calls": 10, "window_ms": 2000,
            "half_open_permits": 3,
            "base_open_ms": 1500, "backoff_multiplier_percent": 150, "max_open_ms": 2500,
            "fallback": [{"cluster": BACKUP}, {"reply": {"status": 503, "body": "closed for a moment"}}],
        });
        json!({"breakers": [breaker]})
    }

    /// Puts both servers into Envoy: the path has two routes, and one of them takes the cluster that the
    /// breaker names.
    pub(crate) fn add(&self, config: Bootstrap) -> Bootstrap {
        let steered = json!([{"name": "x-tidegate-cluster", "present_match": true}]);
        config
            .cluster(NAME, &self.service.addresses())
            .cluster(BACKUP, &[self.backup.addr()])
            .route(json!({
                "match": {"path": PATH, "headers": steered},
                "route": {"cluster_header": "x-tidegate-cluster", "timeout": "2s"},
            }))
            .route(json!({"match": {"path": PATH}, "route": {"cluster": NAME, "timeout": "2s"}}))
    }

    /// Requests that reached the service in this mood.
    pub(crate) fn reached(&self, mood: Mood) -> u64 {
        self.service.reached(mood)
    }

    /// Drops what the servers remember of requests.
    pub(crate) fn forget(&self) {
        self.service.forget();
        let _ = self.backup.take_seen();
    }
}
