//! Which worker of a host asks: a lease in a shared cell.
//!
//! ```text
//! offset  size  what                                   little endian throughout
//!      0     1  layout, 1
//!      4     4  term: counts holders
//!      8     8  holder; 0 for none
//!     16     8  expires, ms
//!     24     8  tag of what it is held for
//! ```
//!
//! Taken, renewed and released by compare-and-swap, so that of two workers one loses. The term is
//! what keeps a slow holder from publishing after another took over: before it publishes, it checks
//! [`Lease::holds`] with the term under which it fetched.
//!
//! Decoding is total: any other bytes are a lease without a holder.

use alloc::vec::Vec;

use crate::time::{Span, Timestamp};

/// The lease, as it is in the cell.
///
/// ```
/// use tidegate_policy::time::{Span, Timestamp};
/// use tidegate_policy::watch::lease::Lease;
///
/// let (now, ttl) = (Timestamp::from_nanos(1 << 40), Span::from_secs(3));
/// let first = Lease::default().take(1, 7, now, ttl).expect("it is free");
/// assert_eq!(first.take(2, 7, now, ttl), None, "worker 1 holds it");
///
/// let later = now.plus(ttl);
/// let second = first.take(2, 7, later, ttl).expect("it has ended");
/// assert!(second.holds(2, second.term, later) && !second.holds(1, first.term, later));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// The worker that holds it, by its number; 0 for none.
    pub holder: u64,
    /// When it ends, in milliseconds of the host's clock.
    pub expires_ms: u64,
    /// How often the holder changed.
    pub term: u32,
    /// What it is held for, so that workers of another configuration know that it is not theirs. It
    /// decides nothing here.
    pub tag: u64,
}

/// Bytes of a lease.
pub const BYTES: usize = 32;
/// Longest lease, in milliseconds: 20 times the one that workers take. One that ends later was not written by
/// a worker, and must not keep all of them from ever asking.
pub const MAX_MS: u64 = 60_000;

const LAYOUT: u8 = 1;

// === impl Lease ===

impl Lease {
    /// The lease in `bytes`.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        if bytes.len() != BYTES || bytes.first() != Some(&LAYOUT) {
            return Self::default();
        }
        let mut words = bytes.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
        let mut word = || words.next().unwrap_or(0);
        let (head, holder, expires_ms, tag) = (word(), word(), word(), word());
        Self { holder, expires_ms, term: u32::try_from(head >> 32).unwrap_or(0), tag }
    }

    /// The bytes of the lease.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let head = u64::from(LAYOUT) | (u64::from(self.term) << 32);
        [head, self.holder, self.expires_ms, self.tag].into_iter().flat_map(u64::to_le_bytes).collect()
    }

    /// The lease after `worker` takes or renews it at `now`, for `ttl` of at most a minute; `None` when
    /// another worker holds it, or `worker` is 0.
    #[must_use]
    pub fn take(&self, worker: u64, tag: u64, now: Timestamp, ttl: Span) -> Option<Self> {
        let mine = self.holder == worker;
        if worker == 0 || !mine && self.is_held(now) {
            return None;
        }
        let expires_ms = now.as_millis().saturating_add(ttl.as_millis().min(MAX_MS));
        let term = if mine { self.term } else { self.term.wrapping_add(1) };
        Some(Self { holder: worker, expires_ms, term, tag })
    }

    /// The lease after `worker` gives it back; `None` when it does not hold it.
    #[must_use]
    pub fn release(&self, worker: u64, now: Timestamp) -> Option<Self> {
        let mine = worker != 0 && self.holder == worker;
        mine.then(|| Self { expires_ms: self.expires_ms.min(now.as_millis()), ..*self })
    }

    /// Whether `worker` holds it at `now`, as it did when it took it in `term`.
    #[must_use]
    pub fn holds(&self, worker: u64, term: u32, now: Timestamp) -> bool {
        self.holder == worker && self.term == term && self.is_held(now)
    }

    /// Whether a worker holds it at `now`.
    #[must_use]
    pub fn is_held(&self, now: Timestamp) -> bool {
        let left = self.expires_ms.saturating_sub(now.as_millis());
        self.holder != 0 && left > 0 && left <= MAX_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::ZERO.plus(Span::from_millis(ms))
    }

    const TTL: Span = Span::from_secs(3);

    #[test]
    fn the_bytes_are_these() {
        let lease =
            Lease { holder: 0x1112_1314_1516_1718, expires_ms: 3_000, term: 7, tag: 0x2122_2324_2526_2728 };
        #[rustfmt::skip]
        let bytes = [
            1, 0, 0, 0, 7, 0, 0, 0,
            0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
            0xb8, 0x0b, 0, 0, 0, 0, 0, 0,
            0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,
        ];
        assert_eq!(lease.encode(), bytes);
        assert_eq!(Lease::decode(&bytes), lease);
    }

    #[test]
    fn other_bytes_are_a_free_lease() {
        for bytes in [&[][..], &[0; BYTES], &[2; BYTES], &[1; BYTES - 1], &[1; BYTES + 1]] {
            assert_eq!(Lease::decode(bytes), Lease::default());
        }
        let for_ever = Lease::decode(&[1; BYTES]);
        assert!(!for_ever.is_held(at(0)), "a lease of centuries is none");
        assert!(for_ever.take(5, 0, at(0), TTL).is_some());
    }

    #[test]
    fn a_holder_that_comes_back_late_finds_its_term_gone() {
        let first = Lease::default().take(1, 9, at(0), TTL).unwrap();
        let second = first.take(2, 9, at(3_000), TTL).unwrap();
        assert_eq!((first.term, second.term), (1, 2));
        assert!(!second.holds(1, first.term, at(3_001)));
        let third = second.take(1, 9, at(6_000), TTL).unwrap();
        assert!(!third.holds(1, first.term, at(6_001)), "what it fetched then is too old");
        assert!(third.holds(1, third.term, at(6_001)));
    }

    #[test]
    fn worker_0_takes_nothing_and_only_the_holder_gives_back() {
        assert_eq!(Lease::default().take(0, 0, at(0), TTL), None);
        assert_eq!(Lease::default().release(0, at(0)), None);
        let mine = Lease::default().take(1, 0, at(0), Span::from_secs(86_400)).unwrap();
        assert_eq!(mine.expires_ms, MAX_MS);
        assert_eq!(mine.release(2, at(1)), None);
        assert_eq!(mine.release(1, at(90_000)).unwrap().expires_ms, MAX_MS, "never longer than it was");
    }
}
