//! The parameters of one breaker: when it opens, for how long, and how it is probed.
//!
//! Plain data, read once from the configuration and copied where it is needed. Bounds are those that
//! the reader enforces; functions here are total outside them, too.

use crate::breaker::state::State;

/// The parameters of one breaker. Names and meanings are Resilience4j's, unless a field says
/// otherwise; defaults are those of `docs/config/breaker.md`. All times are in milliseconds of the
/// host's monotonic clock.
///
/// ```
/// use tidegate_policy::breaker::BreakerParams;
///
/// let params = BreakerParams { base_open_ms: 1_000, max_open_ms: 3_000, ..Default::default() };
/// assert_eq!([1, 2, 3, 4].map(|streak| params.wait(streak)), [1_000, 2_000, 3_000, 3_000]);
/// assert!(params.is_slow(2_001) && !params.is_slow(2_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerParams {
    /// Opens at this share of failed calls in the window; probes are judged by it, too. 1 to 100 %,
    /// default 50 (Resilience4j, Hystrix).
    pub failure_rate_percent: u32,
    /// Opens at this share of slow calls in the window; probes are judged by it, too. 1 to 100 %,
    /// default 100 (Resilience4j): only a target whose every call is slow opens.
    pub slow_rate_percent: u32,
    /// A call is slow when it takes longer than this, and not when as long. 0 to 86,400,000 ms,
    /// default 2,000; 0 for never. Resilience4j has 60 s.
    pub slow_call_ms: u64,
    /// Calls in the window below which no rate opens. 1 to 4,294,967,294, default 20 (Hystrix): at
    /// half of them, ten failures.
    pub minimum_calls: u32,
    /// Slots of the window. 1 to 64, default 10 (Hystrix): the window moves by a tenth at a time.
    pub slots: u32,
    /// The length of a slot. At least 100 ms, which is how often workers merge successes; default
    /// 1,000, so that the window is 10 s (Hystrix).
    pub slot_ms: u64,
    /// Opens at this many consecutive failures, however few calls there were. Default 5 (Envoy's
    /// `consecutive_5xx`, Finagle); 0 for never.
    pub consecutive_failures: u32,
    /// Probes that a half-open breaker admits, on all workers together. 1 to 65,535, default 5: one
    /// bad probe of five does not open it again, three do.
    pub half_open_permits: u16,
    /// A half-open breaker whose probes did not come back in this time opens again. Its permits are
    /// renewed meanwhile, see [`renewed`](Self::renewed). 0 to
    /// 86,400,000 ms, default 30,000; 0 for no end, which is Resilience4j's default, and waits for
    /// ever for a probe whose worker died.
    pub max_half_open_ms: u64,
    /// The first open time. 1 to 86,400,000 ms, default 5,000 (Hystrix, Polly).
    pub base_open_ms: u64,
    /// The open time of each consecutive opening, in percent of the one before. 100 to 1,000 %,
    /// default 200: it doubles (Linkerd).
    pub backoff_multiplier_percent: u32,
    /// The longest open time, jitter aside. `base_open_ms` to 86,400,000 ms, default 300,000
    /// (Finagle; Envoy's `max_ejection_time`).
    pub max_open_ms: u64,
    /// A random part of an open time, up to this share of it, is added to it. 0 to 100 %, default
    /// 10: breakers of many hosts that opened together do not probe together.
    pub jitter_percent: u32,
    /// A closed breaker forgets one opening after each such time. 0 to 86,400,000 ms, default 0:
    /// closing forgets all (Resilience4j). Envoy's ejections decay like this.
    pub streak_decay_ms: u64,
    /// The state that the configuration holds the breaker in; default [`State::Closed`], which holds
    /// it in none.
    pub demanded: State,
    /// A hash of what the breaker guards and by which means, so that a breaker of the same name with
    /// another target starts over. Not configured; default 0.
    pub salt: u64,
}

impl Default for BreakerParams {
    fn default() -> Self {
        Self {
            failure_rate_percent: 50,
            slow_rate_percent: 100,
            slow_call_ms: 2_000,
            minimum_calls: 20,
            slots: 10,
            slot_ms: 1_000,
            consecutive_failures: 5,
            half_open_permits: 5,
            max_half_open_ms: 30_000,
            base_open_ms: 5_000,
            backoff_multiplier_percent: 200,
            max_open_ms: 300_000,
            jitter_percent: 10,
            streak_decay_ms: 0,
            demanded: State::Closed,
            salt: 0,
        }
    }
}

// === impl BreakerParams ===

impl BreakerParams {
    /// The length of the window, in milliseconds.
    #[must_use]
    pub fn window_ms(&self) -> u64 {
        self.slot_ms.saturating_mul(self.slots.into())
    }

    /// The number of the slot that `now_ms` falls into.
    #[must_use]
    pub fn epoch(&self, now_ms: u64) -> u32 {
        let epoch = now_ms.checked_div(self.slot_ms).unwrap_or(0);
        u32::try_from(epoch & u64::from(u32::MAX)).unwrap_or(0)
    }

    /// The open time of the `streak`th consecutive opening, without jitter. A streak of 0 counts as 1.
    ///
    /// The loop ends early: at `max_open_ms`, or when the time no longer grows.
    #[must_use]
    pub fn wait(&self, streak: u16) -> u64 {
        let mult = u64::from(self.backoff_multiplier_percent);
        let mut wait = self.base_open_ms.min(self.max_open_ms);
        for _ in 1..streak {
            let next = wait.saturating_mul(mult) / 100;
            let next = next.min(self.max_open_ms);
            if next == wait {
                break;
            }
            wait = next;
        }
        wait
    }

    /// What is added to `wait` for a uniform draw of 64 bits: ⌊wait · jitter % · u⌋, u < 1.
    #[must_use]
    pub fn jitter(&self, wait: u64, draw: u64) -> u64 {
        let most = u128::from(wait).saturating_mul(u128::from(self.jitter_percent));
        let drawn = most.saturating_mul(u128::from(draw >> 32)) >> 32;
        u64::try_from(drawn / 100).unwrap_or(u64::MAX)
    }

    /// In which time as many permits are added to a half-open breaker as it has. A second: a probe that
    /// is worth waiting for mostly answers by then. But at most a fifth of the half-open time, so that there is
    /// time left for others, and at least a thirtieth, so that never more than 30 times as many pass.
    #[must_use]
    pub fn renewal_ms(&self) -> u64 {
        let (least, most) = (self.max_half_open_ms / 30, self.max_half_open_ms / 5);
        1_000_u64.min(most).max(least)
    }

    /// How many permits were added to those of a breaker that has been half-open for `since_ms`: none in
    /// the first [`renewal_ms`](Self::renewal_ms), then `half_open_permits` in each, evenly. The draw decides
    /// on the last one, the likelier the nearer it is, so that nobody knows the moment at which to ask for
    /// it. Without an end of the half-open time, none.
    #[must_use]
    pub fn renewed(&self, since_ms: u64, draw: u64) -> u16 {
        let each_ms = self.renewal_ms();
        let part = since_ms.min(self.max_half_open_ms).saturating_sub(each_ms);
        let part = part.saturating_mul(self.half_open_permits.into());
        let (Some(whole), Some(rest)) = (part.checked_div(each_ms), part.checked_rem(each_ms)) else {
            return 0;
        };
        let drawn = rest.saturating_mul(1 << 32) > each_ms.saturating_mul(draw >> 32);
        u16::try_from(whole.saturating_add(drawn.into())).unwrap_or(u16::MAX)
    }

    /// Whether a call of `took_ms` was slow.
    #[must_use]
    pub fn is_slow(&self, took_ms: u64) -> bool {
        self.slow_call_ms > 0 && took_ms > self.slow_call_ms
    }

    /// A tag of all parameters: a record that carries another was written for other ones.
    #[must_use]
    pub fn tag(&self) -> u32 {
        let words = [
            u64::from(self.failure_rate_percent),
            u64::from(self.slow_rate_percent),
            self.slow_call_ms,
            u64::from(self.minimum_calls),
            u64::from(self.slots),
            self.slot_ms,
            u64::from(self.consecutive_failures),
            u64::from(self.half_open_permits),
            self.max_half_open_ms,
            self.base_open_ms,
            u64::from(self.backoff_multiplier_percent),
            self.max_open_ms,
            u64::from(self.jitter_percent),
            self.streak_decay_ms,
            self.demanded as u64,
            self.salt,
        ];
        let fold = |seed, word: &u64| crate::hash::xxh64::xxh64(&word.to_le_bytes(), seed);
        // At least 1: a tag of 0 is a cell that was never written.
        u32::try_from(words.iter().fold(0, fold) >> 32).unwrap_or(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_times_double_up_to_the_longest() {
        let params = BreakerParams::default();
        let waits: std::vec::Vec<u64> = [1, 2, 3, 7, 8, u16::MAX].map(|streak| params.wait(streak)).to_vec();
        assert_eq!(waits, [5_000, 10_000, 20_000, 300_000, 300_000, 300_000]);
    }

    #[test]
    fn jitter_is_below_its_share_of_the_wait() {
        let params = BreakerParams::default();
        assert_eq!(params.jitter(5_000, 0), 0);
        assert_eq!(params.jitter(5_000, u64::MAX / 2), 249);
        assert_eq!(params.jitter(5_000, u64::MAX), 499);
    }

    #[test]
    fn permits_are_renewed_evenly_at_moments_that_nobody_knows() {
        let params = BreakerParams { half_open_permits: 2, ..BreakerParams::default() };
        let (early, even, late) = (0, 1 << 63, u64::MAX);
        #[rustfmt::skip]
        let cases = [
            // since    early  even  late
            (0,         0,     0,    0),
            (1_000,     0,     0,    0),
            (1_001,     1,     0,    0),
            (1_250,     1,     0,    0),
            (1_251,     1,     1,    0),
            (1_500,     1,     1,    1),
            (2_000,     2,     2,    2),
            (30_000,    58,    58,   58),
            (u64::MAX,  58,    58,   58),
        ];
        for (since_ms, first, second, third) in cases {
            let renewed = [early, even, late].map(|draw| params.renewed(since_ms, draw));
            assert_eq!(renewed, [first, second, third], "{since_ms}");
        }
    }

    #[test]
    fn a_half_open_time_has_at_most_thirty_times_its_permits() {
        for (half_open_ms, each_ms, most) in [
            (0, 0, 0),
            (4, 0, 0),
            (5, 1, 20),
            (1_000, 200, 20),
            (30_000, 1_000, 145),
            (86_400_000, 2_880_000, 145),
        ] {
            let params = BreakerParams { max_half_open_ms: half_open_ms, ..BreakerParams::default() };
            assert_eq!((params.renewal_ms(), params.renewed(u64::MAX, 0)), (each_ms, most), "{half_open_ms}");
        }
        let params = BreakerParams { half_open_permits: u16::MAX, ..BreakerParams::default() };
        assert_eq!(params.renewed(u64::MAX, 0), u16::MAX);
    }

    #[test]
    fn a_call_as_long_as_the_limit_is_not_slow() {
        let params = BreakerParams::default();
        assert!(!params.is_slow(2_000) && params.is_slow(2_001));
        assert!(!BreakerParams { slow_call_ms: 0, ..params }.is_slow(u64::MAX));
    }

    #[test]
    fn other_parameters_have_another_tag() {
        let params = BreakerParams::default();
        assert_ne!(params.tag(), BreakerParams { minimum_calls: 21, ..params }.tag());
    }
}
