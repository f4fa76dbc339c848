//! Who wrote an answer, and to which question: the first 16 bytes of every cell with an answer.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | layout, 1 |
//! | 1–3 | the user's own |
//! | 4–7 | the leader's term: an answer of a later term is never overwritten by one of an earlier |
//! | 8–15 | the question, as a hash |
//!
//! All numbers little endian.

/// Who wrote a cell, and to which question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The leader's term.
    pub term: u32,
    /// The question, as a hash.
    pub question: u64,
}

/// Bytes of an origin.
pub const BYTES: usize = 16;
const LAYOUT: u8 = 1;

// === impl Origin ===

impl Origin {
    /// The first bytes of a cell, `own` among them.
    #[must_use]
    pub fn encode(self, own: [u8; 3]) -> [u8; BYTES] {
        let (term, question) = (u64::from(self.term), self.question);
        let own = own.into_iter().rev().fold(0, |word, byte| word << 8 | u64::from(byte));
        let head = u64::from(LAYOUT) | own << 8 | term << 32;
        (u128::from(head) | u128::from(question) << 64).to_le_bytes()
    }

    /// The origin of a cell; `None` for a cell without an answer.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let ([layout, _, _, _], rest) = bytes.split_first_chunk()?;
        let (term, rest) = rest.split_first_chunk()?;
        let (question, _) = rest.split_first_chunk()?;
        let origin = Self { term: u32::from_le_bytes(*term), question: u64::from_le_bytes(*question) };
        (*layout == LAYOUT).then_some(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_these() {
        let origin = Origin { term: 0x0102_0304, question: 0x1112_1314_1516_1718 };
        let bytes = origin.encode([7, 8, 9]);
        assert_eq!(bytes, [1, 7, 8, 9, 4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
        assert_eq!(Origin::decode(&bytes), Some(origin));
        assert_eq!(Origin::decode(&[0; BYTES]), None, "as it was created");
        assert_eq!(Origin::decode(&bytes[..BYTES - 1]), None);
    }
}
