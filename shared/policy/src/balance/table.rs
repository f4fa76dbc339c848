//! Which member of a level has a hash.
//!
//! A table is made once, of all members of a level, ejected or not: an ejection takes only
//! the member's own keys away, and its return gives it back just these. A key whose member cannot
//! have it walks on along further hashes of its own, so that the keys of one member spread
//! over all others and not onto its neighbour (Chen et al., arXiv 1908.08762).

use alloc::vec::Vec;

use crate::balance::bounded::{overloaded, slots};
use crate::balance::group::Pick;
use crate::balance::maglev::Maglev;
use crate::balance::ring::Ring;
use crate::balance::{Algorithm, Member, View};
use crate::hash::rendezvous::weigh;
use crate::hash::xxh64::xxh64;
use crate::split::derive;

/// The table of one level.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// In the order of their keys, so that all proxies have the same table.
    members: Vec<u32>,
    /// Whether they all weigh the same.
    equal: bool,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Maglev(Maglev),
    /// The hash of each member's key.
    Rendezvous(Vec<u64>),
    Ring(Ring),
}

/// So many steps of a walk.
const STEPS: u64 = 16;

// === impl Table ===

impl Table {
    /// The table of `members`, sorted by key; `None` when the algorithm needs none.
    pub(super) fn new(members: &[u32], algorithm: &Algorithm, view: &View<'_>) -> Option<Self> {
        let key = |index: &u32| view.member(*index).map_or("", |member: &Member| &*member.key);
        let nodes = || members.iter().map(|index| (key(index), view.weight(*index)));
        let kind = match algorithm {
            Algorithm::Maglev { table_size, .. } => Kind::Maglev(Maglev::new(nodes(), *table_size)),
            Algorithm::Rendezvous => {
                Kind::Rendezvous(nodes().map(|(key, _)| xxh64(key.as_bytes(), 0)).collect())
            }
            Algorithm::RingHash { minimum_ring_size, .. } => {
                Kind::Ring(Ring::new(nodes(), *minimum_ring_size))
            }
            _ => return None,
        };
        let equal = nodes().all(|(_, weight)| Some(weight) == nodes().next().map(|(_, first)| first));
        Some(Self { members: members.to_vec(), equal, kind })
    }

    /// The member that has `hash` among those that fit: the pick's and `ours`, which weigh `total` together.
    pub(super) fn aim(
        &self,
        pick: &Pick<'_>,
        hash: u64,
        total: u64,
        ours: &dyn Fn(u32) -> bool,
    ) -> Option<u32> {
        match &self.kind {
            Kind::Maglev(table) => self.walk(pick, hash, total, ours, &|hash| table.at(hash)),
            Kind::Rendezvous(seeds) => self.best(pick, hash, ours, seeds),
            Kind::Ring(ring) => self.walk(pick, hash, total, ours, &|hash| ring.at(hash)),
        }
    }

    /// The first on the way that fits and is not overloaded; else the least overloaded that was
    /// met; `None` when none on the way fits.
    fn walk(
        &self,
        pick: &Pick<'_>,
        hash: u64,
        total: u64,
        ours: &dyn Fn(u32) -> bool,
        at: &dyn Fn(u64) -> Option<usize>,
    ) -> Option<u32> {
        let mut least: Option<(f64, u32)> = None;
        for step in 0..STEPS {
            let hash = if step == 0 { hash } else { derive(hash, step) };
            let index = *self.members.get(at(hash)?)?;
            if !pick.fits(index) || !ours(index) {
                continue;
            }
            let Some(over) = overload(pick, index, total) else { return Some(index) };
            if least.is_none_or(|(known, _)| over < known) {
                least = Some((over, index));
            }
        }
        least.map(|(_, index)| index)
    }

    /// The one with the best score; of equals the first by key.
    fn best(&self, pick: &Pick<'_>, hash: u64, ours: &dyn Fn(u32) -> bool, seeds: &[u64]) -> Option<u32> {
        let mut best: Option<(f64, u32)> = None;
        for (index, seed) in self.members.iter().zip(seeds) {
            let own = derive(hash, *seed);
            // Among equals the score grows with the hash: no logarithm then.
            let score = if self.equal { (own >> 11) as f64 } else { weigh(own, pick.view.weight(*index)) };
            if best.is_none_or(|(top, _)| score > top) && ours(*index) && pick.fits(*index) {
                best = Some((score, *index));
            }
        }
        best.map(|(_, index)| index)
    }
}

/// How much more than its part of `total` a member has; `None` when it has no more.
fn overload(pick: &Pick<'_>, index: u32, total: u64) -> Option<f64> {
    let factor = pick.policy.algorithm.balance_factor()?;
    let load = pick.view.load(index)?;
    let slots = slots(load.service_active(), factor, pick.view.weight(index), total);
    overloaded(load.active(), slots).then(|| f64::from(load.active()) / slots as f64)
}
