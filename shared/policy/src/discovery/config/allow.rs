//! Where requests may ever be sent: networks and ports that the configuration names.
//!
//! A registry is data from elsewhere. Whoever can write to it could have the proxy talk to a cloud's
//! metadata service or to the proxy's own admin port; so an endpoint counts only when a rule has it, and
//! addresses that are nobody's service never count, whatever the rules say.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::RangeInclusive;

use crate::config::{all, Form, Misfit};
use crate::net::range::Range;

/// The addresses to which requests may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    network: Range,
    ports: RangeInclusive<u16>,
}

/// Metadata services of clouds that are not link-local.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// A network and its ports.
pub(super) static RULE: Form = Form::new(
    |text| {
        let expected = "a network and its ports such as `10.0.0.0/8:8000-8999` or `[fd00::/8]:80`";
        let misfit = Misfit { found: "is no network with ports", expected };
        Rule::parse(text).is_none().then_some(misfit)
    },
    "^([0-9.]+(/[0-9]{1,2})?|\\[[0-9A-Fa-f:.]+(/[0-9]{1,3})?\\]):[0-9]{1,5}(-[0-9]{1,5})?$",
    false,
);

// === impl Allow ===

impl Allow {
    /// The rules of texts that have the form [`RULE`]; `None` when one has not.
    #[must_use]
    pub(super) fn parse(texts: &[&str]) -> Option<Self> {
        all(texts.iter().map(|text| Rule::parse(text))).map(Self)
    }

    /// Whether a request may be sent to `address` at `port`. IPv4 in IPv6 counts as IPv4.
    #[must_use]
    pub fn has(&self, address: IpAddr, port: u16) -> bool {
        let address = address.to_canonical();
        !never(address)
            && port > 0
            && self.0.iter().any(|r| r.ports.contains(&port) && r.network.contains(address))
    }
}

/// Whether an address is nobody's service: unspecified, link-local (metadata services are), multicast,
/// broadcast, or another known metadata service.
fn never(address: IpAddr) -> bool {
    let odd = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    odd || address.is_unspecified() || address.is_multicast() || METADATA.contains(&address)
}

// === impl Rule ===

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let (network, ports) = text.rsplit_once(':')?;
        let network = match network.strip_prefix('[') {
            Some(v6) => v6.strip_suffix(']')?,
            None if network.contains(':') => return None,
            None => network,
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port =
            |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
        let (first, last): (u16, u16) = (port(first)?, port(last)?);
        (1 <= first && first <= last).then_some(())?;
        Some(Self { network: Range::parse(network)?, ports: first..=last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_rule_has_may_be_sent_to() {
        let rules = ["10.0.0.0/8:80-90", "127.0.0.1:8080", "[fd00::/8]:443", "0.0.0.0/0:9999", "[::/0]:9999"];
        let allow = Allow::parse(&rules).unwrap();
        #[rustfmt::skip]
        let cases = [
            ("10.1.2.3", 80, true),             ("10.1.2.3", 90, true),         ("10.1.2.3", 91, false),
            ("11.1.2.3", 80, false),            ("127.0.0.1", 8080, true),      ("127.0.0.2", 8080, false),
            ("fd00::1", 443, true),             ("fe80::1", 9999, false),       ("::ffff:10.1.2.3", 85, true),
            ("169.254.169.254", 9999, false),   ("100.100.100.200", 9999, false), ("fd00:ec2::254", 9999, false),
            ("0.0.0.0", 9999, false),           ("::", 9999, false),            ("224.0.0.1", 9999, false),
            ("255.255.255.255", 9999, false),   ("::ffff:169.254.169.254", 9999, false), ("8.8.8.8", 9999, true),
        ];
        for (address, port, expected) in cases {
            assert_eq!(allow.has(address.parse().unwrap(), port), expected, "{address} {port}");
        }
    }

    #[test]
    fn what_is_no_rule_is_reported() {
        let bad = [
            "10.0.0.0/8",
            "10.0.0.0/8:",
            "10.0.0.0/8:0",
            "10.0.0.0/8:5-4",
            "10.0.0.0/8:1-65536",
            "10.0.0.1/8:1",
            "fd00::/8:80",
            "[fd00::/8:80",
            "10.0.0.0/8:+1",
            ":80",
        ];
        for text in bad {
            assert!((RULE.wrong)(text).is_some(), "{text}");
        }
    }
}
