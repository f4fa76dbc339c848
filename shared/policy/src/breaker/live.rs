//! Which breakers the configurations of a worker have: so that the last one with a breaker clears
//! what its gauges show.
//!
//! A gauge belongs to the proxy and outlives every configuration. While an old listener drains beside
//! its successor both set it, on every worker. Each worker counts the configurations that have a
//! breaker; the one that goes last sets the gauges to 0, on each worker, so that the last worker does
//! it after all others have stopped. Another VM of the same worker, with another module, is not known
//! here: its next tick sets the gauges again.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use crate::http::Placement;

/// What the configurations of this worker have, in both placements.
#[derive(Debug, Default)]
pub struct Live {
    /// How many of them have each breaker.
    known: RefCell<Vec<(u32, u32)>>,
    /// Whether one of them is, or was, for a filter at a listener, and for one around attempts.
    placements: [Cell<bool>; 2],
}

// === impl Live ===

impl Live {
    /// One more configuration has the breaker of this number.
    pub(super) fn join(&self, number: u32) {
        let mut known = self.known.borrow_mut();
        match known.iter_mut().find(|(of, _)| *of == number) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => known.push((number, 1)),
        }
    }

    /// A configuration is for a filter that stands here.
    pub(super) fn see(&self, placement: Placement) {
        if let Some(seen) = self.placements.get(placement as usize) {
            seen.set(true);
        }
    }

    /// Whether there are, or were, filters in both placements.
    pub(super) fn has_both(&self) -> bool {
        self.placements.iter().all(Cell::get)
    }

    /// A configuration that has it goes; whether it was the last.
    pub(super) fn leave(&self, number: u32) -> bool {
        let mut known = self.known.borrow_mut();
        for (_, count) in known.iter_mut().filter(|(of, _)| *of == number) {
            *count = count.saturating_sub(1);
        }
        known.retain(|(_, count)| *count > 0);
        known.iter().all(|(of, _)| *of != number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_breaker_is_the_last() {
        let live = Live::default();
        [1, 2, 1].iter().for_each(|number| live.join(*number));
        assert_eq!([1, 2, 1, 1].map(|number| live.leave(number)), [false, true, true, true]);
    }
}
