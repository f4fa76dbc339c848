//! What a worker remembers of the keys it sees often.
//!
//! A small fixed cache in worker memory, one for each limit. An entry counts how often its key comes, holds a
//! lease if there is one, and remembers until when the key is known to be refused: a
//! bucket only ever moves into the future, so a refusal seen once stays right until the
//! instant it named, and repeats cost the host nothing. Losing an entry loses at most a
//! lease's unspent units.

use alloc::vec::Vec;

use super::decide::Bucket;
use super::lease::{Taken, WINDOW};
use crate::time::{Span, Timestamp};

/// The cache of one limit in one worker.
#[derive(Debug)]
pub struct Hot {
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
    },
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
    bucket: Bucket,
}

/// Entries of a cache. Each key may be in one of two.
pub const ENTRIES: usize = 256;

// === impl Hot ===

impl Default for Hot {
    fn default() -> Self {
        Self { entries: alloc::vec![Entry::default(); ENTRIES] }
    }
}

impl Hot {
    /// Counts a request of the key at `now` and says what is known about it. The second
    /// value is the number of leased units that ended unspent since the last call.
    pub fn see(&mut self, hash: u64, now: Timestamp) -> (Known, u64) {
        let Some(entry) = self.entry(hash, now) else { return (Known::Nothing, 0) };
        let mut stranded = 0;
        if entry.hash != hash {
            stranded = entry.leased;
            *entry = Entry { hash, window_start: now, ..Entry::default() };
        }
        entry.count_one(now);
        if entry.leased > 0 && now > entry.leased_until {
            stranded = entry.leased;
            entry.leased = 0;
            entry.doubt();
        }
        let known = if entry.leased > 0 {
            Known::Leased { left: entry.leased, bucket: entry.bucket }
        } else if now < entry.refused_until {
            Known::Refused { retry_after: entry.refused_until.since(now), bucket: entry.bucket }
        } else {
            Known::Nothing
        };
        (known, stranded)
    }

    /// How often the key comes in one [`WINDOW`], as this worker sees it.
    #[must_use]
    pub fn seen(&self, hash: u64) -> u64 {
        self.find(hash).map_or(0, |entry| entry.rate.max(entry.count))
    }

    /// Spends one leased request.
    pub fn spend(&mut self, hash: u64) {
        if let Some(entry) = self.find_mut(hash) {
            entry.leased = entry.leased.saturating_sub(1);
        }
    }

    /// Keeps a lease for the key, if it still has its entry.
    pub fn keep(&mut self, hash: u64, taken: &Taken) {
        if let Some(entry) = self.find_mut(hash) {
            entry.leased = taken.requests;
            entry.leased_until = taken.until;
            entry.bucket = taken.next;
        }
    }

    /// Remembers that the key is refused until `until`.
    pub fn refuse(&mut self, hash: u64, until: Timestamp, bucket: Bucket) {
        if let Some(entry) = self.find_mut(hash) {
            entry.refused_until = until;
            entry.bucket = bucket;
        }
    }

    /// Drops leases that ended; the number of units that went unspent.
    pub fn sweep(&mut self, now: Timestamp) -> u64 {
        let ended = |entry: &&mut Entry| entry.leased > 0 && now > entry.leased_until;
        self.entries.iter_mut().filter(ended).fold(0, |sum, entry| {
            let lost = core::mem::take(&mut entry.leased);
            entry.doubt();
            sum.saturating_add(lost)
        })
    }

    /// The entry of the key, or one that it may take.
    fn entry(&mut self, hash: u64, now: Timestamp) -> Option<&mut Entry> {
        let (first, second) = slots(hash);
        let of = |slot: usize| self.entries.get(slot);
        let slot = [first, second]
            .into_iter()
            .find(|slot| of(*slot).is_some_and(|entry| entry.hash == hash))
            .or_else(|| [first, second].into_iter().find(|slot| of(*slot).is_some_and(|e| e.is_idle(now))))?;
        self.entries.get_mut(slot)
    }

    fn find(&self, hash: u64) -> Option<&Entry> {
        let (first, second) = slots(hash);
        [first, second].into_iter().filter_map(|slot| self.entries.get(slot)).find(|entry| entry.hash == hash)
    }

    fn find_mut(&mut self, hash: u64) -> Option<&mut Entry> {
        let (first, second) = slots(hash);
        let slot = [first, second]
            .into_iter()
            .find(|slot| self.entries.get(*slot).is_some_and(|entry| entry.hash == hash))?;
        self.entries.get_mut(slot)
    }
}

/// The two entries that a key may have, from bits that neither block nor neighbour use.
fn slots(hash: u64) -> (usize, usize) {
    let at = |bits: u64| usize::try_from(bits.checked_rem(ENTRIES as u64).unwrap_or(0)).unwrap_or(0);
    (at(hash), at(hash >> 20))
}

// === impl Entry ===

impl Entry {
    /// Whether another key may take the entry: its own has not come for a window.
    fn is_idle(&self, now: Timestamp) -> bool {
        now.since(self.seen_at) > WINDOW
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

    fn taken(requests: u64, until: Timestamp) -> Taken {
        Taken { requests, until, next: Bucket::full_at(until) }
    }

    #[test]
    fn a_lease_is_spent_until_it_ends() {
        let mut hot = Hot::default();
        assert_eq!(hot.see(7, at(0)), (Known::Nothing, 0));
        hot.keep(7, &taken(3, at(50)));
        hot.spend(7);
        assert_eq!(hot.see(7, at(50)).0, Known::Leased { left: 2, bucket: Bucket::full_at(at(50)) });
        assert_eq!(hot.see(7, at(51)), (Known::Nothing, 2), "two units ended unspent");
    }

    #[test]
    fn a_refusal_is_remembered_until_it_ends() {
        let mut hot = Hot::default();
        let _ = hot.see(7, at(0));
        hot.refuse(7, at(10), Bucket::FULL);
        let refused = Known::Refused { retry_after: Span::from_millis(6), bucket: Bucket::FULL };
        assert_eq!(hot.see(7, at(4)).0, refused);
        assert_eq!(hot.see(7, at(10)).0, Known::Nothing);
    }

    #[test]
    fn the_rate_is_what_came_in_the_last_window() {
        let mut hot = Hot::default();
        for ms in 0..=200 {
            let _ = hot.see(7, at(ms));
        }
        assert_eq!(hot.seen(7), 100);
        assert_eq!(hot.seen(8), 0);
    }

    #[test]
    fn a_lease_that_ends_unspent_halves_the_rate() {
        let mut hot = Hot::default();
        for ms in 0..=200 {
            let _ = hot.see(7, at(ms));
        }
        hot.keep(7, &taken(9, at(205)));
        assert_eq!(hot.see(7, at(206)), (Known::Nothing, 9));
        assert_eq!(hot.seen(7), 50);
    }

    #[test]
    fn a_busy_key_keeps_its_entry_and_an_idle_one_loses_it() {
        let mut hot = Hot::default();
        let rival = 7 + ENTRIES as u64; // the same first entry, another second one: entry 0
        let third = rival + ENTRIES as u64;
        let _ = hot.see(7, at(0));
        hot.keep(7, &taken(5, at(1000)));
        let _ = hot.see(rival, at(0));
        let _ = hot.see(third, at(0));
        assert_eq!(hot.see(7, at(50)).0, Known::Leased { left: 5, bucket: Bucket::full_at(at(1000)) });
        assert_eq!(hot.seen(third), 0, "both entries were busy");
        let _ = hot.see(third, at(151));
        assert_eq!(hot.seen(third), 1);
    }

    #[test]
    fn a_sweep_counts_what_ended() {
        let mut hot = Hot::default();
        for hash in 0..10 {
            let _ = hot.see(hash, at(0));
            hot.keep(hash, &taken(hash, at(hash)));
        }
        assert_eq!(hot.sweep(at(5)), 1 + 2 + 3 + 4);
        assert_eq!(hot.sweep(at(5)), 0);
    }
}
