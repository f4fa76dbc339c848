//! What a refused client gets, as the configuration words it.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::grpc::UNAVAILABLE;
use super::matcher::header::is_not_token;
use super::problem;
use super::Reply;
use crate::config::{all, Field, Form, Kind, Map, Misfit, Names, Object, Reader, Text};

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

/// The status of replies that say that an upstream, or an endpoint, is not there.
pub static STATUS: Field<u32> = Field::integer("status", 400, 599, "")
    .or_number(503)
    .says("The HTTP status. gRPC requests get 200 and `grpc_status`.");
/// The gRPC status of such replies.
pub static GRPC_STATUS: Field<u32> =
    Field::integer("grpc_status", 1, 16, "").or_number(14).says("The gRPC status; 14 is `UNAVAILABLE`.");

const CACHE_CONTROL: &str = "cache-control";

// === impl Reply ===

impl Reply {
    /// What a request gets that a filter could not decide and may not let pass: 503, to be tried
    /// again after a second.
    #[must_use]
    pub fn unavailable(details: &str, grpc: bool) -> Self {
        let kind = problem::Kind::TemporaryReducedCapacity;
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

    /// Reads a reply by the two fields whose bounds and defaults filters have of their own.
    #[inline(never)]
    #[must_use]
    pub fn read(object: &Object<'_>, status: &Field<u32>, grpc_status: &Field<u32>) -> Option<Self> {
        let body = object.maybe(&BODY)?;
        let usual = if body.is_some() { "text/plain" } else { problem::MEDIA_TYPE };
        let content_type = object.maybe(&CONTENT_TYPE)?;
        let header = |(name, value): (&str, Reader<'_>)| {
            Some((name.to_ascii_lowercase(), value.value::<str>(&HEADER_VALUE)?.to_owned()))
        };
        Some(Self {
            status: object.get(status)?,
            grpc_status: object.get(grpc_status)?,
            body,
            content_type: content_type.unwrap_or_else(|| usual.to_owned()),
            headers: all(object.entries(&HEADERS).into_iter().map(header))?,
        })
    }
}

/// The body of a reply.
pub(crate) static BODY: Field<String> =
    Field::text("body", 16_384).or_says("problem details").says("The body, and for gRPC the message.");
/// The media type of the body.
pub(crate) static CONTENT_TYPE: Field<String> =
    Field::of("content_type", HEADER_VALUE).or_says("see meaning").says(
        "The body's media type. By default `application/problem+json`, or `text/plain` when `body` is \
     given.",
    );
/// Further headers of a reply.
pub(crate) static HEADERS: Field<Map> = Field::map("headers", &RESPONSE_HEADERS).or_says("none").says(
    "Further headers by name; values of 1 to 4,096 bytes without control characters. Not \
     `content-length`, `content-type`, `connection`, `transfer-encoding` or `retry-after`.",
);
static RESPONSE_HEADERS: Names = Names {
    names: Text::new("the name of a header", 256, &RESPONSE_HEADER),
    of: HEADER_VALUE,
    least: 0,
    most: 32,
    called: "fields",
};

const HEADER_VALUE: Kind = Kind::formed("a header value", 4096, &NO_CONTROLS);
static NO_CONTROLS: Form = Form::new(
    |text| {
        let misfit = Misfit { found: "has control characters", expected: "a header value" };
        text.bytes().any(|b| b < 0x20 || b == 0x7f).then_some(misfit)
    },
    "^[^\\u0000-\\u001f\\u007f]*$",
    true,
);
/// A header that a reply may set: any but those that the host and the filter set.
static RESPONSE_HEADER: Form = Form::new(
    |text| {
        let reserved = ["content-length", "content-type", "connection", "transfer-encoding", "retry-after"];
        let misfit = Misfit { found: "is set by the filter", expected: "another header" };
        let taken = reserved.contains(&text.to_ascii_lowercase().as_str());
        is_not_token(text).or_else(|| taken.then_some(misfit))
    },
    "^[-!#$%&'*+.^_`|~0-9A-Za-z]+$",
    false,
);
