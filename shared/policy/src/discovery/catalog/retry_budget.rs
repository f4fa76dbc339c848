//! How many requests of one service a worker may send again.
//!
//! Each request saves a part of an attempt, each further attempt spends a whole one. So a service that fails
//! gets at most that part more than its load, however long it fails and however the load is shaped. What is
//! saved is bounded by what one endpoint's death may need at once: twice what the busiest had in flight, when one of
//! the last few hundred requests was sent there. Not by a mean of all endpoints: many may have no part of the requests,
//! as those of a fallback have none.
//!
//! So it is a bound of the sum, not of each second: what a long good time saved may be spent in a short bad one.
//!
//! An attempt after a refused connection spends nothing: the service has seen no byte of the request.

use core::cell::Cell;

use crate::discovery::config::policy::Retry;

/// The retry budget of one service on one worker.
///
/// ```
/// use tidegate_policy::discovery::catalog::retry_budget::RetryBudget;
///
/// let budget = RetryBudget::new(20, 1);
/// assert!(budget.take() && !budget.take(), "there is one to begin with");
/// (0..5).for_each(|_| budget.save(0));
/// assert!(budget.take() && !budget.has_room(), "20 % of five");
/// ```
#[derive(Debug)]
pub struct RetryBudget {
    percent: u32,
    least: u32,
    /// In hundredths of an attempt.
    saved: Cell<u64>,
    /// What the busiest endpoint had in flight, in [`PART`]s of a request.
    busiest: Cell<u64>,
}

/// What an attempt costs.
const ATTEMPT: u64 = 100;
/// How much more than it had an endpoint may have by the time that it dies.
const UNEVEN: u64 = 2;
/// With each request such a part of what the busiest endpoint had is forgotten.
const PART: u64 = 256;

// === impl RetryBudget ===

impl RetryBudget {
    /// A budget to which each request adds `percent` of an attempt, and which holds at least `least`
    /// attempts, with which it begins.
    #[must_use]
    pub fn new(percent: u32, least: u32) -> Self {
        Self {
            percent,
            least,
            saved: Cell::new(ATTEMPT.saturating_mul(least.into())),
            busiest: Cell::default(),
        }
    }

    /// The budget that a configuration has.
    #[must_use]
    pub fn of(retry: &Retry) -> Self {
        Self::new(retry.budget_percent, retry.min_concurrency)
    }

    /// A request begins, to an endpoint with as many in flight.
    pub fn save(&self, in_flight: u32) {
        let before = self.busiest.get();
        let faded = before.saturating_sub(before.div_ceil(PART));
        let busiest = u64::from(in_flight).saturating_mul(PART).max(faded);
        self.busiest.set(busiest);
        let share = busiest.div_ceil(PART).saturating_mul(UNEVEN);
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
