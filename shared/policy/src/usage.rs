//! Which targets of a document no request has, so that this is said once for all workers.
//!
//! A target is a breaker, a limit, a route or a service of discovery. A breaker of a misspelt cluster, or a route
//! that no request is on, is right by its document and without effect. Each worker counts in its memory and adds to a cell once a second. When the first 1,000 requests
//! have passed on all workers together, each gets two more seconds to add what it saw; then the worker
//! that adds next says what was never seen. From then on only what is seen for the first time is written.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use crate::host::{self, Host, Store};
use crate::http::{CellSpec, Placement, Seed};
use crate::time::Timestamp;

/// So many requests have passed before anything is said.
pub const MANY: u64 = 1_000;
/// How often a worker adds to the cell, at most.
const EVERY_MS: u64 = 1_000;
/// How long the others may take to say what they saw, once enough requests have passed.
const LATE_MS: u64 = 2 * EVERY_MS;
const LAYOUT: u8 = 1;
/// Bytes in front of the targets' bits.
const HEAD: usize = 32;

/// What one worker knows of the targets of its document.
#[derive(Debug)]
pub struct Usage {
    cell: String,
    /// Which of the targets should have requests.
    wanted: Vec<bool>,
    /// Which of them this worker saw.
    seen: Vec<Cell<bool>>,
    /// Requests, and attempts, that are not in the cell yet.
    passed: [Cell<u64>; 2],
    /// What was in the cell last.
    known: RefCell<Record>,
    /// When the cell is looked at next; 0 before the first tick.
    next_ms: Cell<u64>,
}

/// What there is to say, and to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct News {
    /// So many requests had passed: by the placement through which more of them did.
    requests: u64,
    /// Whether it is this worker that says so.
    tells: bool,
    /// The targets that no request has had, by their places.
    unused: Vec<usize>,
    /// Those of which that was said, and that have had one since.
    used: Vec<usize>,
}

/// What all workers know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    /// Whether it was said.
    told: bool,
    /// Whether it was said that nothing of the document is for its placement.
    misplaced: bool,
    /// When it may be said, in milliseconds; 0 while too few requests have passed.
    due_ms: u64,
    passed: [u64; 2],
    seen: Vec<bool>,
}

// === impl Usage ===

impl Usage {
    /// Of targets of which these should have requests, in a cell of this name.
    #[must_use]
    pub fn new(cell: String, wanted: Vec<bool>) -> Self {
        let none = alloc::vec![false; wanted.len()];
        let known = Record { seen: none.clone(), ..Record::default() };
        Self {
            cell,
            seen: none.iter().copied().map(Cell::new).collect(),
            passed: [Cell::new(0), Cell::new(0)],
            known: RefCell::new(known),
            next_ms: Cell::new(0),
            wanted,
        }
    }

    /// Of all targets of a kind. What decides which requests are theirs, hashed, tells whether it was said of them;
    /// their number is in the name, too, for a cell has a place for each.
    #[must_use]
    pub fn of(kind: &str, count: usize, hash: u64) -> Self {
        Self::new(alloc::format!("tidegate/{kind}{hash:016x}{count}used"), alloc::vec![true; count])
    }

    /// The cell that the host has to create.
    #[must_use]
    pub fn spec(&self) -> CellSpec {
        let size = HEAD.saturating_add(self.wanted.len());
        CellSpec { name: self.cell.to_string(), seed: Seed::Zeros(size) }
    }

    /// A request passed, or an attempt.
    pub fn passed(&self, placement: Placement) {
        self.add(placement, 1);
    }

    /// So many requests passed, or attempts.
    pub fn add(&self, placement: Placement, n: u64) {
        if let Some(passed) = self.passed.get(placement as usize) {
            passed.set(passed.get().saturating_add(n));
        }
    }

    /// A request had the target at this place.
    pub fn saw(&self, at: usize) {
        if let Some(seen) = self.seen.get(at) {
            seen.set(true);
        }
    }

    /// Whether it has not been said yet, and may have to be.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.known.borrow().told && !self.is_settled()
    }

    /// Whether all targets have had requests, as far as this worker knows.
    fn is_settled(&self) -> bool {
        let known = self.known.borrow();
        known.seen.iter().zip(&self.wanted).all(|(seen, wanted)| *seen || !wanted)
    }

    /// Adds to the cell what this worker saw, says which targets no request has had, and shows it: `gauge` is where
    /// the gauge of a target is, `line` is for the log, by the number of requests.
    pub fn tell<H: Host>(
        &self,
        host: &H,
        gauge: &dyn Fn(usize) -> usize,
        line: &dyn Fn(usize, u64) -> String,
    ) {
        let Some(news) = self.tick(host.now(), host) else { return };
        for at in &news.unused {
            host.set(gauge(*at), 1);
            if news.tells {
                host.note(&line(*at, news.requests));
            }
        }
        news.used.iter().for_each(|at| host.set(gauge(*at), 0));
    }

    /// The configuration goes: gauges show nothing, unless another configuration sets them again.
    pub fn stop<H: Host>(&self, host: &H, gauge: &dyn Fn(usize) -> usize) {
        let unused = self.known.borrow().unused(&self.wanted);
        unused.into_iter().for_each(|at| host.set(gauge(at), 0));
    }

    /// Adds to the cell what this worker saw, if that is due; what there is to say and to show. A cell that
    /// cannot be read or written is tried again a second later.
    fn tick(&self, now: Timestamp, store: &dyn Store) -> Option<News> {
        let now_ms = now.as_millis();
        let first = self.next_ms.get() == 0;
        if !first && (now_ms < self.next_ms.get() || self.is_settled()) {
            return None;
        }
        self.next_ms.set(now_ms.saturating_add(EVERY_MS));
        if first {
            return None;
        }
        if !self.has_more(now_ms) {
            // Gauges outlive configurations: one that went may have cleared them.
            let unused = self.known.borrow().unused(&self.wanted);
            return Some(News { unused, ..News::default() });
        }
        let passed = self.passed.each_ref().map(Cell::get);
        let (mut after, mut news) = (Record::default(), News::default());
        let change = &mut |bytes: &[u8]| {
            after = Record::decode(bytes, self.wanted.len());
            let changed;
            (news, changed) = after.merge(&self.seen, passed, &self.wanted, now_ms);
            changed.then(|| after.encode())
        };
        host::rewrite(store, &self.cell, change).ok()?;
        self.passed.iter().for_each(|passed| passed.set(0));
        self.known.replace(after);
        Some(news)
    }

    /// Whether the cell lacks what this worker knows, or it is time to say something.
    fn has_more(&self, now_ms: u64) -> bool {
        let known = self.known.borrow();
        let passed = !known.told && self.passed.iter().any(|passed| passed.get() > 0);
        let due = !known.told && known.due_ms != 0 && now_ms >= known.due_ms;
        passed || due || self.seen.iter().zip(&known.seen).any(|(seen, known)| seen.get() && !known)
    }

    /// Whether this worker is to say that nothing of the document is for its placement: of all workers, and
    /// configurations of the document, the first that asks.
    pub fn is_first_misplaced(&self, store: &dyn Store) -> bool {
        let mut first = false;
        let change = &mut |bytes: &[u8]| {
            let record = Record::decode(bytes, self.wanted.len());
            first = !record.misplaced;
            first.then(|| Record { misplaced: true, ..record }.encode())
        };
        host::rewrite(store, &self.cell, change).is_ok() && first
    }
}

// === impl Record ===

impl Record {
    /// Adds what one worker saw; what follows from it, and whether anything is new.
    fn merge(&mut self, seen: &[Cell<bool>], passed: [u64; 2], wanted: &[bool], now_ms: u64) -> (News, bool) {
        let (mut news, mut changed) = (News::default(), false);
        for (at, (own, _)) in
            self.seen.iter_mut().zip(seen).enumerate().filter(|(_, (own, seen))| !**own && seen.get())
        {
            *own = true;
            changed = true;
            if self.told {
                news.used.push(at);
            }
        }
        if !self.told {
            for (own, more) in self.passed.iter_mut().zip(passed) {
                *own = own.saturating_add(more);
                changed |= more > 0;
                news.requests = news.requests.max(*own);
            }
            news.tells = self.due_ms != 0 && now_ms >= self.due_ms && !self.unseen(wanted).is_empty();
            self.told = news.tells;
            if self.due_ms == 0 && news.requests >= MANY {
                self.due_ms = now_ms.saturating_add(LATE_MS);
            }
            changed |= news.tells;
        }
        news.unused = self.unused(wanted);
        (news, changed)
    }

    /// Those of which it was said.
    fn unused(&self, wanted: &[bool]) -> Vec<usize> {
        if self.told {
            self.unseen(wanted)
        } else {
            Vec::new()
        }
    }

    /// The targets that should have requests and have had none.
    fn unseen(&self, wanted: &[bool]) -> Vec<usize> {
        let unseen = |(at, (seen, wanted)): (usize, (&bool, &bool))| (*wanted && !seen).then_some(at);
        self.seen.iter().zip(wanted).enumerate().filter_map(unseen).collect()
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD.saturating_add(self.seen.len()));
        bytes.extend([LAYOUT, u8::from(self.told), u8::from(self.misplaced), 0, 0, 0, 0, 0]);
        for number in [self.due_ms].iter().chain(&self.passed) {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.seen.iter().map(|seen| u8::from(*seen)));
        bytes
    }

    /// Bytes that are none of ours are those of a document without requests.
    fn decode(bytes: &[u8], targets: usize) -> Self {
        let none = Self { seen: alloc::vec![false; targets], ..Self::default() };
        let Some((head, seen)) = bytes.split_first_chunk::<HEAD>() else { return none };
        let [LAYOUT, told, misplaced, _, _, _, _, _, numbers @ ..] = head else { return none };
        if seen.len() != targets {
            return none;
        }
        let mut numbers = numbers.chunks_exact(8).map(crate::http::message::number);
        let mut next = || numbers.next().unwrap_or(0);
        Self {
            told: *told != 0,
            misplaced: *misplaced != 0,
            due_ms: next(),
            passed: [next(), next()],
            seen: seen.iter().map(|seen| *seen != 0).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_1_is_pinned() {
        let record = Record {
            told: true,
            misplaced: false,
            due_ms: 0x0102,
            passed: [1_000, 7],
            seen: alloc::vec![true, false],
        };
        let expected = [
            &[1, 1, 0, 0, 0, 0, 0, 0][..],
            &[2, 1, 0, 0, 0, 0, 0, 0],
            &[0xe8, 3, 0, 0, 0, 0, 0, 0],
            &[7, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0],
        ];
        assert_eq!(record.encode(), expected.concat());
        assert_eq!(Record::decode(&record.encode(), 2), record);
    }

    #[test]
    fn other_bytes_are_a_document_without_requests() {
        let none = Record { seen: alloc::vec![false; 2], ..Record::default() };
        let mut other = none.encode();
        other[0] = 2;
        for bytes in [&[][..], &[0; 34], &[1; 33], &[1; 35], &other] {
            assert_eq!(Record::decode(bytes, 2), none, "{bytes:?}");
        }
    }

    /// What a worker makes of a record.
    fn merged(record: &Record, seen: [bool; 3], passed: u64, now_ms: u64) -> (Record, News) {
        let mut record = record.clone();
        let (news, _) = record.merge(&seen.map(Cell::new), [passed, 0], &[true, true, false], now_ms);
        (record, news)
    }

    #[test]
    fn it_is_said_when_the_others_had_time_to_add_what_they_saw() {
        let none = Record { seen: alloc::vec![false; 3], ..Record::default() };
        let (one, news) = merged(&none, [true, false, false], 999, 10_000);
        assert_eq!((one.due_ms, news.tells, news.unused.len()), (0, false, 0));
        let (two, news) = merged(&one, [false; 3], 1, 11_000);
        assert_eq!((two.due_ms, news.tells), (13_000, false));
        let (early, news) = merged(&two, [false; 3], 5, 12_999);
        assert!(!early.told && !news.tells);
        let (told, news) = merged(&two, [false; 3], 5, 13_000);
        assert_eq!(news, News { requests: 1_005, tells: true, unused: alloc::vec![1], used: Vec::new() });
        let (_, again) = merged(&told, [false; 3], 5, 14_000);
        assert_eq!((again.tells, again.unused), (false, alloc::vec![1]));
        let (_, late) = merged(&told, [false, true, false], 5, 15_000);
        assert_eq!((late.tells, late.unused, late.used), (false, Vec::new(), alloc::vec![1]));
        let (_, all) = merged(&two, [false, true, false], 5, 13_000);
        assert_eq!((all.tells, all.unused.len()), (false, 0), "all of them have had requests");
    }
}
