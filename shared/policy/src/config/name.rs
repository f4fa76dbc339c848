//! Names of limits, breakers, routes and services, and the numbers that stand for some in cells.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use super::definition::{Form, Kind, Misfit};
use super::{Field, Object, Reader};
use crate::hash::xxh64::xxh64;

/// A name that is fit for headers, metrics and logs.
pub static PLAIN: Form = Form::new(
    |text| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let misfit = Misfit { found: "is not a name", expected: "letters, digits, `-` and `_`" };
        (!text.bytes().all(fits)).then_some(misfit)
    },
    "^[A-Za-z0-9_-]+$",
    true,
);
/// Names of 1 to 64 letters, digits, `-` and `_`.
pub const NAME: Kind = Kind::formed("a name", 64, &PLAIN);

/// The name in `field` of an object, if none of the `earlier` objects has it.
#[inline(never)]
#[must_use]
pub fn distinct_name(object: &Object<'_>, field: &Field<str>, earlier: &[Reader<'_>]) -> Option<String> {
    let name = object.get(field)?;
    if earlier.iter().any(|other| other.text_of(field) == Some(name)) {
        object.report_at(field, format!("{name:?} is already used"), "another name");
        return None;
    }
    Some(name.to_owned())
}

/// The same for a name that stands for a cell: its number is not taken, either.
#[inline(never)]
#[must_use]
pub fn unique_name(object: &Object<'_>, field: &Field<str>, earlier: &[Reader<'_>]) -> Option<String> {
    let name = distinct_name(object, field, earlier)?;
    let same = |other: &&str| number(other) == number(&name);
    if let Some(other) = earlier.iter().filter_map(|other| other.text_of(field)).find(same) {
        object.report_at(field, format!("{name:?} has the same number as {other:?}"), "another name");
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
