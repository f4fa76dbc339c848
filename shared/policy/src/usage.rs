//! Which targets of a document no request has, so that this is said once for all workers.
//!
//! A breaker of a misspelt cluster, or a route that no request is on, is right by its document and without
//! effect. Each worker counts in its memory and adds to a cell once a second. When the first 1,000 requests
//! have passed on all workers together, each gets two more seconds to add what it saw; then the worker
//! that adds next says what was never seen. From then on only what is seen for the first time is written.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use crate::host::{self, Store};
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
    seen: RefCell<Vec<bool>>,
    /// Requests, and attempts, that are not in the cell yet.
    passed: [Cell<u64>; 2],
    /// What was in the cell last.
    known: RefCell<Record>,
    /// When the cell is looked at next; 0 before the first tick.
    next_ms: Cell<u64>,
}

/// What there is to say, and to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// So many requests had passed: by the placement through which more of them did.
    pub requests: u64,
    /// Whether it is this worker that says so.
    pub tells: bool,
    /// The targets that no request has had, by their places.
    pub unused: Vec<usize>,
    /// Those of which that was said, and that have had one since.
    pub used: Vec<usize>,
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
            seen: RefCell::new(none),
            passed: [Cell::new(0), Cell::new(0)],
            known: RefCell::new(known),
            next_ms: Cell::new(0),
            wanted,
        }
    }

    /// The cell that the host has to create.
    #[must_use]
    pub fn spec(&self) -> CellSpec {
        let size = HEAD.saturating_add(self.wanted.len());
        CellSpec { name: self.cell.to_string(), seed: Seed::Zeros(size) }
    }

    /// A request passed, or an attempt.
    pub fn passed(&self, placement: Placement) {
        if let Some(passed) = self.passed.get(placement as usize) {
            passed.set(passed.get().saturating_add(1));
        }
    }

    /// A request had the target at this place.
    pub fn saw(&self, at: usize) {
        if let Some(seen) = self.seen.borrow_mut().get_mut(at) {
            *seen = true;
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

    /// Adds to the cell what this worker saw, if that is due; what there is to say and to show. A cell that
    /// cannot be read or written is tried again a second later.
    pub fn tick(&self, now: Timestamp, store: &impl Store) -> Option<News> {
        let now_ms = now.as_millis();
        let first = self.next_ms.get() == 0;
        if !first && (now_ms < self.next_ms.get() || self.is_settled()) {
            return None;
        }
        self.next_ms.set(now_ms.saturating_add(EVERY_MS));
        if first || !self.has_more(now_ms) {
            return None;
        }
        let (seen, passed) = (self.seen.borrow().clone(), self.passed.each_ref().map(Cell::get));
        let (mut after, mut news) = (Record::default(), News::default());
        let change = &mut |bytes: &[u8]| {
            let before = Record::decode(bytes, self.wanted.len());
            (after, news) = before.clone().merged(&seen, passed, &self.wanted, now_ms);
            (after != before).then(|| after.encode())
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
        let seen = self.seen.borrow();
        passed || due || seen.iter().zip(&known.seen).any(|(seen, known)| *seen && !known)
    }

    /// Whether this worker is to say that nothing of the document is for its placement: of all workers, and
    /// configurations of the document, the first that asks.
    pub fn is_first_misplaced(&self, store: &impl Store) -> bool {
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
    /// With what one worker adds, and what follows from it.
    fn merged(mut self, seen: &[bool], passed: [u64; 2], wanted: &[bool], now_ms: u64) -> (Self, News) {
        let before = self.unseen(wanted);
        self.seen.iter_mut().zip(seen).for_each(|(own, seen)| *own |= seen);
        let unused = self.unseen(wanted);
        let used = if self.told {
            before.into_iter().filter(|at| !unused.contains(at)).collect()
        } else {
            self.passed.iter_mut().zip(passed).for_each(|(own, more)| *own = own.saturating_add(more));
            Vec::new()
        };
        let requests = self.passed.iter().copied().max().unwrap_or(0);
        let tells = !self.told && self.due_ms != 0 && now_ms >= self.due_ms && !unused.is_empty();
        self.told |= tells;
        if self.due_ms == 0 && requests >= MANY {
            self.due_ms = now_ms.saturating_add(LATE_MS);
        }
        let unused = if self.told { unused } else { Vec::new() };
        let news = News { requests, tells, unused, used };
        (self, news)
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

    #[test]
    fn it_is_said_when_the_others_had_time_to_add_what_they_saw() {
        let wanted = [true, true, false];
        let none = Record { seen: alloc::vec![false; 3], ..Record::default() };
        let (one, news) = none.merged(&[true, false, false], [999, 0], &wanted, 10_000);
        assert_eq!((one.due_ms, news.tells, news.unused.len()), (0, false, 0));
        let (two, news) = one.merged(&[false; 3], [1, 0], &wanted, 11_000);
        assert_eq!((two.due_ms, news.tells), (13_000, false));
        let (early, news) = two.clone().merged(&[false; 3], [5, 0], &wanted, 12_999);
        assert!(!early.told && !news.tells);
        let (told, news) = two.clone().merged(&[false; 3], [5, 0], &wanted, 13_000);
        assert_eq!(news, News { requests: 1_005, tells: true, unused: alloc::vec![1], used: Vec::new() });
        let (_, again) = told.clone().merged(&[false; 3], [5, 0], &wanted, 14_000);
        assert_eq!((again.tells, again.unused), (false, alloc::vec![1]));
        let (_, late) = told.merged(&[false, true, false], [5, 0], &wanted, 15_000);
        assert_eq!((late.tells, late.unused, late.used), (false, Vec::new(), alloc::vec![1]));
        let (_, all) = two.merged(&[false, true, false], [5, 0], &wanted, 13_000);
        assert_eq!((all.tells, all.unused.len()), (false, 0), "all of them have had requests");
    }
}
