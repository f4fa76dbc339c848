//! Questions that rest after their answers.

use proptest::prelude::*;
use tidegate_policy::time::{Span, Timestamp};
use tidegate_policy::watch::rest::Rest;

use super::{cases, START};

proptest! {
    #![proptest_config(cases(64))]

    /// Whatever the answers of up to thirty questions cost, and however late they come, reading them takes about a
    /// tenth of the time, beyond what is free at first. How many rest varies, and so does the share.
    #[test]
    fn answers_take_about_a_tenth_of_the_time_at_most(
        costs_us in prop::collection::vec(1_u64..200_000, 1..30),
        draws in prop::collection::vec(0_u64..1 << 20, 64),
    ) {
        let mut rests = vec![(Rest::default(), START); costs_us.len()];
        let (mut now, mut busy, mut step) = (START, Span::ZERO, 0_usize);
        let end = START.plus(Span::from_secs(600));
        while now < end {
            let next = rests.iter().enumerate().map(|(at, (rest, comes))| (comes.plus(rest.wait(*comes)), at)).min();
            let (due, at) = next.expect("a question");
            now = now.max(due);
            step += 1;
            // Some cost more than usual, some nothing.
            let draw = draws[step % draws.len()];
            let cost = Span::from_nanos(1_000 * costs_us[at] * (draw % 5) / 2);
            let others = rests.iter().enumerate().filter(|(place, (rest, _))| *place != at && rest.rests(now)).count();
            now = now.plus(cost);
            busy = busy.plus(cost);
            let rest = &mut rests[at];
            rest.0.took(cost, others, now);
            prop_assert!(rest.0.wait(now) <= Span::from_secs(60).times(costs_us.len() as u64));
            rest.1 = now.plus(Span::from_nanos(1_000 * (draw / 5 % 300)));
        }
        let free = Span::from_millis(500).times(costs_us.len() as u64);
        let allowed = now.since(START).ceil_part(8).plus(free);
        prop_assert!(busy <= allowed, "{busy:?} of {allowed:?}");
    }

    /// A clock that steps back causes no long wait.
    #[test]
    fn no_clock_causes_a_wait_of_more_than_a_minute_for_each_question(times in prop::collection::vec((0_u64..u64::MAX, 0_u64..u64::MAX), 1..20)) {
        let mut rest = Rest::default();
        for (cost, now) in times {
            let now = Timestamp::from_nanos(now);
            rest.took(Span::from_nanos(cost), 2_000, now);
            prop_assert!(rest.wait(now) <= Span::from_secs(60).times(2_001));
        }
    }
}
