//! Conditions on something that has a name and perhaps a value: a header, a query
//! parameter, a cookie.

use alloc::borrow::ToOwned;
use alloc::string::String;

use super::{no_regex, MAX_TEXT};
use crate::config::Reader;

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

/// Makes a condition of a text.
type Make = fn(String) -> ValueMatch;

const FIELDS: [&str; 7] = ["name", "exact", "prefix", "suffix", "contains", "present", "invert"];

impl NamedMatch {
    /// Reads a condition; `name` reads what it is about.
    pub(super) fn read(
        reader: &Reader<'_>,
        what: &str,
        name: fn(&Reader<'_>) -> Option<String>,
    ) -> Option<Self> {
        if no_regex(reader, "`contains`, `prefix` or `suffix`, several matches, or `cookies`") {
            return None;
        }
        let object = reader.object(&FIELDS)?;
        let name = object.required("name", what).and_then(|r| name(&r));
        let invert = object.or("invert", false, Reader::boolean);
        let texts: [(&str, Make); 4] = [
            ("exact", ValueMatch::Exact),
            ("prefix", ValueMatch::Prefix),
            ("suffix", ValueMatch::Suffix),
            ("contains", ValueMatch::Contains),
        ];
        let texts = texts.into_iter().filter_map(|(field, make)| {
            let given = object.optional(field)?;
            Some(given.text(MAX_TEXT).map(|text| make(text.to_owned())))
        });
        let present = object.optional("present").map(|r| r.boolean().map(ValueMatch::Present));
        let mut given = texts.chain(present);
        let value = match (given.next(), given.next()) {
            (None, _) => Some(ValueMatch::Present(true)),
            (Some(one), None) => one,
            _ => {
                let several = "found several of `exact`, `prefix`, `suffix`, `contains`, `present`";
                reader.report(alloc::format!("{several}, expected at most one"));
                None
            }
        };
        Some(Self { name: name?, value: value?, invert: invert? })
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
