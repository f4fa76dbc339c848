//! Base64 with padding (RFC 4648, section 4), as etcd's gateway writes bytes.

use alloc::string::String;
use alloc::vec::Vec;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of these bytes.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = ALPHABET.get((word >> shift & 63) as usize).copied().unwrap_or(b'=');
            text.push(if place > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

/// The bytes of this text; `None` unless it is how [`encode`] writes them.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunks = text.as_bytes().chunks_exact(4);
    for chunk in &mut chunks {
        let padding = chunk.iter().rev().take_while(|b| **b == b'=').count();
        let digits = chunk.iter().filter(|b| **b != b'=').try_fold(0_u32, |word, digit| {
            let digit = ALPHABET.iter().position(|there| there == digit)?;
            Some(word << 6 | u32::try_from(digit).ok()?)
        })?;
        let word = match padding {
            0 => digits,
            1 => digits << 6,
            2 => digits << 12,
            _ => return None,
        };
        let keep = 3_usize.saturating_sub(padding);
        bytes.extend(word.to_be_bytes().into_iter().skip(1).take(keep));
    }
    (chunks.remainder().is_empty() && encode(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of RFC 4648, section 10.
    #[test]
    fn agrees_with_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, text) in cases {
            assert_eq!((encode(plain.as_bytes()), decode(text)), (text.into(), Some(plain.into())));
        }
    }

    #[test]
    fn nothing_else_is_base64() {
        for text in ["Zg", "Zg=", "Zg==Zg==", "Zh==", "Z=g=", "====", "Zm9v\n", "Zm9\u{fc}", "Zm-_", "=m9v"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
