//! A hash of numbers that no client has a hand in: one multiplication.

use std::hash::{BuildHasher, Hasher};

/// Spreads numbers that follow one another over all bits.
#[derive(Clone, Copy)]
pub(crate) struct Spread(pub(crate) u64);

// === impl Spread ===

impl BuildHasher for Spread {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for Spread {
    fn write_u32(&mut self, n: u32) {
        // 2^64 over the golden ratio, as in Fibonacci hashing. An odd factor keeps the low bits of
        // numbers in a row apart, which choose the place, and mixes the high ones.
        self.0 = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
