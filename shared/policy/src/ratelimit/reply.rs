//! What a refused client gets.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::headers::{self, Quota, Style};
use crate::http::grpc::RESOURCE_EXHAUSTED;
use crate::http::problem::{self, Kind};
use crate::http::{Reply, ReplyPolicy};
use crate::time::Span;

/// The headers that tell a client about `quotas`, in the style asked for.
#[must_use]
pub fn quota_headers(style: Style, quotas: &[Quota<'_>]) -> Vec<(String, String)> {
    let mut list = Vec::new();
    match style {
        Style::Draft11 if !quotas.is_empty() => {
            let (policy, limit) = headers::draft11(quotas);
            list.push(("ratelimit-policy".to_string(), policy));
            list.push(("ratelimit".to_string(), limit));
        }
        Style::Draft03Envoy => {
            if let Some((limit, remaining, reset)) = headers::draft03(quotas) {
                list.push(("x-ratelimit-limit".to_string(), limit));
                list.push(("x-ratelimit-remaining".to_string(), remaining));
                list.push(("x-ratelimit-reset".to_string(), reset));
            }
        }
        Style::Draft11 | Style::None => {}
    }
    list
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The names of the limits that refuse it; the first one is named in access logs.
    pub violated: &'a [&'a str],
    /// When it would pass; `None` when waiting does not help.
    pub retry_after: Option<Span>,
    /// Whether it is gRPC, so that the body becomes a status message.
    pub grpc: bool,
}

/// The answer to a refused request.
#[must_use]
pub fn refused(policy: &ReplyPolicy, style: Style, quotas: &[Quota<'_>], refusal: Refusal<'_>) -> Reply {
    let Refusal { violated, retry_after, grpc } = refusal;
    let mut headers = alloc::vec![("content-type".to_string(), policy.content_type.clone())];
    headers
        .extend(retry_after.map(|wait| ("retry-after".to_string(), headers::retry_after(wait).to_string())));
    headers.extend(quota_headers(style, quotas));
    headers.extend(policy.headers.iter().cloned());
    let kind = if policy.status == 503 { Kind::TemporaryReducedCapacity } else { Kind::QuotaExceeded };
    let body = match &policy.body {
        Some(body) => body.clone(),
        None if grpc => format!("{}: {}", kind.title(), violated.join(", ")),
        None => problem::body(kind, policy.status, violated.iter().copied()),
    };
    let first = violated.first().copied().unwrap_or_default();
    Reply {
        status: policy.status,
        grpc_status: policy.grpc_status,
        headers,
        body,
        details: format!("tidegate_ratelimit_refused:{first}"),
    }
    .not_stored()
}

/// What refused clients get unless configured otherwise.
#[must_use]
pub fn default() -> ReplyPolicy {
    ReplyPolicy::new(429, RESOURCE_EXHAUSTED)
}

/// The answer to a request that the filter could not decide and may not let pass.
#[must_use]
pub fn failed(grpc: bool) -> Reply {
    Reply::unavailable("tidegate_ratelimit_failed", grpc)
}
