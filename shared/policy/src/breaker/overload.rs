//! Refusing a share of the requests instead of all of them.
//!
//! [`admission_control`] is Envoy's formula and [`client_throttling`] the one of Google's SRE
//! book (chapter 21) that it comes from; [`RetryTokens`] is gRPC's retry throttling (proposal
//! A6), [`retry_budget`] Envoy's. All are arithmetic on counts; the draw is an argument.
//!
//! Modules use [`admission_control`] and [`refuses`]. The other three are the published formulas that
//! the test vectors compare these with; no module contains them.

/// The share of requests to refuse: max(0, (n − s/T) / (n + 1))^(1/A), at most `max`.
///
/// `total` requests of which `success` succeeded; `threshold` T is the success rate, 0 to 1,
/// below which refusing begins; `aggression` A above 1 refuses more, sooner. Negative values
/// are cut to 0 before the power, which for them has no value.
#[must_use]
pub fn admission_control(total: u64, success: u64, threshold: f64, aggression: f64, max: f64) -> f64 {
    if threshold <= 0.0 || aggression <= 0.0 {
        return 0.0;
    }
    let (total, success) = (as_f64(total), as_f64(success));
    let excess = (total - success / threshold) / (total + 1.0);
    libm::pow(excess.max(0.0), 1.0 / aggression).min(max)
}

/// The share of requests to refuse: max(0, (requests − K · accepts) / (requests + 1)).
/// `requests` counts those refused locally, too.
#[must_use]
pub fn client_throttling(requests: u64, accepts: u64, k: f64) -> f64 {
    let (requests, accepts) = (as_f64(requests), as_f64(accepts));
    ((requests - k * accepts) / (requests + 1.0)).max(0.0)
}

/// Whether a request is among the share to refuse. As in Envoy, a draw has 10,000 values
/// and those below `share` of them refuse: of a share of 0.05211 they are 522.
#[must_use]
pub fn refuses(share: f64, draw: u64) -> bool {
    as_f64(draw.checked_rem(10_000).unwrap_or(0)) < share * 10_000.0
}

/// How many retries may be in flight: `percent` of the requests in flight, at least `min`.
#[must_use]
pub fn retry_budget(active: u64, percent: u32, min: u64) -> u64 {
    (active.saturating_mul(percent.into()) / 100).max(min)
}

/// gRPC's retry tokens, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryTokens {
    max: u32,
    ratio: u32,
    tokens: u32,
}

// === impl RetryTokens ===

impl RetryTokens {
    /// A full bucket of `max` tokens to which a success adds `ratio`, both in thousandths.
    #[must_use]
    pub fn new(max: u32, ratio: u32) -> Self {
        Self { max, ratio, tokens: max }
    }

    /// The bucket after an outcome: a failure takes one token.
    #[must_use]
    pub fn after(self, success: bool) -> Self {
        let tokens = if success {
            self.tokens.saturating_add(self.ratio).min(self.max)
        } else {
            self.tokens.saturating_sub(1_000)
        };
        Self { tokens, ..self }
    }

    /// Tokens left, in thousandths.
    #[must_use]
    pub fn thousandths(self) -> u32 {
        self.tokens
    }

    /// Whether a request may be retried: more than half of the tokens are left.
    #[must_use]
    pub fn allows_retry(self) -> bool {
        self.tokens > self.max / 2
    }
}

/// Exact up to 2⁵³, far above any count.
fn as_f64(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admission_control_refuses_what_is_missing_to_the_threshold() {
        #[rustfmt::skip]
        let cases = [
            // name                   total  success  threshold  aggression  max  expected
            ("nothing was asked",     0,     0,       0.95,      1.0,        0.8, 0.0),
            ("enough succeeded",      100,   95,      0.95,      1.0,        0.8, 0.0),
            ("more than enough",      100,   100,     0.95,      2.0,        0.8, 0.0),
            ("all failed",            99,    0,       0.95,      1.0,        1.0, 0.99),
            ("up to the most",        99,    0,       0.95,      1.0,        0.8, 0.8),
            ("a root refuses more",   99,    37,      0.5,       2.0,        0.8, 0.5),
            ("a threshold below 0",   100,   50,      -0.5,      1.0,        0.8, 0.0),
            ("aggression below 0",    100,   50,      0.95,      -1.0,       0.8, 0.0),
        ];
        for (name, total, success, threshold, aggression, max, expected) in cases {
            let share = admission_control(total, success, threshold, aggression, max);
            assert!((share - expected).abs() < 1e-12, "{name}: {share}");
        }
    }

    #[test]
    fn a_client_refuses_what_is_above_k_times_its_accepts() {
        for (requests, accepts, expected) in [(0, 0, 0.0), (10, 5, 0.0), (9, 4, 0.1), (99, 0, 0.99)] {
            let share = client_throttling(requests, accepts, 2.0);
            assert!((share - expected).abs() < 1e-12, "{accepts} of {requests}: {share}");
        }
    }

    #[test]
    fn a_share_of_all_draws_refuses() {
        #[rustfmt::skip]
        let cases = [
            // name                       share    draw     expected
            ("none",                      0.0,     0,       false),
            ("the last of 80 %",          0.8,     7_999,   true),
            ("the first beyond 80 %",     0.8,     8_000,   false),
            ("a part of a step",          0.05211, 521,     true),
            ("the first beyond the part", 0.05211, 522,     false),
            ("all",                       1.0,     9_999,   true),
            ("draws of any size",         0.8,     18_000,  false),
        ];
        for (name, share, draw, expected) in cases {
            assert_eq!(refuses(share, draw), expected, "{name}");
        }
    }

    #[test]
    fn a_budget_is_a_share_of_the_requests_or_its_minimum() {
        for (active, expected) in [(0, 3), (19, 3), (20, 4), (1_000, 200), (u64::MAX, u64::MAX / 100)] {
            assert_eq!(retry_budget(active, 20, 3), expected, "{active} requests");
        }
    }

    #[test]
    fn retries_need_more_than_half_of_the_tokens() {
        #[rustfmt::skip]
        let cases = [
            // outcomes  tokens  retries
            ("",         4_000,  true),
            ("S",        4_000,  true),
            ("F",        3_000,  true),
            ("FF",       2_000,  false),
            ("FFS",      2_500,  true),
            ("FFFFF",    0,      false),
            ("FFFFFS",   500,    false),
        ];
        for (outcomes, thousandths, retries) in cases {
            let full = RetryTokens::new(4_000, 500);
            let tokens = outcomes.chars().fold(full, |tokens, outcome| tokens.after(outcome == 'S'));
            assert_eq!((tokens.thousandths(), tokens.allows_retry()), (thousandths, retries), "{outcomes}");
        }
    }
}
