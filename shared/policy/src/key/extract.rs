//! From a request to the hash of its key.
//!
//! The hashed bytes are the rule's number (two bytes, little end first) and then the
//! part's value. With several parts each is preceded by its
//! length, so that `a` + `bc` and `ab` + `c` differ. A long value counts by its length,
//! its first and its last 512 bytes: bounded work, and tokens whose beginnings are alike
//! still differ in their signatures.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::IpAddr;

use super::part::Part;
use super::repeated::{self, Repeated, Values, MAX_KEYS};
use crate::hash::sip::{SipHash13, SipKey};
use crate::http::{path, Request, RequestExt};
use crate::net::address::{self, Network};

/// What a limit counts by.
///
/// ```
/// use std::net::IpAddr;
/// use tidegate_policy::hash::sip::SipKey;
/// use tidegate_policy::http::{Attribute, Header, Request};
/// use tidegate_policy::key::{Key, Missing, Part};
///
/// struct Headers<'a>(&'a [Header<'a>]);
/// impl Request for Headers<'_> {
///     fn headers(&self) -> &[Header<'_>] {
///         self.0
///     }
///     fn peer(&self) -> Option<IpAddr> {
///         None
///     }
///     fn lone_header(&self, _: &str) -> Option<Vec<u8>> {
///         None
///     }
///     fn attribute(&self, _: Attribute) -> Option<Vec<u8>> {
///         None
///     }
/// }
///
/// let key = Key::new(1, vec![Part::Header("x-api-key".to_owned())]);
/// let secret = SipKey::from_bytes([7; 16]);
/// let hash = |headers: &[Header<'_>], lenient| key.hash(secret, &Headers(headers), lenient);
/// assert_ne!(hash(&[(b"x-api-key", b"a")], false), hash(&[(b"x-api-key", b"b")], false));
/// assert_eq!(hash(&[], false), Err(Missing));
/// assert!(hash(&[], true).is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    rule: u16,
    parts: Vec<Part>,
}

/// A part of the key is not in the request, or is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing;

/// Why a request has no key under a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unkeyed {
    /// A part has more values than may count.
    Excess,
    /// It counts by IPv6 networks, and the client has an IPv4 address.
    Ipv4,
    /// A part is not in the request, or is empty.
    Missing,
}

/// The hashes of a request's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes {
    list: [u64; MAX_KEYS],
    len: usize,
}

/// Bytes hashed at either end of a long value.
const END: usize = 512;

// === impl Key ===

impl Key {
    /// A key of these parts. `rule` keeps limits apart that count by the same parts.
    #[must_use]
    pub fn new(rule: u16, parts: Vec<Part>) -> Self {
        Self { rule, parts }
    }

    /// Whether every request has the same key.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.parts.iter().all(Part::is_constant)
    }

    /// The hash of the request's key; of repeated parts the first counts. When a part is missing,
    /// `lenient` takes it as empty: all requests without it count together.
    ///
    /// # Errors
    /// [`Missing`] when a part is not there, or empty, and `lenient` is false.
    pub fn hash(&self, secret: SipKey, request: &impl Request, lenient: bool) -> Result<u64, Missing> {
        self.one(secret, request, lenient, &mut Pick::new(0, Repeated::First)).map_err(|_| Missing)
    }

    /// The hashes of the request's keys, several when a part is repeated and each of its values counts.
    ///
    /// # Errors
    /// [`Unkeyed::Missing`] as [`Key::hash`], [`Unkeyed::Excess`] when there are more values than may
    /// count, [`Unkeyed::Ipv4`] when a client without an IPv6 network has none of these keys.
    pub fn hashes(
        &self,
        secret: SipKey,
        request: &impl Request,
        lenient: bool,
        repeated: Repeated,
    ) -> Result<Hashes, Unkeyed> {
        let mut hashes = Hashes { list: [0; MAX_KEYS], len: 0 };
        loop {
            let mut pick = Pick::new(hashes.len, repeated);
            let hash = self.one(secret, request, lenient, &mut pick)?;
            let place = hashes.list.get_mut(hashes.len).filter(|_| pick.of <= MAX_KEYS);
            *place.ok_or(Unkeyed::Excess)? = hash;
            hashes.len = hashes.len.saturating_add(1);
            if hashes.len >= pick.of {
                return Ok(hashes);
            }
        }
    }

    /// The hash of one of the request's keys.
    fn one(
        &self,
        secret: SipKey,
        request: &impl Request,
        lenient: bool,
        pick: &mut Pick,
    ) -> Result<u64, Unkeyed> {
        let hash = SipHash13::new(secret);
        let mut sink = Sink { hash, framed: self.parts.len() > 1, pick, ipv4: false };
        sink.hash.write(&self.rule.to_le_bytes());
        for part in &self.parts {
            if !sink.part(part, request) {
                if sink.ipv4 {
                    return Err(Unkeyed::Ipv4);
                }
                if !lenient {
                    return Err(Unkeyed::Missing);
                }
                sink.value(&[]);
            }
        }
        Ok(sink.hash.finish())
    }
}

// === impl Hashes ===

impl Hashes {
    /// The hash of the key, if there is one only.
    #[must_use]
    pub fn only(&self) -> Option<u64> {
        self.list.first().copied().filter(|_| self.len == 1)
    }

    /// One after the other; all differ.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.list.iter().take(self.len).copied()
    }
}

// === impl Pick ===

/// Which of a request's keys: the `nth`, of as many as the numbers of values multiplied.
struct Pick {
    nth: usize,
    of: usize,
    repeated: Repeated,
}

impl Pick {
    fn new(nth: usize, repeated: Repeated) -> Self {
        Self { nth, of: 1, repeated }
    }
}

// === impl Sink ===

struct Sink<'p> {
    hash: SipHash13,
    framed: bool,
    pick: &'p mut Pick,
    /// Whether an IPv6 network was asked of a client with an IPv4 address.
    ipv4: bool,
}

impl Sink<'_> {
    /// Hashes one part; `false`, and nothing hashed, when it is missing.
    fn part(&mut self, part: &Part, request: &impl Request) -> bool {
        match part {
            Part::ClientAddress { trusted_hops, peer_appended, ipv6_prefix } => {
                return match client(request, *trusted_hops, *peer_appended) {
                    Some(client) => self.network(client, *ipv6_prefix),
                    None => false,
                };
            }
            Part::Constant(text) => self.value(text.as_bytes()),
            Part::Cookie(name) => return self.one_of(repeated::cookie(request, name)),
            Part::Header(name) => return self.one_of(repeated::header(request, name)),
            Part::Host => {
                let host = path::host(request.authority());
                return self.some(Some(&host.to_ascii_lowercase()));
            }
            Part::Ipv6Network { trusted_hops, peer_appended, prefix } => {
                return match client(request, *trusted_hops, *peer_appended) {
                    Some(IpAddr::V4(_)) => {
                        self.ipv4 = true;
                        false
                    }
                    Some(client) => self.network(client, *prefix),
                    None => false,
                };
            }
            Part::Method => return self.some(request.header(":method")),
            Part::PathSegment(index) => return self.some(path::segment(request.path(), *index)),
            Part::QueryParameter(name) => return self.one_of(repeated::query(request, name)),
        }
        true
    }

    fn some(&mut self, value: Option<&[u8]>) -> bool {
        match value {
            None | Some([]) => false,
            Some(value) => {
                self.value(value);
                true
            }
        }
    }

    /// Hashes the one of a part's values that the picked key has.
    fn one_of<'a>(&mut self, all: impl Iterator<Item = Cow<'a, [u8]>>) -> bool {
        let values = Values::of(all, self.pick.repeated);
        let among = if values.excess { usize::MAX } else { values.len().max(1) };
        let index = self.pick.nth.checked_rem(among).unwrap_or(0);
        self.pick.nth = self.pick.nth.checked_div(among).unwrap_or(0);
        self.pick.of = self.pick.of.saturating_mul(among);
        self.some(values.get(index))
    }

    fn network(&mut self, client: IpAddr, ipv6_prefix: u8) -> bool {
        let mut text = Text::default();
        let _ = write!(text, "{}", Network::of(client, ipv6_prefix));
        self.value(text.as_bytes());
        true
    }

    fn value(&mut self, value: &[u8]) {
        if self.framed {
            self.hash.write(&(value.len() as u64).to_le_bytes());
        }
        match (value.get(..END), value.len().checked_sub(END).and_then(|from| value.get(from..))) {
            (Some(head), Some(tail)) if value.len() > END.saturating_mul(2) => {
                self.hash.write(&(value.len() as u64).to_le_bytes());
                self.hash.write(head);
                self.hash.write(tail);
            }
            _ => self.hash.write(value),
        }
    }
}

/// The address of the client, if the host knows that of the peer.
fn client(request: &impl Request, trusted_hops: usize, peer_appended: bool) -> Option<IpAddr> {
    let peer = request.peer()?;
    let hops = trusted_hops.saturating_add(usize::from(peer_appended && trusted_hops > 0));
    let forwarded = request.headers().iter();
    let forwarded = forwarded.filter(|(name, _)| *name == b"x-forwarded-for").map(|(_, value)| *value);
    Some(address::client(forwarded, peer, hops).to_canonical())
}

/// Room for the text of an address, on the stack.
struct Text {
    bytes: [u8; 48],
    len: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; 48], len: 0 }
    }
}

impl Text {
    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.len.saturating_add(text.len());
        let room = self.bytes.get_mut(self.len..end).ok_or(core::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
