//! `tidegate version`: which tool, and which module, by the section that a release writes into it.

use std::path::Path;

use serde_json::Value;

use crate::done::{Done, Outcome};

/// The custom section of a module that holds its version: JSON, `{"name", "version", "commit"}`.
pub const SECTION: &str = "tidegate.version";

const MAGIC: &[u8] = b"\0asm\x01\0\0\0";

/// The version of the tool, or of a module.
#[must_use]
pub fn version(module: Option<&Path>) -> Done {
    let Some(path) = module else {
        let commit = option_env!("TIDEGATE_COMMIT").filter(|commit| !commit.is_empty());
        let commit = commit.map_or(String::new(), |commit| format!(" ({commit})"));
        return Done::well(format!("tidegate {}{commit}\n", env!("CARGO_PKG_VERSION")));
    };
    let name = path.display();
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return Done::unread(&format!("{name}: {error}")),
    };
    if !bytes.starts_with(MAGIC) {
        return Done::unread(&format!("{name}: no WebAssembly module"));
    }
    let told = section(&bytes, SECTION).and_then(|text| serde_json::from_slice::<Value>(text).ok());
    let Some(told) = told else {
        let err = format!("tidegate: {name}: no section {SECTION}: it is not of a release\n");
        return Done { out: String::new(), err, outcome: Outcome::Problems };
    };
    let text = |field: &str| told.get(field).and_then(Value::as_str).unwrap_or("unknown").to_owned();
    Done::well(format!("{} {} ({})\n", text("name"), text("version"), text("commit")))
}

/// What a custom section of a module holds.
#[must_use]
pub fn section<'m>(module: &'m [u8], name: &str) -> Option<&'m [u8]> {
    let mut rest = module.strip_prefix(MAGIC)?;
    while let Some((kind, behind)) = rest.split_first() {
        let (size, behind) = length(behind)?;
        let (body, next) = behind.split_at_checked(size)?;
        rest = next;
        if *kind == 0 {
            let (size, body) = length(body)?;
            let (own, body) = body.split_at_checked(size)?;
            if own == name.as_bytes() {
                return Some(body);
            }
        }
    }
    None
}

/// A number in LEB128, and what is behind it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_found_and_broken_modules_have_none() {
        let mut module = MAGIC.to_vec();
        module.extend([1, 2, 9, 9]);
        module.extend([0, 6, 1, b'a', b'x', b'y', b'z', b'!']);
        module.extend([0, 0x82, 0, 1, b'b']);
        assert_eq!(section(&module, "a"), Some(&b"xyz!"[..]));
        assert_eq!(section(&module, "b"), Some(&b""[..]));
        assert_eq!(section(&module, "c"), None);
        for end in 0..module.len() {
            _ = section(&module[..end], "b");
        }
    }
}
