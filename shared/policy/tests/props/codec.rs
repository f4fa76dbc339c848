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
        bytes[0] = 2;
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

    /// A new rate takes debts over in units, but never more than it can hold, and never makes any.
    #[test]
    fn a_new_rate_keeps_what_is_owed(block in blocks(), before in rates(), rate in rates(), now: u64) {
        let now = Timestamp::from_nanos(now);
        let mut block = block;
        block.adopt(before, tag(before), now);
        let mut adopted = block.clone();
        adopted.adopt(rate, tag(rate), now);
        for (old, new) in block.slots.iter().zip(&adopted.slots) {
            prop_assert_eq!(old.fingerprint, new.fingerprint);
            let owed = |bucket: Bucket| u128::from(bucket.instant().since(now).as_nanos());
            let each = |rate: tidegate_policy::gcra::Rate| u128::from(rate.interval().as_nanos());
            let scaled = (owed(old.bucket) * each(rate)).div_ceil(each(before));
            let expected = scaled.min(u128::from(rate.capacity().as_nanos()));
            // The clock itself ends at 2^64.
            prop_assert!(owed(new.bucket) == expected || new.bucket.instant().as_nanos() == u64::MAX);
        }
        let mut again = adopted.clone();
        again.adopt(rate, tag(rate), now);
        prop_assert_eq!(again, adopted);
    }
}
