//! Maglev tables (Eisenbud et al., NSDI 2016), filled as Envoy does.
//!
//! Each node has an order of its own of all slots, made of its name; nodes take turns, by weight,
//! each taking the first slot of its order that is free. A lookup is one read. When a node goes,
//! others keep all but a few of their slots: 0.06 % with 5 nodes and 65,537 slots.

use alloc::vec::Vec;

use crate::balance::deadlines::Deadlines;
use crate::hash::xxh64::xxh64;

/// A table from slots to nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maglev {
    slots: Vec<u16>,
}

/// The slots in the order of a node: `offset`, then each `skip` further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The first slot.
    pub offset: u64,
    /// How far it is to the next.
    pub skip: u64,
}

/// A slot of no node.
const FREE: u16 = u16::MAX;

// === impl Order ===

impl Order {
    /// The order of the node `name`: XXH64 with seeds 0 and 1, as in Envoy. `size` is prime.
    #[must_use]
    pub fn of(name: &str, size: u32) -> Self {
        let size = u64::from(size);
        let rest = |seed, bound: u64| xxh64(name.as_bytes(), seed).checked_rem(bound).unwrap_or(0);
        Self { offset: rest(0, size), skip: rest(1, size.saturating_sub(1)).saturating_add(1) }
    }
}

// === impl Maglev ===

impl Maglev {
    /// A table of `size` slots, a prime number, for nodes sorted by name: their names and weights.
    /// Envoy's default size is 65,537; 100 times the nodes keeps shares within 1 %. Nodes beyond
    /// the 65,535th have no slots.
    pub fn new<'n>(nodes: impl Iterator<Item = (&'n str, u32)>, size: u32) -> Self {
        let nodes: Vec<_> = nodes.map(|(name, weight)| (Order::of(name, size), weight)).collect();
        Self::of_orders(&nodes, size)
    }

    /// A table of nodes with these orders and weights.
    #[must_use]
    pub fn of_orders(nodes: &[(Order, u32)], size: u32) -> Self {
        let nodes = nodes.get(..usize::from(FREE)).unwrap_or(nodes);
        let most = nodes.iter().map(|(_, weight)| *weight).max().unwrap_or(0);
        let mut slots = alloc::vec![FREE; if most > 0 { size as usize } else { 0 }];
        let mut at: Vec<u64> = nodes.iter().map(|(order, _)| order.offset).collect();
        let mut had = alloc::vec![0_u64; nodes.len()];
        // Who has a weight has the first round; who had k turns waits for round ⌈k·most/weight⌉.
        let first = (0..).zip(nodes).filter(|(_, (_, weight))| *weight > 0).map(|(node, _)| (1, node));
        let mut turns = Deadlines::new(first.collect());
        let mut left = slots.len();
        while let Some((round, node)) = turns.first().filter(|_| left > 0) {
            let index = node as usize;
            let (Some((order, weight)), Some(at), Some(had)) =
                (nodes.get(index), at.get_mut(index), had.get_mut(index))
            else {
                break;
            };
            if !take(&mut slots, at, order.skip, u16::try_from(node).unwrap_or(FREE)) {
                turns.retire();
                continue;
            }
            left = left.saturating_sub(1);
            *had = had.saturating_add(1);
            let next = had.saturating_mul(most.into()).div_ceil(u64::from((*weight).max(1)));
            turns.postpone(next.saturating_sub(round).max(1));
        }
        Self { slots }
    }

    /// The node that has `hash`, by its place; `None` when no node has a slot.
    #[must_use]
    pub fn at(&self, hash: u64) -> Option<usize> {
        let slot = hash.checked_rem(self.slots.len() as u64)?;
        let node = self.slots.get(usize::try_from(slot).ok()?)?;
        (*node != FREE).then(|| usize::from(*node))
    }

    /// Who has each slot.
    #[must_use]
    pub fn slots(&self) -> &[u16] {
        &self.slots
    }
}

/// Gives `node` the first free slot of its order, which goes on at `at`; whether there is one.
/// The order of a prime size meets every slot, that of another may not.
fn take(slots: &mut [u16], at: &mut u64, skip: u64, node: u16) -> bool {
    let size = slots.len() as u64;
    for _ in 0..slots.len() {
        let slot = usize::try_from(*at).ok().and_then(|at| slots.get_mut(at));
        *at = at.saturating_add(skip).checked_rem(size).unwrap_or(0);
        if let Some(slot) = slot.filter(|slot| **slot == FREE) {
            *slot = node;
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_size_and_nodes_there_is_a_table() {
        let nodes = |n: usize| ["a", "b", "c"].into_iter().zip([3, 0, 65_535]).take(n);
        assert_eq!(Maglev::new(nodes(0), 7).at(3), None);
        assert_eq!(Maglev::new(nodes(1), 0).at(3), None);
        assert_eq!(Maglev::new(nodes(1), 1).at(3), Some(0));
        assert_eq!(Maglev::new(["z"].into_iter().zip([0]), 7).at(3), None);
        let table = Maglev::new(nodes(3), 251);
        let count = |node| table.slots().iter().filter(|slot| **slot == node).count();
        assert_eq!((count(0), count(1), count(2)), (1, 0, 250));
        // Not a prime: slots may stay free, and nothing hangs.
        let _ = Maglev::new(nodes(3), 100);
    }
}
