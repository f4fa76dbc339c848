//! One part of a key: where in a request it is found.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::config::{all, Field, Group, Inner, Kind, List, Literal, Object, Reader, Table};
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
    /// The client's IPv6 network; a client with an IPv4 address has none.
    Ipv6Network {
        /// As of [`Part::ClientAddress`].
        trusted_hops: usize,
        /// As of [`Part::ClientAddress`].
        peer_appended: bool,
        /// Bits of the address that count.
        prefix: u8,
    },
    /// The request method.
    Method,
    /// One segment of the path, counted from 0.
    PathSegment(usize),
    /// The first value of a query parameter.
    QueryParameter(String),
}

/// The parts of a key, once for each network in which a limit counts IPv6 clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The parts.
    pub parts: Vec<Part>,
    /// Of a network wider than that of the key: its prefix, and how many times the limit's rate it has.
    pub wider: Option<(u8, u64)>,
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
static IPV6_PREFIX: Field<List<u8>> =
    Field::list("ipv6_prefix", &PREFIX, 1, 4, "prefixes").or_list(&[Literal::Number(64)]).says(
        "Bits of an IPv6 address that count. IPv4 in IPv6 counts as IPv4. In the key of a limit also a \
         list, the widest network first: `[48, 64]` (see \
         [Wider networks](config/ratelimit.md#wider-networks)).",
    );
const PREFIX: Kind = Kind::Integer { least: 16, most: 128, unit: "bits" };
static WIDER_MULTIPLIER: Field<u64> = Field::integer("wider_multiplier", 1, 65_536, "times")
    .or_number(4)
    .says("With a list: how many times as much a network may spend as one of the next prefix.");
static CLIENT_TABLE: Table = Table::new(
    "key.client_address",
    &[TRUSTED_HOPS.def(), PEER_APPENDED.def(), IPV6_PREFIX.def(), WIDER_MULTIPLIER.def()],
);
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
                let prefixes = address.list(&IPV6_PREFIX)?;
                if prefixes.len() > 1 {
                    let found = format!("found {} prefixes", prefixes.len());
                    address.report_at(
                        &IPV6_PREFIX,
                        found,
                        "one prefix; only one part of the key of a limit has more",
                    );
                    return None;
                }
                if address.has(&WIDER_MULTIPLIER) {
                    let found = format!("{} has no wider network", IPV6_PREFIX.def().name);
                    address.report_at(&WIDER_MULTIPLIER, found, "none without a list of prefixes");
                    return None;
                }
                Self::address(&address, *prefixes.last()?)
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

    fn address(object: &Object<'_>, ipv6_prefix: u8) -> Option<Self> {
        Some(Self::ClientAddress {
            trusted_hops: object.get(&TRUSTED_HOPS)?,
            peer_appended: object.get(&PEER_APPENDED)?,
            ipv6_prefix,
        })
    }

    /// Whether every request has the same value here.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }
}

// === impl Layer ===

impl Layer {
    /// Reads all parts of a limit's key. One of them may name several IPv6 networks: then there is a
    /// layer for each, the widest first.
    #[inline(never)]
    #[must_use]
    pub fn read_all(readers: &[Reader<'_>]) -> Option<Vec<Self>> {
        let Some((at, address)) = readers.iter().enumerate().find_map(|(at, r)| Some((at, several(r)?)))
        else {
            return Some(alloc::vec![Self { parts: Part::read_all(readers)?, wider: None }]);
        };
        let prefixes = growing(&address)?;
        let (narrowest, wider) = prefixes.split_last()?;
        let others = |(index, reader)| match index == at {
            true => Part::address(&address, *narrowest),
            false => Part::read(reader),
        };
        let parts = all(readers.iter().enumerate().map(others))?;
        let multiplier = address.get(&WIDER_MULTIPLIER)?;
        let mut layers = alloc::vec![Self { parts, wider: None }];
        let mut times = 1_u64;
        for prefix in wider.iter().rev() {
            times = times.saturating_mul(multiplier);
            let mut parts = layers.first()?.parts.clone();
            *parts.get_mut(at)? = Part::Ipv6Network {
                trusted_hops: address.get(&TRUSTED_HOPS)?,
                peer_appended: address.get(&PEER_APPENDED)?,
                prefix: *prefix,
            };
            layers.insert(0, Self { parts, wider: Some((*prefix, times)) });
        }
        Some(layers)
    }
}

/// The prefixes of an address, if each is longer than the one before it.
fn growing(address: &Object<'_>) -> Option<Vec<u8>> {
    let prefixes = address.list(&IPV6_PREFIX)?;
    if prefixes.is_sorted_by(|one, next| one < next) {
        return Some(prefixes);
    }
    address.report_at(&IPV6_PREFIX, format!("found {prefixes:?}"), "the widest network first, each once");
    None
}

/// The address among the parts of a key that names several networks.
fn several<'a>(reader: &Reader<'a>) -> Option<Object<'a>> {
    let (_, object) = reader.tagged(&PART).filter(|(tag, _)| *tag == "client_address")?;
    let address = object.inner(&CLIENT_ADDRESS)?;
    (address.list(&IPV6_PREFIX)?.len() > 1).then_some(address)
}
