//! How many requests of one service a worker may be retrying at one time.

use alloc::rc::Rc;
use core::cell::Cell;

use crate::balance::ServiceLoad;
use crate::discovery::config::policy::Retry;

/// The retry budget of one service on one worker, as Envoy's: a share of the requests in flight, and
/// a few in any case, so that retries cannot multiply the load of a service that fails.
#[derive(Debug)]
pub struct RetryBudget {
    requests: Rc<ServiceLoad>,
    percent: u32,
    min_concurrency: u32,
    in_flight: Cell<u32>,
}

// === impl RetryBudget ===

impl RetryBudget {
    /// A budget of which nothing is taken. `requests` knows how many are in flight to the service.
    #[must_use]
    pub fn new(requests: &Rc<ServiceLoad>, retry: &Retry) -> Self {
        Self {
            requests: Rc::clone(requests),
            percent: retry.budget_percent,
            min_concurrency: retry.min_concurrency,
            in_flight: Cell::default(),
        }
    }

    /// Whether one more request may be retried.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let share = u64::from(self.requests.active()).saturating_mul(self.percent.into());
        let most = share.checked_div(100).unwrap_or(0).max(self.min_concurrency.into());
        u64::from(self.in_flight.get()) < most
    }

    /// Takes room for one retry, if there is any; it stays taken until [`RetryBudget::release`].
    #[must_use]
    pub fn take(&self) -> bool {
        let has_room = self.has_room();
        if has_room {
            self.in_flight.set(self.in_flight.get().saturating_add(1));
        }
        has_room
    }

    /// A retry is over.
    pub fn release(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
    }
}
