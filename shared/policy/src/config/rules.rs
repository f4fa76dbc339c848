//! Rules between fields that several policies have.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::ToString;

use super::definition::Def;
use super::expected;
use super::field::Field;
use super::problem::Shown;
use super::read::Object;

/// Reports each of these fields that is there although it is `wrong` here, with what would be right;
/// whether none is.
#[inline(never)]
#[must_use]
pub fn absent(object: &Object<'_>, fields: &[(&Def, bool, &'static str)], found: &str) -> bool {
    let mut sound = true;
    for (def, wrong, right) in fields {
        if *wrong && object.find(def).is_some() {
            object.report_field(def, found.to_string(), Cow::Borrowed(*right));
            sound = false;
        }
    }
    sound
}

/// The first and the longest of times that grow. That the longest is below the first is reported at the
/// longest, or at the first when only that is given.
#[inline(never)]
#[must_use]
pub fn ordered(object: &Object<'_>, first: &Field<u64>, longest: &Field<u64>) -> Option<(u64, u64)> {
    let (first_ms, longest_ms) = (object.get(first)?, object.get(longest)?);
    if first_ms <= longest_ms {
        return Some((first_ms, longest_ms));
    }
    if object.has(longest) {
        let found = format!("{longest_ms} ms is below {}", first.def().name);
        object.report_at(longest, found, format!("at least {first_ms} ms"));
    } else {
        let found = format!("{first_ms} ms is above {}", longest.def().name);
        object.report_at(first, found, format!("at most {longest_ms} ms"));
    }
    None
}

/// Reports that a field names none of these.
#[inline(never)]
pub fn unknown<T: ?Sized>(object: &Object<'_>, field: &Field<T>, given: &str, known: &[&str]) {
    let right = expected::one_of(&mut known.iter().copied());
    object.report_at(field, format!("found {}", Shown(given)), right);
}
