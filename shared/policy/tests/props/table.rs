//! Many keys in one block.

use proptest::prelude::*;
use tidegate_policy::gcra::{Bucket, Decision, Rate};
use tidegate_policy::ratelimit::table::{decide, Change, Lookup, Outcome, Place, Slot};
use tidegate_policy::time::{Span, Timestamp};

use crate::{cases, envelope, rates, within_envelope, START};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    slots: Vec<Slot>,
    overflow: Bucket,
}

impl Block {
    fn of(slots: usize) -> Self {
        Self { slots: vec![Slot::default(); slots], overflow: Bucket::FULL }
    }

    fn ask(&self, rate: Rate, key: u64, now: Timestamp, cost: u64) -> Outcome {
        decide(rate, &self.slots, self.overflow, key, now, cost)
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Overflow(bucket) => self.overflow = bucket,
            Change::Slot(index, slot) => self.slots[index] = slot,
        }
    }
}

/// Requests of a few keys: how much later each is in eighths of an interval, its key, its cost.
fn traces() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    let gap = prop_oneof![4 => Just(0_u64), 3 => 0_u64..12, 1 => 0_u64..80];
    let cost = prop_oneof![4 => Just(1_u64), 1 => 1_u64..5];
    prop::collection::vec((gap, 0_u64..7, cost), 1..120)
}

proptest! {
    #![proptest_config(cases(400))]

    /// Whatever others do to the block, a key is never admitted, other than through the
    /// overflow, when a bucket of its own would have refused it.
    #[test]
    fn no_eviction_resets_a_limit(rate in rates(), slots in 1_usize..5, trace in traces()) {
        let (mut block, mut now) = (Block::of(slots), START);
        let mut own = [Bucket::FULL; 7];
        for (later, key, cost) in trace {
            now = now.plus(Span::from_nanos(rate.interval().as_nanos() * later / 8));
            let got = block.ask(rate, key, now, cost);
            if let (Decision::Admit { .. }, Change::Slot(..)) = (got.decision, got.change.unwrap_or(Change::Overflow(Bucket::FULL))) {
                match rate.decide(own[key as usize], now, cost) {
                    Decision::Admit { next } => own[key as usize] = next,
                    Decision::Refuse { .. } => prop_assert!(false, "{key} at {now:?}: {got:?}"),
                }
            }
            got.change.into_iter().for_each(|change| block.apply(change));
        }
    }

    /// All keys of a block together have what its slots and its overflow have, in any window.
    #[test]
    fn a_block_admits_no_more_than_its_slots(rate in rates(), slots in 1_usize..5, trace in traces()) {
        let (mut block, mut now) = (Block::of(slots), START);
        let mut events = Vec::new();
        for (later, key, cost) in trace {
            now = now.plus(Span::from_nanos(rate.interval().as_nanos() * later / 8));
            if let Some(change) = block.ask(rate, key, now, cost).change {
                block.apply(change);
                events.push((now, cost));
            }
        }
        within_envelope(&events, |window| {
            slots as u64 * envelope(rate, window) + envelope(rate.single(), window)
        })?;
    }

    /// A refused request changes nothing, and passes after exactly the time that it was
    /// told when nothing else comes.
    #[test]
    fn a_refusal_changes_nothing_and_its_wait_is_exact(rate in rates(), slots in 1_usize..5, trace in traces()) {
        let (mut block, mut now) = (Block::of(slots), START);
        for (later, key, cost) in trace {
            now = now.plus(Span::from_nanos(rate.interval().as_nanos() * later / 8));
            let got = block.ask(rate, key, now, cost);
            prop_assert_eq!(matches!(got.decision, Decision::Admit { .. }), got.change.is_some());
            match (got.change, got.decision) {
                (Some(change), _) => block.apply(change),
                (None, Decision::Refuse { retry_after: Some(wait) }) => {
                    let then = now.plus(wait);
                    prop_assert!(block.ask(rate, key, then, cost).change.is_some(), "{:?}", got);
                    let before = block.ask(rate, key, then.minus(Span::from_nanos(1)), cost);
                    prop_assert!(before.change.is_none(), "{:?}", got);
                }
                (None, _) => prop_assert!(cost > u64::from(rate.burst().get()), "{:?}", got),
            }
        }
    }

    /// A key takes at most one slot, and a new one never displaces who owes more than another.
    #[test]
    fn a_key_has_one_slot_and_the_least_debt_is_evicted(rate in rates(), slots in 1_usize..5, trace in traces()) {
        let (mut block, mut now) = (Block::of(slots), START);
        for (later, key, cost) in trace {
            now = now.plus(Span::from_nanos(rate.interval().as_nanos() * later / 8));
            let got = block.ask(rate, key, now, cost);
            if let (Lookup::EvictLive, Some(Change::Slot(index, _))) = (got.lookup, got.change) {
                prop_assert!(block.slots.iter().all(|slot| block.slots[index].bucket <= slot.bucket));
                prop_assert!(block.slots[..index].iter().all(|slot| block.slots[index].bucket < slot.bucket));
            }
            got.change.into_iter().for_each(|change| block.apply(change));
            let live = |slot: &&Slot| slot.bucket != Bucket::FULL && slot.fingerprint == key;
            prop_assert!(block.slots.iter().filter(live).count() <= 1);
        }
    }

    /// A hash has a place in a table of any size, and the block is in it.
    #[test]
    fn every_hash_has_a_place(hash: u64, bits in 0_u32..=16) {
        let place = Place::of(hash, bits);
        prop_assert!(u64::from(place.block) < 1 << bits);
        prop_assert_eq!(u64::from(place.block), u64::try_from(u128::from(hash) << bits >> 64).unwrap());
        prop_assert_eq!(place.fingerprint, hash % (1 << 48));
    }
}
