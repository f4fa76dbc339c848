//! The questions of two workers to their registries, in any order of answers, failures, ticks and faults.
//!
//! Two bytes are one step. An answer that cannot be used changes nothing that workers share of endpoints, what
//! they share names only what a registry named, no worker asks without end, and when all registries answer
//! again, both workers send requests where these say.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegate_policy::discovery::cells::snapshot::{self, MAX_ENTRIES};
use tidegate_policy::host::Store;
use tidegate_policy::http::{Edit, Verdict};

use super::registry::{at, workers, Says, Sim, ALL};
use crate::{Asked, SimQuestion, SimRequest, SimResponse, SimStore};

const CONFIG: &str = r#"{"registries": {
        "held": {"consul": {"cluster": "c", "max_blocking_queries": 2}, "cache": {"stale_if_error_ms": 60000}},
        "polled": {"consul": {"cluster": "c", "wait_ms": 0}, "cache": {"ttl_ms": 1000, "stale_if_error_ms": 60000}},
        "names": {"dns": {"resolver": "host"}, "cache": {"stale_if_error_ms": 60000}}},
    "allow": ["10.0.0.0/8:1-65535"], "services": [
    {"name": "a", "registry": "held", "match": {"path": {"prefix": "/a"}}},
    {"name": "b", "registry": "held", "match": {"path": {"prefix": "/b"}}},
    {"name": "c", "registry": "held", "match": {"path": {"prefix": "/c"}}},
    {"name": "d", "registry": "polled", "match": {"path": {"prefix": "/d"}}},
    {"name": "e", "registry": "names", "dns": {"name": "e.x", "port": 80}, "match": {"path": {"prefix": "/e"}}}]}"#;
const PATHS: [&str; 5] = ["/a", "/b", "/c", "/d", "/e"];
/// Statuses of answers that cannot be used.
const BAD: [u32; 8] = [0, 301, 400, 403, 429, 500, 503, 504];
/// Bodies that cannot be used.
const GARBAGE: [&[u8]; 4] = [b"", b"{", b"[{\"Service\": 1}]", b"\xff\xff\xff\xff\xff"];
/// So many questions in flight are too many for five services: each worker may lead each question once, and
/// once more after a lease that it lost.
const TOO_MANY: usize = 2 * 2 * 5;
/// How long the registries may take to be believed again, in ticks that are three seconds apart.
const PATIENCE: u64 = 60;

/// The body: two bytes are a step.
pub fn poller(bytes: &[u8]) {
    let mut run = Run::new();
    for step in bytes.chunks_exact(2) {
        let &[what, how] = step else { continue };
        run.step(what, how);
        run.check();
    }
    run.recovers();
}

struct Run {
    store: Arc<SimStore>,
    workers: Vec<Sim>,
    /// Questions in flight, with who asked, and until when a host waits for their answer.
    open: Vec<(usize, SimQuestion, u64)>,
    says: Says,
    /// The highest index that a registry said.
    top: u64,
    now_ms: u64,
}

// === impl Run ===

impl Run {
    fn new() -> Self {
        let store = Arc::new(SimStore::default());
        let workers = workers(2, CONFIG, &store);
        Self { store, workers, open: Vec::new(), says: Says::all(1), top: 1, now_ms: 0 }
    }

    fn step(&mut self, what: u8, how: u8) {
        self.top = self.top.max(self.says.index + 1);
        match what % 8 {
            0 => self.tick(usize::from(how)),
            1 => self.pass(u64::from(how).saturating_mul(u64::from(how))),
            2 => self.says = Says { named: how, check: self.says.check, index: self.says.index + 1 },
            3 => self.says.check = usize::from(how),
            4 | 5 => self.answer(usize::from(how)),
            6 => self.refuse(usize::from(how)),
            // A proxy whose Consul lost its state counts anew.
            _ if how == 0xff => self.says.index = 1,
            _ => self.store.set_broken(how % 2 == 1),
        }
    }

    fn tick(&mut self, how: usize) {
        if let Some(worker) = self.workers.get(how % 2) {
            worker.tick();
        }
        self.collect();
    }

    fn collect(&mut self) {
        let now_ms = self.now_ms;
        for (at, worker) in self.workers.iter().enumerate() {
            for question in worker.host.take_questions() {
                let wait = match &question.asked {
                    Asked::Http { timeout_ms, .. } => u64::from(*timeout_ms),
                    Asked::Name(_) => 10_000,
                };
                self.open.push((at, question, now_ms + wait));
            }
        }
    }

    /// Time passes, and a host ends what takes too long.
    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        at(&self.workers, self.now_ms);
        while let Some(late) = self.open.iter().position(|(_, _, until)| *until <= self.now_ms) {
            let (worker, question, _) = self.open.remove(late);
            self.unusable(worker, &question.failure());
        }
    }

    fn answer(&mut self, how: usize) {
        if let Some((worker, question, _)) = self.taken(how) {
            self.give(worker, &self.says.to(&question));
        }
    }

    /// An answer that cannot be used.
    fn refuse(&mut self, how: usize) {
        let Some((worker, question, _)) = self.taken(how) else { return };
        let pick = how / 16 % 8;
        let garbage = GARBAGE.get(pick % 4).copied().unwrap_or_default();
        let answer = match BAD.get(pick) {
            // An empty body of a name says that there is nobody.
            _ if matches!(question.asked, Asked::Name(_)) => question.failure(),
            _ if how >= 128 => question.answer(200).header("x-consul-index", "9").body(garbage),
            Some(0) | None => question.failure(),
            Some(status) => self.says.with(*status, &question),
        };
        self.unusable(worker, &answer);
    }

    fn unusable(&mut self, worker: usize, answer: &crate::SimAnswer) {
        let before = self.endpoints();
        self.give(worker, answer);
        assert_eq!(self.endpoints(), before, "an answer that cannot be used changed something");
    }

    fn give(&mut self, worker: usize, answer: &crate::SimAnswer) {
        if let Some(worker) = self.workers.get(worker) {
            worker.answer(answer);
        }
        self.collect();
    }

    fn taken(&mut self, how: usize) -> Option<(usize, SimQuestion, u64)> {
        let at = how % self.open.len().max(1);
        (at < self.open.len()).then(|| self.open.remove(at))
    }

    /// The cells with endpoints.
    fn endpoints(&self) -> Vec<(String, Vec<u8>)> {
        let store = self.store.snapshot();
        let names = store.names().into_iter().filter(|name| name.starts_with("tidegate/d1s"));
        names.filter_map(|name| Some((name.clone(), store.load(&name).ok()??.0))).collect()
    }

    fn check(&self) {
        assert!(self.open.len() < TOO_MANY, "{} questions in flight", self.open.len());
        for (name, bytes) in self.endpoints() {
            let question = u64::from_str_radix(name.trim_start_matches("tidegate/d1s"), 16).unwrap_or(0);
            let snapshot = snapshot::decode(&bytes, question);
            assert!(snapshot.is_some() || bytes.iter().all(|byte| *byte == 0), "{name} cannot be read");
            let entries = snapshot.unwrap_or_default().entries;
            assert!(entries.len() <= MAX_ENTRIES);
            for entry in entries {
                let address = format!("{}:{}", entry.endpoint.address, entry.endpoint.port);
                assert!(ALL.contains(&&*address), "nobody named {address}");
            }
        }
    }

    /// All registries answer again: within [`PATIENCE`] both workers send requests to what these say.
    fn recovers(mut self) {
        self.store.set_broken(false);
        self.says = Says::all(self.top + 1);
        let good = (0..PATIENCE).any(|_| {
            self.pass(3_000);
            (0..2).for_each(|at| self.tick(at));
            for _ in 0..TOO_MANY {
                self.answer_newer();
            }
            self.workers.iter().all(|worker| PATHS.iter().all(|path| reaches_all(worker, path)))
        });
        assert!(good, "the registries are not believed again");
        self.check();
    }

    /// Answers a question that no blocking query would hold.
    fn answer_newer(&mut self) {
        let newest = format!("index={}", self.says.index);
        let may = |(_, question, _): &(usize, SimQuestion, u64)| !question.subject().contains(&newest);
        if let Some(at) = self.open.iter().position(may) {
            self.answer(at);
        }
    }
}

/// Whether requests of a path reach all that is named.
fn reaches_all(worker: &Sim, path: &str) -> bool {
    let reached: BTreeSet<String> = (0..ALL.len()).filter_map(|_| reached(worker, path)).collect();
    reached.len() == ALL.len()
}

fn reached(worker: &Sim, path: &str) -> Option<String> {
    let (verdict, exchange) = worker.begin(&SimRequest::get(path));
    let went = match verdict {
        Verdict::Continue(edits) => edits.iter().find_map(|edit| match edit {
            Edit::SetRequestHeader(_, value) => Some(value.to_string()),
            _ => None,
        }),
        Verdict::Await(_) | Verdict::Reply(_) => None,
    };
    match went {
        Some(_) => drop(worker.end(exchange, &SimResponse::upstream(200))),
        None => worker.abort(exchange, &SimResponse::none()),
    }
    went
}
