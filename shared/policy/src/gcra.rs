//! Admission by the generic cell rate algorithm (GCRA; ITU-T I.371).
//!
//! A bucket is a single instant: the time at which a perfectly spaced caller would send
//! its next request. Admitting a request pushes that instant one interval into the
//! future; a request is refused when that would take it further ahead of `now` than the
//! burst allows.
//!
//! Two properties carry the rest of the design. A bucket whose instant has passed and an
//! absent one decide alike, so forgetting idle buckets is free. And a refusal changes
//! nothing, so a flood of refused requests writes nothing to the shared store.
//!
//! The vector `gcra` pins it: T = ⌈period / requests⌉, τ = burst · T, and a request of
//! cost c passes iff max(TAT, now) + c·T − now ≤ τ.

use core::num::NonZeroU32;

use crate::time::{Span, Timestamp};

/// How fast and how much at once.
///
/// ```
/// use std::num::NonZeroU32;
/// use tidegate_policy::gcra::{Bucket, Decision, Rate};
/// use tidegate_policy::time::{Span, Timestamp};
///
/// // Ten requests a second, two of them at once.
/// let (ten, two) = (NonZeroU32::new(10).unwrap(), NonZeroU32::new(2).unwrap());
/// let rate = Rate::new(ten, Span::from_secs(1), two).unwrap();
/// let now = Timestamp::from_nanos(5_000_000_000);
///
/// let Decision::Admit { next } = rate.decide(Bucket::FULL, now, 1) else { panic!() };
/// let Decision::Admit { next } = rate.decide(next, now, 1) else { panic!() };
/// let wait = Span::from_millis(100);
/// assert_eq!(rate.decide(next, now, 1), Decision::Refuse { retry_after: Some(wait) });
/// assert_eq!(rate.remaining(next, now.plus(wait)), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    interval: Span,
    capacity: Span,
    burst: NonZeroU32,
}

/// What is remembered of a caller: the theoretical arrival time of its next request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket(Timestamp);

/// The answer for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Let the request pass and keep `next`.
    Admit {
        /// The bucket after the request.
        next: Bucket,
    },
    /// Turn the request away. The bucket stays as it is.
    Refuse {
        /// Time until the first instant at which the same request would be admitted if
        /// nothing else came; `None` when it costs more than the burst and never passes.
        retry_after: Option<Span>,
    },
}

/// Longest capacity, about 146 years: sums with a clock reading never saturate.
const MAX_CAPACITY: Span = Span::from_nanos(1 << 62);

// === impl Rate ===

impl Rate {
    /// `requests` every `period`, `burst` of them at once after a quiet spell. `None` when
    /// the bucket would take longer than 2⁶² ns to drain.
    #[must_use]
    pub fn new(requests: NonZeroU32, period: Span, burst: NonZeroU32) -> Option<Self> {
        // Rounded up, so that the rate is never faster than asked for.
        let interval = period.ceil_part(u64::from(requests.get())).max(Span::from_nanos(1));
        let capacity = interval.checked_times(u64::from(burst.get()))?;
        (capacity <= MAX_CAPACITY).then_some(Self { interval, capacity, burst })
    }

    /// T: the time in which one unit comes back.
    #[must_use]
    pub const fn interval(self) -> Span {
        self.interval
    }

    /// τ: the time in which an empty bucket becomes full.
    #[must_use]
    pub const fn capacity(self) -> Span {
        self.capacity
    }

    /// Units that a full bucket has.
    #[must_use]
    pub const fn burst(self) -> NonZeroU32 {
        self.burst
    }

    /// The rate of this interval and capacity, as another configuration wrote them down;
    /// `None` when they make none.
    #[must_use]
    pub fn of(interval: Span, capacity: Span) -> Option<Self> {
        let burst = u32::try_from(capacity.count_of(interval)).ok().and_then(NonZeroU32::new)?;
        (capacity <= MAX_CAPACITY).then_some(Self { interval, capacity, burst })
    }

    /// The same rate without a burst.
    #[must_use]
    pub const fn single(self) -> Self {
        Self { capacity: self.interval, burst: NonZeroU32::MIN, ..self }
    }

    /// Decides a request of `cost` units against `bucket` at `now`. A cost of 0 asks without
    /// charging: the bucket stays as it is.
    ///
    /// The clock may step backwards between calls. The bucket then looks emptier than it
    /// is, so a step back can refuse a request but never admit an extra one.
    pub fn decide(self, bucket: Bucket, now: Timestamp, cost: u64) -> Decision {
        let charge = self.interval.checked_times(cost).filter(|charge| *charge <= self.capacity);
        let Some(charge) = charge else { return Decision::Refuse { retry_after: None } };
        let next = bucket.0.max(now).plus(charge);
        let debt = next.since(now);
        if debt <= self.capacity {
            Decision::Admit { next: if cost == 0 { bucket } else { Bucket(next) } }
        } else {
            Decision::Refuse { retry_after: Some(debt.minus(self.capacity)) }
        }
    }

    /// Whole units left in `bucket` at `now`.
    #[must_use]
    pub fn remaining(self, bucket: Bucket, now: Timestamp) -> u64 {
        self.capacity.minus(bucket.0.since(now)).count_of(self.interval)
    }

    /// Time until [`Rate::remaining`] grows by one; zero when the bucket is full.
    #[must_use]
    pub fn next_unit(self, bucket: Bucket, now: Timestamp) -> Span {
        let debt = bucket.0.since(now);
        if debt == Span::ZERO {
            return Span::ZERO;
        }
        let wanted = self.interval.times(self.remaining(bucket, now).saturating_add(1));
        debt.plus(wanted).minus(self.capacity)
    }

    /// Time until the bucket is full.
    #[must_use]
    pub fn reset_after(self, bucket: Bucket, now: Timestamp) -> Span {
        bucket.0.since(now)
    }
}

// === impl Bucket ===

impl Bucket {
    /// A bucket that was never charged.
    pub const FULL: Self = Self(Timestamp::ZERO);

    /// The bucket that is full from `instant` on.
    #[must_use]
    pub const fn full_at(instant: Timestamp) -> Self {
        Self(instant)
    }

    /// The instant from which the bucket is full: TAT.
    #[must_use]
    pub const fn instant(self) -> Timestamp {
        self.0
    }

    /// The bucket with `charge` taken back that was made `ago`, after which others may have
    /// charged it too, or taken charges of theirs back.
    ///
    /// Without that charge theirs might have started from a later instant, by at most as
    /// long as ago it was; so that much is kept, and what is left is never less than if
    /// the charge had never been (ADR 0009).
    #[must_use]
    pub const fn refund(self, charge: Span, ago: Span) -> Self {
        Self(self.0.minus(charge.minus(ago)))
    }

    /// Whether it decides at `now` as a bucket that was never charged.
    #[must_use]
    pub fn is_full(self, now: Timestamp) -> bool {
        self.0 <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn rate(requests: u32, period: Span, burst: u32) -> Rate {
        Rate::new(requests.try_into().unwrap(), period, burst.try_into().unwrap()).unwrap()
    }

    /// Runs requests at the given millisecond offsets; `+` admits, `-` refuses.
    fn run(rate: Rate, at_ms: &[u64]) -> String {
        let mut bucket = Bucket::FULL;
        let step = |ms: &u64| match rate.decide(bucket, Timestamp::ZERO.plus(Span::from_millis(*ms)), 1) {
            Decision::Admit { next } => {
                bucket = next;
                '+'
            }
            Decision::Refuse { .. } => '-',
        };
        at_ms.iter().map(step).collect()
    }

    #[test]
    fn decides_by_arrival_time() {
        #[rustfmt::skip]
        let cases = [
            // name                          requests  burst  arrivals (ms)              expected
            ("burst is spent at once",        10,       3,    &[0, 0, 0, 0][..],          "+++-"),
            ("one interval buys one request", 10,       1,    &[0, 99, 100, 199, 200],    "+-+-+"),
            ("a clock step back only delays", 10,       1,    &[1000, 0, 1099, 1100],     "+--+"),
            ("idle time is not banked",       10,       2,    &[9000, 9000, 9000, 9099],  "++--"),
        ];
        for (name, requests, burst, arrivals, expected) in cases {
            assert_eq!(run(rate(requests, Span::from_secs(1), burst), arrivals), expected, "{name}");
        }
    }

    #[test]
    fn a_cost_above_the_burst_never_passes() {
        let decision = rate(10, Span::from_secs(1), 3).decide(Bucket::FULL, Timestamp::ZERO, 4);
        assert_eq!(decision, Decision::Refuse { retry_after: None });
    }

    #[test]
    fn a_cost_of_nothing_leaves_the_bucket() {
        let (rate, bucket) = (rate(10, Span::from_secs(1), 3), Bucket::full_at(Timestamp::from_nanos(7)));
        assert_eq!(rate.decide(bucket, Timestamp::from_nanos(9), 0), Decision::Admit { next: bucket });
    }

    #[test]
    fn a_refund_keeps_as_much_as_it_is_late() {
        let at = |ms| Bucket::full_at(Timestamp::from_nanos(1_000_000_000).plus(Span::from_millis(ms)));
        for (ago, left) in [(0, 400), (30, 430), (100, 500), (900, 500)] {
            let got = at(500).refund(Span::from_millis(100), Span::from_millis(ago));
            assert_eq!(got, at(left), "{ago} ms late");
        }
    }

    #[test]
    fn rates_that_do_not_fit_are_no_rates() {
        let most = NonZeroU32::MAX;
        let one = NonZeroU32::MIN;
        assert_eq!(Rate::new(one, Span::from_secs(86_400), most), None);
        assert_eq!(Rate::new(most, Span::from_millis(1), most).unwrap().interval(), Span::from_nanos(1));
    }
}
