//! How soon all workers do as Consul says.
//!
//! One client for each worker asks all the time and notes who answered it first and last. Every
//! endpoint has a name that no other had before, so the first answer of a new one tells that its
//! worker has heard of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tidegate_tests::consul::Service;
use tidegate_tests::terminal::Progress;
use tidegate_tests::{
    eventually, options, paths, Bootstrap, Client, Consul, Envoy, Request, Upstream, WasmFilter,
};

use crate::options::Options;

/// What was done to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It was taken away: the time until its last answer.
    Gone,
    /// It got another address: the time until the first answer from there.
    Moved,
    /// It was registered: the time until its first answer.
    New,
}

/// How long a change took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Followed {
    pub(crate) kind: Kind,
    pub(crate) took: Duration,
}

/// What one client has seen of one endpoint.
#[derive(Clone, Copy)]
struct Seen {
    first: Instant,
    last: Instant,
    /// Requests of the client until then.
    number: u64,
}

/// What one client has seen.
#[derive(Default)]
struct Watch {
    requests: u64,
    seen: BTreeMap<String, Seen>,
}

/// Worker threads of Envoy, each with a client of its own.
pub(crate) const WORKERS: u32 = 2;
/// Endpoints at first.
const AT_FIRST: usize = 3;
/// What takes longer is not followed at all.
const PATIENCE: Duration = Duration::from_secs(30);
/// So many answers without it, and an endpoint is gone.
const GONE: u64 = 100;

/// Makes the changes, one after the other.
pub(crate) fn all(options: &Options) -> Vec<Followed> {
    let progress = Progress::new("change", options.changes);
    let consul = Consul::start();
    let mut cast = Cast { consul: &consul, upstreams: Vec::new(), endpoints: Vec::new() };
    for _ in 0..AT_FIRST {
        cast.register();
    }
    let envoy = Envoy::start(&config(&consul), &options::Options::workers(WORKERS));
    let envoy = envoy.unwrap_or_else(|failure| panic!("{failure}"));
    let watches: Vec<_> = (0..WORKERS).map(|_| Mutex::new(Watch::default())).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for watch in &watches {
            let (addr, done) = (envoy.addr(), &done);
            scope.spawn(move || look(&mut Client::connect(addr), watch, done));
        }
        let stop = Stop(&done);
        for name in 0..AT_FIRST {
            first(&watches, &name.to_string());
        }
        spread(&envoy);
        let change = |number: usize| {
            progress.show(number, "");
            let kind = [Kind::New, Kind::Moved, Kind::Gone][number % 3];
            Followed { kind, took: cast.change(kind, &watches) }
        };
        let all = (0..options.changes).map(change).collect();
        drop(stop);
        progress.end();
        all
    })
}

fn config(consul: &Consul) -> String {
    let config = json!({
        "registries": {"consul": {"consul": {"cluster": "consul"}}},
        "services": [{"name": "orders", "registry": "consul", "match": {"path": {"prefix": "/"}}}],
        "allow": ["127.0.0.0/8:1-65535"],
    });
    let filter = WasmFilter::new(paths::module("discovery")).config(&config);
    let bootstrap = Bootstrap::new().balanced().wasm(&filter).cluster("consul", &[consul.addr()]);
    bootstrap.original_dst_cluster("to").forward("/", "to").json()
}

/// Checks that each worker has a client.
fn spread(envoy: &Envoy) {
    let connections = envoy.stats(r"^listener\..*worker_\d\.downstream_cx_total$");
    assert!(connections.values().all(|count| *count == 1), "a worker without a client: {connections:?}");
}

/// Asks until it is done.
fn look(client: &mut Client, watch: &Mutex<Watch>, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        let answer = client.send(&Request::get("/"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let now = Instant::now();
        let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.requests += 1;
        let number = watch.requests;
        let new = Seen { first: now, last: now, number };
        let seen = watch.seen.entry(answer.text()).or_insert(new);
        *seen = Seen { last: now, number, ..*seen };
    }
}

/// When the last of all clients saw an endpoint for the first time.
fn first(watches: &[Mutex<Watch>], name: &str) -> Instant {
    let first = |watch: &Mutex<Watch>| Some(seen(watch, name)?.0.first);
    eventually("an answer of each worker", PATIENCE, || {
        watches.iter().map(first).collect::<Option<Vec<_>>>()?.into_iter().max()
    })
}

/// When the last of all clients saw an endpoint for the last time.
fn last(watches: &[Mutex<Watch>], name: &str) -> Instant {
    let last = |watch: &Mutex<Watch>| {
        let (seen, requests) = seen(watch, name)?;
        (requests >= seen.number + GONE).then_some(seen.last)
    };
    eventually("answers of others", PATIENCE, || {
        watches.iter().map(last).collect::<Option<Vec<_>>>()?.into_iter().max()
    })
}

fn seen(watch: &Mutex<Watch>, name: &str) -> Option<(Seen, u64)> {
    let watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
    Some((*watch.seen.get(name)?, watch.requests))
}

/// Ends the clients also when something fails; nobody would, otherwise.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Who is registered, and who ever was.
struct Cast<'a> {
    consul: &'a Consul,
    upstreams: Vec<Upstream>,
    /// The ids of what is registered, and the name by which each answers.
    endpoints: Vec<(String, String)>,
}

// === impl Cast ===

impl Cast<'_> {
    fn change(&mut self, kind: Kind, watches: &[Mutex<Watch>]) -> Duration {
        match kind {
            Kind::New => {
                let (name, told) = self.register();
                first(watches, &name).saturating_duration_since(told)
            }
            Kind::Moved => {
                let (id, _) = self.endpoints.remove(0);
                let (name, told) = self.place(id);
                first(watches, &name).saturating_duration_since(told)
            }
            Kind::Gone => {
                let (id, name) = self.endpoints.remove(0);
                self.consul.deregister(&id);
                let told = Instant::now();
                last(watches, &name).saturating_duration_since(told)
            }
        }
    }

    fn register(&mut self) -> (String, Instant) {
        self.place(format!("orders-{}", self.upstreams.len()))
    }

    /// Registers a new upstream by this id; its name, and when Consul had it.
    fn place(&mut self, id: String) -> (String, Instant) {
        let name = self.upstreams.len().to_string();
        let upstream = Upstream::fixed(200, &name);
        self.consul.register(&Service::new("orders", upstream.addr()).with_id(&id));
        let told = Instant::now();
        self.upstreams.push(upstream);
        self.endpoints.push((id, name.clone()));
        (name, told)
    }
}
