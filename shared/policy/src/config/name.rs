//! Names of limits, breakers, routes and services.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use super::definition::{Form, Kind, Misfit};
use super::{Field, Object, Reader};

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
