//! When a breaker opens, for how long, and how it is probed: the parameters of one target.

use crate::breaker::state::State;

/// The parameters of one breaker, with the defaults of `docs/config/breaker.md`. All times in
/// milliseconds of the host's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerParams {
    /// Opens at this share of failed calls, 1 to 100 %.
    pub failure_rate_percent: u32,
    /// Opens at this share of slow calls, 1 to 100 %.
    pub slow_rate_percent: u32,
    /// A call is slow when it takes longer than this; 0 for never.
    pub slow_call_ms: u64,
    /// Calls in the window before a rate means anything.
    pub minimum_calls: u32,
    /// Slots of the window, 1 to 64.
    pub slots: u32,
    /// Length of a slot.
    pub slot_ms: u64,
    /// Opens at so many failures in a row; 0 for never.
    pub consecutive_failures: u32,
    /// Probes that a half-open breaker admits.
    pub half_open_permits: u16,
    /// How long it stays half-open at most; 0 for as long as it takes.
    pub max_half_open_ms: u64,
    /// How long it stays open the first time.
    pub base_open_ms: u64,
    /// Each time in a row it stays open so many hundredths of the time before.
    pub backoff_multiplier_percent: u32,
    /// How long it stays open at most, jitter aside.
    pub max_open_ms: u64,
    /// Up to so many hundredths of an open time are added at random.
    pub jitter_percent: u32,
    /// A closed breaker forgets one opening for each such span; 0 forgets all on closing.
    pub streak_decay_ms: u64,
    /// The state that it is held in; closed for one that moves by itself.
    pub demanded: State,
    /// What else makes it another breaker: what it guards, and in which way.
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

    /// How long the breaker stays open the `streak`th time in a row, without jitter.
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
        u32::try_from(words.iter().fold(0, fold) >> 32).unwrap_or(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_times_double_up_to_the_most() {
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
    fn slow_is_longer_than_and_not_as_long_as() {
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
