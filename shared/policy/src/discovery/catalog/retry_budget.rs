//! How many requests of one service a worker may send again.
//!
//! Each request saves a part of an attempt, each further attempt spends a whole one. So a service that fails
//! gets at most that part more than its load, however long it fails and however the load is shaped. What is
//! saved is bounded by what one endpoint's death may need at once: twice what the busiest had in flight, when one of
//! the last few hundred requests was sent there, and a half more for clients that need few. Not by a mean of all
//! endpoints: many may have no part of the requests, as those of a fallback have none.
//!
//! A client whose requests fail wherever they go would spend what all clients save. So the last third is for those that
//! are not among the few that want the most ([`crate::discovery::catalog::spenders`]). Where all requests come from one
//! address, twice what the busiest had is left.
//!
//! So it is a bound of the sum, not of each second: what a long good time saved may be spent in a short bad one.
//!
//! An attempt after a refused connection spends nothing: the service has seen no byte of the request.

use core::cell::Cell;
use core::net::IpAddr;

use crate::discovery::catalog::spenders::{self, Spenders};
use crate::discovery::config::policy::Retry;

/// The retry budget of one service on one worker.
///
/// ```
/// use tidegate_policy::discovery::catalog::retry_budget::RetryBudget;
///
/// let budget = RetryBudget::new(20, 1);
/// assert!(budget.take(None) && !budget.take(None), "there is one to begin with");
/// (0..5).for_each(|_| budget.save(0));
/// assert!(budget.take(None) && !budget.has_room(&|| None), "20 % of five");
/// ```
#[derive(Debug)]
pub struct RetryBudget {
    percent: u32,
    least: u32,
    /// In hundredths of an attempt.
    saved: Cell<u64>,
    /// What the busiest endpoint had in flight, in [`PART`]s of a request.
    busiest: Cell<u64>,
    /// Requests until spenders are half forgotten.
    remembers: Cell<u64>,
    spenders: Cell<Spenders>,
}

/// What an attempt costs.
const ATTEMPT: u64 = 100;
/// How much more than it had an endpoint may have by the time that it dies.
const UNEVEN: u64 = 2;
/// Half as much more may be saved,
const MORE: u64 = 2;
/// which is this part of all, and kept for clients that want few.
const KEPT: u64 = 3;
/// With each request such a part of what the busiest endpoint had is forgotten.
const PART: u64 = 256;

// === impl RetryBudget ===

impl RetryBudget {
    /// A budget to which each request adds `percent` of an attempt, and which holds at least `least`
    /// attempts, with which it begins.
    #[must_use]
    pub fn new(percent: u32, least: u32) -> Self {
        let budget = Self {
            percent,
            least,
            saved: Cell::default(),
            busiest: Cell::default(),
            remembers: Cell::new(PART),
            spenders: Cell::default(),
        };
        budget.saved.set(budget.most());
        budget
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
        match self.remembers.get().checked_sub(1) {
            Some(left) => self.remembers.set(left),
            None => self.fade(),
        }
        let most = self.most();
        let (saved, part) = (self.saved.get(), u64::from(self.percent));
        // What a larger load saved is given up as slowly as it was saved.
        let next = if saved > most {
            saved.saturating_sub(part).max(most)
        } else {
            saved.saturating_add(part).min(most)
        };
        self.saved.set(next);
    }

    /// The most that may be saved.
    fn most(&self) -> u64 {
        let share = self.busiest.get().div_ceil(PART).saturating_mul(UNEVEN);
        let most = share.max(self.least.into()).saturating_mul(ATTEMPT);
        most.saturating_add(most / MORE)
    }

    /// The part of it that is for clients that want few.
    fn kept(&self) -> u64 {
        self.most() / KEPT
    }

    #[inline(never)]
    fn fade(&self) {
        self.remembers.set(PART);
        let mut spenders = self.spenders.get();
        spenders.fade();
        self.spenders.set(spenders);
    }

    /// Whether one more attempt is saved for a client, which is only asked for when that matters.
    #[must_use]
    pub fn has_room(&self, client: &dyn Fn() -> Option<IpAddr>) -> bool {
        let Some(left) = self.saved.get().checked_sub(ATTEMPT) else { return false };
        let spenders = self.spenders.get();
        left >= self.kept() || !spenders.has_any() || !spenders.has(spenders::client(client()))
    }

    /// Spends one attempt for a client, if one is saved for it.
    #[must_use]
    #[inline(never)]
    pub fn take(&self, client: Option<IpAddr>) -> bool {
        let mut spenders = self.spenders.get();
        spenders.wants(spenders::client(client));
        self.spenders.set(spenders);
        let has_room = self.has_room(&|| client);
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

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[test]
    fn a_client_is_asked_for_only_while_some_client_wants_many() {
        let (budget, asked) = (RetryBudget::new(20, 20), Cell::new(0));
        let client = |number: u32| Some(IpAddr::V4(Ipv4Addr::from_bits(number)));
        let room = |number: u32| {
            budget.has_room(&|| {
                asked.set(asked.get() + 1);
                client(number)
            })
        };
        // All want few, until nothing is left.
        for number in 1..=30 {
            assert!(room(number) && budget.take(client(number)), "{number}");
        }
        assert!(!room(31) && asked.get() == 0);
        (0..25).for_each(|_| budget.save(0));
        let had = (0..10).filter(|_| budget.take(client(40))).count();
        assert!((1..10).contains(&had) && asked.get() == 0, "{had}");
        (0..25).for_each(|_| budget.save(0));
        assert!(!room(40) && room(41), "of what is kept");
        assert_eq!(asked.get(), 2);
    }
}
