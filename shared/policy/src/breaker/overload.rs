//! A soft breaker refuses a share of the requests instead of all of them.
//!
//! [`admission_control`] is Envoy's formula, a refinement of the one in Google's SRE book (chapter
//! 21). It is arithmetic on counts; the draw that decides for one request is an argument.

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

/// Whether a request is among the share to refuse. As in Envoy, a draw has 10,000 values
/// and those below `share` of them refuse: of a share of 0.05211 they are 522.
#[must_use]
pub fn refuses(share: f64, draw: u64) -> bool {
    as_f64(draw.checked_rem(10_000).unwrap_or(0)) < share * 10_000.0
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
}
