//! HTTP status and gRPC status, each as the other side sees it.
//!
//! Sources: gRPC's `http-grpc-status-mapping.md`, as Envoy applies it to local replies,
//! and the HTTP mapping of `google.rpc.Code`. The rate-limit filter needs only the constants:
//! Envoy maps what it replies. The maps are pinned by vectors and for policies that judge answers.

/// `UNKNOWN`
pub const UNKNOWN: u32 = 2;
/// `RESOURCE_EXHAUSTED`
pub const RESOURCE_EXHAUSTED: u32 = 8;
/// `UNAVAILABLE`
pub const UNAVAILABLE: u32 = 14;

/// The gRPC status that a client makes of a plain HTTP error.
#[must_use]
pub fn from_http(status: u32) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// The HTTP status that a gateway makes of a gRPC status.
#[must_use]
pub fn to_http(status: u32) -> u32 {
    match status {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        RESOURCE_EXHAUSTED => 429,
        12 => 501,
        UNAVAILABLE => 503,
        16 => 401,
        _ => 500,
    }
}

/// Whether a `content-type` is gRPC's, as Envoy decides it.
pub fn is_media_type(value: &[u8]) -> bool {
    let rest = value.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The number in a `grpc-status`; one that is none is `UNKNOWN`.
#[must_use]
pub fn number(text: &[u8]) -> u32 {
    core::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(UNKNOWN)
}
