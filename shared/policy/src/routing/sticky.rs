//! Who sees a variant: the same people for as long as it takes no less of the traffic.
//!
//! An identity falls into one of 10,000 buckets by a keyed hash of the experiment and itself.
//! Each variant owns a fixed *territory* of buckets and takes the first ones of it, as many as
//! it weighs; all others are the baseline's. So a growing variant only adds people, a
//! shrinking one only lets some go, and two variants never trade any. With plain cumulative
//! ranges the second variant would lose people to the first as soon as that grows.
//! Normative are the vectors `canary_sticky`.

use alloc::vec::Vec;

use crate::hash::sip::{SipHash13, SipKey};
use crate::split::below;

/// Buckets of an experiment; one is a basis point of its people.
pub const BUCKETS: u32 = 10_000;

/// Which buckets belong to which variant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Territories {
    /// Where each begins, and how many buckets it has.
    parts: Vec<(u32, u32)>,
}

/// Bytes hashed at either end of a long identity.
const END: usize = 512;

/// The bucket of `identity` in `experiment`. A long identity counts by its length and its
/// ends, as in the keys of limits.
#[must_use]
pub fn bucket(key: SipKey, experiment: &str, identity: &[u8]) -> u32 {
    let mut hash = SipHash13::new(key);
    hash.write(experiment.as_bytes());
    hash.write(&[0]);
    let tail = identity.len().checked_sub(END).and_then(|from| identity.get(from..));
    match (identity.get(..END), tail) {
        (Some(head), Some(tail)) if identity.len() > END.saturating_mul(2) => {
            hash.write(&(identity.len() as u64).to_le_bytes());
            hash.write(head);
            hash.write(tail);
        }
        _ => hash.write(identity),
    }
    u32::try_from(below(hash.finish(), u64::from(BUCKETS))).unwrap_or(0)
}

/// `weight` of `total` in buckets, rounded down.
#[must_use]
pub fn share(weight: u32, total: u64) -> u32 {
    let scaled = u64::from(weight).saturating_mul(u64::from(BUCKETS)).checked_div(total).unwrap_or(0);
    u32::try_from(scaled).map_or(BUCKETS, |share| share.min(BUCKETS))
}

// === impl Territories ===

impl Territories {
    /// Territories of these sizes, one after the other; `None` when they do not fit.
    #[must_use]
    pub fn new(sizes: &[u32]) -> Option<Self> {
        let mut from = 0_u32;
        let mut parts = Vec::new();
        for size in sizes {
            parts.push((from, *size));
            from = from.checked_add(*size)?;
        }
        (from <= BUCKETS).then_some(Self { parts })
    }

    /// The variant that has `bucket` when each takes `taken` buckets of its territory; `None` for the baseline.
    #[must_use]
    pub fn owner(&self, bucket: u32, taken: &[u32]) -> Option<usize> {
        let (index, (from, size)) =
            self.parts.iter().enumerate().rfind(|(_, (from, size))| *size > 0 && *from <= bucket)?;
        let taken = taken.get(index).copied().unwrap_or(0).min(*size);
        (bucket.saturating_sub(*from) < taken).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_takes_the_first_buckets_of_its_territory() {
        let territories = Territories::new(&[4000, 0, 4000]).unwrap();
        #[rustfmt::skip]
        let cases = [
            // bucket  taken             owner
            (0,        [1, 0, 0],        Some(0)),
            (1,        [1, 0, 0],        None),
            (3999,     [4000, 0, 0],     Some(0)),
            (4000,     [4000, 9, 0],     None),
            (4000,     [9000, 9, 1],     Some(2)),
            (7999,     [0, 0, 9999],     Some(2)),
            (8000,     [9999, 9, 9999],  None),
            (9999,     [9999, 9, 9999],  None),
        ];
        for (bucket, taken, expected) in cases {
            assert_eq!(territories.owner(bucket, &taken), expected, "bucket {bucket} of {taken:?}");
        }
        assert_eq!(Territories::new(&[6000, 4001]), None);
    }

    #[test]
    fn long_identities_differ_in_their_ends() {
        let key = SipKey::from_bytes([5; 16]);
        let token = |end: u8| {
            let mut token = std::vec![b'x'; 4000];
            token.push(end);
            token
        };
        let buckets: Vec<u32> = (0..20).map(|end| bucket(key, "e", &token(end))).collect();
        assert!(buckets.iter().any(|other| *other != buckets[0]));
    }
}
