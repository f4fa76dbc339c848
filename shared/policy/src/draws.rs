//! Random bits for choices that are not worth foreseeing: which endpoint, how much jitter.

use core::cell::Cell;

use crate::time::Timestamp;

/// A worker's draws: Vigna's splitmix64, of the time and a number that no other draw has.
#[derive(Debug, Default)]
pub struct Draws(Cell<u64>);

/// How far apart two draws are, before they are mixed.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

// === impl Draws ===

impl Draws {
    /// Draws that begin somewhere else than those of another seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    /// The next 64 bits.
    pub fn next(&self, now: Timestamp) -> u64 {
        let drawn = self.peek(now);
        self.0.set(self.0.get().wrapping_add(STEP));
        drawn
    }

    /// What [`Draws::next`] will give at this time, which it still does then.
    #[must_use]
    pub fn peek(&self, now: Timestamp) -> u64 {
        let mixed = self.0.get().wrapping_add(STEP) ^ now.as_nanos();
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_draws_are_alike_at_one_instant_or_of_two_seeds() {
        let (one, other) = (Draws::default(), Draws::seeded(7));
        let all: BTreeSet<u64> =
            (0..500).flat_map(|_| [&one, &other].map(|draws| draws.next(Timestamp::ZERO))).collect();
        assert_eq!(all.len(), 1_000);
        assert_eq!([one.peek(Timestamp::ZERO), one.peek(Timestamp::ZERO)], [one.next(Timestamp::ZERO); 2]);
    }
}
