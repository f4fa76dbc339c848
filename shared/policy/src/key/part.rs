//! One part of a key: where in a request it is found.

use alloc::string::String;
use alloc::vec::Vec;

use crate::config::{all, Field, Group, Inner, Kind, Reader, Table};
use crate::http::matcher::{self, HeaderName};

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

static CLIENT_ADDRESS: Field<Inner> =
    Field::object("client_address", &CLIENT_TABLE).says("The client's IPv4 address, or its IPv6 network.");
static CONSTANT: Field<String> =
    Field::text("constant", 256).says("The same for every request: a limit on everything that matches.");
static COOKIE: Field<String> =
    Field::text("cookie", 256).says("The value of the cookie of this name, undecoded.");
static HEADER: Field<HeaderName> = Field::of("header", matcher::HEADER)
    .says("The value of the header. Of `authorization` the case of the scheme and the blanks behind it do not count.");
static HOST: Field<Inner> = Field::object("host", &NO_FIELDS).says("The host in lower case, without port.");
static METHOD: Field<Inner> = Field::object("method", &NO_FIELDS).says("The method.");
static PATH_SEGMENT: Field<usize> = Field::integer("path_segment", 0, 63, "segments")
    .says("One segment of the path, undecoded: 0 is `a` in `/a/b`.");
static QUERY_PARAMETER: Field<String> =
    Field::text("query_parameter", 256).says("The value of the parameter, undecoded.");
/// A part of a key.
pub static PART: Table = Table::new(
    "key",
    &[
        CLIENT_ADDRESS.def(),
        CONSTANT.def(),
        COOKIE.def(),
        HEADER.def(),
        HOST.def(),
        METHOD.def(),
        PATH_SEGMENT.def(),
        QUERY_PARAMETER.def(),
    ],
)
.groups(&[Group::one_of(
    &["client_address", "constant", "cookie", "header", "host", "method", "path_segment", "query_parameter"],
    "names no part of a request",
)])
.words(&["client_address", "host", "method"]);
/// A part of a key, or a list of 1 to 8.
pub const PARTS: Kind = Kind::List { of: &Kind::Object(&PART), least: 1, most: 8, called: "key parts" };

static TRUSTED_HOPS: Field<usize> = Field::integer("trusted_hops", 0, 16, "hops").or_number(0).says(
    "Take the entry of `X-Forwarded-For` that is this many from the right. 0 takes Envoy's address. \
     When the list is too short, or the entry is no address, Envoy's address counts.",
);
static PEER_APPENDED: Field<bool> = Field::boolean("peer_appended", false).says(
    "Whether Envoy has already appended its own peer, which is then left out of the counting. It does \
     so with `use_remote_address: true`.",
);
static IPV6_PREFIX: Field<u8> = Field::integer("ipv6_prefix", 16, 128, "bits")
    .or_number(64)
    .says("Bits of an IPv6 address that count. IPv4 in IPv6 counts as IPv4.");
static CLIENT_TABLE: Table =
    Table::new("key.client_address", &[TRUSTED_HOPS.def(), PEER_APPENDED.def(), IPV6_PREFIX.def()]);
static NO_FIELDS: Table = Table::new("nothing", &[]);

impl Part {
    /// Reads all parts.
    #[inline(never)]
    #[must_use]
    pub fn read_all(readers: &[Reader<'_>]) -> Option<Vec<Self>> {
        all(readers.iter().map(Self::read))
    }

    /// Reads `{"header": "x-api-key"}` and the like; `"host"` is short for `{"host": {}}`.
    #[inline(never)]
    #[must_use]
    pub fn read(reader: &Reader<'_>) -> Option<Self> {
        let (tag, object) = reader.tagged(&PART)?;
        match tag {
            "client_address" => {
                let address = object.inner(&CLIENT_ADDRESS)?;
                Some(Self::ClientAddress {
                    trusted_hops: address.get(&TRUSTED_HOPS)?,
                    peer_appended: address.get(&PEER_APPENDED)?,
                    ipv6_prefix: address.get(&IPV6_PREFIX)?,
                })
            }
            "constant" => object.get(&CONSTANT).map(Self::Constant),
            "cookie" => object.get(&COOKIE).map(Self::Cookie),
            "header" => object.get(&HEADER).map(Self::Header),
            "host" => Some(Self::Host),
            "method" => Some(Self::Method),
            "path_segment" => object.get(&PATH_SEGMENT).map(Self::PathSegment),
            _ => object.get(&QUERY_PARAMETER).map(Self::QueryParameter),
        }
    }

    /// Whether every request has the same value here.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }
}
