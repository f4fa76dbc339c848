//! HTTP status and gRPC status, each as the other side sees it.
//!
//! Sources: gRPC's `http-grpc-status-mapping.md`, as Envoy applies it to local replies,
//! and the HTTP mapping of `google.rpc.Code`. The rate-limit filter needs only the constants:
//! Envoy maps what it replies. The maps are pinned by vectors and for policies that judge answers.

/// `UNKNOWN`
pub const UNKNOWN: u32 = 2;
/// `DEADLINE_EXCEEDED`
pub const DEADLINE_EXCEEDED: u32 = 4;
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
        DEADLINE_EXCEEDED => 504,
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

/// The milliseconds, rounded down, in a `grpc-timeout`: up to eight digits and a unit. `None` of any other
/// text.
///
/// ```
/// use tidegate_policy::http::grpc::timeout_ms;
///
/// assert_eq!(timeout_ms(b"1500m"), Some(1_500));
/// assert_eq!(timeout_ms(b"1.5S"), None);
/// ```
#[must_use]
pub fn timeout_ms(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = core::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => number.checked_mul(3_600_000),
        b'M' => number.checked_mul(60_000),
        b'S' => number.checked_mul(1_000),
        b'm' => Some(number),
        b'u' => number.checked_div(1_000),
        b'n' => number.checked_div(1_000_000),
        _ => None,
    }
}

/// The number in a `grpc-status`; one that is none is `UNKNOWN`.
#[must_use]
pub fn number(text: &[u8]) -> u32 {
    core::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_up_to_eight_digits_and_a_unit() {
        #[rustfmt::skip]
        let cases = [
            // text        milliseconds
            ("2H",         Some(7_200_000)),
            ("2M",         Some(120_000)),
            ("2S",         Some(2_000)),
            ("0m",         Some(0)),
            ("99999999m",  Some(99_999_999)),
            ("99999999H",  Some(359_999_996_400_000)),
            ("1999u",      Some(1)),
            ("999999n",    Some(0)),
            ("100000000m", None),
            ("m",          None),
            ("",           None),
            ("5",          None),
            ("5s",         None),
            ("+5S",        None),
            ("5 S",        None),
        ];
        for (text, expected) in cases {
            assert_eq!(timeout_ms(text.as_bytes()), expected, "{text}");
        }
    }
}
