//! Ranges of addresses: `10.0.0.0/8`, `2001:db8::/32`, `203.0.113.7`.

use core::net::IpAddr;

use crate::config::{Form, Misfit};

/// All addresses that begin with the same bits.
///
/// ```
/// use tidegate_policy::net::range::Range;
///
/// let range = Range::parse("10.0.0.0/8").unwrap();
/// assert!(range.contains("10.1.2.3".parse().unwrap()));
/// assert!(range.contains("::ffff:10.1.2.3".parse().unwrap()));
/// assert_eq!(Range::parse("10.0.0.1/8"), None, "bits behind the prefix");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// IPv4 as IPv6: one comparison for both.
    bits: u128,
    host_bits: u32,
}

/// The text of a range.
pub static RANGE: Form = Form::new(
    |text| {
        let expected = "an address, or the first of a network with the length of its prefix";
        let misfit = Misfit { found: "is no range of addresses", expected };
        Range::parse(text).is_none().then_some(misfit)
    },
    "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
    false,
);

// === impl Range ===

impl Range {
    /// A range of its text; `None` when it is none, or has bits behind its prefix.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().ok()?;
        let all: u32 = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
            None => all,
        };
        let range = Self { bits: bits(address), host_bits: all.checked_sub(prefix)? };
        (range.bits == range.network(range.bits)).then_some(range)
    }

    /// Whether it has `address`. IPv4 in IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let address = bits(address);
        self.network(address) == self.bits && is_ipv4(address) == (self.host_bits <= 32 && is_ipv4(self.bits))
    }

    fn network(self, bits: u128) -> u128 {
        bits & u128::MAX.checked_shl(self.host_bits).unwrap_or(0)
    }
}

fn is_ipv4(bits: u128) -> bool {
    bits >> 32 == 0xffff
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_its_addresses_and_no_others() {
        #[rustfmt::skip]
        let cases = [
            ("10.0.0.0/8",    "10.255.0.1",        true),
            ("10.0.0.0/8",    "11.0.0.1",          false),
            ("10.0.0.0/8",    "::ffff:10.1.2.3",   true),
            ("0.0.0.0/0",     "1.2.3.4",           true),
            ("0.0.0.0/0",     "2001:db8::1",       false),
            ("::/0",          "2001:db8::1",       true),
            ("2001:db8::/32", "2001:db8:ffff::1",  true),
            ("2001:db8::/32", "2001:db9::1",       false),
            ("::/0",          "1.2.3.4",           false),
            ("::ffff:10.0.0.0/104", "10.1.2.3",    true),
            ("203.0.113.7",   "203.0.113.7",       true),
            ("203.0.113.7",   "203.0.113.6",       false),
        ];
        for (range, address, expected) in cases {
            let got = Range::parse(range).unwrap().contains(address.parse().unwrap());
            assert_eq!(got, expected, "{address} in {range}");
        }
    }

    #[test]
    fn what_is_no_range_is_none() {
        for text in ["", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "10.0.0.0/+8", "::/129", "a/8", "10.0.0/8"]
        {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }
}
