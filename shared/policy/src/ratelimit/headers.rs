//! Telling a client about its limits: `RateLimit`, `X-RateLimit-*`, `Retry-After`.
//!
//! Two styles, because the standard is still a draft: [`draft11`] is the wire format of
//! draft-ietf-httpapi-ratelimit-headers-11 (Structured Fields, RFC 9651), [`draft03`] is
//! what Envoy calls `DRAFT_VERSION_03`. Times for clients round up, so that a client that
//! waits that long is not refused again.

use alloc::string::String;
use core::fmt::Write;

use crate::time::Span;

/// What a client learns of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota<'a> {
    /// The limit's name.
    pub name: &'a str,
    /// Units that come back in a window.
    pub units: u64,
    /// What a unit is, when it is not a request. The draft has it and the vectors pin it; all limits
    /// count requests today.
    pub unit: Option<&'a str>,
    /// The window, in seconds.
    pub window_secs: u64,
    /// The partition key, in base64. The draft has it and the vectors pin it; no limit sets it today.
    pub partition: Option<&'a str>,
    /// Units that a full bucket has.
    pub burst: u64,
    /// Units left.
    pub remaining: u64,
    /// Time until one more is left; zero when all are.
    pub next_unit: Span,
}

/// The headers that tell a client about its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Envoy's `X-RateLimit-*`.
    Draft03Envoy,
    /// `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-11.
    Draft11,
    /// None but `Retry-After`.
    None,
}

/// The values of `RateLimit-Policy` and `RateLimit`.
#[must_use]
pub fn draft11(quotas: &[Quota<'_>]) -> (String, String) {
    let (mut policy, mut limit) = (String::new(), String::new());
    for quota in quotas {
        separate(&mut policy);
        string(&mut policy, quota.name);
        let _ = write!(policy, ";q={}", quota.units);
        if let Some(unit) = quota.unit {
            policy.push_str(";qu=");
            string(&mut policy, unit);
        }
        let _ = write!(policy, ";w={}", quota.window_secs);
        separate(&mut limit);
        string(&mut limit, quota.name);
        let _ = write!(limit, ";r={}", quota.remaining);
        if quota.next_unit > Span::ZERO {
            let _ = write!(limit, ";t={}", quota.next_unit.ceil_secs());
        }
        if let Some(partition) = quota.partition {
            let _ = write!(policy, ";pk=:{partition}:");
            let _ = write!(limit, ";pk=:{partition}:");
        }
    }
    (policy, limit)
}

/// The values of `X-RateLimit-Limit`, `-Remaining` and `-Reset`; `None` without a quota. They speak of
/// the limit with the fewest units left, as Envoy's local rate limit does of its bucket: the burst, what
/// is left of it, and, when nothing is, the time until one unit is.
#[must_use]
pub fn draft03(quotas: &[Quota<'_>]) -> Option<(String, String, String)> {
    let tightest = quotas.iter().min_by_key(|quota| quota.remaining)?;
    let mut limit = alloc::format!("{}", tightest.burst);
    for quota in quotas {
        let _ = write!(limit, ", {};w={};name=", quota.units, quota.window_secs);
        string(&mut limit, quota.name);
    }
    let remaining = alloc::format!("{}", tightest.remaining);
    let reset = if tightest.remaining > 0 { 0 } else { tightest.next_unit.ceil_secs().max(1) };
    let reset = alloc::format!("{reset}");
    Some((limit, remaining, reset))
}

/// The value of `Retry-After`: whole seconds, rounded up, at least one.
#[must_use]
pub fn retry_after(wait: Span) -> u64 {
    wait.ceil_secs().max(1)
}

/// Units and seconds of a window, from requests in a period that may be no whole number of
/// seconds: the period rounds up, and what comes back in it rounds down.
#[must_use]
pub fn window(requests: u32, period: Span) -> (u64, u64) {
    let seconds = period.ceil_secs().max(1);
    let millis = period.as_millis().max(1);
    let units = u64::from(requests).saturating_mul(seconds).saturating_mul(1000);
    (units.checked_div(millis).unwrap_or(0), seconds)
}

fn separate(list: &mut String) {
    if !list.is_empty() {
        list.push_str(", ");
    }
}

/// A Structured Field String (RFC 9651, 3.3.3).
fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars().filter(|c| matches!(c, ' '..='~')) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_round_up_and_are_at_least_a_second() {
        for (nanos, expected) in [(0, 1), (1, 1), (1_000_000_000, 1), (1_000_000_001, 2)] {
            assert_eq!(retry_after(Span::from_nanos(nanos)), expected, "{nanos} ns");
        }
    }

    #[test]
    fn a_window_is_whole_seconds() {
        #[rustfmt::skip]
        let cases = [
            // requests  per_ms   q    w
            (5,          1_000,   5,   1),
            (5,          100,     50,  1),
            (3,          1_500,   4,   2),
            (100,        60_000,  100, 60),
        ];
        for (requests, per_ms, units, seconds) in cases {
            assert_eq!(
                window(requests, Span::from_millis(per_ms)),
                (units, seconds),
                "{requests} per {per_ms} ms"
            );
        }
    }
}
