//! What a variant and its baseline did in one interval of a ramp, counted by all workers together.
//!
//! ```text
//! offset  size  what                                          little endian throughout
//!      0     1  layout, 1
//!      1     3  zero
//!      4     4  tag of the ramp's schedule: intervals of another are not these
//!      8  2×(8+2×584)  the last two intervals: number (8 bytes), counts of the variant, of the baseline
//! ```
//!
//! Counts are requests (4 bytes), failed ones (4 bytes), and how long they took: 144 classes of
//! 4 bytes, each an eighth of an octave of milliseconds wide, so that a percentile is at most an
//! eighth too long. An interval has the place of its number modulo 2; counts for one that is gone
//! are dropped.

use alloc::vec::Vec;
use core::ops::Range;

use super::judge::Sample;

/// Bytes of the cell.
pub const BYTES: usize = HEAD + 2 * PLACE;

const HEAD: usize = 8;
const CLASSES: usize = 144;
const COUNTS: usize = 8 + 4 * CLASSES;
const PLACE: usize = 8 + 2 * COUNTS;
const LAYOUT: u8 = 1;

/// What one variant did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    total: u32,
    failed: u32,
    took: [u32; CLASSES],
}

/// What a variant and its baseline did in one interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The interval, counted from the ramp's start.
    pub interval: u64,
    /// The variant's.
    pub variant: Counts,
    /// The baseline's.
    pub baseline: Counts,
}

// === impl Counts ===

impl Default for Counts {
    fn default() -> Self {
        Self { total: 0, failed: 0, took: [0; CLASSES] }
    }
}

impl Counts {
    /// Counts a request that ended.
    pub fn add(&mut self, failed: bool, took_ms: u64) {
        self.total = self.total.saturating_add(1);
        self.failed = self.failed.saturating_add(u32::from(failed));
        if let Some(class) = self.took.get_mut(class(took_ms)) {
            *class = class.saturating_add(1);
        }
    }

    /// As what judges look at.
    #[must_use]
    pub fn sample(&self) -> Sample {
        Sample { total: self.total.into(), failed: self.failed.into(), p99_ms: self.p99_ms() }
    }

    /// How long all but one in a hundred took at most; `None` of none.
    fn p99_ms(&self) -> Option<u64> {
        let rank = u64::from(self.total).saturating_mul(99).div_ceil(100);
        let mut sum = 0_u64;
        let reached = |count: &u32| {
            sum = sum.saturating_add(u64::from(*count));
            sum >= rank
        };
        self.took.iter().position(reached).filter(|_| self.total > 0).map(longest)
    }

    fn merge(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        self.failed = self.failed.saturating_add(other.failed);
        for (ours, theirs) in self.took.iter_mut().zip(&other.took) {
            *ours = ours.saturating_add(*theirs);
        }
    }

    fn decode(bytes: &[u8]) -> Self {
        let mut words = bytes.chunks_exact(4).map(|word| word.try_into().map_or(0, u32::from_le_bytes));
        let mut word = || words.next().unwrap_or(0);
        let (total, failed) = (word(), word());
        let mut took = [0; CLASSES];
        took.iter_mut().for_each(|class| *class = word());
        Self { total, failed, took }
    }

    fn encode(&self) -> impl Iterator<Item = u8> + '_ {
        let words = [self.total, self.failed].into_iter().chain(self.took);
        words.flat_map(u32::to_le_bytes)
    }
}

/// The class of a time: exact up to 7 ms, then eight to an octave.
fn class(took_ms: u64) -> usize {
    let octave = 63_u32.saturating_sub(took_ms.max(8).leading_zeros());
    let within = took_ms.checked_shr(octave.saturating_sub(3)).unwrap_or(0);
    let class = u64::from(octave.saturating_sub(3)).saturating_mul(8).saturating_add(within);
    usize::try_from(class).unwrap_or(CLASSES).min(CLASSES - 1)
}

/// The longest time of a class.
fn longest(class: usize) -> u64 {
    let class = class as u64;
    if class < 16 {
        return class;
    }
    let shift = u32::try_from((class / 8).saturating_sub(1)).unwrap_or(0);
    let from = (class % 8).saturating_add(8);
    from.saturating_add(1).checked_shl(shift).unwrap_or(u64::MAX).saturating_sub(1)
}

// === impl Tally ===

impl Tally {
    /// The tally of an interval in a cell of the schedule `tag`.
    #[must_use]
    pub fn read(cell: &[u8], tag: u32, interval: u64) -> Self {
        let none = Self { interval, ..Self::default() };
        let of_ramp = self::tag(cell) == Some(tag);
        let Some(place) = cell.get(place(interval)).filter(|_| of_ramp) else { return none };
        let Some((number, counts)) = place.split_first_chunk() else { return none };
        if u64::from_le_bytes(*number) != interval {
            return none;
        }
        let (variant, baseline) = counts.split_at_checked(COUNTS).unwrap_or((&[], &[]));
        Self { interval, variant: Counts::decode(variant), baseline: Counts::decode(baseline) }
    }

    /// The cell with this tally added; `None` when it has a later one in its place, or is another
    /// schedule's than that with the tag `tag`.
    #[must_use]
    pub fn merge_into(&self, cell: &[u8], tag: u32) -> Option<Vec<u8>> {
        let mut new = match self::tag(cell) {
            Some(other) if other != tag => return None,
            Some(_) => cell.to_vec(),
            None => empty(tag),
        };
        let there = new.get(place(self.interval))?;
        let there = there.first_chunk().map_or(0, |number| u64::from_le_bytes(*number));
        if there > self.interval {
            return None;
        }
        let mut sum = Self::read(&new, tag, self.interval);
        sum.variant.merge(&self.variant);
        sum.baseline.merge(&self.baseline);
        let bytes = sum.interval.to_le_bytes().into_iter();
        let bytes = bytes.chain(sum.variant.encode()).chain(sum.baseline.encode());
        new.get_mut(place(self.interval))?.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        Some(new)
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.variant.total == 0 && self.baseline.total == 0
    }
}

/// A cell without counts.
#[must_use]
pub fn empty(tag: u32) -> Vec<u8> {
    let head = u64::from(LAYOUT) | (u64::from(tag) << 32);
    let mut bytes = head.to_le_bytes().to_vec();
    bytes.resize(BYTES, 0);
    bytes
}

/// The tag of the schedule that a cell is of; `None` of what is no such cell.
#[must_use]
pub fn tag(cell: &[u8]) -> Option<u32> {
    let sound = cell.len() == BYTES && cell.first() == Some(&LAYOUT);
    cell.get(4..).filter(|_| sound)?.first_chunk().map(|tag| u32::from_le_bytes(*tag))
}

/// Where an interval lies.
fn place(interval: u64) -> Range<usize> {
    if interval % 2 == 0 {
        HEAD..HEAD + PLACE
    } else {
        HEAD + PLACE..BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(interval: u64, failed: bool) -> Tally {
        let mut tally = Tally { interval, ..Tally::default() };
        tally.variant.add(failed, 40);
        tally.baseline.add(false, 7);
        tally
    }

    #[test]
    fn classes_are_an_eighth_of_an_octave_wide() {
        for took_ms in (0..5_000).chain([1 << 18, (1 << 20) - 1]) {
            let most = longest(class(took_ms));
            assert!(
                most >= took_ms && most <= took_ms + took_ms / 8,
                "{took_ms} ms in a class up to {most} ms"
            );
        }
        assert_eq!(class(u64::MAX), CLASSES - 1);
    }

    #[test]
    fn the_99th_percentile_leaves_out_one_in_a_hundred() {
        let mut counts = Counts::default();
        assert_eq!(counts.sample().p99_ms, None);
        for n in 1..=200 {
            counts.add(false, if n > 198 { 5_000 } else { 10 });
        }
        assert_eq!(counts.sample().p99_ms, Some(10));
        counts.add(true, 5_000);
        let Sample { total, failed, p99_ms } = counts.sample();
        assert_eq!((total, failed, p99_ms), (201, 1, Some(5_119)));
    }

    #[test]
    fn workers_add_up_and_intervals_do_not_mix() {
        let mut cell = alloc::vec![0; BYTES];
        for failed in [true, false] {
            cell = tally(5, failed).merge_into(&cell, 7).unwrap();
        }
        cell = tally(6, false).merge_into(&cell, 7).unwrap();
        let Sample { total, failed, .. } = Tally::read(&cell, 7, 5).variant.sample();
        assert_eq!((total, failed), (2, 1));
        assert_eq!(Tally::read(&cell, 7, 6).baseline.sample().total, 1);
        assert!(Tally::read(&cell, 7, 7).is_empty());
        let newer = tally(7, false).merge_into(&cell, 7).unwrap();
        assert_eq!(tally(5, false).merge_into(&newer, 7), None, "the interval is gone");
        assert!(Tally::read(&newer, 7, 5).is_empty());
    }

    #[test]
    fn schedules_do_not_mix() {
        let cell = tally(5, false).merge_into(&empty(7), 7).unwrap();
        assert_eq!(tally(5, false).merge_into(&cell, 8), None);
        assert!(Tally::read(&cell, 8, 5).is_empty());
        assert_eq!((tag(&cell), tag(&[1; 8])), (Some(7), None));
    }

    #[test]
    fn what_cannot_be_read_is_empty() {
        for bytes in [&[][..], &[1; 8], &[2; BYTES]] {
            assert!(Tally::read(bytes, 0, 0).is_empty(), "{} bytes", bytes.len());
            assert_eq!(tally(0, false).merge_into(bytes, 7), tally(0, false).merge_into(&empty(7), 7));
        }
    }
}
