//! The bytes of a block.

use proptest::prelude::*;
use tidegate_policy::gcra::Bucket;
use tidegate_policy::ratelimit::state::{tag, Block, BYTES, SLOTS};
use tidegate_policy::time::Timestamp;

use crate::{cases, rates};

fn bucket(nanos: u64) -> Bucket {
    Bucket::full_at(Timestamp::from_nanos(nanos))
}

fn blocks() -> impl Strategy<Value = Block> {
    let slots = prop::collection::vec((0_u64..1 << 48, any::<u64>()), SLOTS);
    (prop::option::of(rates()), any::<u64>(), slots).prop_map(|(rate, overflow, slots)| {
        let mut block = Block::empty();
        if let Some(rate) = rate {
            block.adopt(rate, tag(rate), Timestamp::ZERO);
        }
        block.overflow = bucket(overflow);
        for (slot, (fingerprint, nanos)) in block.slots.iter_mut().zip(slots) {
            slot.fingerprint = fingerprint;
            slot.bucket = bucket(nanos);
        }
        block
    })
}

/// Bytes of any kind, among them some that look like a block.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let block = prop::collection::vec(any::<u8>(), BYTES).prop_map(|mut bytes| {
        bytes[0] = 1;
        bytes
    });
    prop_oneof![2 => block, 1 => prop::collection::vec(any::<u8>(), 0..2 * BYTES)]
}

proptest! {
    #![proptest_config(cases(1000))]

    /// What was written is what is read.
    #[test]
    fn blocks_survive_a_round_trip(block in blocks()) {
        prop_assert_eq!(Block::decode(&block.encode()), block);
    }

    /// Any bytes are a block, and writing it back changes it no more.
    #[test]
    fn any_bytes_are_a_block(bytes in bytes()) {
        let block = Block::decode(&bytes);
        prop_assert_eq!(Block::decode(&block.encode()), block);
    }

    /// A new rate takes debts over, but never more than it can hold, and never makes any.
    #[test]
    fn a_new_rate_only_forgives(block in blocks(), rate in rates(), now: u64) {
        let now = Timestamp::from_nanos(now);
        let mut adopted = block.clone();
        adopted.adopt(rate, tag(rate), now);
        for (old, new) in block.slots.iter().zip(&adopted.slots) {
            prop_assert_eq!(old.fingerprint, new.fingerprint);
            prop_assert!(new.bucket <= old.bucket);
            let spared = old.bucket.instant() > now.plus(rate.capacity());
            prop_assert!(new.bucket == old.bucket || spared);
        }
        prop_assert!(adopted.overflow <= block.overflow);
        let mut again = adopted.clone();
        again.adopt(rate, tag(rate), now);
        prop_assert_eq!(again, adopted);
    }
}
