//! What the vectors of the breaker have in common: parameters, letters, records.

use tidegate_policy::breaker::cells::probes::Probes;
use tidegate_policy::breaker::cells::record::Counts;
use tidegate_policy::breaker::{BreakerParams, Record, State};
use tidegate_policy::http::classify::Class;

use crate::data::{Fault, Node};

/// A call that came back.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) class: Class,
    pub(super) slow: bool,
}

/// For the random part of an open time: none, as the vectors are without jitter.
pub(super) const DRAW: u64 = 0;

const MAX_SLOTS: u32 = 64;
const STATES: [State; 6] =
    [State::Closed, State::Open, State::HalfOpen, State::ForcedOpen, State::Disabled, State::MetricsOnly];

/// The parameters in `config`. Jitter, of which most files say nothing, is 0 then.
pub(super) fn terms(config: &Node<'_>) -> Result<BreakerParams, Fault> {
    let slots = config.field("buckets")?;
    let terms = BreakerParams {
        failure_rate_percent: config.field("failure_rate_pct")?.count()?,
        slow_rate_percent: config.field("slow_rate_pct")?.count()?,
        slow_call_ms: config.field("slow_call_ms")?.natural()?,
        minimum_calls: config.field("minimum_calls")?.count()?,
        slots: slots.count()?,
        slot_ms: config.field("bucket_ms")?.natural()?,
        consecutive_failures: config.field("consecutive_failures")?.count()?,
        half_open_permits: config.field("half_open_permits")?.count()?,
        max_half_open_ms: config.field("max_half_open_ms")?.natural()?,
        base_open_ms: config.field("base_open_ms")?.natural()?,
        backoff_multiplier_percent: config.field("backoff_mult_pct")?.count()?,
        max_open_ms: config.field("max_open_ms")?.natural()?,
        jitter_percent: config.optional("jitter_pct")?.map_or(Ok(0), |percent| percent.count())?,
        streak_decay_ms: config.field("streak_decay_ms")?.natural()?,
        demanded: State::Closed,
        salt: 0,
    };
    if (1..=MAX_SLOTS).contains(&terms.slots) {
        Ok(terms)
    } else {
        Err(slots.malformed(format!("{} buckets are out of range, expected 1 to {MAX_SLOTS}", terms.slots)))
    }
}

/// The calls that `seq` spells, each of which took `ms`, or too long where the letter says so.
pub(super) fn calls(seq: &Node<'_>, terms: &BreakerParams, ms: u64) -> Result<Vec<Call>, Fault> {
    let call = |letter| {
        let (class, took_ms) = match letter {
            'F' => (Class::Failure, ms),
            'I' => (Class::Ignored, ms),
            'L' => (Class::Success, terms.slow_call_ms.saturating_add(1)),
            'S' => (Class::Success, ms),
            'X' => (Class::Failure, terms.slow_call_ms.saturating_add(1)),
            _ => return None,
        };
        Some(Call { class, slow: terms.is_slow(took_ms) })
    };
    let read = |text: &str| {
        let calls: Option<Vec<_>> = text.chars().map(call).collect();
        calls.filter(|calls| !calls.is_empty())
    };
    seq.parsed(read, "letters of F, I, L, S and X")
}

/// The state that `node` names.
pub(super) fn state(node: &Node<'_>) -> Result<State, Fault> {
    let read = |text: &str| STATES.into_iter().find(|state| name(*state) == text);
    node.parsed(read, "a state such as `HALF_OPEN`")
}

/// Compares all that `expected` says of `record` at `now_ms`.
pub(super) fn same(
    expected: &Node<'_>,
    record: &Record,
    terms: &BreakerParams,
    now_ms: u64,
) -> Result<(), Fault> {
    let Counts { total, failed, slow } = record.window(terms, now_ms);
    let Probes { issued, ok, failed: failed_probes, slow: slow_probes, .. } = record.probes;
    expected.field("state")?.is(name(record.state))?;
    expected.field("gen")?.is(record.generation)?;
    expected.field("streak")?.is(record.streak)?;
    expected.field("at_ms")?.is(record.at_ms)?;
    expected.field("win")?.is(vec![total, failed, slow])?;
    expected.field("consec")?.is(record.consecutive)?;
    expected.field("probe")?.is(vec![issued, ok, failed_probes, slow_probes])
}

fn name(state: State) -> String {
    state.word().to_uppercase()
}
