//! What a refused client gets, as the configuration words it.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::grpc::UNAVAILABLE;
use super::matcher::{collect, header_named};
use super::problem::{self, Kind};
use super::Reply;
use crate::config::Reader;

/// What refused clients get.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplyPolicy {
    /// HTTP status.
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

const CACHE_CONTROL: &str = "cache-control";

// === impl Reply ===

impl Reply {
    /// What a request gets that a filter could not decide and may not let pass: 503, to be tried
    /// again after a second.
    #[must_use]
    pub fn unavailable(details: &str, grpc: bool) -> Self {
        let kind = Kind::TemporaryReducedCapacity;
        let none = core::iter::empty();
        Self {
            status: 503,
            grpc_status: UNAVAILABLE,
            headers: alloc::vec![
                ("content-type".to_string(), problem::MEDIA_TYPE.to_string()),
                ("retry-after".to_string(), "1".to_string()),
            ],
            body: if grpc { kind.title().to_string() } else { problem::body(kind, 503, none) },
            details: details.to_string(),
        }
        .not_stored()
    }

    /// The same with `cache-control: no-store`, unless it says already who may store it. A client
    /// can mark its request as gRPC, and gets its refusal with status 200: no cache may take that
    /// for the resource.
    #[must_use]
    pub fn not_stored(mut self) -> Self {
        if !self.headers.iter().any(|(name, _)| name == CACHE_CONTROL) {
            self.headers.push((CACHE_CONTROL.to_string(), "no-store".to_string()));
        }
        self
    }
}

// === impl ReplyPolicy ===

impl ReplyPolicy {
    /// A reply of these statuses, with problem details for a body.
    #[must_use]
    pub fn new(status: u32, grpc_status: u32) -> Self {
        Self {
            status,
            grpc_status,
            body: None,
            content_type: problem::MEDIA_TYPE.to_string(),
            headers: Vec::new(),
        }
    }

    /// Reads a reply with a status among `statuses`. What it does not say is as in `default`.
    #[must_use]
    pub fn read(reader: &Reader<'_>, default: &Self, statuses: RangeInclusive<u64>) -> Option<Self> {
        let object = reader.object(&["status", "grpc_status", "body", "content_type", "headers"])?;
        let status = object.or("status", default.status.into(), |r| r.integer(statuses, ""));
        let grpc_status = object.or("grpc_status", default.grpc_status.into(), |r| r.integer(1..=16, ""));
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
            status: u32::try_from(status?).unwrap_or(default.status),
            grpc_status: u32::try_from(grpc_status?).unwrap_or(default.grpc_status),
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
