//! The clients of the demo: who they are, what they do, and doing it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidegate_tests::{Client, Request, Response};

use crate::tally::{Outcome, Tally};

/// One client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Role {
    pub(crate) name: &'static str,
    pub(crate) habit: &'static str,
    /// The limit in the example that holds this client.
    pub(crate) limit: &'static str,
    pace: Pace,
    /// The last byte of its address.
    address: u8,
    request: fn(u64) -> Request,
}

/// When a client sends.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// So many at once, each time this has passed.
    Bursts(u64, Duration),
    /// So many a second.
    Steady(u32),
}

/// All of them.
#[rustfmt::skip]
pub(crate) const CAST: [Role; 6] = [
    Role { name: "alice",   habit: "3 a second",              limit: "per-client",  pace: Pace::Steady(3),
           address: 11, request: |_| with_key("alice") },
    Role { name: "bob",     habit: "12 a second",             limit: "per-client",  pace: Pace::Steady(12),
           address: 12, request: |_| with_key("bob") },
    Role { name: "carol",   habit: "15 at once, every 4 s",   limit: "per-client",  pace: Pace::Bursts(15, Duration::from_secs(4)),
           address: 13, request: |_| with_key("carol") },
    Role { name: "mallory", habit: "floods with one key",     limit: "per-client",  pace: Pace::Steady(300),
           address: 14, request: |_| with_key("mallory") },
    Role { name: "eve",     habit: "a new key each time",     limit: "per-address", pace: Pace::Steady(60),
           address: 15, request: |number| with_key(&format!("eve-{number}")) },
    Role { name: "trent",   habit: "guesses passwords",       limit: "login",       pace: Pace::Steady(2),
           address: 16, request: |_| Request::new("POST", "/login").body("password=secret") },
];

fn with_key(key: &str) -> Request {
    Request::get("/api").header("x-api-key", key)
}

/// A client at work.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) role: Role,
    tally: Arc<Mutex<Tally>>,
    thread: JoinHandle<()>,
}

/// The end of the demo, which everyone waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct End(Arc<(Mutex<bool>, Condvar)>);

// === impl Role ===

impl Role {
    /// Starts to send to `server`.
    pub(crate) fn play(self, server: SocketAddr, start: Instant, end: &End) -> Actor {
        let (tally, end) = (Arc::new(Mutex::new(Tally::default())), end.clone());
        let shared = Arc::clone(&tally);
        let thread = thread::spawn(move || {
            let mut client = Client::from_source(server, Ipv4Addr::new(127, 0, 0, self.address));
            for number in 0.. {
                if end.comes_before(start + self.pace.due(number)) {
                    return;
                }
                let outcome =
                    client.try_send(&(self.request)(number)).map_or(Outcome::Unanswered, |r| outcome(&r));
                lock(&shared).record(start.elapsed(), outcome);
            }
        });
        Actor { role: self, tally, thread }
    }
}

fn outcome(response: &Response) -> Outcome {
    match response.status {
        429 => Outcome::Refused(response.header("retry-after").and_then(|wait| wait.parse().ok())),
        500.. => Outcome::Unanswered,
        _ => Outcome::Admitted,
    }
}

// === impl Pace ===

impl Pace {
    /// When to send the request with this number, counted from the start.
    fn due(self, number: u64) -> Duration {
        match self {
            Self::Bursts(size, every) => every * u32::try_from(number / size).unwrap_or(u32::MAX),
            Self::Steady(per_second) => Duration::from_nanos(number * 1_000_000_000 / u64::from(per_second)),
        }
    }
}

// === impl Actor ===

impl Actor {
    /// What came of it so far.
    pub(crate) fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }

    /// Waits until the last answer is counted.
    pub(crate) fn leave(self) -> (Role, Tally) {
        let _ = self.thread.join();
        let tally = lock(&self.tally).clone();
        (self.role, tally)
    }
}

// === impl End ===

impl End {
    /// Ends it.
    pub(crate) fn come(&self) {
        *lock(&self.0 .0) = true;
        self.0 .1.notify_all();
    }

    /// Waits until `instant`; whether the end came before.
    pub(crate) fn comes_before(&self, instant: Instant) -> bool {
        let left = instant.saturating_duration_since(Instant::now());
        let (ended, _) = self
            .0
             .1
            .wait_timeout_while(lock(&self.0 .0), left, |ended| !*ended)
            .unwrap_or_else(PoisonError::into_inner);
        *ended
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_by_their_pace() {
        let bursts = Pace::Bursts(3, Duration::from_secs(4));
        #[rustfmt::skip]
        let cases = [
            // pace               number  due (ms)
            (Pace::Steady(4),     0,      0),
            (Pace::Steady(4),     3,      750),
            (Pace::Steady(300),   300,    1_000),
            (bursts,              2,      0),
            (bursts,              3,      4_000),
        ];
        for (pace, number, due) in cases {
            assert_eq!(pace.due(number), Duration::from_millis(due), "{pace:?} {number}");
        }
    }

    #[test]
    fn the_end_wakes_who_waits() {
        let end = End::default();
        assert!(!end.comes_before(Instant::now()));
        let waiting = thread::spawn({
            let end = end.clone();
            move || end.comes_before(Instant::now() + Duration::from_secs(60))
        });
        end.come();
        assert!(waiting.join().unwrap());
    }
}
