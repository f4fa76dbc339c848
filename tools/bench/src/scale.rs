//! How workers get in each other's way: compare-and-swaps that one lost to another, counted by the limit
//! (`contended`), of as many requests as the connections carry at once.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{json, Value};
use tidegate_bench::caller::Caller;
use tidegate_bench::rows::{limits, row, unleased, Filter, Row, FAST};
use tidegate_tests::paths::module;
use tidegate_tests::terminal::Progress;
use tidegate_tests::{eventually, options, Envoy};

const WORKERS: [u32; 4] = [1, 2, 4, 8];
const KEYS: u64 = 10_000;
const REQUESTS: u64 = 30_000;
/// How long counters may take to arrive.
const TOLD: Duration = Duration::from_secs(10);
const LIMIT: &str = "wasmcustom.tidegate.ratelimit.limit.key";

/// Measures, and prints a table in Markdown.
pub(crate) fn table() -> String {
    let progress = Progress::new("counting", WORKERS.len() * 4);
    let mut out = String::from(
        "| workers | one hot key | 10,000 keys | one key, leases off | 10,000 keys, leases off |\n|---|---|---|---|---|\n",
    );
    for (step, workers) in WORKERS.into_iter().enumerate() {
        let _ = write!(out, "| {workers} |");
        for (column, row) in rows().into_iter().enumerate() {
            progress.show(step * 4 + column, &row.title);
            let _ = write!(out, " {:.2} |", lost(&row, workers));
        }
        out.push('\n');
    }
    progress.end();
    out
}

fn rows() -> [Row; 4] {
    let with = |title, limits: Value| {
        row("scale", title, Filter::Wasm(module("fused"), Some(json!({"ratelimit": limits}))))
    };
    [
        with("one hot key", limits(1, FAST)),
        with("10,000 keys", limits(1, FAST)).keys(KEYS),
        with("one key, leases off", unleased()),
        with("10,000 keys, leases off", unleased()).keys(KEYS),
    ]
}

/// Compare-and-swaps lost for 1,000 requests.
fn lost(row: &Row, workers: u32) -> f64 {
    let nowhere = ([127, 0, 0, 1], 9).into();
    let envoy = Envoy::start(&row.bootstrap(nowhere), &options::Options::workers(workers));
    let envoy = envoy.unwrap_or_else(|failure| panic!("{}: {failure}", row.title));
    let mut caller = Caller::connect(envoy.addr(), 64);
    let right = caller.ask(REQUESTS, row.status, |number, out| row.request(number, nowhere, out));
    assert_eq!(right, REQUESTS, "{}: others than {}", row.title, row.status);
    eventually("the counters", TOLD, || envoy.stat(&format!("{LIMIT}.admitted")) == REQUESTS);
    envoy.stat(&format!("{LIMIT}.contended")) as f64 * 1e3 / REQUESTS as f64
}
