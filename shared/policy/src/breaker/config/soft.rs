//! A softer breaker: it refuses a share of the requests instead of opening.

use super::fields;
use crate::breaker::cells::record::Counts;
use crate::breaker::overload;
use crate::breaker::params::BreakerParams;
use crate::config::Object;

/// Envoy's admission control in place of an open state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Soft {
    /// Calls in the window before anything is refused.
    pub minimum_calls: u32,
    /// Aggression, in hundredths.
    pub aggression_percent: u32,
    /// Largest share that is refused, in hundredths.
    pub max_refused_percent: u32,
}

// === impl Soft ===

impl Soft {
    /// Reads the object `admission` of a breaker with these parameters.
    pub(super) fn read(object: &Object<'_>, params: &BreakerParams) -> Option<Self> {
        if params.failure_rate_percent >= 100 {
            object.report(
                "never refuses at a failure rate of 100 %".into(),
                "a `failure_rate_percent` of 1 to 99 %",
            );
            return None;
        }
        Some(Self {
            minimum_calls: params.minimum_calls,
            aggression_percent: object.get(&fields::AGGRESSION_PERCENT)?,
            max_refused_percent: object.get(&fields::MAX_REFUSED_PERCENT)?,
        })
    }

    /// The share of requests to refuse after what is in the window. The success rate below which
    /// refusing begins is what the failure rate leaves.
    #[must_use]
    pub fn share(&self, window: Counts, failure_rate_percent: u32) -> f64 {
        if window.total < self.minimum_calls {
            return 0.0;
        }
        let part = |pct: u32| f64::from(pct) / 100.0;
        let success = window.total.saturating_sub(window.failed);
        let threshold = 1.0 - part(failure_rate_percent);
        let (aggression, most) = (part(self.aggression_percent), part(self.max_refused_percent));
        overload::admission_control(window.total.into(), success.into(), threshold, aggression, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_begins_where_the_failure_rate_does() {
        let soft = Soft { minimum_calls: 20, aggression_percent: 100, max_refused_percent: 80 };
        #[rustfmt::skip]
        let cases = [
            // name            total  failed  expected
            ("too few",        19,    19,     0.0),
            ("none failed",    99,    0,      0.0),
            ("at the rate",    100,   50,     0.0),
            ("all but a part", 99,    79,     (99.0 - 40.0) / 100.0),
            ("up to the most", 999,   999,    0.8),
        ];
        for (name, total, failed, expected) in cases {
            let share = soft.share(Counts { total, failed, slow: 0 }, 50);
            assert!((share - expected).abs() < 1e-12, "{name}: {share}");
        }
    }
}
