//! Whose address is it, and what does a limit count it as?

use std::net::IpAddr;

use tidegate_policy::net::address::{client, parse, Network};

use crate::data::{Fault, Node};

/// Bits of an IPv6 address that count: a /64 is one client.
const IPV6_PREFIX: u8 = 64;

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let cases = document.field("cases")?.items()?;
    for case in &cases {
        let forwarded = match case.field("xff")? {
            xff if xff.is_null() => None,
            xff => Some(xff.text()?.as_bytes()),
        };
        let peer = case.field("peer")?.parsed(|text| text.parse().ok(), "an IP address")?;
        let hops = case.field("trusted_hops")?.count()?;
        case.field("expect")?.is(client(forwarded.into_iter(), peer, hops).to_string())?;
    }
    let aggregates = document.field("aggregate")?.items()?;
    for aggregate in &aggregates {
        let address: IpAddr =
            aggregate.field("ip")?.parsed(|text| parse(text.as_bytes()), "an IP address")?;
        aggregate.field("key")?.is(Network::of(address, IPV6_PREFIX).to_string())?;
    }
    Ok(cases.len() + aggregates.len())
}
