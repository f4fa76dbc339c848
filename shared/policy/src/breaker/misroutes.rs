//! Fallbacks that requests did not arrive at, because no route of Envoy obeys the header.
//!
//! Envoy chooses the route behind the last filter, so where a fallback led shows with the response. A
//! request that went to the cluster where it came from was misrouted. For a while no other that would
//! have gone there falls back this way: the cluster is the one that fails.

use alloc::vec::Vec;
use core::cell::RefCell;

use crate::hash::xxh64::xxh64;

/// What one worker learned of fallbacks.
#[derive(Debug, Default)]
pub(super) struct Misroutes {
    known: RefCell<Vec<Misroute>>,
}

/// A request that fell back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FellBack {
    /// The breaker that refused it.
    pub(super) from: usize,
    /// The breaker of the cluster that it should go to.
    pub(super) to: usize,
    /// The [`number`] of the cluster that it would go to without a header.
    pub(super) origin: u64,
}

#[derive(Clone, Copy, Debug)]
struct Misroute {
    to: usize,
    origin: u64,
    until_ms: u64,
}

/// How long a fallback is left out that did not work: routes can change.
const AVOIDED_MS: u64 = 10_000;
/// How many are remembered: as many as clusters that fall back, for most configurations.
const MOST: usize = 64;

/// What stands for a cluster.
pub(super) fn number(cluster: &[u8]) -> u64 {
    xxh64(cluster, 0)
}

// === impl Misroutes ===

impl Misroutes {
    /// Whether a request from a cluster should not try the fallback whose breaker is `to`.
    pub(super) fn avoids(&self, to: usize, origin: u64, now_ms: u64) -> bool {
        self.known.borrow().iter().any(|known| known.is(to, origin) && now_ms < known.until_ms)
    }

    /// A request did not arrive.
    pub(super) fn learn(&self, FellBack { to, origin, .. }: FellBack, now_ms: u64) {
        let mut known = self.known.borrow_mut();
        known.retain(|known| now_ms < known.until_ms && !known.is(to, origin));
        if known.len() < MOST {
            known.push(Misroute { to, origin, until_ms: now_ms.saturating_add(AVOIDED_MS) });
        }
    }
}

// === impl Misroute ===

impl Misroute {
    fn is(&self, to: usize, origin: u64) -> bool {
        self.to == to && self.origin == origin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fallback_is_avoided_for_a_while_and_only_from_where_it_failed() {
        let misroutes = Misroutes::default();
        assert!(!misroutes.avoids(1, 7, 1_000));
        misroutes.learn(FellBack { from: 0, to: 1, origin: 7 }, 1_000);
        let cases = [
            (1, 7, 1_000, true),
            (1, 7, 10_999, true),
            (1, 7, 11_000, false),
            (2, 7, 1_000, false),
            (1, 8, 1_000, false),
        ];
        for (to, origin, now_ms, expected) in cases {
            assert_eq!(misroutes.avoids(to, origin, now_ms), expected, "{to} {origin} {now_ms}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_passes() {
        let misroutes = Misroutes::default();
        for origin in 0..1_000 {
            misroutes.learn(FellBack { from: 0, to: 1, origin }, origin);
            misroutes.learn(FellBack { from: 0, to: 1, origin }, origin);
        }
        assert_eq!(misroutes.known.borrow().len(), MOST);
        misroutes.learn(FellBack { from: 0, to: 1, origin: 5_000 }, 20_000);
        assert_eq!(misroutes.known.borrow().len(), 1);
    }
}
