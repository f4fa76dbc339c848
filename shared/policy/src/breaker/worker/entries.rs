//! Targets that a worker met, by number.
//!
//! A list that is kept in order: one target is found at once, thousands by halving, and a newcomer
//! moves pointers. A tree would serve as well and take ten times the code.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::breaker::worker::entry::Entry;

/// Entries in the order of their targets.
#[derive(Default)]
pub(crate) struct Entries(Vec<(u64, Box<Entry>)>);

// === impl Entries ===

impl Entries {
    pub(crate) fn get(&self, target: u64) -> Option<&Entry> {
        self.0.get(self.place(target).ok()?).map(|(_, entry)| &**entry)
    }

    pub(crate) fn get_mut(&mut self, target: u64) -> Option<&mut Entry> {
        let at = self.place(target).ok()?;
        self.0.get_mut(at).map(|(_, entry)| &mut **entry)
    }

    /// The entry of a target, made if there is none and fewer than `most`.
    pub(crate) fn get_or_insert(&mut self, target: u64, most: usize) -> Option<&mut Entry> {
        let at = match self.place(target) {
            Ok(at) => at,
            Err(_) if self.0.len() >= most => return None,
            Err(at) => {
                self.0.insert(at, (target, Box::default()));
                at
            }
        };
        self.0.get_mut(at).map(|(_, entry)| &mut **entry)
    }

    /// The entry of a target that fails. If there is none and there are `most`, it takes the place of
    /// the one with the lowest rank, the longest unused of equals, and inherits the rank: a target whose
    /// failures are more than one in `most` stays (Metwally's Space-Saving, 2005).
    pub(crate) fn get_or_replace(&mut self, target: u64, most: usize) -> Option<&mut Entry> {
        let mut rank = 0;
        if self.0.len() >= most && self.place(target).is_err() {
            let ranks = self.0.iter().enumerate();
            let (_, at) = ranks.map(|(at, (_, entry))| ((entry.rank, entry.used_ms), at)).min()?;
            rank = self.0.remove(at).1.rank;
        }
        let entry = self.get_or_insert(target, most)?;
        entry.rank = entry.rank.max(rank);
        Some(entry)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut Entry)> {
        self.0.iter_mut().map(|(target, entry)| (*target, &mut **entry))
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&Entry) -> bool) {
        self.0.retain(|(_, entry)| keep(entry));
    }

    fn place(&self, target: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&target, |(of, _)| *of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever others fail in between, a target with more than one of four failures keeps its place
    /// among four, once it has enough of them.
    #[test]
    fn a_target_that_fails_often_is_not_displaced_by_those_that_fail_once() {
        let mut entries = Entries::default();
        let mut fail = |target, now_ms| {
            let entry = entries.get_or_replace(target, 4).unwrap();
            (entry.rank, entry.used_ms) = (entry.rank + 1, now_ms);
            entry.flushed_ms += 1;
            entry.flushed_ms
        };
        for round in 0..20 {
            assert_eq!(fail(7, 4 * round), round + 1, "it was forgotten in round {round}");
            (1..4).for_each(|n| {
                fail(100 + 4 * round + n, 4 * round + n);
            });
        }
    }

    #[test]
    fn entries_are_found_whatever_the_order_they_came_in_and_no_more_than_the_most_come_in() {
        let mut entries = Entries::default();
        for target in [5, 1, 9, 5] {
            entries.get_or_insert(target, 3).unwrap().used_ms = target;
        }
        assert!(entries.get_or_insert(7, 3).is_none());
        assert_eq!(
            [1, 5, 9, 7].map(|target| entries.get(target).map(|e| e.used_ms)),
            [Some(1), Some(5), Some(9), None]
        );
        entries.retain(|entry| entry.used_ms > 1);
        assert_eq!(entries.iter_mut().map(|(target, _)| target).collect::<Vec<_>>(), [5, 9]);
        assert!(entries.get_mut(1).is_none());
    }
}
