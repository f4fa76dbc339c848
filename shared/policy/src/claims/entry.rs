//! The claims of one plugin as the cell has them, and how they become bytes.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::claim::{Claim, Claimant};
use crate::bytes::Bytes;

/// The claims of one version of a plugin's document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) claimant: Claimant,
    /// When this version was configured.
    pub(super) since_ms: u64,
    /// When one of its workers last showed that it lives.
    pub(super) seen_ms: u64,
    /// When the plugin last began to mean something else; 0 for never.
    pub(super) changed_ms: u64,
    /// The document before, and when it was configured.
    pub(super) former: (u64, u64),
}

/// How often a plugin shows that it lives, and how long it is waited for that others follow a change.
pub const PERIOD_MS: u64 = 5_000;

// === impl Entry ===

impl Entry {
    /// Whether others may be about to follow what the plugin changed, or it was only tried.
    pub(super) fn is_changing(&self, now_ms: u64) -> bool {
        let since = |ms: u64| ms.saturating_sub(self.changed_ms);
        self.changed_ms > 0 && (since(now_ms) < PERIOD_MS || since(self.seen_ms) < PERIOD_MS / 2)
    }

    /// A number for this version since it came, or came back.
    pub(super) fn version(&self) -> u64 {
        self.since_ms.rotate_left(32) ^ self.changed_ms
    }

    /// Appends its bytes.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        let Claimant { plugin, document, claims } = &self.claimant;
        text(bytes, plugin);
        let (former, former_ms) = self.former;
        numbers(bytes, &[*document, self.since_ms, self.seen_ms, self.changed_ms, former, former_ms]);
        count(bytes, claims.len());
        for claim in claims {
            text(bytes, &claim.name);
            text(bytes, &claim.value);
            numbers(bytes, &[claim.tag]);
        }
    }

    pub(super) fn decode(rest: &mut Bytes<'_>) -> Option<Self> {
        let plugin = rest.text()?.to_string();
        let [document, since_ms, seen_ms, changed_ms, former, former_ms] = read_numbers(rest)?;
        let mut claims = Vec::new();
        for _ in 0..rest.u16()? {
            let (name, value, tag) = (rest.text()?.to_string(), rest.text()?.to_string(), rest.u64()?);
            claims.push(Claim { name, value, tag });
        }
        let claimant = Claimant { plugin, document, claims };
        Some(Self { claimant, since_ms, seen_ms, changed_ms, former: (former, former_ms) })
    }
}

/// So many numbers.
pub(super) fn read_numbers<const N: usize>(rest: &mut Bytes<'_>) -> Option<[u64; N]> {
    let mut all = [0; N];
    for number in &mut all {
        *number = rest.u64()?;
    }
    Some(all)
}

/// Appends numbers.
pub(super) fn numbers(bytes: &mut Vec<u8>, list: &[u64]) {
    list.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
}

/// Appends a count.
pub(super) fn count(bytes: &mut Vec<u8>, n: usize) {
    bytes.extend_from_slice(&u16::try_from(n).unwrap_or(u16::MAX).to_le_bytes());
}

/// Appends a text with its length.
fn text(bytes: &mut Vec<u8>, text: &str) {
    count(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}
