//! One part of a key: where in a request it is found.

use alloc::borrow::ToOwned;
use alloc::string::String;

use crate::config::Reader;
use crate::http::matcher::header_name;

/// Where a part of a key is found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The client's address, or its IPv6 network.
    ClientAddress {
        /// Trusted proxies between the client and the proxy that runs us.
        trusted_hops: usize,
        /// Whether the proxy has already appended its own peer to `X-Forwarded-For`.
        peer_appended: bool,
        /// Bits of an IPv6 address that count.
        ipv6_prefix: u8,
    },
    /// A fixed text, for a limit on everything that matches.
    Constant(String),
    /// The value of a cookie.
    Cookie(String),
    /// The value of a header; all values, when it is repeated.
    Header(String),
    /// The host that was asked for, without the port.
    Host,
    /// The request method.
    Method,
    /// One segment of the path, counted from 0.
    PathSegment(usize),
    /// The first value of a query parameter.
    QueryParameter(String),
}

const TAGS: [&str; 8] =
    ["client_address", "constant", "cookie", "header", "host", "method", "path_segment", "query_parameter"];

impl Part {
    /// Reads `{"header": "x-api-key"}` and the like; `"host"` is short for `{"host": {}}`.
    #[must_use]
    pub fn read(reader: &Reader<'_>) -> Option<Self> {
        if !reader.is_object() {
            return reader.choice(&[("client_address", 0_u8), ("host", 1), ("method", 2)]).map(|n| match n {
                0 => Self::client_address(),
                1 => Self::Host,
                _ => Self::Method,
            });
        }
        let (tag, value) = reader.tagged(&TAGS)?;
        match tag {
            "client_address" => Self::read_client_address(&value),
            "constant" => value.text(256).map(|text| Self::Constant(text.to_owned())),
            "cookie" => value.text(256).map(|text| Self::Cookie(text.to_owned())),
            "header" => header_name(&value).map(Self::Header),
            "host" => value.object(&[]).map(|_| Self::Host),
            "method" => value.object(&[]).map(|_| Self::Method),
            "path_segment" => {
                let index = value.integer(0..=63, "segments")?;
                Some(Self::PathSegment(usize::try_from(index).unwrap_or(0)))
            }
            _ => value.text(256).map(|text| Self::QueryParameter(text.to_owned())),
        }
    }

    fn read_client_address(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&["trusted_hops", "peer_appended", "ipv6_prefix"])?;
        let trusted_hops = object.natural("trusted_hops", 0, 0, 16, "hops");
        let peer_appended = object.or("peer_appended", false, Reader::boolean);
        let ipv6_prefix = object.natural("ipv6_prefix", 64, 16, 128, "bits");
        Some(Self::ClientAddress {
            trusted_hops: usize::try_from(trusted_hops?).unwrap_or(0),
            peer_appended: peer_appended?,
            ipv6_prefix: u8::try_from(ipv6_prefix?).unwrap_or(64),
        })
    }

    fn client_address() -> Self {
        Self::ClientAddress { trusted_hops: 0, peer_appended: false, ipv6_prefix: 64 }
    }

    /// Whether every request has the same value here.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }
}
