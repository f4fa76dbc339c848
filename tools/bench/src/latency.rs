//! How long answers take at a constant rate, without a filter, with four, and with all in one module.
//!
//! Each request has a time at which it is due, whatever became of the ones before it, and its time counts
//! from then: a server that stalls is charged for all requests that it kept waiting, and not only for those
//! that happened to be under way (no *coordinated omission*). Each connection has a thread of its own, so that
//! none waits for another's answer. The three Envoys take turns, in another order each round.

use std::fmt::Write;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tidegate_bench::caller::whole;
use tidegate_bench::rows::Row;
use tidegate_tests::terminal::Progress;
use tidegate_tests::{options, Bootstrap, Envoy};

use crate::start::layouts;

/// Requests a second, of all connections together.
const RATES: [u32; 2] = [500, 2_000];
const CONNECTIONS: u32 = 16;
/// How long each turn is, and the part of it at its beginning that does not count.
const TURN: Duration = Duration::from_secs(6);
const LEAD: Duration = Duration::from_secs(1);
const ROUNDS: usize = 5;
/// Before the first request is due.
const READY: Duration = Duration::from_millis(50);

/// Measures, and prints a table in Markdown.
pub(crate) fn table() -> String {
    let direct = Bootstrap::new().direct_response("/", 200, "ok").json();
    let upstream = Envoy::start(&direct, &options::Options::workers(1));
    let upstream = upstream.unwrap_or_else(|failure| panic!("upstream: {failure}"));
    let rows = layouts();
    let start = |row: &Row| {
        let envoy = Envoy::start(&row.bootstrap(upstream.addr()), &options::Options::workers(2));
        envoy.unwrap_or_else(|failure| panic!("{}: {failure}", row.title))
    };
    let envoys: Vec<Envoy> = rows.iter().map(start).collect();
    let progress = Progress::new("asking", RATES.len() * ROUNDS * rows.len());
    let mut out = String::from("| requests a second | filter | p50 | p99 | p99.9 |\n|---|---|---|---|---|\n");
    let mut done = 0;
    for rate in RATES {
        let mut samples = vec![Vec::new(); rows.len()];
        for round in 0..ROUNDS {
            for step in 0..rows.len() {
                let at = (step + round) % rows.len();
                progress.show(done, &rows[at].title);
                samples[at].extend(turn(&rows[at], rate, envoys[at].addr(), upstream.addr()));
                done += 1;
            }
        }
        for (row, mut samples) in rows.iter().zip(samples) {
            samples.sort_unstable();
            let [half, most, nearly_all] = [500, 990, 999].map(|of| quantile(&samples, of));
            let _ = writeln!(out, "| {rate} | {} | {half} µs | {most} µs | {nearly_all} µs |", row.title);
        }
    }
    progress.end();
    out
}

/// Microseconds that a part of all answers, in thousandths, took at most.
fn quantile(sorted: &[u64], thousandths: usize) -> u64 {
    let at = (sorted.len() * thousandths / 1_000).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0)
}

/// How long each answer took since its request was due, in microseconds.
fn turn(row: &Row, rate: u32, server: SocketAddr, upstream: SocketAddr) -> Vec<u64> {
    let start = Instant::now() + READY;
    thread::scope(|scope| {
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|number| scope.spawn(move || connection(row, rate, number, start, (server, upstream))))
            .collect();
        connections.into_iter().flat_map(|one| one.join().expect("a connection")).collect()
    })
}

fn connection(
    row: &Row,
    rate: u32,
    number: u32,
    start: Instant,
    (server, upstream): (SocketAddr, SocketAddr),
) -> Vec<u64> {
    let mut stream = TcpStream::connect(server).expect("a connection to Envoy");
    stream.set_nodelay(true).expect("a socket without delay");
    let (mut output, mut input, mut took) = (Vec::new(), vec![0; 16 << 10], Vec::new());
    let turns = TURN.as_millis() as u32 * rate / 1_000 / CONNECTIONS;
    for request in 0..turns {
        let place = request * CONNECTIONS + number;
        let due = start + Duration::from_secs(1) * place / rate;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        output.clear();
        row.request(u64::from(place), upstream, &mut output);
        stream.write_all(&output).expect("Envoy takes a request");
        let mut filled = 0;
        let status = loop {
            let count = stream.read(&mut input[filled..]).expect("Envoy answers");
            assert!(count > 0, "Envoy closed the connection");
            filled += count;
            if let Some(status) = whole(&input[..filled]) {
                break status;
            }
        };
        assert_eq!(status, row.status, "{}", row.title);
        if due >= start + LEAD {
            took.push(due.elapsed().as_micros() as u64);
        }
    }
    took
}
