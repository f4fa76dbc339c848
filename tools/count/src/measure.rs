//! Counts rows, several at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::thread;

use nix::sched::{sched_getaffinity, sched_setaffinity, CpuSet};
use nix::sys::personality::{self, Persona};
use nix::unistd::Pid;
use serde_json::{json, Value};
use tidegate_bench::caller::Caller;
use tidegate_bench::rows::{Keys, Row};
use tidegate_tests::terminal::Progress;
use tidegate_tests::{Bootstrap, Envoy, Options};

use crate::samples::{settled, MOST};
use crate::worker::{Count, TraceError, Worker};

/// A row with what a request costs in it.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) row: Row,
    pub(crate) count: Count,
}

/// Why a row could not be counted.
#[derive(Debug)]
pub(crate) enum CountError {
    /// The worker could not be traced.
    Trace(TraceError),
    /// No three requests of this row cost the same.
    Unsettled(String, Vec<u64>),
}

/// Requests before those that count: caches fill, V8 compiles, and a key becomes hot.
const WARM_UP: u64 = 1_000;
/// Rows that are counted at a time, at most.
const AT_ONCE: usize = 8;
/// Connections that fill a table.
const CONNECTIONS: usize = 32;
/// Names of processor features that the C library is to do without, so that it takes the same paths on
/// every machine.
const PLAIN: &str = "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-FSRM,-RTM,-BMI1,-BMI2,-LZCNT,-MOVBE,-SSE4_1,-SSE4_2,-SSSE3";

/// Counts each row, one at a time on each processor.
pub(crate) fn count(rows: &[Row]) -> Result<Vec<Counted>, CountError> {
    same_addresses();
    let upstream = start(&Bootstrap::new().direct_response("/", 200, "ok").json());
    let queue = Mutex::new((0, Progress::new("counting", rows.len())));
    let results = Mutex::new(Vec::new());
    let work = |processor: Option<usize>| loop {
        let row = {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(row) = rows.get(queue.0) else { return };
            queue.1.show(queue.0, &row.title);
            queue.0 += 1;
            row
        };
        let count = one(row, upstream.addr(), processor);
        let failed = count.is_err();
        results.lock().unwrap_or_else(PoisonError::into_inner).push((&row.id, count));
        if failed {
            return;
        }
    };
    thread::scope(|scope| {
        let work = &work;
        for processor in processors().into_iter().take(AT_ONCE) {
            // The name is the id of the VMs.
            let named = thread::Builder::new().name("count".to_owned());
            named.spawn_scoped(scope, move || work(processor)).expect("a thread");
        }
    });
    queue.into_inner().unwrap_or_else(PoisonError::into_inner).1.end();
    let mut counts = BTreeMap::new();
    for (id, count) in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
        counts.insert(id, count?);
    }
    let counted = |row: &Row| Some(Counted { row: row.clone(), count: *counts.get(&row.id)? });
    Ok(rows.iter().filter_map(counted).collect())
}

/// What a request of this row costs.
fn one(row: &Row, upstream: SocketAddr, processor: Option<usize>) -> Result<Count, CountError> {
    let envoy = start(&config(row, upstream));
    let fill = match row.keys {
        Keys::Known(count) => count,
        _ => 0,
    };
    Caller::connect(envoy.addr(), CONNECTIONS).ask(fill, row.status, |n, out| row.request(n, upstream, out));
    let mut caller = Caller::connect(envoy.addr(), 1);
    caller.ask(WARM_UP, row.status, |n, out| row.request(fill + n, upstream, out));
    let mut worker = Worker::hold(envoy.pid()).map_err(CountError::Trace)?;
    if let Some(processor) = processor {
        together(processor, &worker);
    }
    let mut counts = Vec::new();
    for number in 0..MOST {
        let mut request = Vec::new();
        row.request(fill + WARM_UP + number, upstream, &mut request);
        caller.send(&request);
        let mut status = None;
        let count = worker.count(|| {
            status = status.or_else(|| caller.received());
            status.is_some()
        });
        let count = count.map_err(CountError::Trace)?;
        assert_eq!(status, Some(row.status), "{}: the status of an answer", row.title);
        counts.push(count);
        if let Some(count) = settled(&counts) {
            return Ok(count);
        }
    }
    Err(CountError::Unsettled(row.id.clone(), counts.into_iter().map(Count::whole).collect()))
}

/// An Envoy with one worker.
fn start(config: &str) -> Envoy {
    let env = vec![("GLIBC_TUNABLES".to_owned(), PLAIN.to_owned())];
    let envoy = Envoy::start(config, &Options { env, ..Options::workers(1) });
    envoy.unwrap_or_else(|failure| panic!("{failure}"))
}

/// The configuration of the row, without what changes from run to run.
fn config(row: &Row, upstream: SocketAddr) -> String {
    let text = row.bootstrap(upstream);
    let Ok(mut config) = serde_json::from_str::<Value>(&text) else { return text };
    // The main thread does not wake the worker meanwhile.
    config["stats_flush_interval"] = json!("299s");
    // What it costs to find a latency's place in a histogram depends on those of the warm-up.
    let times = json!({"safe_regex": {"regex": "(http|cluster|listener)\\..*(_time|_ms)"}});
    config["stats_config"]["stats_matcher"] = json!({"exclusion_list": {"patterns": [times]}});
    config.to_string()
}

/// Has every Envoy load its parts at the same addresses, which Envoy's hashes depend on.
fn same_addresses() {
    // Where it is not allowed, counts spread by a few more instructions.
    let _ = personality::get().and_then(|flags| personality::set(flags | Persona::ADDR_NO_RANDOMIZE));
}

/// The processors that this process may use.
fn processors() -> Vec<Option<usize>> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return vec![None] };
    let found: Vec<_> = (0..CpuSet::count()).filter(|n| set.is_set(*n).unwrap_or(false)).map(Some).collect();
    if found.is_empty() {
        vec![None]
    } else {
        found
    }
}

/// Runs this thread and the worker on one processor, because only one of them runs at a time.
fn together(processor: usize, worker: &Worker) {
    let mut set = CpuSet::new();
    if set.set(processor).is_ok() {
        // It is a matter of speed alone.
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
        let _ = sched_setaffinity(worker.thread(), &set);
    }
}

// === impl CountError ===

impl fmt::Display for CountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trace(error) => error.fmt(f),
            Self::Unsettled(id, counts) => write!(f, "{id}: no three requests cost the same: {counts:?}"),
        }
    }
}
