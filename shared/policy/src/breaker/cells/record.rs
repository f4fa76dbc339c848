//! The record of one target: the state of its breaker and a window of outcomes.
//!
//! ```text
//! offset  size  what                                   little endian throughout
//!      0     1  layout, 1
//!      1     1  state: 0 closed, 1 open, 2 half-open, 3 forced open, 4 disabled, 5 metrics only
//!      2     2  streak: consecutive openings
//!      4     4  generation: counts transitions
//!      8     8  at, ms: closed since · open until · half-open until (0: no end)
//!     16   4×2  half-open: probes issued, succeeded, failed, slow; else 8: run since, ms
//!     24     4  half-open: 2×2: probes left by clients, uploads; else: consecutive failures
//!     28     4  tag of the parameters
//!     32  N×16  slots: epoch, total, failed, slow (4 bytes each)
//! ```
//!
//! Decoding is total: bytes of another layout, or with another number of slots, are a
//! closed breaker without outcomes, which is what a cell of zeros is too.

use alloc::vec::Vec;

use crate::breaker::cells::probes::Probes;
use crate::breaker::params::BreakerParams;
use crate::breaker::state::State;

/// What workers share of one target.
///
/// ```
/// use tidegate_policy::breaker::{BreakerParams, Record, State};
///
/// let params = BreakerParams::default();
/// let record = Record { state: State::Open, at_ms: 5_000, ..Record::new(&params) };
/// assert_eq!(Record::decode(&record.encode(), &params), record);
/// // Bytes that cannot be read are a closed breaker without outcomes.
/// assert_eq!(Record::decode(&[], &params), Record::new(&params));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The state.
    pub state: State,
    /// Consecutive openings: closing forgets them, at once or over time.
    pub streak: u16,
    /// Counts transitions; an outcome of another generation is not for this state.
    pub generation: u32,
    /// Closed since, open until, half-open until; in milliseconds.
    pub at_ms: u64,
    /// Probes of a half-open breaker.
    pub probes: Probes,
    /// Consecutive failures. A half-open breaker has none; its bytes hold probes in this place.
    pub consecutive: u32,
    /// When the first of these came, in milliseconds. A half-open breaker has none; its bytes hold
    /// the probes in this place.
    pub run_ms: u64,
    /// [`BreakerParams::tag`] of the parameters that it was written for.
    pub tag: u32,
    /// The window.
    pub slots: Vec<Slot>,
}

/// The outcomes of one slot of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The slot's number since the clock's origin.
    pub epoch: u32,
    /// The outcomes.
    pub counts: Counts,
}

/// Outcomes, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All but the ignored.
    pub total: u32,
    /// Failed ones.
    pub failed: u32,
    /// Slow ones.
    pub slow: u32,
}

const LAYOUT: u8 = 1;
const HEAD: usize = 32;
const SLOT: usize = 16;

// === impl Counts ===

impl Counts {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            total: self.total.saturating_add(other.total),
            failed: self.failed.saturating_add(other.failed),
            slow: self.slow.saturating_add(other.slow),
        }
    }
}

// === impl Record ===

impl Record {
    /// A closed breaker without outcomes.
    #[must_use]
    pub fn new(params: &BreakerParams) -> Self {
        let slots = usize::try_from(params.slots).unwrap_or(1);
        Self {
            state: State::Closed,
            streak: 0,
            generation: 0,
            at_ms: 0,
            probes: Probes::default(),
            consecutive: 0,
            run_ms: 0,
            tag: 0,
            slots: alloc::vec![Slot::default(); slots],
        }
    }

    /// Bytes of a record with `slots` slots.
    #[must_use]
    pub fn size(slots: u32) -> usize {
        usize::try_from(slots).unwrap_or(0).saturating_mul(SLOT).saturating_add(HEAD)
    }

    /// The record in `bytes`.
    #[must_use]
    #[inline(never)]
    pub fn decode(bytes: &[u8], params: &BreakerParams) -> Self {
        let mut record = Self::new(params);
        let Some((head, slots)) = bytes.split_at_checked(HEAD) else { return record };
        if bytes.len() != Self::size(params.slots) || head.first() != Some(&LAYOUT) {
            return record;
        }
        record.state = State::from_byte(head.get(1).copied().unwrap_or(0));
        record.streak = u16_at(head, 2);
        record.generation = u32_at(head, 4);
        record.at_ms = u64::from(u32_at(head, 8)) | (u64::from(u32_at(head, 12)) << 32);
        if record.state == State::HalfOpen {
            let [issued, ok, failed, slow, left, uploads] =
                [16, 18, 20, 22, 24, 26].map(|at| u16_at(head, at));
            record.probes = Probes { issued, ok, failed, slow, left, uploads };
        } else {
            record.run_ms = u64::from(u32_at(head, 16)) | (u64::from(u32_at(head, 20)) << 32);
            record.consecutive = u32_at(head, 24);
        }
        record.tag = u32_at(head, 28);
        for (slot, bytes) in record.slots.iter_mut().zip(slots.chunks_exact(SLOT)) {
            slot.epoch = u32_at(bytes, 0);
            slot.counts =
                Counts { total: u32_at(bytes, 4), failed: u32_at(bytes, 8), slow: u32_at(bytes, 12) };
        }
        record
    }

    /// The bytes of the record.
    #[must_use]
    #[inline(never)]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.slots.len().saturating_mul(SLOT).saturating_add(HEAD));
        bytes.extend([LAYOUT, self.state as u8]);
        bytes.extend(self.streak.to_le_bytes());
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(self.at_ms.to_le_bytes());
        let Probes { issued, ok, failed, slow, left, uploads } = self.probes;
        if self.state == State::HalfOpen {
            bytes.extend([issued, ok, failed, slow, left, uploads].iter().flat_map(|n| n.to_le_bytes()));
        } else {
            bytes.extend(self.run_ms.to_le_bytes());
            bytes.extend(self.consecutive.to_le_bytes());
        }
        bytes.extend(self.tag.to_le_bytes());
        for Slot { epoch, counts } in &self.slots {
            let words = [*epoch, counts.total, counts.failed, counts.slow];
            bytes.extend(words.iter().flat_map(|n| n.to_le_bytes()));
        }
        bytes
    }

    /// The outcomes in the window that ends with the slot of `now_ms`.
    #[must_use]
    #[inline(never)]
    pub fn window(&self, params: &BreakerParams, now_ms: u64) -> Counts {
        let current = params.epoch(now_ms);
        let inside = |slot: &&Slot| current.wrapping_sub(slot.epoch) < params.slots;
        self.slots.iter().filter(inside).fold(Counts::default(), |sum, slot| sum.plus(slot.counts))
    }

    /// Whether it equals one that was never made: closed, an empty window, and no earlier openings
    /// to remember.
    #[must_use]
    pub fn is_idle(&self, params: &BreakerParams, now_ms: u64) -> bool {
        let forgotten = self.streak == 0 || params.streak_decay_ms > 0;
        self.state == params.demanded && forgotten && self.window(params, now_ms).total == 0
    }

    /// Forgets what was counted.
    pub(crate) fn clear(&mut self) {
        (self.consecutive, self.run_ms) = (0, 0);
        self.probes = Probes::default();
        self.slots.fill(Slot::default());
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let word = bytes.get(at..).and_then(|b| b.first_chunk());
    word.map_or(0, |word| u16::from_le_bytes(*word))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|b| b.first_chunk());
    word.map_or(0, |word| u32::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> BreakerParams {
        BreakerParams { slots: 2, ..BreakerParams::default() }
    }

    #[test]
    fn layout_1_is_pinned() {
        let mut record = Record::new(&params());
        record.state = State::HalfOpen;
        record.streak = 0x0102;
        record.generation = 0x0304_0506;
        record.at_ms = 0x0708_090a_0b0c_0d0e;
        record.probes = Probes { issued: 1, ok: 2, failed: 3, slow: 4, left: 5, uploads: 6 };
        record.tag = 7;
        record.slots[1] = Slot { epoch: 8, counts: Counts { total: 9, failed: 10, slow: 11 } };
        let bytes = record.encode();
        #[rustfmt::skip]
        let expected = [
            1, 2, 2, 1, 6, 5, 4, 3, 0xe, 0xd, 0xc, 0xb, 0xa, 9, 8, 7,
            1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            8, 0, 0, 0, 9, 0, 0, 0, 10, 0, 0, 0, 11, 0, 0, 0,
        ];
        assert_eq!(bytes, expected);
        assert_eq!(Record::decode(&bytes, &params()), record);
        assert_eq!(bytes.len(), Record::size(2));
    }

    #[test]
    fn bytes_that_cannot_be_read_are_closed_and_empty() {
        let other_size = Record::new(&BreakerParams::default()).encode();
        let mut other_layout = Record::new(&params()).encode();
        other_layout[0] = 2;
        for bytes in [&[][..], &[1; 63], &[0; 64], &other_size, &other_layout] {
            assert_eq!(Record::decode(bytes, &params()), Record::new(&params()), "{} bytes", bytes.len());
        }
    }

    #[test]
    fn the_window_holds_its_last_slots() {
        let mut record = Record::new(&params());
        let counts = Counts { total: 1, failed: 0, slow: 0 };
        record.slots = alloc::vec![Slot { epoch: 4, counts }, Slot { epoch: 5, counts }];
        for (now_ms, expected) in [(4_999, 1), (5_000, 2), (5_999, 2), (6_000, 1), (7_000, 0)] {
            assert_eq!(record.window(&params(), now_ms).total, expected, "{now_ms} ms");
        }
    }
}
