//! Many keys in a fixed set of cells, without letting anyone reset a limit.
//!
//! A key's hash picks a block (top bits) and a fingerprint (low 48 bits); a block has a
//! few ways. A key that is not in its full block takes the way with the least debt, *and
//! its debt*, and only if it is admitted with it (Metwally's Space-Saving, 2005): so a
//! client that rotates keys inherits what it owes, and one that is refused changes
//! nothing. An honest newcomer to a block full of debtors still gets a trickle through
//! the block's overflow bucket. Reference 2.10 is normative, with its guarantees.

use crate::gcra::{Bucket, Decision, Rate};
use crate::time::{Span, Timestamp};

/// One key of a block. A way whose bucket was never charged is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
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

/// How a key met its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It took the way of the key that owed least, with its debt.
    EvictLive,
    /// It is in the block.
    Hit,
    /// It took a way that was never used.
    InsertFree,
    /// It was admitted by the block's overflow bucket and left no trace of its own.
    Overflow,
    /// It was refused by the least debt and by the overflow bucket.
    OverflowDeny,
    /// It took a way that owed nothing any more.
    ReuseDead,
}

/// What was decided about one request of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// How the key met its block.
    pub how: How,
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
    /// The way at this index becomes this.
    Way(usize, Way),
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
pub fn decide(
    rate: Rate,
    ways: &[Way],
    overflow: Bucket,
    fingerprint: u64,
    now: Timestamp,
    cost: u64,
) -> Outcome {
    let way = |next| Way { fingerprint, bucket: next };
    let (how, index, before) = find(ways, fingerprint, now);
    let decision = rate.decide(before, now, cost);
    match (how, decision) {
        (_, Decision::Admit { next }) => {
            Outcome { how, decision, change: Some(Change::Way(index, way(next))), before }
        }
        (How::EvictLive, Decision::Refuse { retry_after }) => {
            through_overflow(rate, overflow, before, retry_after, now, cost)
        }
        (_, Decision::Refuse { .. }) => Outcome { how, decision, change: None, before },
    }
}

/// The way that a key has or would take, and the bucket that decides about it.
fn find(ways: &[Way], fingerprint: u64, now: Timestamp) -> (How, usize, Bucket) {
    let mut free = None;
    let mut dead = None;
    let mut least = (0, Bucket::FULL);
    for (index, way) in ways.iter().enumerate() {
        if way.bucket == Bucket::FULL {
            free = free.or(Some(index));
        } else if way.fingerprint == fingerprint {
            return (How::Hit, index, way.bucket);
        } else if way.bucket.is_full(now) {
            dead = dead.or(Some(index));
        }
        if index == 0 || way.bucket < least.1 {
            least = (index, way.bucket);
        }
    }
    match (free, dead) {
        (Some(index), _) => (How::InsertFree, index, Bucket::FULL),
        (None, Some(index)) => (How::ReuseDead, index, Bucket::FULL),
        (None, None) => (How::EvictLive, least.0, least.1),
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
        how: How::OverflowDeny,
        decision: Decision::Refuse { retry_after },
        change: None,
        before: least,
    };
    if cost != 1 {
        return refuse(own);
    }
    match rate.single().decide(overflow, now, 1) {
        Decision::Admit { next } => Outcome {
            how: How::Overflow,
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
