//! Formulas that others throttle by on the client's side: Google's SRE book (chapter 21), Envoy's
//! retry budget, gRPC's retry throttling (proposal A6). The vectors compare admission control with
//! them; no module contains them.

/// The share of requests to refuse: max(0, (requests − K · accepts) / (requests + 1)).
/// `requests` counts those refused locally, too.
#[must_use]
pub fn client_throttling(requests: u64, accepts: u64, k: f64) -> f64 {
    let (requests, accepts) = (requests as f64, accepts as f64);
    ((requests - k * accepts) / (requests + 1.0)).max(0.0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_refuses_what_is_above_k_times_its_accepts() {
        for (requests, accepts, expected) in [(0, 0, 0.0), (10, 5, 0.0), (9, 4, 0.1), (99, 0, 0.99)] {
            let share = client_throttling(requests, accepts, 2.0);
            assert!((share - expected).abs() < 1e-12, "{accepts} of {requests}: {share}");
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
