//! Many keys in a fixed set of cells, without letting anyone reset a limit.
//!
//! A key's hash picks a block (top bits) and a fingerprint (low 48 bits); a block has a
//! few slots. A key that is not in its full block takes the slot with the least debt, *and
//! its debt*, and only if it is admitted with it (Metwally's Space-Saving, 2005): so a
//! client that rotates keys inherits what it owes, and one that is refused changes
//! nothing. An honest newcomer to a block full of debtors still gets a trickle through
//! the block's overflow bucket. The vector `rl_table` pins it.

use crate::gcra::{Bucket, Decision, Rate};
use crate::time::{Span, Timestamp};

/// Room for one key of a block. A slot whose bucket was never charged is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The low 48 bits of the key's hash.
    pub fingerprint: u64,
    /// What the key owes.
    pub bucket: Bucket,
}

/// Where in a table a key belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The block: the top bits of the hash.
    pub block: u32,
    /// The fingerprint: the low 48 bits.
    pub fingerprint: u64,
}

/// What looking a key up in its block found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It took the slot of the key that owed least, with its debt.
    EvictLive,
    /// It is in the block.
    Hit,
    /// It took a slot that was never used.
    InsertFree,
    /// It was admitted by the block's overflow bucket and left no trace of its own.
    Overflow,
    /// It was refused by the least debt and by the overflow bucket.
    OverflowDeny,
    /// It took a slot that owed nothing any more.
    ReuseDead,
}

/// What was decided about one request of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// What looking the key up found.
    pub lookup: Lookup,
    /// Admit or refuse.
    pub decision: Decision,
    /// What to write when the request is charged.
    pub change: Option<Change>,
    /// The bucket that decided, as it was before.
    pub before: Bucket,
}

/// One write to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The overflow bucket becomes this.
    Overflow(Bucket),
    /// The slot at this index becomes this.
    Slot(usize, Slot),
}

const FINGERPRINT_BITS: u32 = 48;

// === impl Place ===

impl Place {
    /// The place of a hash in a table of 2^`block_bits` blocks, `block_bits` ≤ 16.
    #[must_use]
    pub fn of(hash: u64, block_bits: u32) -> Self {
        let block = hash.checked_shr(64_u32.saturating_sub(block_bits)).unwrap_or(0);
        Self {
            block: u32::try_from(block).unwrap_or(0),
            fingerprint: hash & (u64::MAX >> (u64::BITS - FINGERPRINT_BITS)),
        }
    }
}

/// Decides a request of `cost` units of the key `fingerprint` against its block.
///
/// ```
/// use std::num::NonZeroU32;
/// use tidegate_policy::gcra::{Bucket, Rate};
/// use tidegate_policy::ratelimit::table::{decide, Change, Lookup, Slot};
/// use tidegate_policy::time::{Span, Timestamp};
///
/// let one = NonZeroU32::MIN;
/// let rate = Rate::new(one, Span::from_secs(1), one).unwrap();
/// let mut slots = [Slot::default(); 2];
/// let now = Timestamp::from_nanos(5_000_000_000);
///
/// let outcome = decide(rate, &slots, Bucket::FULL, 7, now, 1);
/// assert_eq!(outcome.lookup, Lookup::InsertFree);
/// let Some(Change::Slot(at, slot)) = outcome.change else { panic!() };
/// slots[at] = slot;
/// let again = decide(rate, &slots, Bucket::FULL, 7, now, 1);
/// assert_eq!((again.lookup, again.change), (Lookup::Hit, None), "refused: nothing to write");
/// ```
pub fn decide(
    rate: Rate,
    slots: &[Slot],
    overflow: Bucket,
    fingerprint: u64,
    now: Timestamp,
    cost: u64,
) -> Outcome {
    let slot = |next| Slot { fingerprint, bucket: next };
    let (lookup, index, before) = find(slots, fingerprint, now);
    let decision = rate.decide(before, now, cost);
    match (lookup, decision) {
        (_, Decision::Admit { next }) => {
            Outcome { lookup, decision, change: Some(Change::Slot(index, slot(next))), before }
        }
        (Lookup::EvictLive, Decision::Refuse { retry_after }) => {
            through_overflow(rate, overflow, before, retry_after, now, cost)
        }
        (_, Decision::Refuse { .. }) => Outcome { lookup, decision, change: None, before },
    }
}

/// The slot that a key has or would take, and the bucket that decides about it.
fn find(slots: &[Slot], fingerprint: u64, now: Timestamp) -> (Lookup, usize, Bucket) {
    let mut free = None;
    let mut dead = None;
    let mut least = (0, Bucket::FULL);
    for (index, slot) in slots.iter().enumerate() {
        if slot.bucket == Bucket::FULL {
            free = free.or(Some(index));
        } else if slot.fingerprint == fingerprint {
            return (Lookup::Hit, index, slot.bucket);
        } else if slot.bucket.is_full(now) {
            dead = dead.or(Some(index));
        }
        if index == 0 || slot.bucket < least.1 {
            least = (index, slot.bucket);
        }
    }
    match (free, dead) {
        (Some(index), _) => (Lookup::InsertFree, index, Bucket::FULL),
        (None, Some(index)) => (Lookup::ReuseDead, index, Bucket::FULL),
        (None, None) => (Lookup::EvictLive, least.0, least.1),
    }
}

/// A newcomer that the least debt refuses may still be the one unit that a block gives
/// away every interval.
fn through_overflow(
    rate: Rate,
    overflow: Bucket,
    least: Bucket,
    own: Option<Span>,
    now: Timestamp,
    cost: u64,
) -> Outcome {
    let refuse = |retry_after| Outcome {
        lookup: Lookup::OverflowDeny,
        decision: Decision::Refuse { retry_after },
        change: None,
        before: least,
    };
    if cost != 1 {
        return refuse(own);
    }
    match rate.single().decide(overflow, now, 1) {
        Decision::Admit { next } => Outcome {
            lookup: Lookup::Overflow,
            decision: Decision::Admit { next },
            change: Some(Change::Overflow(next)),
            before: overflow,
        },
        Decision::Refuse { retry_after } => {
            refuse(own.zip(retry_after).map(|(own, other)| own.min(other)).or(own).or(retry_after))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_fingerprints_come_from_different_bits() {
        let place = Place::of(0x0975_f7b7_ca1d_e47c, 12);
        assert_eq!(place, Place { block: 0x097, fingerprint: 0xf7b7_ca1d_e47c });
        assert_eq!(Place::of(u64::MAX, 0).block, 0);
        assert_eq!(Place::of(u64::MAX, 16).block, 0xffff);
    }
}
