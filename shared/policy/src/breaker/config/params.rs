//! When a breaker opens, for how long, and how it is probed, as the configuration words it.

use alloc::format;

use super::fields;
use crate::breaker::params::BreakerParams;
use crate::config::{rules, Object};

/// Reads the parameters of a breaker; what it guards is not among them.
#[inline(never)]
pub(super) fn read(object: &Object<'_>) -> Option<BreakerParams> {
    let window = window(object);
    let open = rules::ordered(object, &fields::BASE_OPEN_MS, &fields::MAX_OPEN_MS);
    let (slots, slot_ms) = window?;
    let (base_open_ms, max_open_ms) = open?;
    Some(BreakerParams {
        failure_rate_percent: object.get(&fields::FAILURE_RATE_PERCENT)?,
        slow_rate_percent: object.get(&fields::SLOW_RATE_PERCENT)?,
        slow_call_ms: object.get(&fields::SLOW_CALL_MS)?,
        minimum_calls: object.get(&fields::MINIMUM_CALLS)?,
        slots,
        slot_ms,
        consecutive_failures: object.get(&fields::CONSECUTIVE_FAILURES)?,
        half_open_permits: object.get(&fields::HALF_OPEN_PERMITS)?,
        max_half_open_ms: object.get(&fields::MAX_HALF_OPEN_MS)?,
        base_open_ms,
        backoff_multiplier_percent: object.get(&fields::BACKOFF_MULTIPLIER_PERCENT)?,
        max_open_ms,
        jitter_percent: object.get(&fields::JITTER_PERCENT)?,
        streak_decay_ms: object.get(&fields::STREAK_DECAY_MS)?,
        demanded: object.get(&fields::STATE)?,
        salt: 0,
    })
}

/// Reads the window: how many slots of how many milliseconds. A slot is at least 100 ms long,
/// which is how often workers publish what they counted.
fn window(object: &Object<'_>) -> Option<(u32, u64)> {
    let (slots, window_ms) = (object.get(&fields::WINDOW_SLOTS)?, object.get(&fields::WINDOW_MS)?);
    let slot_ms = window_ms.checked_div(slots.into())?;
    if slot_ms < 100 || slot_ms.saturating_mul(slots.into()) != window_ms {
        let found = format!("a window of {window_ms} ms does not divide into {slots} slots");
        let expected = "slots of the same whole number of ms, at least 100";
        if object.has(&fields::WINDOW_SLOTS) {
            object.report_at(&fields::WINDOW_SLOTS, found, expected);
        } else {
            object.report_at(&fields::WINDOW_MS, found, expected);
        }
        return None;
    }
    Some((slots, slot_ms))
}
