//! What a client can send: any bytes at all.

use std::net::IpAddr;

use proptest::prelude::*;
use tidegate_policy::config::document;
use tidegate_policy::hash::sip::{SipHash13, SipKey};
use tidegate_policy::http::{path, Attribute, Header, Matcher, Request, RequestExt};
use tidegate_policy::key::{Key, Part};
use tidegate_policy::net::address::{client, parse, Network};

use crate::cases;

/// A request of any headers.
#[derive(Debug)]
struct Any<'a> {
    headers: Vec<Header<'a>>,
    peer: Option<IpAddr>,
}

impl Request for Any<'_> {
    fn headers(&self) -> &[Header<'_>] {
        &self.headers
    }

    fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    fn lone_header(&self, _name: &str) -> Option<Vec<u8>> {
        None
    }

    fn attribute(&self, _which: Attribute) -> Option<Vec<u8>> {
        None
    }
}

const NAMES: [&str; 9] =
    [":path", ":authority", ":method", "cookie", "x-forwarded-for", "x-key", "content-type", "", "x"];

const MATCHERS: &str = r#"[
    {"path": {"exact": "/a"}},
    {"path": {"prefix": "/a/"}, "method": ["GET", "PUT"]},
    {"path": {"template": "/a/{id}/*/**"}},
    {"host": ["a.example", "*.a.example"]},
    {"headers": [{"name": "x-key"}]}
]"#;

/// Bytes of any kind, among them such as stand where something is split.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let marks = prop::sample::select(b"/?#&=;,:\"[]. %*{}aA01\xff\0".to_vec());
    prop_oneof![
        2 => prop::collection::vec(marks, 0..40),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(any::<u8>(), 1_000..1_100),
    ]
}

fn headers() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    prop::collection::vec((prop::sample::select(&NAMES[..]), bytes()), 0..12)
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|v4| IpAddr::V4(v4.into())),
        any::<u128>().prop_map(|v6| IpAddr::V6(v6.into()))
    ]
}

fn parts() -> Vec<Part> {
    vec![
        Part::ClientAddress { trusted_hops: 2, peer_appended: true, ipv6_prefix: 56 },
        Part::Constant("a".to_string()),
        Part::Cookie("a".to_string()),
        Part::Header("x-key".to_string()),
        Part::Host,
        Part::Method,
        Part::PathSegment(1),
        Part::QueryParameter("a".to_string()),
    ]
}

proptest! {
    #![proptest_config(cases(500))]

    /// Parts of a target, a cookie or a host lie within it, and looking for them never fails.
    #[test]
    fn parts_lie_within_the_whole(whole in bytes(), name in "[a=&;]{0,2}", index in 0_usize..5) {
        let within = |part: &[u8]| part.is_empty() || whole.windows(part.len()).any(|window| window == part);
        let found = [path::query_parameter(&whole, &name), path::cookie(&whole, &name), path::segment(&whole, index)];
        prop_assert!(found.into_iter().flatten().all(within));
        prop_assert!(whole.starts_with(path::without_query(&whole)));
        prop_assert!(whole.starts_with(path::host(&whole)));
        let joined: Vec<&[u8]> = path::segments(&whole).collect();
        prop_assert!(whole.ends_with(&joined.join(&b'/')));
        let _ = path::has_prefix(&whole, &name);
    }

    /// The client is the peer or an address that is written in the header.
    #[test]
    fn the_client_is_the_peer_or_was_forwarded(
        forwarded in prop::collection::vec(bytes(), 0..4),
        peer in addresses(),
        hops in prop_oneof![0_usize..5, Just(usize::MAX)],
    ) {
        let got = client(forwarded.iter().map(Vec::as_slice), peer, hops);
        let all = forwarded.join(&b',');
        prop_assert!(got == peer || all.split(|b| *b == b',').any(|entry| parse(entry) == Some(got)));
    }

    /// An address is found however it is written.
    #[test]
    fn addresses_are_read_as_written(address in addresses(), port: u16, hops in 1_usize..4) {
        let socket = std::net::SocketAddr::new(address, port);
        for text in [address.to_string(), format!(" {socket}"), format!("{address} ")] {
            prop_assert_eq!(parse(text.as_bytes()), Some(address), "{}", text);
        }
        let list = vec![address.to_string(); hops].join(" , ");
        let peer = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        prop_assert_eq!(client([list.as_bytes()].into_iter(), peer, hops), address);
        prop_assert_eq!(client([list.as_bytes()].into_iter(), peer, hops + 1), peer);
    }

    /// Addresses that share the bits that count are one client, and others are not.
    #[test]
    fn a_network_is_its_first_bits(a: u128, b: u128, bits in 0_u8..=128) {
        let network = |v6: u128| Network::of(IpAddr::V6(v6.into()), bits);
        // IPv4-mapped addresses count as IPv4.
        prop_assume!([a, b].iter().all(|v6| v6 >> 32 != 0xffff));
        let same = bits == 0 || (a ^ b) >> (128 - u32::from(bits)) == 0;
        prop_assert_eq!(network(a).to_string() == network(b).to_string(), same);
        let near = a ^ (b.checked_shr(u32::from(bits)).unwrap_or(0));
        prop_assume!(near >> 32 != 0xffff);
        prop_assert_eq!(network(a), network(near));
    }

    /// Whatever a request looks like, it can be matched and has a key, or lacks one.
    #[test]
    fn any_request_can_be_matched_and_counted(headers in headers(), peer in prop::option::of(addresses())) {
        let headers: Vec<Header<'_>> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect();
        let request = Any { headers, peer };
        let matchers = document(MATCHERS.as_bytes(), |reader| Matcher::read_any(&reader.items())).unwrap();
        for matcher in &matchers {
            let _ = matcher.holds(&request);
        }
        let _ = request.is_grpc();
        let secret = SipKey::from_bytes([7; 16]);
        for part in parts() {
            let key = Key::new(1, vec![part.clone()]);
            let strict = key.hash(secret, &request, false);
            let lenient = key.hash(secret, &request, true);
            prop_assert!(lenient.is_ok());
            prop_assert!(strict.is_err() || strict == lenient, "{:?}", part);
        }
        prop_assert!(Key::new(1, parts()).hash(secret, &request, true).is_ok());
    }

    /// How a hash's input is cut into calls does not matter.
    #[test]
    fn a_hash_does_not_see_the_cuts(pieces in prop::collection::vec(bytes(), 0..5), key: [u8; 16]) {
        let key = SipKey::from_bytes(key);
        let mut sip = SipHash13::new(key);
        pieces.iter().for_each(|piece| sip.write(piece));
        prop_assert_eq!(sip.finish(), SipHash13::hash(key, &pieces.concat()));
    }
}
