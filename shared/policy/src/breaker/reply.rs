//! The reply to a request that a breaker refuses.

use alloc::format;
use alloc::string::ToString;

use super::config::RefusalHeaders;
use super::params::BreakerParams;
use crate::http::grpc::UNAVAILABLE;
use crate::http::problem::{self, Kind};
use crate::http::{Reply, ReplyPolicy};

/// The reply unless configured otherwise: 503 and gRPC 14, which clients may retry.
#[must_use]
pub fn default() -> ReplyPolicy {
    ReplyPolicy::new(503, UNAVAILABLE)
}

/// The reply to a request that the breaker `name` refuses.
#[must_use]
pub fn refused(
    policy: &ReplyPolicy,
    headers: RefusalHeaders,
    name: &str,
    retry_after_secs: u64,
    grpc: bool,
) -> Reply {
    let says_so = headers == RefusalHeaders::XTidegate;
    let mut headers = alloc::vec![("content-type".to_string(), policy.content_type.clone())];
    if says_so {
        headers.push(("x-tidegate-breaker".to_string(), "open".to_string()));
    }
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

/// The reply to a request that the filter could not decide and `on_failure` refuses.
#[must_use]
pub fn undecided(grpc: bool) -> Reply {
    Reply::unavailable("tidegate_breaker_undecided", grpc)
}

/// `retry-after` in seconds: the time until a request may pass, rounded up, at least 1, because 0 asks
/// for an immediate retry. Of a breaker that is held open that time is not known: it is the first open
/// time, `base_open_ms`.
///
/// Clients that come back together meet a half-open breaker, which lets its probes pass and no more,
/// so nothing is added at random to what they are told; the open time has a random part already.
#[must_use]
pub fn retry_after(params: &BreakerParams, left_ms: Option<u64>) -> u64 {
    left_ms.unwrap_or(params.base_open_ms).div_ceil(1_000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_all_that_is_left_rounded_up() {
        let params = BreakerParams::default();
        let cases = [(Some(0), 1), (Some(1_000), 1), (Some(1_001), 2), (Some(300_000), 300), (None, 5)];
        for (left_ms, expected) in cases {
            assert_eq!(retry_after(&params, left_ms), expected, "{left_ms:?}");
        }
    }

    #[test]
    fn a_reply_that_is_no_error_has_no_retry_after() {
        for (status, expected) in [(200, false), (404, true), (503, true)] {
            let reply = refused(&ReplyPolicy::new(status, 14), RefusalHeaders::XTidegate, "a", 5, false);
            let has = reply.headers.contains(&("retry-after".to_string(), "5".to_string()));
            assert_eq!(has, expected, "{status}");
        }
    }
}
