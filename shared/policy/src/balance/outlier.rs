//! Ejecting single endpoints, by the rules of Envoy's outlier detection.
//!
//! Envoy applies them to its own hosts; here they serve endpoints that a filter picked.
//! 10 % of five hosts is none, unless one may always be ejected.

/// Consecutive failures of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    any_5xx: u32,
    gateway: u32,
}

/// Which runs were long enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trips {
    /// 5xx of any kind.
    pub any_5xx: bool,
    /// 502, 503 and 504.
    pub gateway: bool,
}

/// Whether one more of `hosts` may be ejected when `ejected` are: at most
/// `max_ejection_percent` of all, or the first one when that is always allowed.
#[must_use]
pub fn may_eject(hosts: u32, ejected: u32, max_ejection_percent: u32, always_one: bool) -> bool {
    let after = u64::from(ejected).saturating_add(1).saturating_mul(100);
    (always_one && ejected == 0 && hosts > 0)
        || after <= u64::from(hosts).saturating_mul(max_ejection_percent.into())
}

/// How long the `ejection`th consecutive ejection lasts, and the multiplier of the base time: it
/// stops growing once the time has reached its most.
#[must_use]
pub fn ejection_time(ejection: u32, base_ms: u64, max_ms: u64) -> (u32, u64) {
    let most = max_ms.saturating_add(base_ms).div_ceil(base_ms.max(1));
    let multiplier = u64::from(ejection).min(most);
    let time = base_ms.saturating_mul(multiplier).min(max_ms.max(base_ms));
    (u32::try_from(multiplier).unwrap_or(u32::MAX), time)
}

// === impl Runs ===

impl Runs {
    /// Takes an HTTP status. A run that is long enough, `0` for never, trips and starts anew.
    pub fn take(&mut self, status: u32, consecutive_5xx: u32, consecutive_gateway: u32) -> Trips {
        let is_gateway = matches!(status, 502..=504);
        self.any_5xx = if status >= 500 { self.any_5xx.saturating_add(1) } else { 0 };
        self.gateway = if is_gateway { self.gateway.saturating_add(1) } else { 0 };
        Trips {
            any_5xx: trip(&mut self.any_5xx, consecutive_5xx),
            gateway: trip(&mut self.gateway, consecutive_gateway),
        }
    }
}

fn trip(run: &mut u32, limit: u32) -> bool {
    let trips = limit > 0 && *run >= limit;
    if trips {
        *run = 0;
    }
    trips
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_endpoints_may_be_ejected_and_perhaps_always_one() {
        #[rustfmt::skip]
        let cases = [
            // name                  hosts  ejected  percent  always  expected
            ("none of five",         5,     0,       10,      false,  false),
            ("but always one",       5,     0,       10,      true,   true),
            ("not always two",       5,     1,       10,      true,   false),
            ("one of ten",           10,    0,       10,      false,  true),
            ("not two of ten",       10,    1,       10,      false,  false),
            ("no host",              0,     0,       100,     true,   false),
            ("all are out",          3,     3,       100,     false,  false),
        ];
        for (name, hosts, ejected, percent, always, expected) in cases {
            assert_eq!(may_eject(hosts, ejected, percent, always), expected, "{name}");
        }
    }

    #[test]
    fn ejections_last_longer_each_time_up_to_the_most() {
        #[rustfmt::skip]
        let cases = [
            // ejection  base     max      multiplier  time
            (0,          30_000,  300_000, 0,          0),
            (1,          30_000,  300_000, 1,          30_000),
            (10,         30_000,  300_000, 10,         300_000),
            (u32::MAX,   30_000,  300_000, 11,         300_000),
            (1,          600_000, 300_000, 1,          600_000),
            (2,          0,       0,       0,          0),
        ];
        for (ejection, base, max, multiplier, time) in cases {
            assert_eq!(ejection_time(ejection, base, max), (multiplier, time), "{ejection} of {base} ms");
        }
    }

    #[test]
    fn runs_trip_begin_anew_and_can_be_off() {
        let trips = |any_5xx, gateway| {
            let mut runs = Runs::default();
            [502, 503, 500, 200, 504].map(|status| runs.take(status, any_5xx, gateway))
        };
        let trip = |any_5xx, gateway| Trips { any_5xx, gateway };
        let none = Trips::default();
        assert_eq!(trips(3, 2), [none, trip(false, true), trip(true, false), none, none]);
        assert_eq!(trips(1, 0), [502, 503, 500, 200, 504].map(|status| trip(status != 200, false)));
        assert_eq!(trips(0, 0), [none; 5]);
    }
}
