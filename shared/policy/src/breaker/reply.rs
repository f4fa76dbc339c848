//! What a request gets that a breaker refuses.

use alloc::format;
use alloc::string::ToString;

use super::params::BreakerParams;
use crate::http::grpc::UNAVAILABLE;
use crate::http::problem::{self, Kind};
use crate::http::{Reply, ReplyPolicy};

/// What refused clients get unless configured otherwise.
#[must_use]
pub fn default() -> ReplyPolicy {
    ReplyPolicy::new(503, UNAVAILABLE)
}

/// The answer to a request that the breaker `name` refuses.
#[must_use]
pub fn refused(policy: &ReplyPolicy, name: &str, retry_after_secs: u64, grpc: bool) -> Reply {
    let mut headers = alloc::vec![
        ("content-type".to_string(), policy.content_type.clone()),
        ("x-tidegate-breaker".to_string(), "open".to_string()),
    ];
    if policy.status >= 400 {
        headers.push(("retry-after".to_string(), retry_after_secs.to_string()));
    }
    headers.extend(policy.headers.iter().cloned());
    let kind = Kind::TemporaryReducedCapacity;
    let body = match &policy.body {
        Some(body) => body.clone(),
        None if grpc => format!("{}: {name}", kind.title()),
        None => problem::body(kind, policy.status, core::iter::once(name)),
    };
    let details = format!("tidegate_breaker_open:{name}");
    Reply { status: policy.status, grpc_status: policy.grpc_status, headers, body, details }.not_stored()
}

/// The answer to a request that the filter could not decide and may not let pass.
#[must_use]
pub fn undecided(grpc: bool) -> Reply {
    Reply::unavailable("tidegate_breaker_undecided", grpc)
}

/// Seconds after which to ask again: what is left of the open time, at most the first one of all,
/// rounded up. Without a known end it is the first one.
#[must_use]
pub fn retry_after(params: &BreakerParams, left_ms: Option<u64>) -> u64 {
    left_ms.unwrap_or(u64::MAX).min(params.base_open_ms).div_ceil(1_000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_again_is_worth_it_after_whole_seconds() {
        let params = BreakerParams::default();
        let cases = [(Some(0), 1), (Some(1_000), 1), (Some(1_001), 2), (Some(60_000), 5), (None, 5)];
        for (left_ms, expected) in cases {
            assert_eq!(retry_after(&params, left_ms), expected, "{left_ms:?}");
        }
    }

    #[test]
    fn a_reply_that_is_no_error_does_not_ask_to_come_again() {
        for (status, expected) in [(200, false), (404, true), (503, true)] {
            let reply = refused(&ReplyPolicy::new(status, 14), "a", 5, false);
            let has = reply.headers.contains(&("retry-after".to_string(), "5".to_string()));
            assert_eq!(has, expected, "{status}");
        }
    }
}
