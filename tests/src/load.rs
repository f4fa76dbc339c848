//! Many requests, counted exactly.
//!
//! Each thread owns some connections and works in lock step: write a request on every connection,
//! then read every answer. That is two system calls a request, needs no event loop, and keeps all
//! connections of a thread busy at once. The price: one slow answer holds up its thread.
//!
//! Requests are numbered by one shared counter, so a run of N sends N and no more, and each number
//! is used once.

mod connection;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::connection::Connection;
use crate::client::Request;

/// A run to be made.
#[derive(Clone, Debug)]
#[must_use]
pub struct Load {
    server: SocketAddr,
    connections: usize,
    threads: usize,
    requests: u64,
    duration: Option<Duration>,
    sources: Vec<IpAddr>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Answers by status, per connection.
    pub per_connection: Vec<BTreeMap<u16, u64>>,
    /// Requests without an answer because the connection closed.
    pub lost: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

// === impl Load ===

impl Load {
    /// One connection, one thread, one request.
    pub fn new(server: SocketAddr) -> Self {
        Self { server, connections: 1, threads: 1, requests: 1, duration: None, sources: Vec::new() }
    }

    /// Connections in total.
    pub fn connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// Threads that share the connections.
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// Stops after exactly so many requests.
    pub fn requests(self, requests: u64) -> Self {
        Self { requests, ..self }
    }

    /// Stops after this time, unless [`requests`](Self::requests) called after it stops it before.
    pub fn duration(self, duration: Duration) -> Self {
        Self { requests: u64::MAX, duration: Some(duration), ..self }
    }

    /// Gives connection `i` the address `sources[i % len]`.
    pub fn sources(self, sources: impl IntoIterator<Item = impl Into<IpAddr>>) -> Self {
        Self { sources: sources.into_iter().map(Into::into).collect(), ..self }
    }

    /// Sends the same request each time.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    pub fn repeat(&self, request: &Request) -> Report {
        let bytes = request.bytes();
        self.run(|_, _, out| out.extend_from_slice(&bytes))
    }

    /// Sends what `plan(connection, number, out)` appends to `out`: one request, no HEAD.
    ///
    /// # Panics
    ///
    /// If the server does not accept connections, is silent for ten seconds, or does not answer in
    /// HTTP/1.1.
    pub fn run(&self, plan: impl Fn(usize, u64, &mut Vec<u8>) + Sync) -> Report {
        let threads = self.threads.clamp(1, self.connections.max(1));
        let mut shares: Vec<Vec<Connection>> = (0..threads).map(|_| Vec::new()).collect();
        for index in 0..self.connections {
            let source = self.sources.get(index % self.sources.len().max(1)).copied();
            shares[index % threads].push(Connection::open(index, self.server, source));
        }
        let start = Instant::now();
        let tickets = Tickets {
            next: AtomicU64::new(0),
            end: self.requests,
            deadline: self.duration.map(|d| start + d),
        };
        thread::scope(|scope| {
            for share in &mut shares {
                scope.spawn(|| drive(share, &tickets, &plan));
            }
        });
        let elapsed = start.elapsed();
        let mut all: Vec<_> = shares.into_iter().flatten().collect();
        all.sort_by_key(Connection::index);
        Report {
            lost: all.iter().map(Connection::lost).sum(),
            per_connection: all.iter().map(Connection::by_status).collect(),
            elapsed,
        }
    }
}

/// One thread's work.
fn drive(all: &mut [Connection], tickets: &Tickets, plan: &(impl Fn(usize, u64, &mut Vec<u8>) + Sync)) {
    loop {
        let mut sent = false;
        for connection in all.iter_mut() {
            if let Some(number) = tickets.take() {
                connection.send(|index, out| plan(index, number, out));
                sent = true;
            }
        }
        all.iter_mut().for_each(Connection::receive);
        if !sent {
            return;
        }
    }
}

/// Numbers not yet given to a request.
struct Tickets {
    next: AtomicU64,
    end: u64,
    deadline: Option<Instant>,
}

impl Tickets {
    fn take(&self) -> Option<u64> {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return None;
        }
        Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < self.end)
    }
}

// === impl Report ===

impl Report {
    /// Answers by status.
    pub fn by_status(&self) -> BTreeMap<u16, u64> {
        let mut all = BTreeMap::new();
        for (status, count) in self.per_connection.iter().flatten() {
            *all.entry(*status).or_default() += count;
        }
        all
    }

    /// Answers with `status`.
    pub fn count(&self, status: u16) -> u64 {
        self.by_status().get(&status).copied().unwrap_or(0)
    }

    /// All answers.
    pub fn answered(&self) -> u64 {
        self.by_status().values().sum()
    }

    /// Answers per second.
    pub fn rate(&self) -> f64 {
        let answered = self.answered() as f64;
        answered / self.elapsed.as_secs_f64()
    }
}
