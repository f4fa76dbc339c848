//! Turns by deadline: weighted round robin for any number of members.
//!
//! Earliest deadline first, as Envoy's scheduler: who has the earliest turn is picked, and gets
//! the next one after `1 / weight`. The weight is asked for at each turn, so it may change at any
//! time, which is what slow start, least request and scores want. A pick costs O(log n).
//! Deadlines only ever advance and are compared as they wrap, so a scheduler can run forever.

use alloc::vec::Vec;

use crate::split::{below, derive};

/// A heap of deadlines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Deadlines {
    heap: Vec<(u64, u32)>,
}

/// The distance of the turns of a weight of 1: deadlines within one distance of each other can
/// be compared although they wrap.
const DISTANCE: u64 = 1 << 52;

// === impl Deadlines ===

impl Deadlines {
    /// Members of these weights somewhere in their turns, as if they had been at it for long: it is
    /// anyone's turn, by weight, and the others are anywhere before theirs.
    pub(super) fn anywhere(weights: &[u64], seed: u64) -> Self {
        let sum = weights.iter().fold(0_u64, |sum, weight| sum.saturating_add(*weight));
        let mut point = Some(below(derive(seed, u64::MAX), sum));
        let place = |(place, weight): (u32, &u64)| {
            let left = point.map(|point| point.checked_sub(*weight));
            point = left.flatten();
            let first = left == Some(None);
            (if first { 0 } else { below(derive(seed, place.into()), distance(*weight)) }, place)
        };
        Self::new((0..).zip(weights).map(place).collect())
    }

    /// Members with these first deadlines.
    pub(super) fn new(heap: Vec<(u64, u32)>) -> Self {
        let mut deadlines = Self { heap };
        for at in (0..deadlines.heap.len().div_ceil(2)).rev() {
            deadlines.settle(at);
        }
        deadlines
    }

    /// Whose turn it is, and since when.
    pub(super) fn first(&self) -> Option<(u64, u32)> {
        self.heap.first().copied()
    }

    /// The first one had its turn: the next is due at the distance of `weight`.
    pub(super) fn advance(&mut self, weight: u64) {
        self.postpone(distance(weight));
    }

    /// The first one had its turn: the next is due in `by`.
    pub(super) fn postpone(&mut self, by: u64) {
        if let Some((deadline, _)) = self.heap.first_mut() {
            *deadline = deadline.wrapping_add(by);
        }
        self.settle(0);
    }

    /// The first one has no turn any more.
    pub(super) fn retire(&mut self) {
        if !self.heap.is_empty() {
            self.heap.swap_remove(0);
            self.settle(0);
        }
    }

    /// Lets the one at `at` sink until none below it is earlier.
    fn settle(&mut self, mut at: usize) {
        loop {
            let left = at.saturating_mul(2).saturating_add(1);
            let right = left.saturating_add(1);
            let child = if self.earlier(right, left) { right } else { left };
            if !self.earlier(child, at) {
                return;
            }
            self.heap.swap(child, at);
            at = child;
        }
    }

    /// Whether both exist and `a` is before `b`; of equal ones the lower place is.
    fn earlier(&self, a: usize, b: usize) -> bool {
        let (Some(a), Some(b)) = (self.heap.get(a), self.heap.get(b)) else { return false };
        let ahead = b.0.wrapping_sub(a.0);
        (ahead == 0 && a.1 < b.1) || (ahead != 0 && ahead < 1 << 63)
    }
}

fn distance(weight: u64) -> u64 {
    DISTANCE.checked_div(weight).unwrap_or(DISTANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_on_when_deadlines_wrap() {
        let mut deadlines = Deadlines::new(std::vec![(u64::MAX - 5, 0), (u64::MAX - 3, 1)]);
        let mut turns = std::vec::Vec::new();
        for _ in 0..8 {
            turns.push(deadlines.first().unwrap().1);
            deadlines.postpone(4);
        }
        assert_eq!(turns, [0, 1, 0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn each_has_its_part_of_a_cycle() {
        let weights = [5_u64, 1, 3, 0];
        let mut deadlines = Deadlines::anywhere(&weights, 7);
        let mut counts = [0; 4];
        for _ in 0..1000 {
            let (_, place) = deadlines.first().unwrap();
            counts[place as usize] += 1;
            deadlines.advance(weights[place as usize]);
        }
        // No weight is as the least one.
        assert!(
            [500, 100, 300, 100].iter().zip(counts).all(|(e, c): (&i32, i32)| (e - c).abs() <= 1),
            "{counts:?}"
        );
        assert_eq!(Deadlines::default().first(), None);
    }
}
