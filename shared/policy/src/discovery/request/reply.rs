//! The reply to a request that gets no endpoint.

use alloc::format;
use alloc::string::ToString;

use crate::discovery::catalog::unavailable::Unavailable;
use crate::http::grpc::{self, UNAVAILABLE};
use crate::http::{Reply, ReplyPolicy};

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// There are endpoints, but none in the subset that the request is for.
    NoneInSubset,
    /// The retry budget has no room for one more retry.
    RetryBudget,
    /// The service has no endpoint.
    Unavailable(Unavailable),
}

/// The reply to such requests unless configured otherwise.
#[must_use]
pub fn default() -> ReplyPolicy {
    ReplyPolicy::new(503, UNAVAILABLE)
}

/// The reply to a request for `service` that is refused.
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
    Reply { status: policy.status, grpc_status: policy.grpc_status, headers, body, details }.not_stored()
}

/// The reply to a request for no service.
#[must_use]
#[inline(never)]
pub fn no_service(grpc: bool) -> Reply {
    let title = "No service matches this request";
    Reply {
        status: 404,
        grpc_status: grpc::from_http(404),
        headers: alloc::vec![("content-type".to_string(), crate::http::problem::MEDIA_TYPE.to_string())],
        body: if grpc { title.to_string() } else { problem(title, 404, None) },
        details: "tidegate_discovery_no_service".to_string(),
    }
    .not_stored()
}

/// Problem details (RFC 9457). Names of services are letters, digits, `-` and `_`.
fn problem(title: &str, status: u32, of: Option<(&str, &str)>) -> alloc::string::String {
    let more = of.map(|(service, reason)| format!(",\"service\":\"{service}\",\"reason\":\"{reason}\""));
    let more = more.unwrap_or_default();
    format!("{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status}{more}}}")
}

// === impl RefusalReason ===

impl RefusalReason {
    /// One word, for response details, problem documents and access logs.
    ///
    /// ```
    /// use tidegate_policy::discovery::catalog::unavailable::Unavailable;
    /// use tidegate_policy::discovery::request::reply::RefusalReason;
    ///
    /// assert_eq!(RefusalReason::from(Unavailable::Expired).word(), "expired");
    /// ```
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NoneInSubset => "none_in_subset",
            Self::RetryBudget => "retry_budget",
            Self::Unavailable(Unavailable::Expired) => "expired",
            Self::Unavailable(Unavailable::NoEndpoints) => "no_endpoints",
            Self::Unavailable(Unavailable::NotKnownYet) => "not_known_yet",
            Self::Unavailable(Unavailable::UnknownService) => "unknown_service",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::NoneInSubset => "No endpoint of the service is in the requested subset",
            Self::RetryBudget => "The retry budget of the service is used up",
            Self::Unavailable(Unavailable::Expired) => "The registry has failed for too long",
            Self::Unavailable(Unavailable::NoEndpoints) => "The service has no endpoint",
            Self::Unavailable(Unavailable::NotKnownYet) => "The registry has not answered yet",
            Self::Unavailable(Unavailable::UnknownService) => "The registry does not know the service",
        }
    }
}

impl From<Unavailable> for RefusalReason {
    fn from(why: Unavailable) -> Self {
        Self::Unavailable(why)
    }
}
