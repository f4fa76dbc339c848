//! What several parts of the configuration are read by.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::sticky::BUCKETS;
use crate::config::{Object, Reader};

/// A share given in percent, or in basis points where that is too coarse; `Some(None)` when it
/// is not given.
#[inline(never)]
pub(super) fn basis_points(
    reader: &Reader<'_>,
    object: &Object<'_>,
    percent: &str,
    points: &str,
) -> Option<Option<u32>> {
    let hundredths = |n: u64, by: u64| u32::try_from(n.saturating_mul(by)).ok();
    let read = |field: &str, most: u64, unit: &str, by: u64| {
        object.or(field, None, |r| r.integer(0..=most, unit).map(|n| hundredths(n, by)))
    };
    let (percents, fine) =
        (read(percent, 100, "%", 100), read(points, u64::from(BUCKETS), "basis points", 1));
    match (percents?, fine?) {
        (Some(_), Some(_)) => {
            reader.report(format!("found `{percent}` and `{points}` together, expected only one of them"));
            None
        }
        (percents, fine) => Some(percents.or(fine)),
    }
}

/// A name that is fit for headers, metrics and logs and was not given to one of `earlier`.
#[inline(never)]
pub(super) fn unique_name(reader: &Reader<'_>, earlier: &[Reader<'_>]) -> Option<String> {
    let name = reader.text(64)?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !name.bytes().all(fits) {
        reader.report(format!("{name:?} is not a name, expected letters, digits, `-` and `_`"));
        return None;
    }
    if earlier.iter().any(|other| other.text_field("name") == Some(name)) {
        reader.report(format!("{name:?} is already used"));
        return None;
    }
    Some(name.to_owned())
}

/// A text that can stand in a header: visible ASCII and spaces between.
#[inline(never)]
pub(super) fn header_text(reader: &Reader<'_>, max: usize) -> Option<String> {
    let text = reader.text(max)?;
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) && text.trim() == text {
        return Some(text.to_owned());
    }
    reader.report(format!("{text:?} is no header value, expected visible ASCII"));
    None
}

/// All items of a list, each with those before it.
pub(super) fn list<T>(
    items: &[Reader<'_>],
    read: impl Fn(&Reader<'_>, &[Reader<'_>]) -> Option<T>,
) -> Option<Vec<T>> {
    let one = |(index, item)| read(item, items.get(..index).unwrap_or(&[]));
    items.iter().enumerate().map(one).fold(Some(Vec::new()), crate::http::matcher::collect)
}
