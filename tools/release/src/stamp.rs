//! The version of a module, in the module: a custom section, which Envoy skips and `tidegate version` prints.

use std::fmt;

use serde_json::json;

/// The custom section that has the version, as JSON.
pub const SECTION: &str = "tidegate.version";

/// What a module is.
///
/// ```
/// use tidegate_release::stamp::Stamp;
///
/// let module = b"\0asm\x01\0\0\0";
/// let stamp = Stamp { name: "tidegate-routing", version: "0.1.0", commit: "5bc85be" };
/// let stamped = stamp.onto(module).unwrap();
/// assert!(stamped.starts_with(module));
/// assert!(stamp.onto(&stamped).is_err(), "it has one");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// The name of its file, without `.wasm`.
    pub name: &'a str,
    /// The version of the release.
    pub version: &'a str,
    /// The commit that it was built from.
    pub commit: &'a str,
}

/// Why a module got no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StampError {
    /// It has one.
    Stamped,
    /// The bytes do not begin as a WebAssembly module does, or one of its sections is longer than they are.
    NotWasm,
}

/// How a module of WebAssembly 1.0 begins.
const MAGIC: &[u8] = b"\0asm\x01\0\0\0";

// === impl Stamp ===

impl Stamp<'_> {
    /// The module with this version in it, behind all that it has.
    ///
    /// # Errors
    /// It has a version, or is no module.
    pub fn onto(&self, module: &[u8]) -> Result<Vec<u8>, StampError> {
        if customs(module)?.contains(&SECTION.as_bytes()) {
            return Err(StampError::Stamped);
        }
        let Self { name, version, commit } = self;
        let text = json!({"name": name, "version": version, "commit": commit}).to_string();
        let mut section = Vec::new();
        put_length(&mut section, SECTION.len());
        section.extend(SECTION.as_bytes());
        section.extend(text.as_bytes());
        let mut stamped = module.to_vec();
        stamped.push(0);
        put_length(&mut stamped, section.len());
        stamped.extend(section);
        Ok(stamped)
    }
}

/// The names of the custom sections.
fn customs(module: &[u8]) -> Result<Vec<&[u8]>, StampError> {
    let mut rest = module.strip_prefix(MAGIC).ok_or(StampError::NotWasm)?;
    let mut names = Vec::new();
    while let Some((id, after)) = rest.split_first() {
        let (section, after) = split_sized(after).ok_or(StampError::NotWasm)?;
        if *id == 0 {
            names.push(split_sized(section).ok_or(StampError::NotWasm)?.0);
        }
        rest = after;
    }
    Ok(names)
}

/// The bytes behind a length, as many as it says, and what is left.
fn split_sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_u64;
    for (at, byte) in (0_u32..5).zip(bytes) {
        length |= u64::from(byte & 0x7f).checked_shl(7_u32.saturating_mul(at))?;
        if byte & 0x80 == 0 {
            let rest = bytes.get(usize::try_from(at).ok()?.saturating_add(1)..)?;
            return rest.split_at_checked(usize::try_from(length).ok()?);
        }
    }
    None
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    let mut left = length;
    loop {
        let low = u8::try_from(left & 0x7f).unwrap_or(0);
        left >>= 7;
        if left == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

// === impl StampError ===

impl fmt::Display for StampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stamped => "it has a version already: release what `make wasm` built",
            Self::NotWasm => "it is no WebAssembly module",
        })
    }
}

impl std::error::Error for StampError {}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Stamp<'_> = Stamp { name: "tidegate", version: "1.2.3", commit: "abc" };

    #[test]
    fn a_stamp_is_one_more_section_at_the_end() {
        // A custom section `a` of one byte is there before.
        let module = [MAGIC, &[0, 3, 1, b'a', 9]].concat();
        let stamped = ONE.onto(&module).unwrap();
        assert_eq!(customs(&stamped), Ok(vec![&b"a"[..], SECTION.as_bytes()]));
        let text = br#"{"commit":"abc","name":"tidegate","version":"1.2.3"}"#;
        assert!(stamped.ends_with(text), "{}", String::from_utf8_lossy(&stamped));
        assert_eq!(ONE.onto(&stamped), Err(StampError::Stamped));
    }

    #[test]
    fn what_is_no_module_is_refused() {
        for bytes in [&b""[..], b"\0asm", b"\0asm\x01\0\0\0\x01", b"\0asm\x01\0\0\0\x01\x05a", b"gzip"] {
            assert_eq!(ONE.onto(bytes), Err(StampError::NotWasm), "{bytes:?}");
        }
    }

    #[test]
    fn lengths_of_any_size_are_read_as_they_are_written() {
        for length in [0, 1, 127, 128, 300, 16_384, 700_000] {
            let mut bytes = Vec::new();
            put_length(&mut bytes, length);
            bytes.extend(vec![7; length]);
            assert_eq!(split_sized(&bytes).map(|(all, rest)| (all.len(), rest.len())), Some((length, 0)));
        }
    }
}
