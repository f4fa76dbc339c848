//! Names of limits, breakers, routes and services, and the numbers that stand for some in cells.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use super::Reader;
use crate::hash::xxh64::xxh64;

/// Reads a name that is fit for headers, metrics and logs and not taken by one of the `earlier` objects.
#[inline(never)]
#[must_use]
pub fn distinct_name(reader: &Reader<'_>, earlier: &[Reader<'_>]) -> Option<String> {
    let name = plain_name(reader, reader.text(64)?)?;
    if earlier.iter().any(|object| object.text_field("name") == Some(name)) {
        reader.report(format!("{name:?} is already used"));
        return None;
    }
    Some(name.to_owned())
}

/// The same for a name that stands for a cell: its number is not taken, either.
#[inline(never)]
#[must_use]
pub fn unique_name(reader: &Reader<'_>, earlier: &[Reader<'_>]) -> Option<String> {
    let name = distinct_name(reader, earlier)?;
    let same = |other: &&str| number(other) == number(&name);
    if let Some(other) = earlier.iter().filter_map(|object| object.text_field("name")).find(same) {
        reader.report(format!("{name:?} has the same number as {other:?}, expected another name"));
        return None;
    }
    Some(name)
}

/// Checks a name, which may stand elsewhere than in a value: 1 to 64 letters, digits, `-`, `_`.
#[inline(never)]
#[must_use]
pub fn plain_name<'a>(reader: &Reader<'_>, name: &'a str) -> Option<&'a str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !(1..=64).contains(&name.len()) || !name.bytes().all(fits) {
        reader.report(format!("{name:?} is not a name, expected letters, digits, `-` and `_`"));
        return None;
    }
    Some(name)
}

/// The number of 24 bits that keeps the cells of limits, or of breakers, apart. It comes from the
/// name, so that adding or reordering them leaves the state of the others where it is.
#[must_use]
pub fn number(name: &str) -> u32 {
    u32::try_from(xxh64(name.as_bytes(), 0) >> 40).unwrap_or(0)
}
