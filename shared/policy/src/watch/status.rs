//! Who asks a question, and how it went: one small cell for each, that all workers read.
//!
//! | bytes | what |
//! |---|---|
//! | 0–31 | the lease: who asks, until when, in which term; its tag is the question's hash |
//! | 32–35 | how often the snapshot was written |
//! | 36–39 | consecutive failures |
//! | 40–47 | the millisecond of the last good answer; 0 for never |
//! | 48–55 | the millisecond before which no worker should ask again |
//! | 56–63 | the configuration whose workers should ask; 0 for any |
//! | 64–71 | what was wrong with the last answer, as a hash; 0 for nothing |
//!
//! All numbers little endian, milliseconds of the monotonic clock. A status that cannot be read, or is about
//! another question, counts as one that was never written.

use alloc::vec::Vec;

use crate::time::{Span, Timestamp};
use crate::watch::lease::{self, Lease};

/// Who asks a question, and how it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Who asks.
    pub lease: Lease,
    /// How often the snapshot was written.
    pub version: u32,
    /// Consecutive failures.
    pub failures: u32,
    /// The millisecond of the last good answer; 0 for never.
    pub fetched_ms: u64,
    /// The millisecond before which no worker should ask again.
    pub next_ms: u64,
    /// The configuration whose workers should ask; 0 for any.
    pub config: u64,
    /// What was wrong with the last answer, as a hash, so that the next leader does not log it again. 0
    /// for nothing.
    pub trouble: u64,
}

/// Bytes of a status.
pub const BYTES: usize = 72;
/// How long a worker holds the lease without renewing it. A leader that dies costs no more than this, and
/// a leader survives a tick that comes a second late.
pub const TTL: Span = Span::from_secs(3);

// === impl Status ===

impl Status {
    /// The status in `bytes`, if it is about `question`.
    #[must_use]
    pub fn decode(bytes: &[u8], question: u64) -> Self {
        Self::read(bytes).filter(|status| status.lease.tag == question).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (lease, rest) = bytes.split_at_checked(lease::BYTES)?;
        let (version, rest) = rest.split_first_chunk()?;
        let (failures, rest) = rest.split_first_chunk()?;
        let (fetched, rest) = rest.split_first_chunk()?;
        let (next, rest) = rest.split_first_chunk()?;
        let (config, rest) = rest.split_first_chunk()?;
        let trouble: [u8; 8] = rest.try_into().ok()?;
        Some(Self {
            lease: Lease::decode(lease),
            version: u32::from_le_bytes(*version),
            failures: u32::from_le_bytes(*failures),
            fetched_ms: u64::from_le_bytes(*fetched),
            next_ms: u64::from_le_bytes(*next),
            config: u64::from_le_bytes(*config),
            trouble: u64::from_le_bytes(trouble),
        })
    }

    /// The bytes of the status, which is about `question`.
    #[must_use]
    pub fn encode(&self, question: u64) -> Vec<u8> {
        let mut bytes = Lease { tag: question, ..self.lease }.encode();
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&self.failures.to_le_bytes());
        for number in [self.fetched_ms, self.next_ms, self.config, self.trouble] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// Whether a worker of this configuration should ask: when no other is in force, or its workers
    /// have not been seen for a while.
    #[must_use]
    pub fn is_for(&self, config: u64, now: Timestamp) -> bool {
        let abandoned = self.lease.expires_ms.saturating_add(TTL.as_millis()) < now.as_millis();
        self.config == 0 || self.config == config || (abandoned && self.lease.holder != 0)
    }

    /// With `worker` holding the lease; `None` when another does.
    #[must_use]
    pub fn taken(&self, worker: u64, question: u64, now: Timestamp) -> Option<Self> {
        self.lease.take(worker, question, now, TTL).map(|lease| Self { lease, ..*self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::ZERO.plus(Span::from_millis(ms))
    }

    #[test]
    fn a_status_survives_the_round_trip() {
        let status = Status {
            version: 2,
            failures: 3,
            fetched_ms: 4,
            next_ms: 5,
            config: 6,
            trouble: 7,
            ..Status::default()
        };
        let status = status.taken(9, 77, at(0)).unwrap();
        let bytes = status.encode(77);
        assert_eq!(bytes.len(), BYTES);
        assert_eq!(bytes[32..40], [2, 0, 0, 0, 3, 0, 0, 0]);
        let words: Vec<u64> =
            bytes[40..].chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
        assert_eq!(words, [4, 5, 6, 7]);
        assert_eq!(Status::decode(&bytes, 77), status);
        assert_eq!(Status::decode(&bytes, 78), Status::default(), "another question");
        for end in 0..BYTES {
            assert_eq!(Status::decode(&bytes[..end], 77), Status::default(), "cut at {end}");
        }
        assert_eq!(Status::decode(&[0; BYTES], 0), Status::default(), "as it was created");
    }

    #[test]
    fn the_configuration_in_force_asks_and_others_once_it_is_gone() {
        let status = Status { config: 6, ..Status::default() };
        assert!(status.is_for(6, at(0)) && !status.is_for(7, at(0)));
        assert!(!status.is_for(7, at(1 << 40)), "no worker has asked yet: those of 6 are about to");
        let held = status.taken(1, 77, at(0)).unwrap();
        assert!(!held.is_for(7, at(6_000)));
        assert!(held.is_for(7, at(6_001)));
        assert!(Status { config: 0, ..held }.is_for(7, at(0)));
    }
}
