//! What an outcome says about the target: well, failed, or nothing at all.
//!
//! Only the upstream's own answers, and Envoy's own failures to get one, say something
//! about an upstream. What the client did, and what filters answered by themselves, does
//! not (facts 6 on how outcomes appear in Envoy; reference 1.8).

/// What one outcome says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It failed.
    Failure,
    /// It says nothing about the target.
    Ignored,
    /// It went well.
    Success,
    /// The target is alive but asks for less: counts for the rate and fails a probe, but
    /// does not count as one of several failures in a row (Linkerd's rule).
    Throttled,
}

/// How an exchange ended, as the host tells it.
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
    /// A bit for each gRPC status that is a failure.
    pub grpc_failures: u32,
    /// The lowest HTTP status that is a failure.
    pub failure_from: u32,
    /// Whether 429 and `RESOURCE_EXHAUSTED` are throttling; else they are a success and,
    /// as configured, a failure.
    pub throttled: bool,
}

const LR: u64 = 1 << 3;
const UR: u64 = 1 << 4;
const UT: u64 = 1 << 2;
const UF: u64 = 1 << 5;
const UC: u64 = 1 << 6;
/// Flags by which Envoy says that the upstream did not answer as it should.
const UPSTREAM_FAILED: u64 = LR | UR | UT | UF | UC;
/// The client left.
const DOWNSTREAM_GONE: u64 = 1 << 14;
const FROM_UPSTREAM: &[u8] = b"via_upstream";

impl Default for Rules {
    /// 5xx, and `DEADLINE_EXCEEDED`, `ABORTED`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS`.
    fn default() -> Self {
        let grpc_failures = (1 << 4) | (1 << 10) | (1 << 13) | (1 << 14) | (1 << 15);
        Self { grpc_failures, failure_from: 500, throttled: true }
    }
}

// === impl Rules ===

impl Rules {
    /// What `outcome` says about the target.
    #[must_use]
    pub fn classify(&self, outcome: &Outcome<'_>) -> Class {
        if outcome.flags & UPSTREAM_FAILED != 0 {
            return Class::Failure;
        }
        if outcome.flags & DOWNSTREAM_GONE != 0 || outcome.details != FROM_UPSTREAM {
            return Class::Ignored;
        }
        match outcome.grpc_status {
            Some(8) if self.throttled => Class::Throttled,
            Some(status) => self.failed(self.grpc_failures.checked_shr(status).unwrap_or(0) & 1 == 1),
            None if outcome.status == 429 && self.throttled => Class::Throttled,
            None => self.failed(outcome.status >= self.failure_from),
        }
    }

    fn failed(self, failed: bool) -> Class {
        if failed {
            Class::Failure
        } else {
            Class::Success
        }
    }
}

#[cfg(test)]
impl Class {
    /// The class of a letter in the tables of tests.
    pub(super) fn spelt(letter: char) -> Self {
        match letter {
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
            ("no healthy host",           503, None,     "no_healthy_upstream",                    1 << 1, Ignored),
            ("overflow",                  503, None,     "overflow",                               1 << 7, Ignored),
            ("no route",                  404, None,     "route_not_found",                        1 << 8, Ignored),
            ("another filter's reply",    503, None,     "",                                       0,      Ignored),
            ("our own reply",             503, None,     "tidegate_breaker_open:x",                0,      Ignored),
            ("client left",               0,   None,     "downstream_remote_disconnect",           1 << 14, Ignored),
            ("gRPC, well",                200, Some(0),  "via_upstream",                           0,      Success),
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
