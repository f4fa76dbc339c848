//! In which cluster of Envoy the requests for a service, or for a variant, arrive.
//!
//! Such a target says nothing of it, and Envoy chooses the route behind the last filter: it shows with the
//! response. To ask costs as much as a small filter, so it is asked of one response between two ticks, and
//! only where a breaker falls back to another cluster. There it tells whether a request that fell back went
//! to the failing cluster all the same.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use super::config::Breaker;
use super::exchange::Exchange;
use super::misroutes;
use crate::breaker::config::target::Fallback;
use crate::http::{Attribute, Response, ResponseExt};

/// What one worker learned of the clusters in which targets are.
#[derive(Debug)]
pub(super) struct Reached {
    /// Whether any breaker wants to know.
    wanted: bool,
    /// Whether the next response is asked.
    due: Cell<bool>,
    /// By breaker, what stands for the cluster that a request of it reached last.
    known: RefCell<Vec<Option<u64>>>,
}

// === impl Reached ===

impl Reached {
    pub(super) fn new(breakers: &[Breaker]) -> Self {
        let leads_on = |breaker: &Breaker| {
            breaker.fallback.iter().any(|fallback| matches!(fallback, Fallback::Cluster { .. }))
        };
        Self {
            wanted: breakers.iter().any(|breaker| breaker.target.is_by_choice() && leads_on(breaker)),
            due: Cell::new(false),
            known: RefCell::new(alloc::vec![None; breakers.len()]),
        }
    }

    /// Has the next response asked.
    pub(super) fn tick(&self) {
        self.due.set(self.wanted);
    }

    /// Asks a response where it is from, if that is due.
    pub(super) fn learn(&self, exchange: &Exchange, response: &impl Response) {
        if !self.due.get() || exchange.first.is_none() {
            return;
        }
        self.due.set(false);
        if response.attempts().is_none_or(|attempts| attempts == 0) {
            return;
        }
        let Some(cluster) = response.attribute(Attribute::Cluster) else { return };
        let mut known = self.known.borrow_mut();
        for ticket in exchange.first.iter().chain(&exchange.more) {
            if let Some(known) = known.get_mut(ticket.breaker) {
                *known = Some(misroutes::number(&cluster));
            }
        }
    }

    /// Whether requests of the breaker at `at` were seen to reach this cluster.
    pub(super) fn is_of(&self, at: usize, cluster: &[u8]) -> bool {
        self.known.borrow().get(at).copied().flatten() == Some(misroutes::number(cluster))
    }
}
