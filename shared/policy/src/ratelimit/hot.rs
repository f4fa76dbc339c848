//! What a worker remembers of the keys it sees often.
//!
//! A small fixed cache in worker memory, one for each limit. An entry counts how often its key
//! comes, holds a lease if there is one, and remembers for a moment that the key is refused,
//! so that repeats cost the host nothing. For a moment only: others may give back what made
//! the refusal right. Requests of a lease that ended are handed out to be given back.

use alloc::vec::Vec;

use super::lease::{Lease, WINDOW};
use crate::gcra::Bucket;
use crate::time::{Span, Timestamp};

/// The cache of one limit in one worker.
#[derive(Debug)]
pub struct HotKeys {
    entries: Vec<Entry>,
}

/// What memory says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A leased unit is there for it.
    Leased {
        /// Requests left in the lease, this one included.
        left: u64,
        /// The key's bucket as it was when the lease was taken.
        bucket: Bucket,
    },
    /// Nothing; ask the cell.
    Nothing,
    /// It is refused.
    Refused {
        /// How long still.
        retry_after: Span,
        /// The bucket that refused it.
        bucket: Bucket,
        /// Whether the key had no place of its own.
        newcomer: bool,
    },
}

/// Requests of a lease that ended without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unspent {
    /// The key.
    pub hash: u64,
    /// How many.
    pub requests: u64,
    /// When the lease ended.
    pub until: Timestamp,
    /// The key's bucket right after the lease was taken.
    pub bucket: Bucket,
    /// The key's slot in its block then.
    pub slot: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    hash: u64,
    seen_at: Timestamp,
    window_start: Timestamp,
    count: u64,
    rate: u64,
    leased: u64,
    leased_until: Timestamp,
    refused_until: Timestamp,
    believed_until: Timestamp,
    bucket: Bucket,
    newcomer: bool,
    slot: usize,
}

/// For how long an entry is kept for its key, and a refusal believed.
const MOMENT: Span = Span::from_millis(100);
/// Entries of a cache. Each key may be in one of two.
pub const ENTRIES: usize = 256;

// === impl HotKeys ===

impl Default for HotKeys {
    fn default() -> Self {
        Self { entries: alloc::vec![Entry::default(); ENTRIES] }
    }
}

impl HotKeys {
    /// Counts a request of the key at `now` and says what is known about it, and what is left
    /// of a lease that ended or lost its entry to this key.
    pub fn see(&mut self, hash: u64, now: Timestamp) -> (Known, Option<Unspent>) {
        let Some(entry) = self.entry(hash, now) else { return (Known::Nothing, None) };
        let mut unspent = entry.take_ended(now);
        if entry.hash != hash {
            unspent = unspent.or(entry.take_lease());
            *entry = Entry { hash, window_start: now, ..Entry::default() };
        }
        entry.count_one(now);
        let known = if entry.leased > 0 {
            Known::Leased { left: entry.leased, bucket: entry.bucket }
        } else if now < entry.refused_until.min(entry.believed_until) {
            let Entry { refused_until, bucket, newcomer, .. } = *entry;
            Known::Refused { retry_after: refused_until.since(now), bucket, newcomer }
        } else {
            Known::Nothing
        };
        (known, unspent)
    }

    /// How often the key came in the last whole [`WINDOW`], as this worker saw it. Not in the one
    /// in flight: a short blip is over before its lease would be spent.
    #[must_use]
    pub fn seen(&self, hash: u64) -> u64 {
        self.find(hash).map_or(0, |entry| entry.rate)
    }

    /// Spends one leased request.
    pub fn spend(&mut self, hash: u64) {
        if let Some(entry) = self.find_mut(hash) {
            entry.leased = entry.leased.saturating_sub(1);
        }
    }

    /// Keeps a lease for the key, which has this slot in its block, if it still has its entry.
    pub fn keep(&mut self, hash: u64, taken: &Lease, slot: usize) {
        if let Some(entry) = self.find_mut(hash) {
            entry.leased = taken.requests;
            entry.leased_until = taken.until;
            entry.bucket = taken.next;
            entry.slot = slot;
        }
    }

    /// Remembers for 100 ms that the key is refused until `until`, by `bucket`, which is another
    /// key's if this one is a `newcomer`.
    pub fn refuse(&mut self, hash: u64, now: Timestamp, until: Timestamp, bucket: Bucket, newcomer: bool) {
        if let Some(entry) = self.find_mut(hash) {
            entry.refused_until = until;
            entry.believed_until = now.plus(MOMENT);
            entry.bucket = bucket;
            entry.newcomer = newcomer;
        }
    }

    /// Takes out the leases that ended.
    pub fn sweep(&mut self, now: Timestamp) -> Vec<Unspent> {
        self.entries.iter_mut().filter_map(|entry| entry.take_ended(now)).collect()
    }

    /// The entry of the key, or one that it may take.
    fn entry(&mut self, hash: u64, now: Timestamp) -> Option<&mut Entry> {
        let (first, second) = candidates(hash);
        let of = |at: usize| self.entries.get(at);
        let slot = [first, second]
            .into_iter()
            .find(|slot| of(*slot).is_some_and(|entry| entry.hash == hash))
            .or_else(|| [first, second].into_iter().find(|slot| of(*slot).is_some_and(|e| e.is_idle(now))))?;
        self.entries.get_mut(slot)
    }

    fn find(&self, hash: u64) -> Option<&Entry> {
        let (first, second) = candidates(hash);
        [first, second].into_iter().filter_map(|slot| self.entries.get(slot)).find(|entry| entry.hash == hash)
    }

    fn find_mut(&mut self, hash: u64) -> Option<&mut Entry> {
        let (first, second) = candidates(hash);
        let slot = [first, second]
            .into_iter()
            .find(|slot| self.entries.get(*slot).is_some_and(|entry| entry.hash == hash))?;
        self.entries.get_mut(slot)
    }
}

/// The two entries that a key may have, from bits that neither block nor neighbour use.
fn candidates(hash: u64) -> (usize, usize) {
    let at = |bits: u64| usize::try_from(bits.checked_rem(ENTRIES as u64).unwrap_or(0)).unwrap_or(0);
    (at(hash), at(hash >> 20))
}

// === impl Entry ===

impl Entry {
    /// Whether another key may take the entry: its own has not come for a moment.
    fn is_idle(&self, now: Timestamp) -> bool {
        now.since(self.seen_at) > MOMENT
    }

    /// What is left of a lease that has ended.
    fn take_ended(&mut self, now: Timestamp) -> Option<Unspent> {
        if now <= self.leased_until {
            return None;
        }
        let unspent = self.take_lease();
        if unspent.is_some() {
            self.doubt();
        }
        unspent
    }

    fn take_lease(&mut self) -> Option<Unspent> {
        let requests = core::mem::take(&mut self.leased);
        let Self { hash, leased_until: until, bucket, slot, .. } = *self;
        (requests > 0).then_some(Unspent { hash, requests, until, bucket, slot })
    }

    /// A lease ended unspent: the key comes less often than it seemed, so the next is half
    /// as large. Without this, one window of a high rate strands leases for another.
    fn doubt(&mut self) {
        self.rate >>= 1;
        self.count >>= 1;
    }

    fn count_one(&mut self, now: Timestamp) {
        let elapsed = now.since(self.window_start);
        if elapsed >= WINDOW {
            let scaled = self.count.saturating_mul(WINDOW.as_nanos());
            self.rate = scaled.checked_div(elapsed.as_nanos()).unwrap_or(0);
            self.window_start = now;
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.seen_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_nanos(1_000_000_000_000);

    fn at(ms: u64) -> Timestamp {
        T0.plus(Span::from_millis(ms))
    }

    fn taken(requests: u64, until: Timestamp) -> Lease {
        Lease { requests, until, next: Bucket::full_at(until) }
    }

    #[test]
    fn a_lease_is_spent_until_it_ends() {
        let mut hot = HotKeys::default();
        assert_eq!(hot.see(7, at(0)), (Known::Nothing, None));
        hot.keep(7, &taken(3, at(50)), 3);
        hot.spend(7);
        assert_eq!(hot.see(7, at(50)).0, Known::Leased { left: 2, bucket: Bucket::full_at(at(50)) });
        let unspent =
            Unspent { hash: 7, requests: 2, until: at(50), bucket: Bucket::full_at(at(50)), slot: 3 };
        assert_eq!(hot.see(7, at(51)), (Known::Nothing, Some(unspent)));
        assert_eq!(hot.see(7, at(52)), (Known::Nothing, None));
    }

    #[test]
    fn a_refusal_is_remembered_until_it_ends_or_grows_old() {
        let mut hot = HotKeys::default();
        let _ = hot.see(7, at(0));
        hot.refuse(7, at(0), at(10), Bucket::FULL, false);
        let refused = |ms, newcomer| {
            let (retry_after, bucket) = (Span::from_millis(ms), Bucket::FULL);
            Known::Refused { retry_after, bucket, newcomer }
        };
        assert_eq!(hot.see(7, at(4)).0, refused(6, false));
        assert_eq!(hot.see(7, at(10)).0, Known::Nothing);
        hot.refuse(7, at(10), at(5_000), Bucket::FULL, true);
        assert_eq!(hot.see(7, at(109)).0, refused(4_891, true));
        assert_eq!(hot.see(7, at(110)).0, Known::Nothing, "believed for 100 ms");
    }

    #[test]
    fn the_rate_is_what_came_in_the_last_window() {
        let mut hot = HotKeys::default();
        for ms in 0..=200 {
            let _ = hot.see(7, at(ms));
        }
        assert_eq!(hot.seen(7), 25);
        assert_eq!(hot.seen(8), 0);
    }

    #[test]
    fn a_lease_that_ends_unspent_halves_the_rate() {
        let mut hot = HotKeys::default();
        for ms in 0..=200 {
            let _ = hot.see(7, at(ms));
        }
        hot.keep(7, &taken(9, at(205)), 3);
        assert_eq!(hot.see(7, at(206)).1.map(|unspent| unspent.requests), Some(9));
        assert_eq!(hot.seen(7), 12);
    }

    #[test]
    fn a_busy_key_keeps_its_entry_and_an_idle_one_loses_it() {
        let mut hot = HotKeys::default();
        let rival = 7 + ENTRIES as u64; // the same first entry, another second one: entry 0
        let third = rival + ENTRIES as u64;
        let _ = hot.see(7, at(0));
        hot.keep(7, &taken(5, at(1000)), 3);
        let _ = hot.see(rival, at(0));
        let _ = hot.see(third, at(0));
        assert_eq!(hot.see(7, at(50)).0, Known::Leased { left: 5, bucket: Bucket::full_at(at(1000)) });
        hot.keep(third, &taken(5, at(1000)), 3);
        assert_eq!(hot.see(third, at(50)).0, Known::Nothing, "both entries were busy");
        let _ = hot.see(third, at(151));
        hot.keep(third, &taken(5, at(1000)), 3);
        assert_eq!(hot.see(third, at(152)).0, Known::Leased { left: 5, bucket: Bucket::full_at(at(1000)) });
    }

    #[test]
    fn a_sweep_takes_what_ended() {
        let mut hot = HotKeys::default();
        for hash in 1..10 {
            let _ = hot.see(hash, at(0));
            hot.keep(hash, &taken(hash, at(hash)), 3);
        }
        let ended: Vec<u64> = hot.sweep(at(5)).iter().map(|unspent| unspent.requests).collect();
        assert_eq!(ended, [1, 2, 3, 4]);
        assert_eq!(hot.sweep(at(5)), []);
    }
}
