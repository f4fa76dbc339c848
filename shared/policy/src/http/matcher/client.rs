//! Conditions on the client's address.

use alloc::vec::Vec;

use super::collect;
use crate::config::Reader;
use crate::http::Request;
use crate::net::address;
use crate::net::range::Range;

/// From where a request must come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientMatch {
    ranges: Vec<Range>,
    /// Entries of `X-Forwarded-For` to go back, our own peer's included when it is there.
    hops: usize,
}

/// Most ranges of one condition.
const MAX_RANGES: usize = 64;

impl ClientMatch {
    /// Reads a list of ranges, or an object that also says how many proxies are trusted.
    #[must_use]
    pub fn read(reader: &Reader<'_>) -> Option<Self> {
        if reader.is_array() {
            return Some(Self { ranges: ranges(reader)?, hops: 0 });
        }
        let object = reader.object(&["in", "trusted_hops", "peer_appended"])?;
        let given = object.required("in", "a list of address ranges").and_then(|r| ranges(&r));
        let hops = object.or("trusted_hops", 0, |r| r.integer(0..=16, "hops"));
        let peer_appended = object.or("peer_appended", false, Reader::boolean);
        let hops = usize::try_from(hops?).unwrap_or(0);
        let appended = usize::from(peer_appended? && hops > 0);
        Some(Self { ranges: given?, hops: hops.saturating_add(appended) })
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

fn ranges(reader: &Reader<'_>) -> Option<Vec<Range>> {
    let items = reader.items(1..=MAX_RANGES, "address ranges")?;
    items.iter().map(Range::read).fold(Some(Vec::new()), collect)
}
