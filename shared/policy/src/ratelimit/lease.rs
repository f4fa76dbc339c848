//! Leases: units taken from a bucket together and spent from a worker's memory.
//!
//! A lease is charged when it is taken, *as of the instant at which it ends*. That is
//! what keeps it exact: whenever a leased unit is spent, the bucket has already moved at
//! least one interval past that instant for it, so in no window of any length are more
//! requests admitted than `burst + window / T`, however many workers hold leases. (Charged
//! as of the instant of taking, the bucket would refill behind the lease's back.) What is not
//! spent in time is given back as far as that is exact, too. ADR 0009 has the proof.
//!
//! How large and how long: a lease ends after at most 1/128 of the bucket's capacity, so
//! that its early charge costs less than 1 % of the burst; it takes half of what the
//! worker will probably need in that time, so that it is nearly always spent; and at most
//! 1/16 of what is left, so that leases shrink to single units as a bucket empties and the
//! last units are handed out one by one.

use crate::gcra::{Bucket, Rate};
use crate::time::{Span, Timestamp};

/// Bounds of the leases of one limit.
///
/// ```
/// use std::num::NonZeroU32;
/// use tidegate_policy::gcra::{Bucket, Rate};
/// use tidegate_policy::ratelimit::lease::LeaseParams;
/// use tidegate_policy::time::{Span, Timestamp};
///
/// let thousand = NonZeroU32::new(1000).unwrap();
/// let rate = Rate::new(thousand, Span::from_secs(1), thousand).unwrap();
/// let params = LeaseParams::new(rate, 1, 32, Span::from_millis(100));
/// assert_eq!(params.size(500, 1000), 32, "a busy key, a full bucket");
/// assert_eq!(params.size(500, 100), 0, "the last units go one by one");
///
/// let now = Timestamp::from_nanos(5_000_000_000);
/// let lease = params.take(rate, Bucket::FULL, now, 32).unwrap();
/// assert_eq!(lease.next.instant(), lease.until.plus(Span::from_millis(32)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseParams {
    max_units: u64,
    ttl: Span,
    cost: u64,
}

/// A lease that was taken together with the bucket's new state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Requests that may be admitted from it.
    pub requests: u64,
    /// Until when, inclusive.
    pub until: Timestamp,
    /// The bucket with all of them charged.
    pub next: Bucket,
}

/// The span over which a worker counts how often it sees a key, before it takes a lease for it.
pub const WINDOW: Span = Span::from_millis(25);

/// A lease of fewer requests than this is not worth its stranded units.
const MIN_REQUESTS: u64 = 8;
/// The lease ends after this part of the bucket's capacity at the latest.
const CAPACITY_PART: u64 = 128;
/// A lease takes this part of what is left at the most.
const REMAINING_PART: u64 = 16;

// === impl LeaseParams ===

impl LeaseParams {
    /// Leases of at most `max_units` units for at most `ttl`, for requests of `cost` units.
    #[must_use]
    pub fn new(rate: Rate, cost: u64, max_units: u64, ttl: Span) -> Self {
        let share = Span::from_nanos(rate.capacity().as_nanos() / CAPACITY_PART);
        Self { max_units, ttl: ttl.min(share), cost: cost.max(1) }
    }

    /// How long a lease lives at most.
    #[must_use]
    pub const fn ttl(&self) -> Span {
        self.ttl
    }

    /// How many requests to lease for a worker that saw the key `seen` times in one
    /// [`WINDOW`], when `remaining` units are left; 0 for no lease.
    #[must_use]
    pub fn size(&self, seen: u64, remaining: u64) -> u64 {
        let expected = seen.saturating_mul(self.ttl.as_nanos()).checked_div(WINDOW.as_nanos()).unwrap_or(0);
        let units = self.max_units.min(remaining / REMAINING_PART);
        let requests = units.checked_div(self.cost).unwrap_or(0).min(expected / 2);
        if requests < MIN_REQUESTS {
            0
        } else {
            requests
        }
    }

    /// Takes up to `requests` from `bucket` at `now`, as of the lease's end; `None` when
    /// not even one fits.
    #[must_use]
    pub fn take(&self, rate: Rate, bucket: Bucket, now: Timestamp, requests: u64) -> Option<Lease> {
        let until = now.plus(self.ttl);
        let base = bucket.instant().max(until);
        let room = rate.capacity().minus(base.since(now));
        let each = rate.interval().checked_times(self.cost)?;
        let requests = requests.min(room.count_of(each));
        let next = Bucket::full_at(base.plus(each.times(requests)));
        (requests > 0).then_some(Lease { requests, until, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(requests: u32, per_ms: u64, burst: u32) -> Rate {
        Rate::new(requests.try_into().unwrap(), Span::from_millis(per_ms), burst.try_into().unwrap()).unwrap()
    }

    #[test]
    fn a_lease_is_sized_by_need_and_by_what_is_left() {
        // 1000 a second, burst 1000: leases end after 7.8 ms.
        let params = LeaseParams::new(rate(1000, 1000, 1000), 1, 32, Span::from_millis(100));
        #[rustfmt::skip]
        let cases = [
            // seen in 25 ms   left   lease
            (0,                1000,  0),
            (50,               1000,  0),   // 15 expected, 7 would be leased: not worth it
            (60,               1000,  9),
            (500,              1000,  32),
            (500,              200,   12),
            (500,              127,   0),
        ];
        for (seen, left, expected) in cases {
            assert_eq!(params.size(seen, left), expected, "seen {seen}, {left} left");
        }
    }

    #[test]
    fn leases_can_be_switched_off() {
        let params = LeaseParams::new(rate(1000, 1000, 1000), 1, 0, Span::from_millis(100));
        assert_eq!(params.size(u64::MAX, u64::MAX), 0);
    }

    #[test]
    fn units_are_charged_as_of_the_end() {
        let rate = rate(10, 1000, 128);
        let params = LeaseParams::new(rate, 1, 32, Span::from_millis(100));
        let now = Timestamp::from_nanos(5_000_000_000);
        let taken = params.take(rate, Bucket::FULL, now, 3).unwrap();
        assert_eq!(taken.requests, 3);
        assert_eq!(taken.until, now.plus(Span::from_millis(100)));
        assert_eq!(taken.next.instant(), now.plus(Span::from_millis(400)));
    }

    #[test]
    fn a_lease_takes_no_more_than_there_is() {
        let rate = rate(10, 1000, 10);
        let params = LeaseParams::new(rate, 1, 32, Span::ZERO);
        let now = Timestamp::from_nanos(5_000_000_000);
        let low = Bucket::full_at(now.plus(Span::from_millis(800)));
        assert_eq!(params.take(rate, low, now, 10).unwrap().requests, 2);
        let empty = Bucket::full_at(now.plus(Span::from_millis(950)));
        assert_eq!(params.take(rate, empty, now, 10), None);
    }
}
