//! The bytes of a breaker's record.

use proptest::prelude::*;
use tidegate_policy::breaker::cells::probes::Probes;
use tidegate_policy::breaker::cells::record::{Counts, Slot};
use tidegate_policy::breaker::{BreakerParams, Record, State};

use crate::cases;

proptest! {
    #![proptest_config(cases(1_500))]

    /// A record is read as it was written.
    #[test]
    fn a_record_survives_its_bytes(
        state in 0_usize..6,
        (streak, generation, at_ms, consecutive, run_ms, tag) in any::<(u16, u32, u64, u32, u64, u32)>(),
        probes in any::<[u16; 6]>(),
        slots in prop::collection::vec(any::<[u32; 4]>(), 1..=64),
    ) {
        let states = [
            State::Closed,
            State::Open,
            State::HalfOpen,
            State::ForcedOpen,
            State::Disabled,
            State::MetricsOnly,
        ];
        let half_open = states[state] == State::HalfOpen;
        let [issued, ok, failed, slow, left, uploads] = probes;
        let slot = |[epoch, total, failed, slow]: [u32; 4]| {
            Slot { epoch, counts: Counts { total, failed, slow } }
        };
        let params = BreakerParams { slots: slots.len() as u32, ..BreakerParams::default() };
        let record = Record {
            state: states[state],
            streak,
            generation,
            at_ms,
            probes: if half_open { Probes { issued, ok, failed, slow, left, uploads } } else { Probes::default() },
            consecutive: if half_open { 0 } else { consecutive },
            run_ms: if half_open { 0 } else { run_ms },
            tag,
            slots: slots.into_iter().map(slot).collect(),
        };
        prop_assert_eq!(Record::decode(&record.encode(), &params), record);
    }
}
