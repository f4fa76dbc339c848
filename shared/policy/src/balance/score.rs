//! Logistic health scores: what an endpoint does, as a weight.
//!
//! `F(x) = 1 / (1 + e^(−k(x − θ)))` turns a health of 0 to 100 into a share: half at the midpoint
//! θ, the steeper the larger k. Far from θ it saturates and endpoints look alike; 10 to 90 %
//! spans 4.394/k.

use crate::time::Span;

/// How health becomes a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logistic {
    /// θ: the health at which an endpoint has half of the weight. Usually 50 to 95.
    pub midpoint: f64,
    /// k: how sharply the weight falls around it. Usually 0.05 to 1.
    pub steepness: f64,
    /// The mean latency up to which an endpoint loses nothing.
    pub target: Span,
}

/// What an endpoint loses for each target that it is slower than the target.
const PER_TARGET: f64 = 20.0;

/// The logistic function, 0 to 1.
#[must_use]
pub fn logistic(x: f64, midpoint: f64, steepness: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-steepness * (x - midpoint)))
}

/// A share as a weight of 1 to 10,000.
#[must_use]
pub fn weight(share: f64) -> u32 {
    // A float that is no such integer becomes the nearest one.
    (libm::round(10_000.0 * share) as u32).clamp(1, 10_000)
}

/// Health, 100 at best: 100 × the success rate, less 20 for each `target_ms` by which the
/// latency is above `target_ms`.
#[must_use]
pub fn health(success: f64, latency_ms: f64, target_ms: f64) -> f64 {
    let above = if target_ms > 0.0 { (latency_ms / target_ms - 1.0).max(0.0) } else { 0.0 };
    100.0 * success - PER_TARGET * above
}

pub(super) fn score(logistic_of: &Logistic, success: f64, latency_ms: f64) -> u32 {
    let health = health(success, latency_ms, logistic_of.target.as_millis_f64());
    weight(logistic(health, logistic_of.midpoint, logistic_of.steepness))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_within_its_bounds_whatever_the_parameters() {
        for x in [f64::NEG_INFINITY, -1e300, 0.0, 1e300, f64::INFINITY, f64::NAN] {
            for k in [0.0, 1e-300, 1e300] {
                let weight = weight(logistic(x, 50.0, k));
                assert!((1..=10_000).contains(&weight), "{x} {k}: {weight}");
            }
        }
    }
}
