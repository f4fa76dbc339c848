//! Names of limits and breakers, and the numbers that stand for them in cells.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use super::Reader;
use crate::hash::xxh64::xxh64;

/// Reads a name that is fit for metrics and not taken by one of the `earlier` objects.
#[inline(never)]
#[must_use]
pub fn unique_name(reader: &Reader<'_>, earlier: &[Reader<'_>]) -> Option<String> {
    let name = reader.text(64)?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !name.bytes().all(fits) {
        reader.report(format!("{name:?} is not a name, expected letters, digits, `-` and `_`"));
        return None;
    }
    let same = |other: &str| other == name || number(other) == number(name);
    let taken = earlier.iter().find_map(|object| object.text_field("name").filter(|other| same(other)));
    match taken {
        Some(other) if other == name => {
            reader.report(format!("{name:?} is already used"));
            None
        }
        Some(other) => {
            reader.report(format!("{name:?} has the same number as {other:?}, expected another name"));
            None
        }
        None => Some(name.to_owned()),
    }
}

/// The number of 24 bits that keeps the cells of limits, or of breakers, apart. It comes from the
/// name, so that adding or reordering them leaves the state of the others where it is.
#[must_use]
pub fn number(name: &str) -> u32 {
    u32::try_from(xxh64(name.as_bytes(), 0) >> 40).unwrap_or(0)
}
