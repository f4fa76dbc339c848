//! Conditions on the client's address.

use alloc::vec::Vec;

use crate::config::{all, Field, Kind, List, Reader, Table};
use crate::http::Request;
use crate::net::address;
use crate::net::range::{Range, RANGE};

/// From where a request must come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientMatch {
    ranges: Vec<Range>,
    /// Entries of `X-Forwarded-For` to go back, our own peer's included when it is there.
    hops: usize,
}

/// A list of address ranges, or an object that also says how many proxies are trusted.
pub const CLIENT_KIND: Kind = Kind::Either(&Kind::Object(&CLIENT_TABLE), &RANGES);
const RANGES: Kind = Kind::List { of: &RANGE_KIND, least: 1, most: 64, called: "address ranges" };
const RANGE_KIND: Kind = Kind::formed("a range of addresses", 64, &RANGE);

static IN: Field<List<str>> = Field::of("in", RANGES).required().says(
    "`10.0.0.0/8`, `2001:db8::/32` or one address. IPv4 in IPv6 counts as IPv4. Bits behind the \
     prefix are an error.",
);
static TRUSTED_HOPS: Field<usize> = Field::integer("trusted_hops", 0, 16, "hops")
    .or_number(0)
    .says("As in [`client_address`](#keyclient_address) of a key.");
static PEER_APPENDED: Field<bool> =
    Field::boolean("peer_appended", false).says("As in [`client_address`](#keyclient_address) of a key.");
static CLIENT_TABLE: Table =
    Table::new("match.client_address", &[IN.def(), TRUSTED_HOPS.def(), PEER_APPENDED.def()]);

impl ClientMatch {
    /// Reads a list of ranges, or an object that also says how many proxies are trusted.
    #[must_use]
    pub fn read(reader: &Reader<'_>) -> Option<Self> {
        let Some(object) = reader.object() else {
            let texts = reader.items().into_iter().map(|item| item.value::<str>(&RANGE_KIND));
            return Some(Self { ranges: ranges(&all(texts)?)?, hops: 0 });
        };
        let hops = object.get(&TRUSTED_HOPS)?;
        let appended = usize::from(object.get(&PEER_APPENDED)? && hops > 0);
        Some(Self { ranges: ranges(&object.list(&IN)?)?, hops: hops.saturating_add(appended) })
    }

    /// Whether the client is in one of the ranges; without an address it is in none.
    #[must_use]
    pub fn holds(&self, request: &impl Request) -> bool {
        let Some(peer) = request.peer() else { return false };
        let forwarded = request.headers().iter();
        let forwarded = forwarded.filter(|(name, _)| *name == b"x-forwarded-for").map(|(_, value)| *value);
        let client = address::client(forwarded, peer, self.hops);
        self.ranges.iter().any(|range| range.contains(client))
    }
}

fn ranges(texts: &[&str]) -> Option<Vec<Range>> {
    all(texts.iter().map(|text| Range::parse(text)))
}
