//! Fallbacks that requests did not arrive at, because no route of Envoy obeys the header.
//!
//! Envoy chooses the route behind the last filter, so where a fallback led shows with the response. A
//! request that went to the cluster where it came from was misrouted. For a while no other that would
//! have gone there from the same route falls back this way: the cluster is the one that fails. A client may
//! know a route that leads to the same cluster and obeys no header, such as one for `CONNECT`. So where another
//! request arrived, one that did not says nothing.

use alloc::vec::Vec;
use core::cell::RefCell;

use crate::hash::xxh64::xxh64;

/// What one worker learned of fallbacks.
#[derive(Debug, Default)]
pub(super) struct Misroutes {
    known: RefCell<Vec<Known>>,
}

/// A request that fell back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FellBack {
    /// The breaker that refused it.
    pub(super) from: usize,
    /// The way that it should take.
    pub(super) path: Path,
    /// Whether a header of the client's may have chosen its route, so that it says nothing of others.
    pub(super) forged: bool,
}

/// From where to where requests fall back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// The breaker of the cluster that it leads to.
    pub(super) to: usize,
    /// The [`number`] of the cluster that a request would go to without a header.
    pub(super) origin: u64,
    /// The [`number`] of the name of its route.
    pub(super) route: u64,
}

/// What the last request showed that fell back along a path.
#[derive(Clone, Copy, Debug)]
struct Known {
    path: Path,
    arrived: bool,
    until_ms: u64,
}

/// How long a fallback is left out that did not work, and how long one that did is believed: routes can
/// change.
const KNOWN_MS: u64 = 10_000;
/// How many are remembered: as many as clusters that fall back, for most configurations.
const MOST: usize = 64;

/// What stands for a cluster, or a route.
pub(super) fn number(name: &[u8]) -> u64 {
    xxh64(name, 0)
}

// === impl Misroutes ===

impl Misroutes {
    /// Whether a request should not try this fallback.
    pub(super) fn avoids(&self, path: Path, now_ms: u64) -> bool {
        let known = self.known.borrow();
        known.iter().any(|known| !known.arrived && known.path == path && now_ms < known.until_ms)
    }

    /// A request arrived, or did not.
    pub(super) fn learn(&self, FellBack { path, forged, .. }: FellBack, arrived: bool, now_ms: u64) {
        if forged {
            return;
        }
        let mut known = self.known.borrow_mut();
        known.retain(|known| now_ms < known.until_ms && (known.path != path || known.arrived && !arrived));
        if known.iter().any(|known| known.path == path) {
            return;
        }
        if known.len() >= MOST {
            // The one that is known for longest.
            known.remove(0);
        }
        known.push(Known { path, arrived, until_ms: now_ms.saturating_add(KNOWN_MS) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(to: usize, origin: u64, route: u64) -> Path {
        Path { to, origin, route }
    }

    #[test]
    fn a_fallback_is_avoided_for_a_while_and_only_from_where_it_failed() {
        let misroutes = Misroutes::default();
        assert!(!misroutes.avoids(path(1, 7, 3), 1_000));
        misroutes.learn(FellBack { from: 0, path: path(1, 7, 3), forged: false }, false, 1_000);
        let cases = [
            (path(1, 7, 3), 1_000, true),
            (path(1, 7, 3), 10_999, true),
            (path(1, 7, 3), 11_000, false),
            (path(2, 7, 3), 1_000, false),
            (path(1, 8, 3), 1_000, false),
            (path(1, 7, 4), 1_000, false),
        ];
        for (path, now_ms, expected) in cases {
            assert_eq!(misroutes.avoids(path, now_ms), expected, "{path:?} {now_ms}");
        }
    }

    #[test]
    fn where_one_arrives_no_other_says_that_the_fallback_does_not_work() {
        let path = path(1, 7, 3);
        let honest = FellBack { from: 0, path, forged: false };
        let forged = FellBack { forged: true, ..honest };
        #[rustfmt::skip]
        let cases = [
            // name                       what arrived, when                                     avoided at 12 s
            ("arrived before",            &[(honest, true, 2_001), (honest, false, 12_000)][..], false),
            ("arrived long before",       &[(honest, true, 2_000), (honest, false, 12_000)],     true),
            ("arrived after",             &[(honest, false, 11_000), (honest, true, 12_000)],    false),
            ("by a client's header",      &[(forged, false, 12_000)],                            false),
            ("arrived by such a header",  &[(honest, false, 11_000), (forged, true, 12_000)],    true),
        ];
        for (name, story, expected) in cases {
            let misroutes = Misroutes::default();
            story.iter().for_each(|(one, arrived, at_ms)| misroutes.learn(*one, *arrived, *at_ms));
            assert_eq!(misroutes.avoids(path, 12_000), expected, "{name}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_passes() {
        let misroutes = Misroutes::default();
        let not_arrived = |origin| FellBack { from: 0, path: path(1, origin, 3), forged: false };
        for origin in 0..1_000 {
            misroutes.learn(not_arrived(origin), false, origin);
            misroutes.learn(not_arrived(origin), false, origin);
            assert!(misroutes.avoids(path(1, origin, 3), origin));
        }
        assert_eq!(misroutes.known.borrow().len(), MOST);
        misroutes.learn(not_arrived(5_000), false, 20_000);
        assert_eq!(misroutes.known.borrow().len(), 1);
    }
}
