//! Averages that forget: peak-EWMA latency, and the recent success rate.
//!
//! Peak-EWMA is Finagle's (also linkerd's): a response slower than the average becomes the
//! average at once, a faster one moves it by how long ago the last one was. So it is wary of
//! what just was slow and slow to trust it again. A weight of `e^(−dt/τ)` is what is left of the
//! past after `dt`: the half-life is `τ·ln 2`, 6.93 s of 10 s.

use crate::time::{Span, Timestamp};

/// The latency of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PeakEwma {
    millis: f64,
    at: Timestamp,
}

/// Outcomes of recent requests: counts that forget.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Recent {
    ended: f64,
    good: f64,
    answered: f64,
    millis: f64,
    at: Timestamp,
}

/// The cost of an endpoint that has requests and never answered: Finagle's `(2^63 − 1) >> 16`.
const PENALTY: f64 = 140_737_488_355_328.0;

// === impl PeakEwma ===

impl PeakEwma {
    /// Takes a latency of `millis`.
    pub fn take(&mut self, now: Timestamp, millis: f64, decay: Span) {
        if millis > self.millis {
            self.millis = millis;
        } else {
            let kept = kept(now.since(self.at), decay);
            self.millis = millis * (1.0 - kept) + self.millis * kept;
        }
        self.at = self.at.max(now);
    }

    /// The average as last observed, in milliseconds; 0 before anything was.
    #[must_use]
    pub const fn millis(&self) -> f64 {
        self.millis
    }

    /// `average · (pending + 1)`. What never answered costs nothing while idle, so that it is
    /// tried, and more than any other once it has a request. Observes a latency of 0, so that an
    /// endpoint without requests becomes cheaper with time.
    pub fn cost(&mut self, now: Timestamp, pending: u32, decay: Span) -> f64 {
        self.take(now, 0.0, decay);
        if self.millis <= 0.0 && pending > 0 {
            return PENALTY + f64::from(pending);
        }
        self.millis * (f64::from(pending) + 1.0)
    }
}

// === impl Recent ===

impl Recent {
    /// Takes the end of a request.
    pub fn take(&mut self, now: Timestamp, rtt: Option<Span>, ok: bool, decay: Span) {
        *self = self.as_of(now, decay);
        self.ended += 1.0;
        self.good += if ok { 1.0 } else { 0.0 };
        if let Some(rtt) = rtt {
            self.answered += 1.0;
            self.millis += rtt.as_millis_f64();
        }
    }

    /// The success rate, 0 to 1, and the mean latency in milliseconds. One success is assumed
    /// beforehand, so that who has few requests is thought well of, and who has none, best.
    #[must_use]
    pub fn rates(&self, now: Timestamp, decay: Span) -> (f64, f64) {
        let now = self.as_of(now, decay);
        let latency = if self.answered > 0.0 { self.millis / self.answered } else { 0.0 };
        ((now.good + 1.0) / (now.ended + 1.0), latency)
    }

    fn as_of(&self, now: Timestamp, decay: Span) -> Self {
        let kept = kept(now.since(self.at), decay);
        Self {
            ended: self.ended * kept,
            good: self.good * kept,
            answered: self.answered * kept,
            millis: self.millis * kept,
            at: self.at.max(now),
        }
    }
}

/// What is left of the past after `elapsed`: all of it when no time passed.
fn kept(elapsed: Span, decay: Span) -> f64 {
    if elapsed == Span::ZERO {
        return 1.0;
    }
    libm::exp(-(elapsed.as_nanos() as f64) / (decay.as_nanos().max(1) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_steps_back_forgets_nothing() {
        let (now, decay) = (Timestamp::from_nanos(5_000_000_000), Span::from_secs(1));
        let mut latency = PeakEwma::default();
        latency.take(now, 80.0, decay);
        latency.take(Timestamp::ZERO, 10.0, decay);
        assert!((latency.millis() - 80.0).abs() < 1e-9);
        assert!((latency.cost(now, 0, decay) - 80.0).abs() < 1e-9);
        assert!(latency.cost(now.plus(decay), 0, Span::ZERO) <= 0.0, "no memory at all");
    }
}
