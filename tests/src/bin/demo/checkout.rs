//! The service `checkout`, its backup, and the breaker before them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use serde_json::json;
use tidegate_tests::paths::module;
use tidegate_tests::{Answer, Bootstrap, Upstream, WasmFilter};

use crate::script::{Mood, SLOW};

/// The servers.
#[derive(Debug)]
pub(crate) struct Checkout {
    service: Upstream,
    backup: Upstream,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    start: OnceLock<Instant>,
    reached: [AtomicU64; Mood::COUNT],
}

/// The path of the service.
pub(crate) const PATH: &str = "/checkout";
/// The response header that says who answered.
pub(crate) const SERVED_BY: &str = "x-served-by";
/// The name of the breaker and of its cluster.
pub(crate) const NAME: &str = "checkout";
const BACKUP: &str = "checkout-backup";

// === impl Checkout ===

impl Checkout {
    /// Starts both. The service is well until [`begin`](Self::begin).
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let state = Arc::clone(&shared);
        let service = Upstream::new(move |_| state.answer());
        let backup = Upstream::new(|_| Answer::new(200, "backup\n").header(SERVED_BY, "backup"));
        Self { service, backup, shared }
    }

    /// The script of the service starts.
    pub(crate) fn begin(&self, start: Instant) {
        let _ = self.shared.start.set(start);
    }

    /// Puts the breaker and both servers into Envoy: the path has two routes, and one of them takes
    /// the cluster that the breaker names. Times are short, so that much is to be seen soon.
    pub(crate) fn add(&self, config: Bootstrap) -> Bootstrap {
        let breaker = json!({
            "name": NAME,
            "target": {"cluster": NAME},
            "consecutive_failures": 5,
            "slow_call_ms": 300, "slow_rate_pct": 50, "minimum_calls": 10, "window_ms": 2000,
            "half_open_permits": 3,
            "base_open_ms": 1500, "backoff_mult_pct": 150, "max_open_ms": 2500,
            "fallback": [{"cluster": BACKUP}, {"reply": {"status": 503, "body": "closed for a moment"}}],
        });
        let filter = WasmFilter::new(module("breaker")).config(&json!({"breakers": [breaker]}));
        let steered = json!([{"name": "x-tidegate-cluster", "present_match": true}]);
        config
            .wasm(&filter)
            .cluster(NAME, &addresses(&self.service))
            .cluster(BACKUP, &addresses(&self.backup))
            .route(json!({
                "match": {"path": PATH, "headers": steered},
                "route": {"cluster_header": "x-tidegate-cluster", "timeout": "2s"},
            }))
            .route(json!({"match": {"path": PATH}, "route": {"cluster": NAME, "timeout": "2s"}}))
    }

    /// Requests that reached the service in this mood.
    pub(crate) fn reached(&self, mood: Mood) -> u64 {
        self.shared.reached[mood as usize].load(Ordering::Relaxed)
    }

    /// Drops what the servers remember of requests.
    pub(crate) fn forget(&self) {
        let _ = (self.service.take_seen(), self.backup.take_seen());
    }
}

fn addresses(upstream: &Upstream) -> [SocketAddr; 1] {
    [upstream.addr()]
}

// === impl Shared ===

impl Shared {
    fn answer(&self) -> Answer {
        let mood = self.start.get().map_or(Mood::Well, |start| Mood::at(start.elapsed()));
        self.reached[mood as usize].fetch_add(1, Ordering::Relaxed);
        let well = Answer::new(200, "checkout\n").header(SERVED_BY, NAME);
        match mood {
            Mood::Fails => Answer::new(503, "checkout failed\n"),
            Mood::Slow => well.after(SLOW),
            Mood::Well => well,
        }
    }
}
