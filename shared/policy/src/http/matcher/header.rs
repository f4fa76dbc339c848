//! The names of headers.

use alloc::string::String;

use crate::config::{Form, Kind, Misfit, Raw, Value};

/// The name of a request header: a token (RFC 9110, 5.1). `host` is none, because HTTP/2 and Envoy have
/// it as the authority: it would never be found.
pub static HEADER_NAME: Form = Form::new(
    |text| {
        let host = Misfit { found: "is not among the headers", expected: "`host` in place of a header" };
        is_not_token(text).or_else(|| text.eq_ignore_ascii_case("host").then_some(host))
    },
    "^(?![Hh][Oo][Ss][Tt]$)[-!#$%&'*+.^_`|~0-9A-Za-z]+$",
    true,
);

/// The name of a header.
pub const HEADER: Kind = Kind::formed("the name of a header", 256, &HEADER_NAME);
/// The name of a header, read in lower case.
pub enum HeaderName {}

impl Value for HeaderName {
    type Of<'a> = String;

    fn of(raw: Raw<'_>) -> Option<String> {
        str::of(raw).map(str::to_ascii_lowercase)
    }
}

/// Why a text is no token.
pub(crate) fn is_not_token(text: &str) -> Option<Misfit> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let misfit = Misfit { found: "is not a header name", expected: "letters, digits and `-`" };
    (text.is_empty() || !text.bytes().all(is_token)).then_some(misfit)
}
