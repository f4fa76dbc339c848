//! What a refused client gets, and how the configuration words it.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::config::Style;
use super::headers::{self, Quota};
use crate::config::Reader;
use crate::http::grpc::{RESOURCE_EXHAUSTED, UNAVAILABLE};
use crate::http::matcher::{collect, header_named};
use crate::http::problem::{self, Kind};
use crate::http::Reply;
use crate::time::Span;

/// What refused clients get.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplyPolicy {
    /// HTTP status, 400 to 599.
    pub status: u32,
    /// gRPC status.
    pub grpc_status: u32,
    /// The body; problem details when `None`.
    pub body: Option<String>,
    /// The body's media type.
    pub content_type: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

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
}

/// The answer to a request that the filter could not decide and may not let pass.
#[must_use]
pub fn failed(grpc: bool) -> Reply {
    let kind = Kind::TemporaryReducedCapacity;
    Reply {
        status: 503,
        grpc_status: UNAVAILABLE,
        headers: alloc::vec![
            ("content-type".to_string(), problem::MEDIA_TYPE.to_string()),
            ("retry-after".to_string(), "1".to_string()),
        ],
        body: if grpc { kind.title().to_string() } else { problem::body(kind, 503, core::iter::empty()) },
        details: "tidegate_ratelimit_failed".to_string(),
    }
}

// === impl ReplyPolicy ===

impl Default for ReplyPolicy {
    fn default() -> Self {
        Self {
            status: 429,
            grpc_status: RESOURCE_EXHAUSTED,
            body: None,
            content_type: problem::MEDIA_TYPE.to_string(),
            headers: Vec::new(),
        }
    }
}

impl ReplyPolicy {
    /// Reads the document's `reply`.
    #[must_use]
    pub fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&["status", "grpc_status", "body", "content_type", "headers"])?;
        let status = object.or("status", 429, |r| r.integer(400..=599, ""));
        let grpc_status = object.or("grpc_status", 8, |r| r.integer(1..=16, ""));
        let body = object.or("body", None, |r| r.text(16_384).map(|text| Some(text.to_owned())));
        let fallback = if object.has("body") { "text/plain" } else { problem::MEDIA_TYPE };
        let content_type = object.or("content_type", fallback.to_owned(), header_value);
        let headers = object.or("headers", Vec::new(), |r| {
            let header = |(name, value): &(&str, Reader<'_>)| {
                Some((response_header(name, value)?, header_value(value)?))
            };
            r.entries(32)?.iter().map(header).fold(Some(Vec::new()), collect)
        });
        Some(Self {
            status: u32::try_from(status?).unwrap_or(429),
            grpc_status: u32::try_from(grpc_status?).unwrap_or(8),
            body: body?,
            content_type: content_type?,
            headers: headers?,
        })
    }
}

fn header_value(reader: &Reader<'_>) -> Option<String> {
    let text = reader.text(4096)?;
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        reader.report("has control characters, expected a header value".to_owned());
        return None;
    }
    Some(text.to_owned())
}

/// A header that a reply may set: any but those that the host and the filter set.
fn response_header(name: &str, value: &Reader<'_>) -> Option<String> {
    let reserved = ["content-length", "content-type", "connection", "transfer-encoding", "retry-after"];
    let lower = header_named(name, value)?;
    if reserved.contains(&lower.as_str()) {
        value.report(format!("`{lower}` is set by the filter, expected another header"));
        return None;
    }
    Some(lower)
}
