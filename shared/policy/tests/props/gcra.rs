//! One bucket.

use proptest::prelude::*;
use tidegate_policy::gcra::{Bucket, Decision, Rate};
use tidegate_policy::time::{Span, Timestamp};

use crate::{cases, envelope, rate, rates, within_envelope, START};

/// A bucket somewhere around `START`, and an instant as close.
fn standings() -> impl Strategy<Value = (Rate, Bucket, Timestamp)> {
    rates().prop_flat_map(|rate| {
        let around = 2 * rate.capacity().as_nanos() + 2;
        let bucket = (0..=around).prop_map(|ahead| Bucket::full_at(START.plus(Span::from_nanos(ahead))));
        let now = (0..=around).prop_map(|ahead| START.plus(Span::from_nanos(ahead)));
        (Just(rate), prop_oneof![9 => bucket, 1 => Just(Bucket::FULL)], now)
    })
}

fn admits(rate: Rate, bucket: Bucket, now: Timestamp, cost: u64) -> bool {
    matches!(rate.decide(bucket, now, cost), Decision::Admit { .. })
}

proptest! {
    #![proptest_config(cases(2000))]

    /// In any window at most `burst + window / T` units pass, however requests arrive,
    /// whatever they cost, and even when the clock steps back in between.
    #[test]
    fn never_admits_above_the_envelope(
        rate in rates(),
        // Each in eighths of an interval: how much later, and how far back the clock steps.
        arrivals in prop::collection::vec((0_u64..20, prop_oneof![5 => Just(0_u64), 1 => 0_u64..40], 1_u64..4), 1..80),
    ) {
        let eighths = |n: u64| Span::from_nanos(rate.interval().as_nanos() * n / 8);
        let (mut bucket, mut clock, mut elapsed) = (Bucket::FULL, START, START);
        let mut events = Vec::new();
        for (later, back, cost) in arrivals {
            elapsed = elapsed.plus(eighths(later));
            clock = clock.plus(eighths(later)).minus(eighths(back));
            if let Decision::Admit { next } = rate.decide(bucket, clock, cost) {
                bucket = next;
                events.push((elapsed, cost));
            }
        }
        within_envelope(&events, |window| envelope(rate, window))?;
    }

    /// A step back of the clock only ever refuses what would have passed without it.
    #[test]
    fn an_earlier_clock_admits_no_more((rate, bucket, now) in standings(), back in 0_u64..100, cost in 1_u64..8) {
        if admits(rate, bucket, now.minus(Span::from_nanos(back)), cost) {
            prop_assert!(admits(rate, bucket, now, cost));
        }
    }

    /// A refused request passes after exactly the time that it was told.
    #[test]
    fn the_wait_is_exact((rate, bucket, now) in standings(), cost in 1_u64..8) {
        match rate.decide(bucket, now, cost) {
            Decision::Admit { next } => prop_assert!(next >= bucket && !next.is_full(now)),
            Decision::Refuse { retry_after: Some(wait) } => {
                let then = now.plus(wait);
                prop_assert!(wait > Span::ZERO);
                prop_assert!(admits(rate, bucket, then, cost));
                prop_assert!(!admits(rate, bucket, then.minus(Span::from_nanos(1)), cost));
            }
            Decision::Refuse { retry_after: None } => {
                prop_assert!(cost > u64::from(rate.burst().get()));
                prop_assert!(!admits(rate, Bucket::FULL, Timestamp::from_nanos(u64::MAX), cost));
            }
        }
    }

    /// What is said to remain is what can be had at once.
    #[test]
    fn what_remains_can_be_had_and_no_more((rate, bucket, now) in standings()) {
        let left = rate.remaining(bucket, now);
        prop_assert!(left == 0 || admits(rate, bucket, now, left));
        prop_assert!(!admits(rate, bucket, now, left + 1));
    }

    /// One unit more remains after exactly `next_unit`, all of them after exactly `reset_after`.
    #[test]
    fn units_come_back_when_they_are_said_to((rate, bucket, now) in standings()) {
        let (left, burst) = (rate.remaining(bucket, now), u64::from(rate.burst().get()));
        let (next, reset) = (rate.next_unit(bucket, now), rate.reset_after(bucket, now));
        let at = |wait: Span| rate.remaining(bucket, now.plus(wait));
        let instant = Span::from_nanos(1);
        if bucket.is_full(now) {
            prop_assert_eq!((left, next, reset), (burst, Span::ZERO, Span::ZERO));
        } else {
            prop_assert_eq!(at(next), left + 1);
            prop_assert_eq!(at(next.minus(instant)), left);
            prop_assert_eq!(at(reset), burst);
            prop_assert_eq!(at(reset.minus(instant)), burst - 1);
            prop_assert!(next <= reset);
        }
    }

    /// A bucket that is full and one that was never charged are the same to everybody.
    #[test]
    fn forgetting_a_full_bucket_changes_nothing((rate, bucket, now) in standings(), cost in 1_u64..8) {
        if bucket.is_full(now) {
            prop_assert_eq!(rate.decide(bucket, now, cost), rate.decide(Bucket::FULL, now, cost));
            prop_assert_eq!(rate.remaining(bucket, now), rate.remaining(Bucket::FULL, now));
        }
    }

    /// No numbers make it panic, and an admission never forgets a debt.
    #[test]
    fn is_total(
        (requests, period, burst) in (1_u32.., any::<u64>(), 1_u32..),
        (bucket, now, cost) in (any::<u64>(), any::<u64>(), any::<u64>()),
    ) {
        let count = |n: u32| n.try_into().unwrap();
        let Some(rate) = Rate::new(count(requests), Span::from_nanos(period), count(burst)) else { return Ok(()) };
        let (bucket, now) = (Bucket::full_at(Timestamp::from_nanos(bucket)), Timestamp::from_nanos(now));
        if let Decision::Admit { next } = rate.decide(bucket, now, cost) {
            prop_assert!(next >= bucket);
        }
        prop_assert!(rate.remaining(bucket, now) <= u64::from(burst));
        let _ = (rate.next_unit(bucket, now), rate.reset_after(bucket, now));
    }

    /// A rate is never faster than it was asked to be, and slower by less than 1 ns a unit.
    #[test]
    fn rates_round_to_the_strict_side(requests in 1_u32.., ms in 1_u64..86_400_000) {
        let interval = rate(requests, Span::from_millis(ms), 1).interval().as_nanos();
        let period = u128::from(ms) * 1_000_000;
        prop_assert!(u128::from(interval) * u128::from(requests) >= period);
        prop_assert!(u128::from(interval - 1) * u128::from(requests) < period);
    }
}
