//! Whose address is it? The client behind a chain of proxies.
//!
//! `X-Forwarded-For` is a list to which each proxy appends the address of its peer, so
//! only the entries that *trusted* proxies appended mean anything: counted from the
//! right, starting with our own peer, as Envoy does with `xff_num_trusted_hops`. Everything further left is the
//! client's own text.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

/// The address `trusted_hops` proxies to the left of `peer`.
///
/// `forwarded` are the values of `X-Forwarded-For` in order, without our peer. A chain
/// that is too short, or an entry that is no address, cannot be trusted: the peer counts.
pub fn client<'a>(
    forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
    peer: IpAddr,
    trusted_hops: usize,
) -> IpAddr {
    let Some(skipped) = trusted_hops.checked_sub(1) else { return peer };
    let mut entries = forwarded.rev().flat_map(|value| value.rsplit(|b| *b == b','));
    entries.nth(skipped).and_then(parse).unwrap_or(peer)
}

/// An address, with or without a port, with or without brackets.
#[must_use]
pub fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = core::str::from_utf8(text.trim_ascii()).ok()?;
    let bracketless = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bracketless.parse().ok().or_else(|| text.parse::<core::net::SocketAddr>().ok().map(|socket| socket.ip()))
}

/// What a limit counts by: an IPv4 address, or the network of an IPv6 address, because a
/// single client commonly has all of a /64. IPv4-mapped addresses count as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    ipv6_prefix: u8,
}

impl Network {
    /// The network of `address`; `ipv6_prefix` of 0 to 128 bits is for IPv6.
    #[must_use]
    pub fn of(address: IpAddr, ipv6_prefix: u8) -> Self {
        let address = match address.to_canonical() {
            IpAddr::V6(v6) => {
                let host_bits = 128_u32.saturating_sub(u32::from(ipv6_prefix));
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
            v4 => v4,
        };
        Self { address, ipv6_prefix }
    }
}

/// As people write it: `203.0.113.7`, `2001:db8:0:1::/64`. This text is what is hashed.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(v4) => write!(f, "{v4}"),
            IpAddr::V6(v6) => write!(f, "{v6}/{}", self.ipv6_prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn only_what_trusted_proxies_appended_counts() {
        #[rustfmt::skip]
        let cases: &[(&[&str], usize, &str)] = &[
            // x-forwarded-for                  hops  client
            (&["1.1.1.1, 2.2.2.2"],             0,    "10.0.0.1"),
            (&["1.1.1.1, 2.2.2.2"],             1,    "2.2.2.2"),
            (&["1.1.1.1, 2.2.2.2"],             2,    "1.1.1.1"),
            (&["1.1.1.1, 2.2.2.2"],             3,    "10.0.0.1"),
            (&["1.1.1.1", "2.2.2.2"],           2,    "1.1.1.1"),
            (&["1.1.1.1, evil"],                1,    "10.0.0.1"),
            (&["[2001:db8::1]:443"],            1,    "2001:db8::1"),
            (&[" 1.2.3.4:80 "],                 1,    "1.2.3.4"),
            (&[],                               1,    "10.0.0.1"),
        ];
        let peer = "10.0.0.1".parse().unwrap();
        for (forwarded, hops, expected) in cases {
            let got = client(forwarded.iter().map(|v| v.as_bytes()), peer, *hops);
            assert_eq!(got.to_string(), *expected, "{forwarded:?} with {hops} hops");
        }
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let cases = [
            ("203.0.113.7", 64, "203.0.113.7"),
            ("2001:db8:0:1:aaaa::1", 64, "2001:db8:0:1::/64"),
            ("::ffff:203.0.113.7", 64, "203.0.113.7"),
            ("2001:db8::1", 128, "2001:db8::1/128"),
            ("2001:db8::1", 0, "::/0"),
        ];
        for (address, prefix, expected) in cases {
            assert_eq!(Network::of(address.parse().unwrap(), prefix).to_string(), expected, "{address}");
        }
    }
}
