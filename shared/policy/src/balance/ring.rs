//! Envoy's hash ring (ketama).
//!
//! Each node has entries at `xxh64("name_i")`, as many as its weight asks for; a key belongs to
//! the first entry at or after its hash. A node that goes leaves its arcs to those that follow; a few
//! others move when that changes how many entries the rest have.
//! For agreeing with other proxies of this kind: Maglev is more even and faster.

use alloc::vec::Vec;

use crate::hash::xxh64::xxh64;
use crate::sort;

/// Entries in the order of their hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    entries: Vec<(u64, u32)>,
}

/// Most entries: Envoy has up to 8,388,608, which are not for a worker's module. With more, the
/// lightest nodes may have none.
pub const MOST: u64 = 131_072;

// === impl Ring ===

impl Ring {
    /// A ring of at least `min_size` entries for nodes with names and weights: as many entries
    /// as are needed for the lightest to have a whole number of them.
    pub fn new<'n>(nodes: impl Iterator<Item = (&'n str, u32)> + Clone, min_size: u32) -> Self {
        let weights = || nodes.clone().map(|(_, weight)| u64::from(weight));
        let total = weights().fold(0_u64, u64::saturating_add);
        let least = weights().min().unwrap_or(0);
        // Envoy's ⌈w·size⌉ entries for the least part w: as many for each weight of `least`.
        let share = least.saturating_mul(min_size.into()).checked_div(total).map_or(0, |floor| {
            let exact = floor.saturating_mul(total) == least.saturating_mul(min_size.into());
            if exact {
                floor
            } else {
                floor.saturating_add(1)
            }
        });
        let fits = share.saturating_mul(total) <= MOST.saturating_mul(least);
        let (times, per) = if fits { (share, least) } else { (MOST, total) };

        let mut entries = Vec::new();
        let (mut sum, mut name) = (0_u64, Vec::new());
        for (node, (prefix, weight)) in (0..).zip(nodes) {
            sum = sum.saturating_add(weight.into());
            let until = sum.saturating_mul(times).checked_div(per).map_or(0, |floor| {
                floor.saturating_add(u64::from(floor.saturating_mul(per) < sum.saturating_mul(times)))
            });
            for index in 0..until.saturating_sub(entries.len() as u64) {
                name.clear();
                name.extend_from_slice(prefix.as_bytes());
                name.push(b'_');
                decimal(index, &mut name);
                entries.push((xxh64(&name, 0), node));
            }
        }
        sort::sort(&mut entries);
        Self { entries }
    }

    /// The node that has `hash`, by its place; `None` when the ring is empty.
    #[must_use]
    pub fn at(&self, hash: u64) -> Option<usize> {
        let after = self.entries.partition_point(|(entry, _)| *entry < hash);
        let (_, node) = self.entries.get(after).or_else(|| self.entries.first())?;
        usize::try_from(*node).ok()
    }

    /// All entries: hash and node.
    #[must_use]
    pub fn entries(&self) -> &[(u64, u32)] {
        &self.entries
    }
}

/// Appends `number` in decimal.
fn decimal(number: u64, to: &mut Vec<u8>) {
    let mut place = 1_u64;
    while number.checked_div(place).unwrap_or(0) >= 10 {
        place = place.saturating_mul(10);
    }
    while place > 0 {
        let digit = number.checked_div(place).unwrap_or(0).checked_rem(10).unwrap_or(0);
        to.push(b'0'.saturating_add(u8::try_from(digit).unwrap_or(0)));
        place = place.checked_div(10).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_never_larger_than_its_most() {
        let nodes = ["a", "b"].into_iter();
        assert_eq!(Ring::new(nodes.clone().zip([1, 65_535]), 1024).entries().len(), 65_536);
        assert_eq!(Ring::new(nodes.clone().zip([3, 65_535]), u32::MAX).entries().len(), 131_072);
        assert_eq!(Ring::new(nodes.clone().zip([1, 1]), 0).at(1), None);
        assert_eq!(Ring::new(nodes.zip([0, 0]), 7).at(1), None);
        assert_eq!(Ring::new([].into_iter(), 7).at(1), None);
    }

    #[test]
    fn numbers_are_decimal() {
        let mut text = Vec::new();
        [0, 9, 10, 1_234_567_890].into_iter().for_each(|number| decimal(number, &mut text));
        assert_eq!(text, b"09101234567890");
    }
}
