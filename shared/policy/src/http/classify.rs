//! What an outcome says about the target: well, failed, or nothing at all.
//!
//! Only the upstream's own answers, and Envoy's own failures to get one, say something
//! about an upstream. What the client did, and what filters answered by themselves, does
//! not. Envoy tells them apart by its response-code details (`via_upstream` and others) and its
//! response flags.

/// What one outcome says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It failed before all of its request had come, so that its client may have had a part in it.
    /// It counts for the rate and fails a probe, but is no consecutive failure.
    Early,
    /// It failed.
    Failure,
    /// It says nothing about the target.
    Ignored,
    /// Its client left without an answer, later than a call is slow: a slow call, of which nobody
    /// knows whether it failed.
    Left,
    /// It went well.
    Success,
    /// The target is alive but asks for less. Where it counts, it counts for the rate and fails a probe,
    /// but is no consecutive failure (Linkerd's rule).
    Throttled,
}

/// How an exchange ended, as the host reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// HTTP status of the response; 0 when there was none.
    pub status: u32,
    /// gRPC status, for gRPC exchanges.
    pub grpc_status: Option<u32>,
    /// Envoy's response-code details.
    pub details: &'a [u8],
    /// Envoy's response flags.
    pub flags: u64,
}

/// What counts as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// HTTP statuses that are failures.
    pub failures: Statuses,
    /// HTTP statuses that are throttling.
    pub throttled: Statuses,
    /// HTTP statuses that say nothing.
    pub ignored: Statuses,
    /// A bit for each gRPC status that is a failure.
    pub grpc_failures: u32,
    /// A bit for each gRPC status that is throttling.
    pub grpc_throttled: u32,
    /// Envoy's response flags by which it says that the upstream failed.
    pub flags: u64,
}

/// A set of HTTP statuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statuses([u64; 10]);

/// Envoy's response flags that can count as failures, by the names it gives them in access
/// logs.
pub const FLAGS: [(&str, u64); 12] = [
    ("DT", 1 << 22),
    ("LR", 1 << 3),
    ("NC", 1 << 24),
    ("SI", 1 << 16),
    ("UC", 1 << 6),
    ("UF", 1 << 5),
    ("UH", 1 << 1),
    ("UMSDR", 1 << 19),
    ("UO", 1 << 7),
    ("UPE", 1 << 23),
    ("UR", 1 << 4),
    ("UT", 1 << 2),
];

/// No healthy endpoint, timeout, local reset, remote reset, no connection, connection lost, no HTTP.
const UPSTREAM_FAILED: u64 = (1 << 1) | (1 << 2) | (1 << 3) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 23);
/// The client left.
const DOWNSTREAM_GONE: u64 = 1 << 14;
const FROM_UPSTREAM: &[u8] = b"via_upstream";

impl Default for Rules {
    /// 5xx, and `UNKNOWN`, `DEADLINE_EXCEEDED`, `ABORTED`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS`; 429
    /// and `RESOURCE_EXHAUSTED` are throttling. `UNKNOWN` is what servers make of an exception that
    /// nobody caught, a 500 in Envoy's outlier detection.
    fn default() -> Self {
        let mut rules = Self {
            failures: Statuses::default(),
            throttled: Statuses::default(),
            ignored: Statuses::default(),
            grpc_failures: (1 << 2) | (1 << 4) | (1 << 10) | (1 << 13) | (1 << 14) | (1 << 15),
            grpc_throttled: 1 << 8,
            flags: UPSTREAM_FAILED,
        };
        rules.failures.insert(500, 599);
        rules.throttled.insert(429, 429);
        rules
    }
}

// === impl Statuses ===

impl Statuses {
    /// Adds all from `first` to `last`. There are none above 639.
    pub fn insert(&mut self, first: u32, last: u32) {
        for status in first..=last.min(639) {
            if let Some((word, bit)) = self.0.get_mut(index(status)).zip(1_u64.checked_shl(status % 64)) {
                *word |= bit;
            }
        }
    }

    /// Whether `status` is one of them.
    #[must_use]
    pub fn contains(&self, status: u32) -> bool {
        let word = self.0.get(index(status)).copied().unwrap_or(0);
        word.checked_shr(status % 64).unwrap_or(0) & 1 == 1
    }
}

fn index(status: u32) -> usize {
    usize::try_from(status / 64).unwrap_or(usize::MAX)
}

// === impl Rules ===

impl Rules {
    /// What `outcome` says about the target.
    #[must_use]
    pub fn classify(&self, outcome: &Outcome<'_>) -> Class {
        self.classify_by(self.flags, outcome)
    }

    /// The same, where `flags` are those that say that the upstream failed.
    #[must_use]
    pub fn classify_by(&self, flags: u64, outcome: &Outcome<'_>) -> Class {
        if outcome.flags & flags != 0 {
            return Class::Failure;
        }
        if outcome.flags & DOWNSTREAM_GONE != 0 || outcome.details != FROM_UPSTREAM {
            return Class::Ignored;
        }
        self.judge(outcome.status, outcome.grpc_status)
    }

    /// What an answer of the upstream itself says about it.
    #[must_use]
    pub fn judge(&self, status: u32, grpc_status: Option<u32>) -> Class {
        let has = |set: u32, status: u32| set.checked_shr(status).unwrap_or(0) & 1 == 1;
        match grpc_status {
            Some(status) if has(self.grpc_throttled, status) => Class::Throttled,
            Some(status) if has(self.grpc_failures, status) => Class::Failure,
            Some(_) => Class::Success,
            None if self.ignored.contains(status) => Class::Ignored,
            None if self.throttled.contains(status) => Class::Throttled,
            None if self.failures.contains(status) => Class::Failure,
            None => Class::Success,
        }
    }
}

#[cfg(test)]
impl Class {
    /// The class of a letter in the tables of tests.
    pub(crate) fn spelt(letter: char) -> Self {
        match letter {
            'E' => Self::Early,
            'F' => Self::Failure,
            'I' => Self::Ignored,
            'S' => Self::Success,
            'T' => Self::Throttled,
            _ => panic!("{letter} is no class"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_upstream_and_the_way_to_it_are_judged() {
        use Class::{Failure, Ignored, Success, Throttled};
        #[rustfmt::skip]
        let cases = [
            // name                      status grpc      details                                  flags   class
            ("an answer",                 200, None,     "via_upstream",                           0,      Success),
            ("not found",                 404, None,     "via_upstream",                           0,      Success),
            ("an error",                  503, None,     "via_upstream",                           0,      Failure),
            ("an error, retries over",    503, None,     "via_upstream",                           1 << 15, Failure),
            ("too many requests",         429, None,     "via_upstream",                           0,      Throttled),
            ("refused connection",        503, None,     "upstream_reset_before_response_started", 1 << 5, Failure),
            ("upstream hung up",          503, None,     "upstream_reset_before_response_started", 1 << 6, Failure),
            ("timeout",                   504, None,     "response_timeout",                       1 << 2, Failure),
            ("no healthy host",           503, None,     "no_healthy_upstream",                    1 << 1, Failure),
            ("overflow",                  503, None,     "overflow",                               1 << 7, Ignored),
            ("no route",                  404, None,     "route_not_found",                        1 << 8, Ignored),
            ("another filter's reply",    503, None,     "",                                       0,      Ignored),
            ("our own reply",             503, None,     "tidegate_breaker_open:x",                0,      Ignored),
            ("client left",               0,   None,     "downstream_remote_disconnect",           1 << 14, Ignored),
            ("gRPC, well",                200, Some(0),  "via_upstream",                           0,      Success),
            ("gRPC, unknown",             200, Some(2),  "via_upstream",                           0,      Failure),
            ("gRPC, not found",           200, Some(5),  "via_upstream",                           0,      Success),
            ("gRPC, unavailable",         200, Some(14), "via_upstream",                           0,      Failure),
            ("gRPC, exhausted",           200, Some(8),  "via_upstream",                           0,      Throttled),
            ("gRPC, nonsense",            200, Some(99), "via_upstream",                           0,      Success),
        ];
        for (name, status, grpc_status, details, flags, expected) in cases {
            let outcome = Outcome { status, grpc_status, details: details.as_bytes(), flags };
            assert_eq!(Rules::default().classify(&outcome), expected, "{name}");
        }
    }
}
