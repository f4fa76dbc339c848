//! When to ask again, and how long an answer serves.
//!
//! The states are those of RFC 5861. Requests never wait for an answer: a stale one is served while the next
//! is fetched, and when that fails for as long as [`CacheParams::stale_if_error`] says.
//! Randomness is an argument, 64 bits of a draw.

use crate::time::Span;

/// How long an answer serves.
///
/// ```
/// use tidegate_policy::time::Span;
/// use tidegate_policy::watch::freshness::{CacheParams, Freshness};
///
/// let params = CacheParams::default();
/// assert_eq!(params.freshness(Span::from_secs(9), false), Freshness::Fresh);
/// assert_eq!(params.freshness(Span::from_secs(60), false), Freshness::StaleWhileRevalidate);
/// assert_eq!(params.freshness(Span::from_secs(80), true), Freshness::StaleIfError);
/// assert!(!params.freshness(Span::from_secs(80), false).serves());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheParams {
    /// Time for which it is fresh. Default 10 s.
    pub ttl: Span,
    /// Time after that for which it serves while the next is fetched. Default 60 s.
    pub stale_while_revalidate: Span,
    /// Time after `ttl` for which it serves when the last fetch failed. Default 24 h.
    pub stale_if_error: Span,
}

/// How fresh an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Too old to serve.
    Expired,
    /// Serving.
    Fresh,
    /// Serving, because fetching the next one failed.
    StaleIfError,
    /// Serving, while the next is fetched.
    StaleWhileRevalidate,
}

/// How long an answer that there is no such thing holds at first: shorter than the period of a good one, as
/// it often comes while a service is being registered.
pub const NEGATIVE_FIRST: Span = Span::from_secs(5);
/// First bound of a wait after an error.
const ERROR_FIRST: Span = Span::from_secs(1);
/// Both double up to this at most.
pub const LONGEST: Span = Span::from_secs(60);
/// Shortest wait after an error: a draw of 0 would make it none at all.
const SHORTEST: Span = Span::from_millis(100);

/// How long an answer that there is no such thing holds, the `streak`th consecutive one: `first`, by default
/// 5 seconds, then 10, 20, 40 and so on up to `longest`, but not shorter than `first`. A streak of 0 counts
/// as 1.
#[must_use]
pub fn negative_ttl(first: Span, streak: u32, longest: Span) -> Span {
    doubled(first, streak).min(longest.max(first))
}

/// How long to wait after the `streak`th consecutive error: a random part of 1, 2, 4 … seconds up to
/// `longest` ("full jitter"; Brooker, Exponential Backoff And Jitter, 2015), and at least 100 ms.
#[must_use]
pub fn error_wait(streak: u32, longest: Span, draw: u64) -> Span {
    part(doubled(ERROR_FIRST, streak).min(longest), draw).max(SHORTEST)
}

/// The time to the next fetch: the period, up to a fifth shorter or longer, so that proxies that
/// were started together do not ask together.
#[must_use]
pub fn next_fetch(period: Span, draw: u64) -> Span {
    let fifth = period.ceil_part(5);
    period.minus(fifth).plus(part(fifth.times(2), draw))
}

/// The time to the first fetch: any part of the period.
#[must_use]
pub fn first_fetch(period: Span, draw: u64) -> Span {
    part(period, draw)
}

fn doubled(first: Span, streak: u32) -> Span {
    let times = 1_u64.checked_shl(streak.saturating_sub(1)).unwrap_or(u64::MAX);
    first.times(times).min(LONGEST)
}

/// A random part of a span, in milliseconds; spans beyond 49 days are as long as that.
fn part(span: Span, draw: u64) -> Span {
    let whole = span.as_millis().min(u64::from(u32::MAX));
    // Both factors are below 2³².
    Span::from_millis(whole.saturating_mul(draw >> 32) >> 32)
}

// === impl CacheParams ===

impl CacheParams {
    /// How fresh an answer of this age is.
    #[must_use]
    pub fn freshness(&self, age: Span, last_fetch_failed: bool) -> Freshness {
        if age < self.ttl {
            Freshness::Fresh
        } else if age < self.ttl.plus(self.stale_while_revalidate) {
            Freshness::StaleWhileRevalidate
        } else if last_fetch_failed && age < self.ttl.plus(self.stale_if_error) {
            Freshness::StaleIfError
        } else {
            Freshness::Expired
        }
    }
}

impl Default for CacheParams {
    fn default() -> Self {
        Self {
            ttl: Span::from_secs(10),
            stale_while_revalidate: Span::from_secs(60),
            stale_if_error: Span::from_secs(86_400),
        }
    }
}

// === impl Freshness ===

impl Freshness {
    /// Whether it serves.
    #[must_use]
    pub const fn serves(self) -> bool {
        !matches!(self, Self::Expired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_within_their_bounds() {
        let ms = |span: Span| span.as_millis();
        let half = 1 << 63;
        #[rustfmt::skip]
        let cases = [
            // name                         got                                              expected
            ("least wait",                  ms(error_wait(1, LONGEST, 0)),                    100),
            ("half of the first",           ms(error_wait(1, LONGEST, half)),                         500),
            ("half of the fourth",          ms(error_wait(4, LONGEST, half)),                         4_000),
            ("half of the most",            ms(error_wait(7, LONGEST, half)),                         30_000),
            ("never more than the most",    ms(error_wait(u32::MAX, LONGEST, u64::MAX)),              59_999),
            ("half of what is allowed",     ms(error_wait(9, Span::from_secs(5), half)),     2_500),
            ("a streak of none",            ms(error_wait(0, LONGEST, half)),                         500),
            ("shortest period",             ms(next_fetch(Span::from_secs(10), 0)),          8_000),
            ("middle period",               ms(next_fetch(Span::from_secs(10), half)),       10_000),
            ("longest period",              ms(next_fetch(Span::from_secs(10), u64::MAX)),   11_999),
            ("first fetch",                 ms(first_fetch(Span::from_secs(10), half)),      5_000),
            ("no such service, much later", ms(negative_ttl(NEGATIVE_FIRST, u32::MAX, LONGEST)),             60_000),
            ("no such service any more",    ms(negative_ttl(NEGATIVE_FIRST, 9, Span::from_secs(8))),         8_000),
            ("no shorter than the first",   ms(negative_ttl(NEGATIVE_FIRST, 9, Span::from_secs(1))),         5_000),
        ];
        for (name, got, expected) in cases {
            assert_eq!(got, expected, "{name}");
        }
    }

    #[test]
    fn serving_for_ever_is_a_long_time() {
        let params = CacheParams { stale_if_error: Span::from_nanos(u64::MAX), ..CacheParams::default() };
        assert_eq!(params.freshness(Span::from_secs(1 << 30), true), Freshness::StaleIfError);
        assert!(!params.freshness(Span::from_secs(1 << 30), false).serves());
    }
}
