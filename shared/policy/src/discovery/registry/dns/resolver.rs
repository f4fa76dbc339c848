//! What Envoy's own resolver hands over (`envoy_on_resolve_dns`).
//!
//! ```text
//!  count (u32) │ count × TTL in seconds (u32) │ count × "ip:port" and a zero byte
//! ```
//!
//! Little endian, as `Context::onResolveDns` writes it. An empty buffer says that the
//! resolution failed; a count of 0 that the name has no address.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::discovery::endpoint::Endpoint;
use crate::discovery::registry::answer::{AnswerError, Entries, Found};
use crate::discovery::registry::dns::{MAX_TTL, MIN_TTL};
use crate::net::address;
use crate::time::Span;

/// Addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The addresses; at least one.
    pub addresses: Vec<IpAddr>,
    /// The shortest time that any of these holds, 5 s to 300 s.
    pub ttl: Span,
}

/// Most addresses that are looked at.
const MAX_ADDRESSES: usize = 5_000;

/// What the buffer says.
///
/// # Errors
/// The resolution failed, the name has no address, or the buffer is not as it should be.
pub fn read(buffer: &[u8]) -> Result<Resolved, AnswerError> {
    let (count, rest) = buffer.split_first_chunk().ok_or(AnswerError::Truncated)?;
    let count = usize::try_from(u32::from_le_bytes(*count)).unwrap_or(usize::MAX);
    let (ttls, texts) = rest.split_at_checked(count.saturating_mul(4)).ok_or(AnswerError::Truncated)?;
    let seconds = ttls.chunks_exact(4).map(|ttl| ttl.try_into().map_or(0, u32::from_le_bytes));
    let ttl = seconds.min().map_or(MIN_TTL, |secs| Span::from_secs(u64::from(secs)));
    let mut addresses = Vec::new();
    // What follows the last zero byte is no text.
    let mut texts = texts.split_inclusive(|byte| *byte == 0);
    for _ in 0..count.min(MAX_ADDRESSES) {
        let text = texts.next().and_then(|text| text.strip_suffix(&[0])).ok_or(AnswerError::Truncated)?;
        addresses.push(address::parse(text).ok_or(AnswerError::Unusable { entries: count })?);
    }
    if addresses.is_empty() {
        return Err(AnswerError::Unknown);
    }
    Ok(Resolved { addresses, ttl: ttl.clamp(MIN_TTL, MAX_TTL) })
}

// === impl Resolved ===

impl Resolved {
    /// The endpoints: these addresses with `port`.
    ///
    /// # Errors
    /// No client can connect to any of them.
    pub fn found(&self, port: u16) -> Result<Found, AnswerError> {
        let mut entries = Entries::default();
        for address in &self.addresses {
            entries.take(Endpoint::new(&alloc::format!("{address}"), *address, port));
        }
        entries.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};

    fn buffer(entries: &[(u32, &str)]) -> Vec<u8> {
        let mut bytes = u32::try_from(entries.len()).unwrap().to_le_bytes().to_vec();
        entries.iter().for_each(|(ttl, _)| bytes.extend(ttl.to_le_bytes()));
        entries.iter().for_each(|(_, text)| bytes.extend(text.bytes().chain([0])));
        bytes
    }

    #[test]
    fn addresses_come_with_the_shortest_time() {
        let got = read(&buffer(&[(60, "10.0.0.1:0"), (30, "[2001:db8::1]:0")])).unwrap();
        let texts: Vec<String> = got.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(
            (texts, got.ttl),
            (std::vec!["10.0.0.1".into(), "2001:db8::1".into()], Span::from_secs(30))
        );
        let found = got.found(80).unwrap();
        assert_eq!((found.endpoints.len(), found.endpoints[0].port), (2, 80));
        assert_eq!(read(&buffer(&[(0, "10.0.0.1:0")])).unwrap().ttl, MIN_TTL);
    }

    #[test]
    fn failure_nothing_and_nonsense_are_told_apart() {
        assert_eq!(read(&[]), Err(AnswerError::Truncated));
        assert_eq!(read(&buffer(&[])), Err(AnswerError::Unknown));
        assert_eq!(read(&buffer(&[(1, "host:0")])), Err(AnswerError::Unusable { entries: 1 }));
        let whole = buffer(&[(60, "10.0.0.1:0"), (30, "10.0.0.2:0")]);
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), Err(AnswerError::Truncated), "{end} bytes");
        }
        assert_eq!(read(&u32::MAX.to_le_bytes()), Err(AnswerError::Truncated));
    }
}
