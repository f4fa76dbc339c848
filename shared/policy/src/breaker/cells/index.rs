//! Which targets of a table are not closed: all that a request has to look at before it passes.
//!
//! ```text
//! offset  size  what                                          little endian throughout
//!      0     1  layout, 1
//!      1     1  zero
//!      2     2  entries
//!      4     4  targets that are not closed and found no entry
//!      8  256×16  entries: fingerprint (8 bytes), open or half-open until, ms (8 bytes)
//! ```
//!
//! Each table has one. Workers keep a copy and read the cell again when a breaker changed its state.
//! An entry is a hint and the record is the truth: one too many costs a look at the record, one too
//! few is added by the next worker that meets the record.

use alloc::vec::Vec;

/// Bytes of the cell.
pub const BYTES: usize = HEAD + MOST * ENTRY;

const HEAD: usize = 8;
const ENTRY: usize = 16;
const MOST: usize = 256;
const LAYOUT: u8 = 1;

/// The targets of a table that are not closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    entries: Vec<(u64, u64)>,
    unlisted: u32,
}

// === impl Index ===

impl Index {
    /// The index in `bytes`; an empty one, when they cannot be read.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else { return Self::default() };
        let &[LAYOUT, _, low, high, ref unlisted @ ..] = head else { return Self::default() };
        let count = usize::from(u16::from_le_bytes([low, high])).min(MOST);
        let entry = |bytes: &[u8]| {
            let (fingerprint, until) = bytes.split_first_chunk()?;
            Some((u64::from_le_bytes(*fingerprint), u64::from_le_bytes(*until.first_chunk()?)))
        };
        let entries = rest.chunks_exact(ENTRY).take(count).filter_map(entry).collect();
        Self { entries, unlisted: u32::from_le_bytes(*unlisted) }
    }

    /// The bytes of the cell.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let count = u16::try_from(self.entries.len()).unwrap_or(u16::MAX);
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend([LAYOUT, 0]);
        bytes.extend(count.to_le_bytes());
        bytes.extend(self.unlisted.to_le_bytes());
        for (fingerprint, until) in &self.entries {
            bytes.extend(fingerprint.to_le_bytes());
            bytes.extend(until.to_le_bytes());
        }
        bytes.resize(BYTES, 0);
        bytes
    }

    /// Whether a target may be other than closed.
    #[must_use]
    pub fn may_list(&self, fingerprint: u64) -> bool {
        self.unlisted > 0 || self.lists(fingerprint)
    }

    /// Whether a target has an entry.
    #[must_use]
    pub fn lists(&self, fingerprint: u64) -> bool {
        self.entries.iter().any(|(of, _)| *of == fingerprint)
    }

    /// Whether a target has an entry that says nothing of the time to come. One that was listed a
    /// moment ago may be about to open.
    #[must_use]
    pub fn is_over(&self, fingerprint: u64, now_ms: u64) -> bool {
        let over = |until: u64| until <= now_ms || until == u64::MAX;
        self.entries.iter().any(|(of, until)| *of == fingerprint && over(*until))
    }

    /// How many targets are open or half-open at `now_ms`, but for the given one.
    #[must_use]
    pub fn others(&self, fingerprint: u64, now_ms: u64) -> u32 {
        let out = self.entries.iter().filter(|(of, until)| *of != fingerprint && *until > now_ms);
        u32::try_from(out.count()).unwrap_or(u32::MAX)
    }

    /// Whether an entry's time was over before `ms`.
    #[must_use]
    pub fn has_older(&self, ms: u64) -> bool {
        self.entries.iter().any(|(_, until)| *until < ms)
    }

    /// Drops entries whose time was over before `ms`, and with them those that had none.
    pub fn drop_older(&mut self, ms: u64) {
        self.entries.retain(|(_, until)| *until >= ms);
        self.unlisted = 0;
    }

    /// How many targets are not closed.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::try_from(self.entries.len()).unwrap_or(0).saturating_add(self.unlisted.into())
    }

    /// Whether all targets are closed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lists a target until `until_ms`. In a full index it takes the place of the one that has
    /// waited longest for a probe, if any has. `newly` is a target that was closed before; another
    /// one that has no entry is among those that found none, and counted already.
    pub fn insert(&mut self, fingerprint: u64, until_ms: u64, now_ms: u64, newly: bool) {
        if let Some((_, until)) = self.entries.iter_mut().find(|(of, _)| *of == fingerprint) {
            *until = until_ms;
            return;
        }
        let full = self.entries.len() >= MOST;
        let oldest = self.entries.iter_mut().min_by_key(|(_, until)| *until);
        match oldest.filter(|(_, until)| full && *until < now_ms) {
            Some(oldest) => *oldest = (fingerprint, until_ms),
            None if full => {
                self.unlisted = self.unlisted.saturating_add(u32::from(newly));
                return;
            }
            None => self.entries.push((fingerprint, until_ms)),
        }
        self.unlisted = self.unlisted.saturating_sub(u32::from(!newly));
    }

    /// Takes a target off, which was not closed and is now. With the last entry go those that had
    /// none, in case that too many were counted: a target that is still open is listed at
    /// its next outcome.
    pub fn remove(&mut self, fingerprint: u64) {
        let before = self.entries.len();
        self.entries.retain(|(of, _)| *of != fingerprint);
        if self.entries.is_empty() {
            self.unlisted = 0;
        } else if self.entries.len() == before {
            self.unlisted = self.unlisted.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Index {
        let mut index = Index::default();
        (0..256).for_each(|n| index.insert(n + 1, 1_000 + n, 0, true));
        index
    }

    #[test]
    fn layout_1_is_pinned() {
        let mut index = Index::default();
        index.insert(0x0102_0304_0506_0708, 9, 0, true);
        index.unlisted = 5;
        let bytes = index.encode();
        #[rustfmt::skip]
        let expected = [1, 0, 1, 0, 5, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(bytes[..25], expected);
        assert_eq!((Index::decode(&bytes), bytes.len()), (index, BYTES));
    }

    #[test]
    fn what_cannot_be_read_lists_nothing() {
        for bytes in [&[][..], &[1; 7], &[0; BYTES], &[2; BYTES]] {
            assert_eq!(Index::decode(bytes), Index::default(), "{} bytes", bytes.len());
        }
        assert_eq!(Index::decode(&[1, 0, 255, 255, 0, 0, 0, 0]).len(), 0);
    }

    #[test]
    fn a_full_index_makes_room_or_says_that_targets_are_missing() {
        let mut index = full();
        index.insert(500, 2_000, 1_001, true);
        assert!(index.may_list(500) && !index.may_list(1), "the oldest was waited out");
        index.insert(501, 2_000, 0, true);
        assert!(index.may_list(1) && index.may_list(501), "any target may be missing now");
        index.insert(501, 3_000, 0, false);
        index.remove(501);
        assert!(!index.may_list(1), "one that had no place is counted once");
    }

    #[test]
    fn an_unlisted_target_is_listed_when_there_is_room() {
        let mut index = full();
        index.insert(501, 2_000, 0, true);
        index.remove(7);
        index.insert(501, 3_000, 0, false);
        assert!(index.lists(501) && !index.may_list(7));
    }

    #[test]
    fn an_entry_is_over_when_its_time_is_or_when_it_has_none() {
        let mut index = Index::default();
        index.insert(1, 10, 0, true);
        index.insert(2, u64::MAX, 0, true);
        let over = |now_ms| [1, 2, 3].map(|of| index.is_over(of, now_ms));
        assert_eq!((over(9), over(10)), ([false, true, false], [true, true, false]));
    }

    #[test]
    fn others_are_those_whose_time_is_not_over() {
        let mut index = Index::default();
        for (fingerprint, until) in [(1, 10), (2, 20), (3, 30)] {
            index.insert(fingerprint, until, 0, true);
        }
        assert_eq!([1, 2, 3, 4].map(|of| index.others(of, 15)), [2, 1, 1, 2]);
    }
}
