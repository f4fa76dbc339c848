//! The bytes of a block: one shared cell.
//!
//! ```text
//! offset  size  what                                          little endian throughout
//!      0     1  layout, 1
//!      1     3  zero
//!      4     4  tag of the rate that the times below belong to
//!      8     8  interval of that rate, ns: what one unit owed is in time
//!     16     8  overflow bucket, ns
//!     24  16×16 slots: fingerprint (6 bytes), zero (2 bytes), bucket in ns (8 bytes)
//! ```
//!
//! 280 bytes. A bucket of 0 was never charged. Decoding is total: bytes of another size or
//! layout are an empty block, which is also what a freshly created cell of zeros is.

use super::table::Slot;
use crate::gcra::{Bucket, Rate};
use crate::hash::xxh64::xxh64;
use crate::time::{Span, Timestamp};

/// Slots of a block.
pub const SLOTS: usize = 16;
/// Bytes of a block.
pub const BYTES: usize = 280;
/// Bytes of an announcement.
pub const IN_FORCE_BYTES: usize = 24;

const LAYOUT: u8 = 1;
const HEAD: usize = 24;

/// A block of a limit's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    tag: u32,
    interval: Span,
    /// What the block has given away to newcomers that no slot could take.
    pub overflow: Bucket,
    /// The keys.
    pub slots: [Slot; SLOTS],
}

/// The rate that a limit has now, as its latest configuration announced it: one small cell
/// a limit. The head of a block's first 8 bytes, then interval and capacity in ns. Zeros
/// announce nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce {
    /// Its tag.
    pub tag: u32,
    /// The rate itself.
    pub rate: Rate,
}

/// The tag of a rate, never 0.
#[must_use]
pub fn tag(rate: Rate) -> u32 {
    let mut bytes = [0; 16];
    let words = [rate.interval().as_nanos(), rate.capacity().as_nanos()];
    for (place, byte) in bytes.iter_mut().zip(words.iter().flat_map(|word| word.to_le_bytes())) {
        *place = byte;
    }
    u32::try_from(xxh64(&bytes, 0) >> 32).unwrap_or(1).max(1)
}

// === impl Block ===

impl Block {
    /// A block without keys.
    #[must_use]
    pub fn empty() -> Self {
        Self { tag: 0, interval: Span::ZERO, overflow: Bucket::FULL, slots: [Slot::default(); SLOTS] }
    }

    /// The block in `bytes`.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut block = Self::empty();
        let Some((head, slots)) = bytes.split_at_checked(HEAD) else { return block };
        if bytes.len() != BYTES || head.first() != Some(&LAYOUT) {
            return block;
        }
        block.tag = head.get(4..8).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
        block.interval = Span::from_nanos(word(head.get(8..16)));
        block.overflow = bucket(head.get(16..));
        for (slot, entry) in block.slots.iter_mut().zip(slots.chunks_exact(16)) {
            slot.fingerprint = word(entry.get(..8)) & (u64::MAX >> 16);
            slot.bucket = bucket(entry.get(8..));
        }
        block
    }

    /// The bytes of the block.
    #[must_use]
    pub fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let (head, slots) = bytes.split_at_mut(HEAD);
        let tag = u64::from(LAYOUT) | (u64::from(self.tag) << 32);
        put(head, [tag, self.interval.as_nanos(), self.overflow.instant().as_nanos()]);
        for (entry, slot) in slots.chunks_exact_mut(16).zip(&self.slots) {
            put(entry, [slot.fingerprint, slot.bucket.instant().as_nanos()]);
        }
        bytes
    }

    /// Takes a block that no configuration has used; `true` if its times are those of `rate`, whose
    /// tag is `tag`.
    pub fn claim(&mut self, rate: Rate, tag: u32) -> bool {
        if self.tag == 0 {
            (self.tag, self.interval) = (tag, rate.interval());
        }
        self.tag == tag
    }

    /// Makes the times of a block that belongs to another rate fit `rate`, whose tag is `tag`.
    ///
    /// When a limit was reconfigured, what its keys owe is kept in units, but never as more than
    /// the new capacity: a key that used up 10 a day has 990 left of 1,000 a day (ADR 0008).
    ///
    /// Says whether a debt became another time. Then the block must be written even if nothing
    /// is charged to it: it is another one as of `now`.
    pub fn adopt(&mut self, rate: Rate, tag: u32, now: Timestamp) -> bool {
        let (old, new) = (self.interval, rate.interval());
        (self.tag, self.interval) = (tag, new);
        let convert = |bucket: &mut Bucket, most: Span| {
            let owed = bucket.instant().since(now);
            let owes = owed.rescaled(old, new).min(most);
            if owes != owed {
                *bucket = Bucket::full_at(now.plus(owes));
            }
            owes != owed
        };
        let overflow = convert(&mut self.overflow, new);
        self.slots.iter_mut().fold(overflow, |any, slot| convert(&mut slot.bucket, rate.capacity()) || any)
    }
}

// === impl InForce ===

impl InForce {
    /// What is announced in `bytes`; `None` when nothing is.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let tag = u32::try_from(word(bytes.get(..8)) >> 32).unwrap_or(0);
        let [interval, capacity] = [8..16, 16..24].map(|at| Span::from_nanos(word(bytes.get(at))));
        let rate = Rate::of(interval, capacity)?;
        let readable = bytes.len() == IN_FORCE_BYTES && bytes.first() == Some(&LAYOUT);
        (tag != 0 && readable).then_some(Self { tag, rate })
    }

    /// The bytes that announce it.
    #[must_use]
    pub fn encode(self) -> [u8; IN_FORCE_BYTES] {
        let mut bytes = [0; IN_FORCE_BYTES];
        let head = u64::from(LAYOUT) | (u64::from(self.tag) << 32);
        let words = [head, self.rate.interval().as_nanos(), self.rate.capacity().as_nanos()];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// Fills 8 bytes with each word.
fn put<const N: usize>(entry: &mut [u8], words: [u64; N]) {
    for (place, word) in entry.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

fn word(bytes: Option<&[u8]>) -> u64 {
    bytes.and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn bucket(bytes: Option<&[u8]>) -> Bucket {
    Bucket::full_at(Timestamp::from_nanos(word(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn some_block() -> Block {
        let mut block = Block::empty();
        block.tag = 0xaabb_ccdd;
        block.interval = Span::from_nanos(0x0102);
        block.overflow = Bucket::full_at(Timestamp::from_nanos(1));
        block.slots[0] = Slot {
            fingerprint: 0x1122_3344_5566,
            bucket: Bucket::full_at(Timestamp::from_nanos(0x0102_0304_0506_0708)),
        };
        block
    }

    #[test]
    fn layout_1_is_pinned() {
        let bytes = some_block().encode();
        #[rustfmt::skip]
        let expected = [
            1, 0, 0, 0, 0xdd, 0xcc, 0xbb, 0xaa,
            2, 1, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0,
            0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0, 0,
            8, 7, 6, 5, 4, 3, 2, 1,
        ];
        assert_eq!(bytes[..40], expected);
        assert!(bytes[40..].iter().all(|b| *b == 0));
        assert_eq!(Block::decode(&bytes), some_block());
    }

    #[test]
    fn what_cannot_be_read_is_empty() {
        let mut other_layout = some_block().encode();
        other_layout[0] = 2;
        let long = [1; BYTES + 1];
        for bytes in [&[][..], &[1; 279], &[0; BYTES], &other_layout, &long] {
            assert_eq!(Block::decode(bytes), Block::empty(), "{} bytes", bytes.len());
        }
    }

    #[test]
    fn an_announcement_is_read_as_written_and_zeros_are_none() {
        let rate = Rate::new(5.try_into().unwrap(), Span::from_secs(1), 7.try_into().unwrap()).unwrap();
        let announced = InForce { tag: tag(rate), rate };
        assert_eq!(InForce::decode(&announced.encode()), Some(announced));
        for bytes in [&[][..], &[0; 24], &[1; 23], &[1; 25]] {
            assert_eq!(InForce::decode(bytes), None, "{} bytes", bytes.len());
        }
    }

    /// Debts used to be kept as time: whoever had used up 10 a day was refused for a day by
    /// 1,000 a day, too.
    #[test]
    fn a_new_rate_keeps_debts_in_units_up_to_its_capacity() {
        const DAY: u64 = 86_400_000;
        let now = Timestamp::from_nanos(1_000_000_000_000);
        #[rustfmt::skip]
        let cases = [
            // before          after           units owed   units left at once
            ((10, DAY),        (1_000, DAY),   10,          990),
            ((10, DAY),        (1_000, DAY),   4,           996),
            ((1_000, DAY),     (10, DAY),      4,           6),
            ((1_000, DAY),     (10, DAY),      1_000,       0),
            ((60, 60_000),     (60, 1_000),    60,          0),
            ((60, 60_000),     (60, 1_000),    30,          30),
            ((3, 1_000),       (7, 9_000),     2,           5),
        ];
        for ((requests, per_ms), after, owed, left) in cases {
            let rate = |requests: u32, per_ms| {
                let requests = requests.try_into().unwrap();
                Rate::new(requests, Span::from_millis(per_ms), requests).unwrap()
            };
            let (old, new) = (rate(requests, per_ms), rate(after.0, after.1));
            let mut block = Block::empty();
            assert!(block.claim(old, tag(old)));
            block.slots[3].bucket = Bucket::full_at(now.plus(old.interval().times(owed)));
            block.adopt(new, tag(new), now);
            let case = format!("{requests} in {per_ms} ms, then {after:?}, {owed} owed");
            assert_eq!(new.remaining(block.slots[3].bucket, now), left, "{case}");
            assert_eq!(block.slots[4], Slot::default(), "{case}");
            assert!(!block.adopt(new, tag(new), now), "only once: {case}");
        }
    }
}
