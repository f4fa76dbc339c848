//! What several parts of a document are read by.

use alloc::vec::Vec;

use crate::config::{collect, Field, Object, Reader};

/// All items of a list, each with those before it, going through all so that each reports its problems.
pub(super) fn each<T>(
    items: &[Reader<'_>],
    read: impl Fn(&Object<'_>, &[Reader<'_>]) -> Option<T>,
) -> Option<Vec<T>> {
    let one = |(index, item): (usize, &Reader<'_>)| read(&item.object()?, items.get(..index).unwrap_or(&[]));
    items.iter().enumerate().map(one).fold(Some(Vec::new()), collect)
}

/// A share given in percent, or in basis points where that is too coarse; `Some(None)` when it
/// is not given.
#[inline(never)]
pub(super) fn basis_points(
    object: &Object<'_>,
    percent: &Field<u32>,
    points: &Field<u32>,
) -> Option<Option<u32>> {
    let percent = object.maybe(percent)?.map(|percent| percent.saturating_mul(100));
    Some(percent.or(object.maybe(points)?))
}
