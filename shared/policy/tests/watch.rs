//! A second user of watches, which has nothing of discovery: the keys of an issuer, fetched by one worker.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use tidegate_policy::host::{Store, StoreError, Version};
use tidegate_policy::time::{Span, Timestamp};
use tidegate_policy::watch::cells::{self, Cells, Worker};
use tidegate_policy::watch::freshness::{next_fetch, CacheParams, Freshness};
use tidegate_policy::watch::leader::Leader;
use tidegate_policy::watch::origin::{self, Origin};
use tidegate_policy::watch::status;

/// Half of every random part.
const DRAW: u64 = 1 << 63;
const TTL: Span = Span::from_secs(10);

#[derive(Default)]
struct Memory(RefCell<BTreeMap<String, (Vec<u8>, u32)>>);

impl Memory {
    fn create(&self, cell: &str, bytes: &[u8]) {
        self.0.borrow_mut().insert(cell.into(), (bytes.to_vec(), 1));
    }
}

impl Store for Memory {
    fn load(&self, cell: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        let version = |number| NonZeroU32::new(number).map(Version);
        Ok(self.0.borrow().get(cell).and_then(|(bytes, number)| Some((bytes.clone(), version(*number)?))))
    }

    fn replace(&self, cell: &str, bytes: &[u8], version: Version) -> Result<(), StoreError> {
        let mut cells = self.0.borrow_mut();
        let (old, number) = cells.get_mut(cell).ok_or(StoreError::Unavailable)?;
        if *number != version.0.get() {
            return Err(StoreError::Stale);
        }
        (*old, *number) = (bytes.to_vec(), *number + 1);
        Ok(())
    }
}

/// The issuer: how often it was asked, and the key that it has, if it is up.
#[derive(Default)]
struct Issuer {
    asked: Cell<u32>,
    key: Cell<Option<u8>>,
}

/// One worker of an Envoy.
struct Keys<'a> {
    cells: Cells,
    worker: u64,
    look_ms: u64,
    leader: Option<Leader>,
    seen: Option<u32>,
    key: Option<u8>,
    store: &'a Memory,
    issuer: &'a Issuer,
}

impl<'a> Keys<'a> {
    fn start(store: &'a Memory, issuer: &'a Issuer) -> Self {
        let cells = Cells::new("keys/", 77);
        let worker = cells::enlist("keys/workers", store).unwrap();
        cells.register(1, store).unwrap();
        Self { cells, worker, look_ms: 0, leader: None, seen: None, key: None, store, issuer }
    }

    fn tick(&mut self, now: Timestamp) {
        let worker = Worker { id: self.worker, config: 1, now };
        if self.leader.is_none() && now.as_millis() >= self.look_ms {
            (self.leader, self.look_ms) = self.cells.lead(&worker, self.store);
        }
        if let Some(mut leader) = self.leader.take() {
            let leads = !leader.must_renew(now) || self.cells.renew(&mut leader, &worker, self.store);
            if leads && self.ask(&mut leader, &worker) {
                self.leader = Some(leader);
            }
        }
        if let Some((version, bytes)) = self.cells.read(self.seen, self.store).unwrap() {
            self.seen = Some(version);
            self.key = bytes.get(origin::BYTES).copied();
        }
    }

    /// Whether it still leads.
    fn ask(&self, leader: &mut Leader, worker: &Worker) -> bool {
        if !leader.is_due(worker.now) {
            return true;
        }
        self.issuer.asked.set(self.issuer.asked.get() + 1);
        leader.asked = worker.now;
        let Some(key) = self.issuer.key.get() else {
            leader.failed(false, Span::from_secs(60), worker.now, DRAW);
            return true;
        };
        leader.succeeded(Some(Span::ZERO), worker.now);
        leader.ask_at(worker.now.plus(next_fetch(TTL, DRAW)));
        let origin = Origin { term: leader.term, question: self.cells.question };
        let answer = [&origin.encode([0; 3])[..], &[key]].concat();
        self.cells.publish(leader, &answer, worker, self.store)
    }
}

fn at(ms: u64) -> Timestamp {
    Timestamp::ZERO.plus(Span::from_millis(1_000_000 + ms))
}

fn store() -> Memory {
    let store = Memory::default();
    store.create("keys/workers", &[0; cells::WORKERS_BYTES]);
    let cells = Cells::new("keys/", 77);
    store.create(&cells.status, &[0; status::BYTES]);
    store.create(&cells.answer, &[0; origin::BYTES]);
    store
}

#[test]
fn a_leader_that_dies_is_replaced_and_the_others_read_on() {
    let (store, issuer) = (store(), Issuer::default());
    issuer.key.set(Some(b'a'));
    let mut workers: Vec<Keys<'_>> = (0..3).map(|_| Keys::start(&store, &issuer)).collect();
    for tick in 0..50 {
        workers.iter_mut().for_each(|worker| worker.tick(at(tick * 100)));
    }
    assert_eq!(workers.iter().filter(|worker| worker.leader.is_some()).count(), 1);
    assert_eq!((issuer.asked.get(), workers[2].key), (1, Some(b'a')), "one asks, all read");

    issuer.key.set(Some(b'b'));
    let died = workers.remove(0).leader.expect("the first to tick leads");
    for tick in 50..150 {
        workers.iter_mut().for_each(|worker| worker.tick(at(tick * 100)));
    }
    let leader = workers.iter().find_map(|worker| worker.leader.as_ref()).expect("a new leader");
    assert!(leader.term > died.term && issuer.asked.get() == 2, "it waits as the one before planned");
    assert!(workers.iter().all(|worker| worker.key == Some(b'b')));

    let late = Origin { term: died.term, question: 77 }.encode([0; 3]);
    let ghost = Worker { id: 1, config: 1, now: at(15_000) };
    assert!(!workers[0].cells.publish(&died, &late, &ghost, &store), "the dead leader is fenced");
}

#[test]
fn failures_back_off_hand_on_and_end_what_serves() {
    let (store, issuer) = (store(), Issuer::default());
    issuer.key.set(Some(b'a'));
    let mut one = Keys::start(&store, &issuer);
    one.tick(at(0));
    issuer.key.set(None);
    let params = CacheParams { ttl: TTL, ..CacheParams::default() };
    let mut seen = Vec::new();
    for tick in 0..900 {
        one.tick(at(tick * 100));
        let leader = one.leader.as_ref().expect("it leads on");
        let state = params.freshness(leader.age(at(tick * 100)), leader.failures > 0);
        if seen.last() != Some(&state) {
            seen.push(state);
        }
    }
    assert_eq!(seen, [Freshness::Fresh, Freshness::StaleWhileRevalidate, Freshness::StaleIfError]);
    let leader = one.leader.expect("it leads");
    assert!(leader.hands_on() && (4..12).contains(&issuer.asked.get()), "asked {}", issuer.asked.get());
}
