//! SipHash, a keyed hash for short inputs (Aumasson and Bernstein, 2012).
//!
//! With a secret key its output cannot be told from random without the key, which is
//! what keeps a client from choosing keys that meet in one block of a table. Tidegate
//! uses [`SipHash13`]; [`SipHash24`] is the variant of the paper, here so that the code
//! is checked against the published test values.

/// The 128 secret bits of a hash, as two little-endian words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SipKey(u64, u64);

/// A hash under way: `C` rounds a word, `D` rounds at the end.
#[derive(Clone, Copy)]
pub struct Sip<const C: usize, const D: usize> {
    v: [u64; 4],
    /// Up to seven bytes that do not fill a word yet, little end first.
    tail: u64,
    tail_len: u32,
    length: u64,
}

/// One round a word and three at the end: the variant that Tidegate uses.
pub type SipHash13 = Sip<1, 3>;

/// Two rounds a word and four at the end: the variant of the paper.
pub type SipHash24 = Sip<2, 4>;

// === impl SipKey ===

impl SipKey {
    /// The key made of 16 bytes, the first eight being the first word.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let word = u128::from_le_bytes(bytes);
        Self(low(word), low(word >> 64))
    }
}

/// Says that there is a key, never which.
impl core::fmt::Debug for SipKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SipKey(secret)")
    }
}

// === impl Sip ===

impl<const C: usize, const D: usize> Sip<C, D> {
    /// A hash of nothing yet.
    #[must_use]
    pub fn new(key: SipKey) -> Self {
        let v = [
            key.0 ^ 0x736f_6d65_7073_6575,
            key.1 ^ 0x646f_7261_6e64_6f6d,
            key.0 ^ 0x6c79_6765_6e65_7261,
            key.1 ^ 0x7465_6462_7974_6573,
        ];
        Self { v, tail: 0, tail_len: 0, length: 0 }
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
        self.length = self.length.wrapping_add(bytes.len() as u64);
        let mut rest = bytes;
        while self.tail_len > 0 || rest.len() < 8 {
            let Some((&byte, after)) = rest.split_first() else { return };
            rest = after;
            self.tail |= u64::from(byte) << (self.tail_len.wrapping_mul(8) & 63);
            self.tail_len = self.tail_len.wrapping_add(1);
            if self.tail_len == 8 {
                let word = self.tail;
                (self.tail, self.tail_len) = (0, 0);
                self.word(word);
            }
        }
        let mut words = rest.chunks_exact(8);
        for chunk in &mut words {
            self.word(chunk.try_into().map_or(0, u64::from_le_bytes));
        }
        for &byte in words.remainder() {
            self.tail |= u64::from(byte) << (self.tail_len.wrapping_mul(8) & 63);
            self.tail_len = self.tail_len.wrapping_add(1);
        }
    }

    /// The hash of all that was written.
    #[must_use]
    pub fn finish(mut self) -> u64 {
        let last = (self.length << 56) | self.tail;
        self.word(last);
        let [a, b, c, d] = self.v;
        self.v = [a, b, c ^ 0xff, d];
        for _ in 0..D {
            self.round();
        }
        let [a, b, c, d] = self.v;
        a ^ b ^ c ^ d
    }

    fn word(&mut self, word: u64) {
        let [a, b, c, d] = self.v;
        self.v = [a, b, c, d ^ word];
        for _ in 0..C {
            self.round();
        }
        let [a, b, c, d] = self.v;
        self.v = [a ^ word, b, c, d];
    }

    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.v;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.v = [a, b, c, d];
    }
}

/// The low 64 bits.
#[allow(clippy::cast_possible_truncation)]
fn low(word: u128) -> u64 {
    word as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first values of `vectors_sip64` in the authors' reference code, key 00..0f.
    #[test]
    fn agrees_with_the_reference_code() {
        let key = SipKey::from_bytes(core::array::from_fn(|i| u8::try_from(i).unwrap()));
        let bytes: [u8; 15] = core::array::from_fn(|i| u8::try_from(i).unwrap());
        assert_eq!(SipHash24::hash(key, &[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(SipHash24::hash(key, &bytes), 0xa129_ca61_49be_45e5);
    }

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
