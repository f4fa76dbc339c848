//! What makes an answer, as one number.

use crate::hash::sip::{SipHash13, SipKey};

/// Hashes all that makes an answer, so that services that ask the same share it.
///
/// A token, a timeout or a cache setting makes no other answer and is not hashed.
pub struct Identity(SipHash13);

// === impl Identity ===

impl Identity {
    pub(super) fn new() -> Self {
        Self(SipHash13::new(SipKey::from_bytes(*b"tidegate/d1 asks")))
    }

    /// Adds a text, with an end that no text of a configuration has.
    pub(super) fn text(&mut self, text: &str) {
        self.0.write(text.as_bytes());
        self.0.write(&[0xff]);
    }

    /// Adds bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    pub(super) fn finish(self) -> u64 {
        self.0.finish()
    }
}
