//! A server that follows a script, and counts what reached it in each mood.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tidegate_tests::{Answer, Upstream};

use crate::script::{Mood, Script, SLOW};

/// The server.
#[derive(Debug)]
pub(crate) struct Service {
    upstream: Upstream,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    script: Script,
    start: OnceLock<Instant>,
    reached: [AtomicU64; Mood::COUNT],
}

/// The response header that says who answered.
pub(crate) const SERVED_BY: &str = "x-served-by";

// === impl Service ===

impl Service {
    /// Starts it. It is well until [`begin`](Self::begin).
    pub(crate) fn start(name: &'static str, script: Script) -> Self {
        let shared = Shared { name, script, start: OnceLock::new(), reached: Default::default() };
        let shared = Arc::new(shared);
        let state = Arc::clone(&shared);
        Self { upstream: Upstream::new(move |_| state.answer()), shared }
    }

    /// Its script starts.
    pub(crate) fn begin(&self, start: Instant) {
        let _ = self.shared.start.set(start);
    }

    /// Where it listens, as clusters have it.
    pub(crate) fn addresses(&self) -> [SocketAddr; 1] {
        [self.upstream.addr()]
    }

    /// Requests that reached it in this mood.
    pub(crate) fn reached(&self, mood: Mood) -> u64 {
        self.shared.reached[mood as usize].load(Ordering::Relaxed)
    }

    /// Requests that reached it.
    pub(crate) fn count(&self) -> u64 {
        Mood::ALL.iter().map(|mood| self.reached(*mood)).sum()
    }

    /// Drops what it remembers of requests.
    pub(crate) fn forget(&self) {
        let _ = self.upstream.take_seen();
    }
}

// === impl Shared ===

impl Shared {
    fn answer(&self) -> Answer {
        let mood = self.start.get().map_or(Mood::Well, |start| self.script.at(start.elapsed()));
        self.reached[mood as usize].fetch_add(1, Ordering::Relaxed);
        let well = Answer::new(200, format!("{}\n", self.name)).header(SERVED_BY, self.name);
        match mood {
            Mood::Fails => Answer::new(503, format!("{} failed\n", self.name)),
            Mood::Slow => well.after(SLOW),
            Mood::Well => well,
        }
    }
}
