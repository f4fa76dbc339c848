//! What a weight becomes: slow start, and least request.
//!
//! Weights are in 10,000ths here, so that a tenth of the least weight is still an integer.

use crate::time::Span;

/// How endpoints that are new, or were taken back, get their share little by little.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// How long it takes. Zero: no slow start.
    pub window: Span,
    /// How the share grows: 1 is linear, more is faster at first. Above 0; default 1.
    pub aggression: f64,
    /// The share to begin with, in percent, 0 to 100. Default 10.
    pub min_weight_percent: u32,
}

/// A weight of one.
pub(super) const ONE: u32 = 10_000;

// === impl SlowStart ===

impl SlowStart {
    /// Envoy's factor: `max(min %, (elapsed / window)^(1 / aggression))`, with an `elapsed` of at
    /// least 1 ms; 1 from the end of the window on.
    #[must_use]
    pub fn factor(&self, elapsed: Span) -> f64 {
        if elapsed >= self.window {
            return 1.0;
        }
        let elapsed = elapsed.max(Span::from_millis(1));
        let part = elapsed.as_nanos() as f64 / self.window.as_nanos() as f64;
        let linear = (self.aggression - 1.0).abs() < f64::EPSILON || self.aggression <= 0.0;
        let grown = if linear { part } else { libm::pow(part, 1.0 / self.aggression) };
        grown.max(f64::from(self.min_weight_percent) / 100.0).min(1.0)
    }
}

/// Envoy's weight for least request: `weight / (active + 1)^bias`.
#[must_use]
pub fn least_request(weight: f64, active: u32, bias: f64) -> f64 {
    let busy = f64::from(active) + 1.0;
    let linear = (bias - 1.0).abs() < f64::EPSILON;
    weight / if linear { busy } else { libm::pow(busy, bias) }
}

/// `(active + 1) · other's weight` on both sides: the first of two candidates is kept when its
/// side is no larger. Exact.
#[must_use]
pub fn sides(first: (u32, u32), second: (u32, u32)) -> (u64, u64) {
    let side = |active: u32, weight: u32| u64::from(active).saturating_add(1).saturating_mul(weight.into());
    (side(first.0, second.1), side(second.0, first.1))
}

/// A factor of at most 1 as a weight of `times` in 10,000ths, at least 1.
pub(super) fn scaled(times: u32, factor: f64) -> u64 {
    // A float that is no such integer becomes the nearest one.
    ((f64::from(times) * f64::from(ONE) * factor) as u64).max(1)
}
