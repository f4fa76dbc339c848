//! What a request gets whose service cannot be reached.

use alloc::format;
use alloc::string::ToString;

use crate::http::grpc::{self, UNAVAILABLE};
use crate::http::{Reply, ReplyPolicy};

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The registry failed for so long that what it said no longer counts.
    Expired,
    /// There are endpoints, but none in the subset that the request is for.
    NoneInSubset,
    /// The registry knows the service and has no endpoint for it, or none that may be used.
    NoEndpoints,
    /// Nothing is known yet.
    NotKnownYet,
    /// Too many requests were being tried again.
    RetryBudget,
    /// The registry does not know the service.
    UnknownService,
}

/// What such requests get unless configured otherwise.
#[must_use]
pub fn default() -> ReplyPolicy {
    ReplyPolicy::new(503, UNAVAILABLE)
}

/// The answer to a request for `service` that goes nowhere.
#[must_use]
#[inline(never)]
pub fn refused(policy: &ReplyPolicy, why: RefusalReason, service: &str, grpc: bool) -> Reply {
    let mut headers = alloc::vec![("content-type".to_string(), policy.content_type.clone())];
    if policy.status >= 400 {
        headers.push(("retry-after".to_string(), "1".to_string()));
    }
    headers.extend(policy.headers.iter().cloned());
    let (word, title) = (why.word(), why.title());
    let body = match &policy.body {
        Some(body) => body.clone(),
        None if grpc => format!("{title}: {service}"),
        None => problem(title, policy.status, Some((service, word))),
    };
    let details = format!("tidegate_discovery_{word}:{service}");
    Reply { status: policy.status, grpc_status: policy.grpc_status, headers, body, details }
}

/// The answer to a request that is for no service.
#[must_use]
#[inline(never)]
pub fn no_service(grpc: bool) -> Reply {
    let title = "No service takes this request";
    Reply {
        status: 404,
        grpc_status: grpc::from_http(404),
        headers: alloc::vec![("content-type".to_string(), crate::http::problem::MEDIA_TYPE.to_string())],
        body: if grpc { title.to_string() } else { problem(title, 404, None) },
        details: "tidegate_discovery_no_service".to_string(),
    }
}

/// Problem details (RFC 9457). Names of services are letters, digits, `-` and `_`.
fn problem(title: &str, status: u32, of: Option<(&str, &str)>) -> alloc::string::String {
    let more = of.map(|(service, reason)| format!(",\"service\":\"{service}\",\"reason\":\"{reason}\""));
    let more = more.unwrap_or_default();
    format!("{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status}{more}}}")
}

// === impl RefusalReason ===

impl RefusalReason {
    /// One word, as in details and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NoneInSubset => "none_in_subset",
            Self::NoEndpoints => "no_endpoints",
            Self::NotKnownYet => "not_known_yet",
            Self::RetryBudget => "retry_budget",
            Self::UnknownService => "unknown_service",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Expired => "The registry has failed for too long",
            Self::NoneInSubset => "No endpoint of the service is in the subset asked for",
            Self::NoEndpoints => "The service has no endpoint",
            Self::NotKnownYet => "The registry has not answered yet",
            Self::RetryBudget => "Too many requests are being tried again",
            Self::UnknownService => "The registry does not know the service",
        }
    }
}
