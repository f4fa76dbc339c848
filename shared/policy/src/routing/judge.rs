//! Whether a variant does well enough to get more traffic.
//!
//! A variant passes an interval when enough of its requests succeed, not noticeably fewer than
//! the baseline's, and its slow ones take not much longer. Too few requests say nothing: an
//! interval without evidence neither passes nor fails. Normative are the vectors `progressive`.

/// What a variant must fulfil.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// Requests that must succeed, in basis points.
    pub min_success_basis_points: u32,
    /// How many basis points below the baseline it may stay.
    pub tolerance_basis_points: u32,
    /// A 99th percentile up to this is fine whatever the baseline has; 0 for never.
    pub max_p99_ms: u64,
    /// … and else up to this share of the baseline's, in percent.
    pub p99_percent: u32,
    /// Requests of an interval before it means anything.
    pub min_samples: u64,
}

/// What one variant did in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Requests that ended.
    pub total: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// The 99th percentile of how long they took, where that is measured.
    pub p99_ms: Option<u64>,
}

/// What an interval says of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Judgement {
    /// It does not do well enough.
    Fail(Fault),
    /// There were too few requests to judge.
    Inconclusive,
    /// It does well.
    Pass,
}

/// What a variant does not do well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its slow requests take too long.
    Latency,
    /// Too many of its requests fail, for themselves or against the baseline's.
    Success,
}

const WHOLE: u64 = 10_000;

impl Default for Demands {
    fn default() -> Self {
        Self {
            min_success_basis_points: 9_900,
            tolerance_basis_points: 50,
            max_p99_ms: 500,
            p99_percent: 120,
            min_samples: 100,
        }
    }
}

// === impl Demands ===

impl Demands {
    /// Judges a variant against the baseline; `None` when the baseline has no traffic to
    /// compare with, because the variant has it all.
    ///
    /// Enough failures of its own fail a variant whatever is known of the baseline.
    pub fn judge(&self, variant: Sample, baseline: Option<Sample>) -> Judgement {
        if variant.total < self.min_samples {
            return Judgement::Inconclusive;
        }
        if !variant.succeeds_at_least(u64::from(self.min_success_basis_points), WHOLE) {
            return Judgement::Fail(Fault::Success);
        }
        let Some(baseline) = baseline else { return self.judge_latency(variant, None) };
        if baseline.total < self.min_samples {
            return Judgement::Inconclusive;
        }
        // Both in parts of the baseline's requests, so that nothing is rounded.
        let spared = u64::from(self.tolerance_basis_points).saturating_mul(baseline.total);
        let wanted = baseline.succeeded().saturating_mul(WHOLE).saturating_sub(spared);
        if !variant.succeeds_at_least(wanted, baseline.total.saturating_mul(WHOLE)) {
            return Judgement::Fail(Fault::Success);
        }
        self.judge_latency(variant, baseline.p99_ms)
    }

    fn judge_latency(&self, variant: Sample, baseline: Option<u64>) -> Judgement {
        let Some(took) = variant.p99_ms else { return Judgement::Pass };
        let beside = baseline.map(|ms| ms.saturating_mul(u64::from(self.p99_percent)) / 100);
        let most = if self.max_p99_ms == 0 && beside.is_none() {
            u64::MAX
        } else {
            self.max_p99_ms.max(beside.unwrap_or(0))
        };
        if took <= most {
            Judgement::Pass
        } else {
            Judgement::Fail(Fault::Latency)
        }
    }
}

// === impl Sample ===

impl Sample {
    fn succeeded(&self) -> u64 {
        self.total.saturating_sub(self.failed)
    }

    /// Whether succeeded / total is at least part / whole.
    fn succeeds_at_least(&self, part: u64, whole: u64) -> bool {
        let product = |a: u64, b: u64| u128::from(a).saturating_mul(u128::from(b));
        product(self.succeeded(), whole) >= product(part, self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_judged_by_itself_and_beside_the_baseline() {
        use Fault::{Latency, Success};
        use Judgement::{Fail, Inconclusive, Pass};
        let sample = |total, failed, p99| Sample { total, failed, p99_ms: Some(p99) };
        #[rustfmt::skip]
        let cases = [
            // variant               baseline                          judgement
            (sample(99, 99, 0),      Some(sample(1000, 0, 100)),       Inconclusive),
            (sample(100, 1, 0),      Some(sample(1000, 5, 100)),       Pass),
            (sample(100, 1, 0),      Some(sample(1000, 4, 100)),       Fail(Success)),
            (sample(100, 2, 0),      Some(sample(1000, 500, 100)),     Fail(Success)),
            (sample(100, 2, 0),      Some(sample(99, 0, 100)),         Fail(Success)),
            (sample(100, 0, 0),      Some(sample(99, 0, 100)),         Inconclusive),
            (sample(100, 0, 500),    Some(sample(1000, 0, 100)),       Pass),
            (sample(100, 0, 501),    Some(sample(1000, 0, 100)),       Fail(Latency)),
            (sample(100, 0, 1200),   Some(sample(1000, 0, 1000)),      Pass),
            (sample(100, 0, 1201),   Some(sample(1000, 0, 1000)),      Fail(Latency)),
            (sample(100, 0, 500),    None,                             Pass),
            (sample(100, 0, 501),    None,                             Fail(Latency)),
        ];
        for (variant, baseline, expected) in cases {
            let got = Demands::default().judge(variant, baseline);
            assert_eq!(got, expected, "{variant:?} beside {baseline:?}");
        }
    }

    #[test]
    fn latency_that_nobody_measured_is_not_held_against_anyone() {
        let plain = Sample { total: 100, failed: 0, p99_ms: None };
        assert_eq!(Demands::default().judge(plain, Some(plain)), Judgement::Pass);
        let slow = Sample { p99_ms: Some(u64::MAX), ..plain };
        let demands = Demands { max_p99_ms: 0, ..Demands::default() };
        assert_eq!(demands.judge(slow, Some(plain)), Judgement::Pass);
    }
}
