//! What one worker counted of a target since its last merge into the record.
//!
//! Counts of one slot add up in any order, so the window is exact whichever worker merges first.
//! A run of failures is a monoid too: the failures since the last success, and whether there was a
//! success before them. The run is as exact as the order in which workers
//! flush.

use alloc::vec::Vec;

use crate::breaker::cells::record::{Counts, Record, Slot};
use crate::breaker::params::BreakerParams;
use crate::http::classify::Class;

/// One worker's counts of one target.
///
/// ```
/// use tidegate_policy::breaker::{BreakerParams, Delta, Record};
/// use tidegate_policy::http::classify::Class;
///
/// let params = BreakerParams::default();
/// let (mut record, mut delta) = (Record::new(&params), Delta::new(0));
/// delta.count(&params, 1_000, Class::Success, false);
/// delta.count(&params, 1_500, Class::Failure, false);
/// assert_eq!(delta.merge_into(&mut record).total(), 0, "nothing is left out");
/// assert_eq!((record.window(&params, 1_500).total, record.consecutive), (2, 1));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The generation that admitted what is counted here.
    pub generation: u32,
    /// Counts by slot, oldest first.
    pub slots: Vec<Slot>,
    /// Whether there was a success.
    pub saw_success: bool,
    /// When the last success came, in milliseconds.
    pub well_ms: u64,
    /// Failures since the last success.
    pub trailing_failures: u32,
    /// When the first of these came.
    pub run_ms: u64,
}

/// What a merge left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Outcomes of slots that the window has already passed.
    pub dropped: u32,
    /// Outcomes of another generation.
    pub discarded: u32,
}

// === impl LeftOut ===

impl LeftOut {
    /// Outcomes that the record does not have.
    #[must_use]
    pub fn total(self) -> u32 {
        self.discarded.saturating_add(self.dropped)
    }
}

// === impl Delta ===

impl Delta {
    /// Nothing yet, in `generation`.
    #[must_use]
    pub fn new(generation: u32) -> Self {
        Self { generation, ..Self::default() }
    }

    /// Forgets everything, for counting on in `generation`; keeps its memory.
    pub fn restart(&mut self, generation: u32) {
        self.slots.clear();
        (self.generation, self.saw_success, self.trailing_failures) = (generation, false, 0);
    }

    /// Adds what was counted later.
    pub fn extend(&mut self, later: &Self) {
        for slot in &later.slots {
            match self.slots.iter_mut().find(|ours| ours.epoch == slot.epoch) {
                Some(ours) => ours.counts = ours.counts.plus(slot.counts),
                None => self.slots.push(*slot),
            }
        }
        if later.saw_success {
            (self.saw_success, self.trailing_failures, self.well_ms) = (true, 0, later.well_ms);
        }
        if self.trailing_failures == 0 {
            self.run_ms = later.run_ms;
        }
        self.trailing_failures = self.trailing_failures.saturating_add(later.trailing_failures);
    }

    /// Forgets the slots that the window of `now_ms` has passed.
    pub fn prune(&mut self, params: &BreakerParams, now_ms: u64) {
        let current = params.epoch(now_ms);
        self.slots.retain(|slot| current.wrapping_sub(slot.epoch) < params.slots);
    }

    /// Whether any outcome in it failed or was slow.
    #[must_use]
    pub fn has_trouble(&self) -> bool {
        self.slots.iter().any(|slot| slot.counts.failed > 0 || slot.counts.slow > 0)
    }

    /// Outcomes counted here.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.slots.iter().fold(0, |sum, slot| sum.saturating_add(slot.counts.total))
    }

    /// Counts one outcome that came at `now_ms`. Ignored ones do not count, and one whose client left
    /// is neither a failure nor the end of a run.
    pub fn count(&mut self, params: &BreakerParams, now_ms: u64, class: Class, slow: bool) {
        if class == Class::Ignored {
            return;
        }
        let failed = matches!(class, Class::Early | Class::Failure | Class::Throttled);
        let one = Counts { total: 1, failed: u32::from(failed), slow: u32::from(slow) };
        let epoch = params.epoch(now_ms);
        match self.slots.iter_mut().find(|slot| slot.epoch == epoch) {
            Some(slot) => slot.counts = slot.counts.plus(one),
            None => self.slots.push(Slot { epoch, counts: one }),
        }
        match class {
            Class::Failure => {
                if self.trailing_failures == 0 {
                    self.run_ms = now_ms;
                }
                self.trailing_failures = self.trailing_failures.saturating_add(1);
            }
            Class::Success => {
                (self.saw_success, self.trailing_failures, self.well_ms) = (true, 0, now_ms);
            }
            Class::Early | Class::Ignored | Class::Left | Class::Throttled => {}
        }
    }

    /// Adds the counts to the record, as far as they are for it.
    #[must_use]
    pub fn merge_into(&self, record: &mut Record) -> LeftOut {
        if self.generation != record.generation {
            return LeftOut { dropped: 0, discarded: self.total() };
        }
        let mut dropped = 0_u32;
        let mut newest_kept = self.slots.is_empty();
        for (index, ours) in self.slots.iter().enumerate() {
            let kept = merge_slot(record, *ours);
            if !kept {
                dropped = dropped.saturating_add(ours.counts.total);
            }
            if index.saturating_add(1) == self.slots.len() {
                newest_kept = kept;
            }
        }
        if newest_kept {
            // A success that is merged late does not end a younger run.
            let ended = self.saw_success && self.well_ms >= record.run_ms;
            let before = if ended { 0 } else { record.consecutive };
            if before == 0 {
                record.run_ms = if self.trailing_failures > 0 { self.run_ms } else { 0 };
            }
            record.consecutive = before.saturating_add(self.trailing_failures);
        }
        LeftOut { dropped, discarded: 0 }
    }
}

/// Merges one slot; `false` when the record has a newer one in its place.
fn merge_slot(record: &mut Record, ours: Slot) -> bool {
    let count = u32::try_from(record.slots.len()).unwrap_or(1);
    let index = ours.epoch.checked_rem(count).unwrap_or(0);
    let Some(slot) = usize::try_from(index).ok().and_then(|index| record.slots.get_mut(index)) else {
        return false;
    };
    if slot.counts.total == 0 {
        *slot = ours;
        return true;
    }
    // Epochs wrap after decades; half of their range apart is older.
    match ours.epoch.wrapping_sub(slot.epoch) {
        0 => slot.counts = slot.counts.plus(ours.counts),
        ahead if ahead <= u32::MAX >> 1 => *slot = ours,
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::decide::merge;
    use crate::breaker::transition::Reason;

    fn params() -> BreakerParams {
        BreakerParams { slots: 4, ..BreakerParams::default() }
    }

    /// Counts a call at each instant, `F`ailed, `I`gnored, `S`ucceeded or `T`hrottled.
    fn delta(calls: &[(char, u64)]) -> Delta {
        let mut delta = Delta::new(0);
        for (letter, now_ms) in calls {
            delta.count(&params(), *now_ms, Class::spelt(*letter), false);
        }
        delta
    }

    fn slot(epoch: u32, total: u32, failed: u32) -> Slot {
        Slot { epoch, counts: Counts { total, failed, slow: 0 } }
    }

    #[test]
    fn counts_by_slot_and_leaves_out_ignored_outcomes() {
        let delta = delta(&[('F', 5_000), ('S', 5_999), ('I', 6_000), ('T', 7_000)]);
        assert_eq!(delta.slots, [slot(5, 2, 1), slot(7, 1, 1)]);
        assert_eq!(delta.total(), 3);
    }

    #[test]
    fn a_run_goes_on_from_the_record_or_from_a_success() {
        #[rustfmt::skip]
        let cases = [
            // name                   before  calls   after
            ("nothing",               2,      "",     2),
            ("more failures",         2,      "FF",   4),
            ("a success ends it",     2,      "FFS",  0),
            ("and a new one begins",  2,      "FSF",  1),
            ("ignored",               2,      "IFI",  3),
            ("throttled",             2,      "TFT",  3),
            ("failed early",          2,      "EFE",  3),
        ];
        for (name, before, calls, after) in cases {
            let mut record = Record { consecutive: before, ..Record::new(&params()) };
            let calls: Vec<_> = calls.chars().map(|letter| (letter, 5_000)).collect();
            assert_eq!(delta(&calls).merge_into(&mut record), LeftOut::default(), "{name}");
            assert_eq!(record.consecutive, after, "{name}");
        }
    }

    #[test]
    fn counts_of_earlier_and_later_are_those_of_all() {
        let calls = [
            ('F', 5_000),
            ('S', 5_500),
            ('F', 5_900),
            ('T', 6_000),
            ('F', 7_000),
            ('S', 7_500),
            ('F', 8_000),
        ];
        for at in 0..=calls.len() {
            let (earlier, later) = calls.split_at(at);
            let mut both = delta(earlier);
            both.extend(&delta(later));
            assert_eq!(both, delta(&calls), "split at {at}");
        }
    }

    #[test]
    fn a_slot_that_the_window_passed_is_dropped() {
        #[rustfmt::skip]
        let cases = [
            // name                      calls                        dropped  run
            ("all of it is late",        &[('F', 5_000), ('F', 5_001)][..], 2,  7),
            ("only the first is late",   &[('F', 5_000), ('F', 9_001)],     1,  9),
            ("nothing is late",          &[('F', 9_000), ('F', 10_000)],    0,  9),
        ];
        for (name, calls, dropped, run) in cases {
            let mut record = Record { consecutive: 7, ..Record::new(&params()) };
            record.slots[1] = slot(9, 1, 0);
            assert_eq!(delta(calls).merge_into(&mut record), LeftOut { dropped, discarded: 0 }, "{name}");
            assert_eq!(record.consecutive, run, "{name}");
        }
    }

    #[test]
    fn counts_of_another_generation_change_nothing() {
        let mut record = Record { generation: 1, ..Record::new(&params()) };
        let before = record.clone();
        let left = delta(&[('F', 5_000), ('S', 6_000)]).merge_into(&mut record);
        assert_eq!((left, record), (LeftOut { dropped: 0, discarded: 2 }, before));
    }

    /// A success left the window and one failure of two was one of one. Nobody noticed until
    /// a worker came with counts of an older generation, which were discarded, but opened the
    /// breaker in passing.
    #[test]
    fn counts_of_another_generation_open_nothing() {
        let params = BreakerParams { minimum_calls: 1, failure_rate_percent: 60, ..params() };
        let mut record = Record { generation: 1, ..Record::new(&params) };
        record.slots[1] = slot(5, 1, 0);
        record.slots[2] = slot(6, 1, 1);
        assert_eq!(merge(&mut record, &params, &delta(&[('F', 6_000)]), 9_000, 0).reason, None);
        assert_eq!(merge(&mut record, &params, &Delta::new(1), 9_000, 0).reason, Some(Reason::FailureRate));
    }

    /// An empty slot is of epoch 0, which looked newer than any epoch past half of the range:
    /// with slots of 1 ms nothing was counted any more once a host was up for 25 days.
    #[test]
    fn an_empty_slot_is_free_at_any_time() {
        let params = BreakerParams { slot_ms: 1, ..params() };
        let now_ms = 1 << 31;
        let (mut record, mut delta) = (Record::new(&params), Delta::new(0));
        delta.count(&params, now_ms, Class::Success, false);
        assert_eq!(delta.merge_into(&mut record), LeftOut::default());
        assert_eq!(record.window(&params, now_ms).total, 1);
    }
}
