//! SipHash-1-3, a keyed hash for short inputs (Aumasson and Bernstein, 2012).
//!
//! With a secret key its output cannot be told from random without the key, which is what keeps
//! a client from choosing keys that meet in one block of a table. The `siphasher` crate computes
//! it; here the key is kept from being printed, and bytes are written as they are, without the
//! length that [`core::hash::Hash`] adds to them.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

/// The 128 secret bits of a hash, as two little-endian words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SipKey([u8; 16]);

/// SipHash-1-3 of what was written so far.
///
/// ```
/// use tidegate_policy::hash::sip::{SipHash13, SipKey};
///
/// let key = SipKey::from_bytes([7; 16]);
/// let mut hash = SipHash13::new(key);
/// hash.write(b"api-");
/// hash.write(b"key");
/// assert_eq!(hash.finish(), SipHash13::hash(key, b"api-key"));
/// assert_eq!(format!("{key:?}"), "SipKey(secret)");
/// ```
#[derive(Clone, Copy)]
pub struct SipHash13(SipHasher13);

// === impl SipKey ===

impl SipKey {
    /// The key made of 16 bytes, the first eight being the first word.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// Says that there is a key, never which.
impl core::fmt::Debug for SipKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SipKey(secret)")
    }
}

// === impl SipHash13 ===

impl SipHash13 {
    /// A hash of nothing yet.
    #[must_use]
    pub fn new(key: SipKey) -> Self {
        Self(SipHasher13::new_with_key(&key.0))
    }

    /// The hash of `bytes`.
    #[must_use]
    pub fn hash(key: SipKey, bytes: &[u8]) -> u64 {
        let mut sip = Self::new(key);
        sip.write(bytes);
        sip.finish()
    }

    /// Appends `bytes`. How the input is cut into calls does not matter.
    pub fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// The hash of all that was written.
    #[must_use]
    pub fn finish(self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_the_input_changes_nothing() {
        let key = SipKey::from_bytes([7; 16]);
        let bytes: std::vec::Vec<u8> = (0..40).collect();
        let whole = SipHash13::hash(key, &bytes);
        for a in 0..=bytes.len() {
            for b in a..=bytes.len() {
                let mut sip = SipHash13::new(key);
                sip.write(&bytes[..a]);
                sip.write(&bytes[a..b]);
                sip.write(&bytes[b..]);
                assert_eq!(sip.finish(), whole, "cut at {a} and {b}");
            }
        }
    }
}
