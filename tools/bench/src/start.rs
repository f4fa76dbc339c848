//! What it costs to have a filter: memory, and processor time until Envoy serves.
//!
//! Each Envoy is started several times and answers some requests on each of its workers before its memory is
//! read; the medians are shown. Processor time is that of the whole process until every worker has taken the
//! listener: V8 compiles a module once, and makes an instance of it for each worker.

use std::fmt::Write;
use std::net::SocketAddr;

use tidegate_bench::caller::Caller;
use tidegate_bench::chains;
use tidegate_bench::rows::{row, Filter, Row};
use tidegate_tests::terminal::Progress;
use tidegate_tests::{options, Bootstrap, Envoy};

use crate::summary::Quartiles;

const WORKERS: [u32; 4] = [1, 2, 4, 8];
/// Times that each is started.
const STARTS: usize = 5;
/// Requests before memory is read, of all workers together.
const REQUESTS: u64 = 2_000;
/// What all filters in one module may need over an Envoy without any: 65 MB.
const MOST_MIB: f64 = 65e6 / 1_048_576.0;
/// What they may need of what a chain needs.
const MOST_OF_CHAIN: f64 = 0.6;

/// What one start took.
#[derive(Clone, Copy, Debug)]
struct Start {
    mib: f64,
    cpu_ms: f64,
}

/// Measures, and prints a table in Markdown.
pub(crate) fn table() -> String {
    let upstream =
        Envoy::start(&Bootstrap::new().direct_response("/", 200, "ok").json(), &options::Options::workers(1));
    let upstream = upstream.unwrap_or_else(|failure| panic!("upstream: {failure}"));
    let rows = layouts();
    let progress = Progress::new("starting", WORKERS.len() * STARTS * rows.len());
    let mut out = String::from(
        "| workers | no filter: MiB, ms | chain: MiB over it, ms over it | one module: MiB over it, ms over it | of the chain: memory, time | memory | time |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let mut done = 0;
    for workers in WORKERS {
        let mut samples = vec![Vec::new(); rows.len()];
        for _ in 0..STARTS {
            for (row, samples) in rows.iter().zip(&mut samples) {
                progress.show(done, &row.title);
                samples.push(start(row, workers, upstream.addr()));
                done += 1;
            }
        }
        let [none, chain, fused] = [0, 1, 2].map(|at| median(&samples[at]));
        let over = |one: Start| Start { mib: one.mib - none.mib, cpu_ms: one.cpu_ms - none.cpu_ms };
        let (chain, fused) = (over(chain), over(fused));
        let (memory, time) = (fused.mib / chain.mib, fused.cpu_ms / chain.cpu_ms);
        let verdict = |met: bool| if met { "met" } else { "missed" };
        let small = verdict(fused.mib <= MOST_MIB && memory <= MOST_OF_CHAIN);
        let soon = verdict(time <= MOST_OF_CHAIN);
        let _ = writeln!(
            out,
            "| {workers} | {:.0}, {:.0} | {:.0}, {:.0} | {:.0}, {:.0} | {memory:.2}, {time:.2} | {small} | {soon} |",
            none.mib,
            none.cpu_ms,
            chain.mib,
            chain.cpu_ms,
            fused.mib,
            fused.cpu_ms,
        );
    }
    progress.end();
    out
}

/// No filter, four modules, one module.
pub(crate) fn layouts() -> Vec<Row> {
    let mut rows = vec![row("dst", "no filter", Filter::None).addressed()];
    rows.extend(chains::rows().into_iter().filter(|row| ["chain", "fused-4"].contains(&&*row.id)));
    rows
}

fn start(row: &Row, workers: u32, upstream: SocketAddr) -> Start {
    let envoy = Envoy::start(&row.bootstrap(upstream), &options::Options::workers(workers));
    let envoy = envoy.unwrap_or_else(|failure| panic!("{}: {failure}", row.title));
    let cpu_ms = envoy.cpu().as_secs_f64() * 1e3;
    let mut caller = Caller::connect(envoy.addr(), 32);
    caller.ask(REQUESTS, row.status, |number, out| row.request(number, upstream, out));
    Start { mib: envoy.rss_bytes() as f64 / f64::from(1 << 20), cpu_ms }
}

fn median(samples: &[Start]) -> Start {
    let of = |what: fn(&Start) -> f64| Quartiles::of(&samples.iter().map(what).collect::<Vec<_>>()).median;
    Start { mib: of(|start| start.mib), cpu_ms: of(|start| start.cpu_ms) }
}
