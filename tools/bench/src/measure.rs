//! The measuring itself: rounds over all Envoys.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_bench::caller::Caller;
use tidegate_bench::rows::Row;
use tidegate_tests::terminal::Progress;
use tidegate_tests::{options, Bootstrap, Envoy};

use crate::options::Options;

/// The Envoys and what was measured of them.
pub(crate) struct Bench {
    subjects: Vec<Subject>,
    /// Where proxied requests end; it runs as long as they do.
    upstream: Envoy,
    pub(crate) measured: Vec<Measured>,
}

/// A row with its samples.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) row: Row,
    /// Processor time a request in microseconds, one a round.
    pub(crate) samples: Vec<f64>,
}

/// Requests before those that count: caches fill, and a key that is hot becomes so again.
const LEAD: u64 = 1_000;

struct Subject {
    envoy: Envoy,
    caller: Caller,
    /// Requests sent so far, warming up included.
    sent: u64,
}

// === impl Bench ===

impl Bench {
    /// Starts an Envoy for each row and warms it up.
    pub(crate) fn start(rows: Vec<Row>, options: &Options) -> Self {
        let progress = Progress::new("starting", rows.len());
        let direct = Bootstrap::new().direct_response("/", 200, "ok").json();
        let upstream = Envoy::start(&direct, &options::Options::workers(1));
        let upstream = upstream.unwrap_or_else(|failure| panic!("upstream: {failure}"));
        let mut subjects = Vec::new();
        for (done, row) in rows.iter().enumerate() {
            progress.show(done, &row.title);
            let envoy =
                Envoy::start(&row.bootstrap(upstream.addr()), &options::Options::workers(row.workers));
            let envoy = envoy.unwrap_or_else(|failure| panic!("{}: {failure}", row.title));
            let caller = Caller::connect(envoy.addr(), options.connections);
            let mut subject = Subject { envoy, caller, sent: 0 };
            subject.send(row, upstream.addr(), row.warm_up());
            subjects.push(subject);
        }
        progress.end();
        let measured = rows.into_iter().map(|row| Measured { row, samples: Vec::new() }).collect();
        Self { subjects, upstream, measured }
    }

    /// Measures every row `options.rounds` times.
    pub(crate) fn run(&mut self, options: &Options) {
        let progress = Progress::new("measuring", options.rounds);
        let count = self.subjects.len();
        for round in 0..options.rounds {
            progress.show(round, "");
            for step in 0..count {
                let index = place(round, step, count);
                let (row, upstream) = (&self.measured[index].row, self.upstream.addr());
                let cost = self.subjects[index].ask(row, upstream, options.requests);
                self.measured[index].samples.push(cost);
            }
        }
        progress.end();
    }
}

/// Which row is the `step`th of a round: each round starts one further on, every other one
/// goes backwards, so that no row always follows the same one.
fn place(round: usize, step: usize, count: usize) -> usize {
    let step = if round % 2 == 0 { step } else { count - 1 - step };
    (step + round) % count
}

// === impl Subject ===

impl Subject {
    /// Processor time a request in microseconds, of so many.
    fn ask(&mut self, row: &Row, upstream: SocketAddr, requests: u64) -> f64 {
        self.send(row, upstream, LEAD);
        let before = self.envoy.cpu();
        self.send(row, upstream, requests);
        micros(self.envoy.cpu() - before) / per(requests)
    }

    fn send(&mut self, row: &Row, upstream: SocketAddr, requests: u64) {
        let first = self.sent;
        self.sent += requests;
        let right = self.caller.ask(requests, row.status, |number, out| {
            row.request(first + number, upstream, out);
        });
        assert!(right + 20 >= requests, "{}: {right} of {requests} answers are {}", row.title, row.status);
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn per(requests: u64) -> f64 {
    requests as f64
}
