//! The endpoints that a registry has for a service, as the leader hands them to all workers: one cell.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | layout, 1 |
//! | 1 | [`State`] |
//! | 2–3 | 0 |
//! | 4–7 | the leader's term: a later one is never overwritten by an earlier |
//! | 8–15 | the question that was asked, as a hash |
//! | 16–19 | number of endpoints |
//! | 20– | the endpoints |
//!
//! An endpoint is 4 bytes (4 or 6 for the family, health with [`Doubt`] in its upper four bits, priority,
//! number of tags), port and weight
//! of 2 bytes each, the number of pairs of metadata in 2, 8 bytes for the millisecond since which it is
//! in good health, 4 or 16 of address, then its texts, each of 2 bytes of length and its bytes: zone,
//! tags, keys and values. All numbers little endian. Ids stay with the leader.
//!
//! A cell that cannot be read is no snapshot, which is not a service without endpoints.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::bytes::Bytes;
use crate::discovery::endpoint::{Endpoint, Health, Names, MAX_ENDPOINTS};
use crate::watch::origin::{self, Origin};

/// What all workers know of a service.
///
/// ```
/// use tidegate_policy::discovery::cells::snapshot::{decode, encode, Entry, Snapshot, State};
/// use tidegate_policy::discovery::Endpoint;
/// use tidegate_policy::watch::origin::Origin;
///
/// let endpoint = Endpoint::new("", "10.0.0.1".parse()?, 80).ok_or("no endpoint")?;
/// let snapshot = Snapshot { state: State::Known, entries: vec![Entry::new(endpoint, 0)] };
/// let bytes = encode(Origin { term: 1, question: 7 }, &snapshot);
/// assert_eq!(decode(&bytes, 7), Some(snapshot));
/// assert_eq!(decode(&bytes, 8), None, "another question");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// What is known.
    pub state: State,
    /// The endpoints, sorted.
    pub entries: Vec<Entry>,
}

/// An endpoint and its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The millisecond of the monotonic clock since which it is in good health; 0 when that is longer than
    /// any leader remembers.
    pub since_ms: u64,
    /// What the leader does not believe.
    pub doubt: Option<Doubt>,
}

/// What a leader does not believe of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Doubt {
    /// That it will stay: it comes and goes.
    Damped = 0x10,
    /// That it is gone: the registry's newest answer lacks it, together with too many others.
    Held = 0x20,
}

/// What is known of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Nothing yet.
    #[default]
    None = 0,
    /// Its endpoints, of which there may be none.
    Known = 1,
    /// That the registry has no such service.
    Unknown = 2,
    /// Nothing any more: the registry failed for too long.
    Expired = 3,
}

/// Most endpoints of a snapshot: those of an answer that is held back, and those that it lacks.
pub const MAX_ENTRIES: usize = 2 * MAX_ENDPOINTS;
/// Bytes before the endpoints.
pub const HEADER: usize = 20;

/// The bytes of a cell.
#[must_use]
pub fn encode(origin: Origin, snapshot: &Snapshot) -> Vec<u8> {
    let mut out = Vec::with_capacity(snapshot.entries.len().saturating_mul(48).saturating_add(HEADER));
    out.extend_from_slice(&origin.encode([snapshot.state as u8, 0, 0]));
    out.extend_from_slice(&u32::try_from(snapshot.entries.len()).unwrap_or(u32::MAX).to_le_bytes());
    snapshot.entries.iter().for_each(|entry| put_entry(&mut out, entry));
    out
}

/// The snapshot in a cell, if it is about `question`; `None` for a cell that was never written or is broken.
#[must_use]
pub fn decode(bytes: &[u8], question: u64) -> Option<Snapshot> {
    if Origin::decode(bytes)?.question != question {
        return None;
    }
    let state = State::of(*bytes.get(1)?)?;
    let mut rest = Bytes(bytes.get(origin::BYTES..)?);
    let count = usize::try_from(rest.u32()?).ok()?;
    if count > MAX_ENTRIES {
        return None;
    }
    let (mut names, mut entries) = (Names::default(), Vec::with_capacity(count));
    for _ in 0..count {
        entries.push(entry(&mut rest, &mut names)?);
    }
    let sorted = entries.iter().zip(entries.iter().skip(1)).all(|(a, b)| a.endpoint.key() < b.endpoint.key());
    (rest.0.is_empty() && sorted).then_some(Snapshot { state, entries })
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    let endpoint = &entry.endpoint;
    let family = if endpoint.address.is_ipv4() { 4 } else { 6 };
    let tags = u8::try_from(endpoint.tags.len()).unwrap_or(0);
    let pairs = u16::try_from(endpoint.metadata.len()).unwrap_or(0);
    let health = endpoint.health as u8 | entry.doubt.map_or(0, |doubt| doubt as u8);
    out.extend_from_slice(&[family, health, endpoint.priority, tags]);
    out.extend_from_slice(&endpoint.port.to_le_bytes());
    out.extend_from_slice(&u16::try_from(endpoint.weight).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(&pairs.to_le_bytes());
    out.extend_from_slice(&entry.since_ms.to_le_bytes());
    match endpoint.address {
        IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
        IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
    }
    put_text(out, &endpoint.zone);
    endpoint.tags.iter().take(tags.into()).for_each(|tag| put_text(out, tag));
    for (key, value) in endpoint.metadata.iter().take(pairs.into()) {
        put_text(out, key);
        put_text(out, value);
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(0);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes().get(..length.into()).unwrap_or(&[]));
}

// === impl Entry ===

impl Entry {
    /// An endpoint that is believed.
    #[must_use]
    pub const fn new(endpoint: Endpoint, since_ms: u64) -> Self {
        Self { endpoint, since_ms, doubt: None }
    }

    /// Whether the registry's newest answer names it, in a health in which it may get requests.
    #[must_use]
    pub fn is_named(&self) -> bool {
        let health = self.endpoint.health;
        self.doubt != Some(Doubt::Held) && matches!(health, Health::Healthy | Health::Degraded)
    }
}

// === impl Doubt ===

impl Doubt {
    /// The doubt of these bits, which may be none; `None` for bits that mean nothing.
    #[expect(clippy::option_option, reason = "no doubt is not the same as no meaning")]
    fn of(bits: u8) -> Option<Option<Self>> {
        match bits {
            0 => Some(None),
            0x10 => Some(Some(Self::Damped)),
            0x20 => Some(Some(Self::Held)),
            _ => None,
        }
    }
}

// === impl State ===

impl State {
    fn of(byte: u8) -> Option<Self> {
        [Self::None, Self::Known, Self::Unknown, Self::Expired].into_iter().find(|state| *state as u8 == byte)
    }
}

/// The next entry.
fn entry(rest: &mut Bytes<'_>, names: &mut Names) -> Option<Entry> {
    let [family, health, priority, tags] = rest.take()?;
    let (port, weight, pairs, since_ms) = (rest.u16()?, rest.u16()?, rest.u16()?, rest.u64()?);
    let address = match family {
        4 => IpAddr::V4(Ipv4Addr::from(rest.take::<4>()?)),
        6 => IpAddr::V6(Ipv6Addr::from(rest.take::<16>()?)),
        _ => return None,
    };
    let mut endpoint = Endpoint::new("", address, port)?.weighing(weight.into());
    endpoint.priority = priority;
    endpoint.health = health_of(health & 0x0f)?;
    endpoint.zone = names.keep(rest.text()?);
    for _ in 0..tags {
        endpoint.tags.push(names.keep(rest.text()?));
    }
    for _ in 0..pairs {
        endpoint.metadata.push((names.keep(rest.text()?), names.keep(rest.text()?)));
    }
    Some(Entry { endpoint, since_ms, doubt: Doubt::of(health & 0xf0)? })
}

fn health_of(byte: u8) -> Option<Health> {
    let all = [Health::Healthy, Health::Degraded, Health::Draining, Health::Unhealthy];
    all.into_iter().find(|health| *health as u8 == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let mut names = Names::default();
        let one = |address: &str| Endpoint::new("", address.parse().unwrap(), 8080).unwrap();
        let first = one("10.0.0.1").weighing(300).in_zone("a", &mut names);
        let first = first.tagged(&mut ["v1", "http"].into_iter(), &mut names);
        let mut second = one("2001:db8::1").labelled(&mut [("version", "1.4")].into_iter(), &mut names);
        second.health = Health::Draining;
        second.priority = 3;
        let entries =
            std::vec![Entry::new(first, 0), Entry { doubt: Some(Doubt::Held), ..Entry::new(second, 77) }];
        Snapshot { state: State::Known, entries }
    }

    const ORIGIN: Origin = Origin { term: 5, question: 0x1122_3344_5566_7788 };

    #[test]
    fn the_bytes_are_these() {
        let bytes = encode(ORIGIN, &snapshot());
        let first = b"\x04\0\0\x02\x90\x1f\x2c\x01\0\0\0\0\0\0\0\0\0\0\x0a\0\0\x01\x01\0a\x04\0http\x02\0v1";
        assert_eq!(&bytes[..20], b"\x01\x01\0\0\x05\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11\x02\0\0\0");
        assert_eq!(&bytes[20..20 + first.len()], first);
    }

    #[test]
    fn a_snapshot_survives_the_round_trip() {
        for state in [State::Known, State::Unknown, State::Expired, State::None] {
            let snapshot = Snapshot { state, ..snapshot() };
            let bytes = encode(ORIGIN, &snapshot);
            assert_eq!(decode(&bytes, ORIGIN.question), Some(snapshot));
            assert_eq!(Origin::decode(&bytes), Some(ORIGIN));
            assert_eq!(decode(&bytes, 1), None, "another question");
        }
    }

    #[test]
    fn a_cell_that_is_cut_is_no_snapshot_and_a_changed_one_traps_nothing() {
        let bytes = encode(ORIGIN, &snapshot());
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end], ORIGIN.question), None, "cut at {end}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(decode(&longer, ORIGIN.question), None);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            // Whatever comes out, nothing traps.
            let _ = decode(&changed, ORIGIN.question);
        }
        assert_eq!(decode(&[0; 20], 0), None, "as it was created");
    }
}
