//! Conditions on something that has a name and perhaps a value: a header, a query
//! parameter, a cookie.

use alloc::borrow::ToOwned;
use alloc::string::String;

use super::header::{HeaderName, HEADER};
use crate::config::{Field, Group, Misfit, Never, Object, Table};

/// What the value of a name must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedMatch {
    name: String,
    value: ValueMatch,
    invert: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ValueMatch {
    Contains(String),
    Exact(String),
    Prefix(String),
    Present(bool),
    Suffix(String),
}

/// Longest text that a matcher compares with.
pub(super) const MAX_TEXT: u16 = 1024;
/// What is said of a field that other products have.
pub(super) const NO_REGEX: &str = "regular expressions are not supported";

pub(super) static HEADER_FIELD: Field<HeaderName> =
    Field::of("name", HEADER).required().says("The header, in any case.");
pub(super) static NAME: Field<String> =
    Field::text("name", 256).required().says("The parameter or cookie, as it is spelled.");
static EXACT: Field<str> = Field::text("exact", MAX_TEXT).says("A value is this.");
static PREFIX: Field<str> = Field::text("prefix", MAX_TEXT).says("A value starts with this.");
static SUFFIX: Field<str> = Field::text("suffix", MAX_TEXT).says("A value ends with this.");
static CONTAINS: Field<str> = Field::text("contains", MAX_TEXT).says("A value has this in it.");
static PRESENT: Field<bool> =
    Field::boolean("present", true).says("Whether it is there, with a value or without.");
static INVERT: Field<bool> = Field::boolean("invert", false).says("Turns the answer around.");
static REGEX: Field<Never> = Field::never(
    "regex",
    &Misfit { found: NO_REGEX, expected: "`contains`, `prefix` or `suffix`, several matches, or `cookies`" },
);
const VALUE_GROUPS: &[Group] = &[Group::not_both(&["exact", "prefix", "suffix", "contains", "present"])];
pub(super) static HEADER_TABLE: Table = Table::new(
    "match.headers",
    &[
        HEADER_FIELD.def(),
        EXACT.def(),
        PREFIX.def(),
        SUFFIX.def(),
        CONTAINS.def(),
        PRESENT.def(),
        INVERT.def(),
        REGEX.def(),
    ],
)
.groups(VALUE_GROUPS);
pub(super) static NAMED_TABLE: Table = Table::new(
    "match.named",
    &[
        NAME.def(),
        EXACT.def(),
        PREFIX.def(),
        SUFFIX.def(),
        CONTAINS.def(),
        PRESENT.def(),
        INVERT.def(),
        REGEX.def(),
    ],
)
.groups(VALUE_GROUPS);

impl NamedMatch {
    /// Reads a condition on what `name` names.
    pub(super) fn read(object: &Object<'_>, name: String) -> Option<Self> {
        let text = |field: &Field<str>| object.get(field).map(ToOwned::to_owned);
        let value = None
            .or_else(|| text(&EXACT).map(ValueMatch::Exact))
            .or_else(|| text(&PREFIX).map(ValueMatch::Prefix))
            .or_else(|| text(&SUFFIX).map(ValueMatch::Suffix))
            .or_else(|| text(&CONTAINS).map(ValueMatch::Contains))
            .or_else(|| object.get(&PRESENT).map(ValueMatch::Present));
        Some(Self { name, value: value?, invert: object.get(&INVERT)? })
    }

    /// What it is about.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether any of the values that there are is as it must be.
    pub fn holds<'v>(&self, mut values: impl Iterator<Item = &'v [u8]>) -> bool {
        let holds = match &self.value {
            ValueMatch::Contains(part) => values.any(|v| contains(v, part.as_bytes())),
            ValueMatch::Exact(exact) => values.any(|v| v == exact.as_bytes()),
            ValueMatch::Prefix(prefix) => values.any(|v| v.starts_with(prefix.as_bytes())),
            ValueMatch::Present(present) => values.next().is_some() == *present,
            ValueMatch::Suffix(suffix) => values.any(|v| v.ends_with(suffix.as_bytes())),
        };
        holds != self.invert
    }
}

/// Time is bounded by the product of two lengths, of which the configured one is small.
fn contains(value: &[u8], part: &[u8]) -> bool {
    value.windows(part.len().max(1)).any(|window| window == part)
}
