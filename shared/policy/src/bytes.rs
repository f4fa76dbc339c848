//! Reading bytes of a cell from their beginning.

/// The bytes that are still to be read. What they do not have is `None`.
///
/// ```
/// use tidegate_policy::bytes::Bytes;
///
/// let mut bytes = Bytes(b"\x02\0hi\xff");
/// assert_eq!((bytes.text(), bytes.u16()), (Some("hi"), None));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a>(pub &'a [u8]);

// === impl Bytes ===

impl<'a> Bytes<'a> {
    /// The next `N` bytes.
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number of two bytes, little endian.
    pub fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    /// One of four.
    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// One of eight.
    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// A text, behind its length in two bytes.
    pub fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(self.u16()?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        core::str::from_utf8(text).ok()
    }
}
