//! How many requests of one service a worker may send again.
//!
//! Each request saves a part of an attempt, each further attempt spends a whole one. So a service that fails
//! gets at most that part more than its load, however long it fails and however the load is shaped. What is
//! saved is bounded by what one endpoint's death may need at once: twice its part of the requests in flight,
//! because parts are uneven.
//!
//! An attempt after a refused connection spends nothing: the service has seen no byte of the request.

use alloc::rc::Rc;
use core::cell::Cell;

use crate::balance::ServiceLoad;
use crate::discovery::config::policy::Retry;

/// The retry budget of one service on one worker.
///
/// ```
/// use tidegate_policy::balance::{ServiceLoad, DEFAULT_DECAY};
/// use tidegate_policy::discovery::catalog::retry_budget::RetryBudget;
///
/// let budget = RetryBudget::new(&ServiceLoad::new(DEFAULT_DECAY), 20, 1);
/// assert!(budget.take() && !budget.take(), "there is one to begin with");
/// (0..5).for_each(|_| budget.save(3));
/// assert!(budget.take() && !budget.has_room(), "20 % of five");
/// ```
#[derive(Debug)]
pub struct RetryBudget {
    requests: Rc<ServiceLoad>,
    percent: u32,
    least: u32,
    /// In hundredths of an attempt.
    saved: Cell<u64>,
}

/// What an attempt costs.
const ATTEMPT: u64 = 100;
/// How much more than its even part of the requests one endpoint may have.
const UNEVEN: u64 = 2;

// === impl RetryBudget ===

impl RetryBudget {
    /// A budget to which each request adds `percent` of an attempt, and which holds at least `least`
    /// attempts, with which it begins. `requests` knows how many are in flight to the service.
    #[must_use]
    pub fn new(requests: &Rc<ServiceLoad>, percent: u32, least: u32) -> Self {
        Self {
            requests: Rc::clone(requests),
            percent,
            least,
            saved: Cell::new(ATTEMPT.saturating_mul(least.into())),
        }
    }

    /// The budget that a configuration has.
    #[must_use]
    pub fn of(requests: &Rc<ServiceLoad>, retry: &Retry) -> Self {
        Self::new(requests, retry.budget_percent, retry.min_concurrency)
    }

    /// A request begins, to a service with as many endpoints.
    pub fn save(&self, endpoints: u32) {
        let active = u64::from(self.requests.active());
        let share = active.div_ceil(endpoints.max(1).into()).saturating_mul(UNEVEN).min(active);
        let most = share.max(self.least.into()).saturating_mul(ATTEMPT);
        let (saved, part) = (self.saved.get(), u64::from(self.percent));
        // What a larger load saved is given up as slowly as it was saved.
        let next = if saved > most {
            saved.saturating_sub(part).max(most)
        } else {
            saved.saturating_add(part).min(most)
        };
        self.saved.set(next);
    }

    /// Whether one more attempt is saved.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.saved.get() >= ATTEMPT
    }

    /// Spends one attempt, if one is saved.
    #[must_use]
    pub fn take(&self) -> bool {
        let has_room = self.has_room();
        if has_room {
            self.saved.set(self.saved.get().saturating_sub(ATTEMPT));
        }
        has_room
    }

    /// An attempt that was taken was not sent.
    pub fn give_back(&self) {
        self.saved.set(self.saved.get().saturating_add(ATTEMPT));
    }
}
