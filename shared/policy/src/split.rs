//! Splitting traffic by weight, for requests that stick to nothing.
//!
//! [`RoundRobin`] is nginx's smooth weighted round robin: in any Σw/gcd consecutive picks each has
//! exactly its share, as evenly spread as can be. It is a worker's own, and starts in a phase
//! drawn at random, so that workers that start together do not send the same burst. [`Alias`]
//! (Vose, 1991) has no state: one draw, one pick, exact over all draws. Normative
//! are the vectors `wrr` and `alias`.

use alloc::vec::Vec;

use crate::hash::xxh64::xxh64;

/// Smooth weighted round robin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoundRobin {
    peers: Vec<Peer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer {
    weight: u32,
    /// The weight, less what failures took and did not give back yet.
    effective: i64,
    current: i64,
}

/// A table that turns a draw into a pick.
///
/// ```
/// use tidegate_policy::split::Alias;
///
/// let alias = Alias::new(&[3, 1]).unwrap();
/// // The draws 0, 1/8, … 7/8 of all: three quarters of them pick the first.
/// let picks: Vec<usize> = (0..8).map(|eighth: u64| alias.pick(eighth << 61)).collect();
/// assert_eq!(picks.iter().filter(|pick| **pick == 0).count(), 6);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    total: u64,
    /// For each slot: below which `u` it is itself, and who it is otherwise.
    slots: Vec<(u64, usize)>,
}

/// Most dry rounds when a round robin starts.
const MAX_PHASE: u64 = 4096;

/// A draw for one purpose out of a request's own, so that several decisions on one request
/// do not depend on each other.
#[must_use]
pub fn derive(draw: u64, purpose: u64) -> u64 {
    xxh64(&draw.to_le_bytes(), purpose)
}

/// A number below `bound` out of a draw, as evenly as 64 bits allow; 0 for a bound of 0.
#[must_use]
pub fn below(draw: u64, bound: u64) -> u64 {
    let scaled = u128::from(draw).saturating_mul(u128::from(bound)) >> 64;
    u64::try_from(scaled).unwrap_or(0)
}

// === impl RoundRobin ===

impl RoundRobin {
    /// A round robin at the beginning of its cycle.
    #[must_use]
    pub fn new(weights: &[u32]) -> Self {
        let peer = |weight: &u32| Peer { weight: *weight, effective: i64::from(*weight), current: 0 };
        Self { peers: weights.iter().map(peer).collect() }
    }

    /// A round robin somewhere in its cycle, where `draw` says.
    #[must_use]
    pub fn anywhere(weights: &[u32], draw: u64) -> Self {
        let mut robin = Self::new(weights);
        for _ in 0..below(draw, robin.period().min(MAX_PHASE)) {
            let _ = robin.pick();
        }
        robin
    }

    /// Picks after which everything repeats: Σw/gcd; 0 when there is nothing to pick.
    #[must_use]
    pub fn period(&self) -> u64 {
        let weights = || self.peers.iter().map(|peer| u64::from(peer.weight));
        let sum = weights().fold(0_u64, u64::saturating_add);
        sum.checked_div(weights().fold(0, gcd)).unwrap_or(0)
    }

    /// The index whose turn it is; `None` when all weights are 0.
    #[must_use]
    pub fn pick(&mut self) -> Option<usize> {
        let mut total = 0_i64;
        let mut best: Option<(usize, i64)> = None;
        for (index, peer) in self.peers.iter_mut().enumerate() {
            peer.current = peer.current.saturating_add(peer.effective);
            total = total.saturating_add(peer.effective);
            if peer.effective < i64::from(peer.weight) {
                peer.effective = peer.effective.saturating_add(1);
            }
            if peer.weight > 0 && best.is_none_or(|(_, most)| peer.current > most) {
                best = Some((index, peer.current));
            }
        }
        let (index, _) = best?;
        if let Some(peer) = self.peers.get_mut(index) {
            peer.current = peer.current.saturating_sub(total);
        }
        Some(index)
    }

    /// The one at `index` failed: it loses the `max_fails`th part of its weight, and gets
    /// it back by one a round.
    pub fn failed(&mut self, index: usize, max_fails: u32) {
        if let Some(peer) = self.peers.get_mut(index) {
            let lost = peer.weight.checked_div(max_fails).unwrap_or(0);
            peer.effective = peer.effective.saturating_sub(i64::from(lost)).max(0);
        }
    }

    /// How far ahead of its share each is.
    pub fn currents(&self) -> impl Iterator<Item = i64> + '_ {
        self.peers.iter().map(|peer| peer.current)
    }
}

// === impl Alias ===

impl Alias {
    /// The table of these weights; `None` when all are 0.
    #[must_use]
    pub fn new(weights: &[u32]) -> Option<Self> {
        let total = weights.iter().fold(0_u64, |sum, weight| sum.saturating_add(u64::from(*weight)));
        if total == 0 {
            return None;
        }
        let n = weights.len() as u64;
        let mut left: Vec<u64> = weights.iter().map(|w| u64::from(*w).saturating_mul(n)).collect();
        let mut slots: Vec<(u64, usize)> = (0..weights.len()).map(|index| (total, index)).collect();
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for (index, part) in left.iter().enumerate() {
            if *part < total { &mut small } else { &mut large }.push(index);
        }
        while let (Some(&less), Some(&more)) = (small.last(), large.last()) {
            small.pop();
            large.pop();
            let given = left.get(less).copied().unwrap_or(0);
            if let Some(slot) = slots.get_mut(less) {
                *slot = (given, more);
            }
            let Some(rest) = left.get_mut(more) else { break };
            *rest = rest.saturating_add(given).saturating_sub(total);
            if *rest < total { &mut small } else { &mut large }.push(more);
        }
        Some(Self { total, slots })
    }

    /// Σw: `u` of [`Alias::at`] is below it.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// For each slot: below which `u` it picks itself, and which index otherwise.
    #[must_use]
    pub fn slots(&self) -> &[(u64, usize)] {
        &self.slots
    }

    /// Who has `u` in `slot`.
    #[must_use]
    pub fn at(&self, slot: usize, u: u64) -> usize {
        match self.slots.get(slot) {
            Some((own, other)) if u >= *own => *other,
            _ => slot,
        }
    }

    /// Who is picked for 64 random bits.
    #[must_use]
    pub fn pick(&self, draw: u64) -> usize {
        let n = self.slots.len() as u64;
        let slot = usize::try_from(below(draw, n)).unwrap_or(0);
        // What is left of the draw within its slot is as random as the draw.
        self.at(slot, below(draw.wrapping_mul(n), self.total))
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a.checked_rem(b).unwrap_or(0));
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn run(mut robin: RoundRobin, picks: usize) -> String {
        (0..picks)
            .map(|_| robin.pick().map_or('-', |i| char::from(b'a' + u8::try_from(i).unwrap())))
            .collect()
    }

    #[test]
    fn picks_are_spread_over_the_cycle() {
        assert_eq!(run(RoundRobin::new(&[5, 1, 1]), 7), "aabacaa");
        assert_eq!(run(RoundRobin::new(&[0, 0]), 2), "--");
        assert_eq!(run(RoundRobin::new(&[]), 1), "-");
    }

    #[test]
    fn a_phase_is_a_place_in_the_cycle() {
        assert_eq!(run(RoundRobin::anywhere(&[5, 1, 1], 0), 7), "aabacaa");
        assert_eq!(run(RoundRobin::anywhere(&[5, 1, 1], u64::MAX), 7), "aaabaca");
        assert_eq!(RoundRobin::new(&[900_000, 100_000]).period(), 10);
    }

    #[test]
    fn a_table_without_weights_is_none() {
        assert_eq!(Alias::new(&[0, 0]), None);
        assert_eq!(Alias::new(&[]), None);
        let one = Alias::new(&[0, 3, 0]).unwrap();
        assert!([0, 1 << 63, u64::MAX].iter().all(|draw| one.pick(*draw) == 1));
    }
}
