//! What several parts of the configuration are read by.

use alloc::format;
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

/// All items of a list, each with those before it.
pub(super) fn list<T>(
    items: &[Reader<'_>],
    read: impl Fn(&Reader<'_>, &[Reader<'_>]) -> Option<T>,
) -> Option<Vec<T>> {
    let one = |(index, item)| read(item, items.get(..index).unwrap_or(&[]));
    items.iter().enumerate().map(one).fold(Some(Vec::new()), crate::http::matcher::collect)
}
