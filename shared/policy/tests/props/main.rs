//! Properties: what holds for any input.
//!
//! A run is the same every time. To look further:
//! `PROPTEST_CASES=100000 PROPTEST_RNG_SEED=1 cargo test --test props`.

mod balance;
mod breaker;
mod breaker_record;
mod client;
mod codec;
mod config;
mod discovery;
mod discovery_config;
mod distribution;
mod edges;
mod gcra;
mod headers;
mod lease;
mod rest;
mod routing;
mod shares;
mod table;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tidegate_policy::gcra::Rate;
use tidegate_policy::time::{Span, Timestamp};

/// This many cases from a fixed seed, unless the environment says otherwise.
fn cases(usual: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { usual };
    let rng_seed = match asked.rng_seed {
        RngSeed::Random => RngSeed::Fixed(0x71de_9a7e),
        fixed => fixed,
    };
    ProptestConfig { cases, failure_persistence: None, rng_seed, ..asked }
}

/// An instant well after the origin, so that a clock can step back from it.
const START: Timestamp = Timestamp::from_nanos(1_000_000_000_000);

fn rate(requests: u32, period: Span, burst: u32) -> Rate {
    Rate::new(requests.try_into().unwrap(), period, burst.try_into().unwrap()).unwrap()
}

/// Rates whose bounds are easily met, and some as in real life.
fn rates() -> impl Strategy<Value = Rate> {
    let small =
        (1_u32..5, 1_u64..40, 1_u32..6).prop_map(|(n, nanos, burst)| rate(n, Span::from_nanos(nanos), burst));
    let real = (1_u32..2_000, 1_u64..5_000, 1_u32..300)
        .prop_map(|(n, ms, burst)| rate(n, Span::from_millis(ms), burst));
    prop_oneof![3 => small, 1 => real]
}

/// Checks that in no window more units were admitted than the envelope has: `blocks` times
/// `burst + window / T`. Events are instants, in order, and the units admitted then.
fn within_envelope(events: &[(Timestamp, u64)], envelope: impl Fn(Span) -> u64) -> Result<(), TestCaseError> {
    for (first, (from, _)) in events.iter().enumerate() {
        let mut sum = 0;
        for (to, units) in &events[first..] {
            sum += units;
            let most = envelope(to.since(*from));
            prop_assert!(sum <= most, "{sum} units from {from:?} to {to:?}, at most {most} are allowed");
        }
    }
    Ok(())
}

/// `burst + window / T`.
fn envelope(rate: Rate, window: Span) -> u64 {
    u64::from(rate.burst().get()) + window.count_of(rate.interval())
}
