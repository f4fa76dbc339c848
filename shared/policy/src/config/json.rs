//! A JSON document as a tree that forgets nothing.
//!
//! Unlike a map, an object keeps its fields in order and keeps repeated ones, so that a
//! reader can say `limits[0].burst: given twice` instead of silently taking the last.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::problem::Path;
use crate::hash::sip::{SipHash13, SipKey};

/// One value of a JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `[…]`
    Array(Vec<Json>),
    /// `true` or `false`
    Bool(bool),
    /// `null`
    Null,
    /// A number that is not a whole one between −2⁶³ and 2⁶⁴−1. No field takes one, so its
    /// value is not kept: printing it would cost a module 14 KiB.
    Fraction,
    /// A negative integer.
    Negative(i64),
    /// A natural number.
    Natural(u64),
    /// `{…}`, in document order, repetitions included.
    Object(Vec<(String, Json)>),
    /// `"…"`
    Text(String),
}

impl Json {
    /// A number by which the value is told from others: equal values have equal ones.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hash = SipHash13::new(SipKey::from_bytes(*b"tidegate/conf v1"));
        self.hash_into(&mut hash);
        hash.finish()
    }

    /// Writes the value into a hash: its kind, its length where it has one, and what it holds.
    fn hash_into(&self, hash: &mut SipHash13) {
        fn text(text: &str, hash: &mut SipHash13) {
            hash.write(&text.len().to_le_bytes());
            hash.write(text.as_bytes());
        }
        match self {
            Self::Array(items) => {
                hash.write(b"a");
                hash.write(&items.len().to_le_bytes());
                items.iter().for_each(|item| item.hash_into(hash));
            }
            Self::Bool(value) => hash.write(if *value { b"t" } else { b"f" }),
            Self::Fraction => hash.write(b"."),
            Self::Negative(value) => {
                hash.write(b"-");
                hash.write(&value.to_le_bytes());
            }
            Self::Natural(value) => {
                hash.write(b"+");
                hash.write(&value.to_le_bytes());
            }
            Self::Null => hash.write(b"0"),
            Self::Object(fields) => {
                hash.write(b"o");
                hash.write(&fields.len().to_le_bytes());
                for (name, value) in fields {
                    text(name, hash);
                    value.hash_into(hash);
                }
            }
            Self::Text(value) => {
                hash.write(b"s");
                text(value, hash);
            }
        }
    }

    /// Where in this document a part of it stands: the part itself, not one that is equal.
    #[must_use]
    pub fn path_of(&self, part: &Self) -> Path {
        let mut steps = Vec::new();
        self.find(part, &mut steps);
        steps.iter().fold(Path::root(), |path, step| match step {
            Step::Field(name) => path.field(name),
            Step::Item(index) => path.item(*index),
        })
    }

    /// The steps down to a part; whether it is there.
    fn find<'j>(&'j self, part: &Self, steps: &mut Vec<Step<'j>>) -> bool {
        if core::ptr::eq(self, part) {
            return true;
        }
        let mut below = |step, value: &'j Self| {
            steps.push(step);
            let found = value.find(part, steps);
            if !found {
                steps.pop();
            }
            found
        };
        match self {
            Self::Array(items) => {
                items.iter().enumerate().any(|(index, item)| below(Step::Item(index), item))
            }
            Self::Object(fields) => fields.iter().any(|(name, value)| below(Step::Field(name), value)),
            _ => false,
        }
    }

    /// What kind of value it is, without the value: for what must not come into a log.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Array(_) => "a list",
            Self::Bool(_) => "true or false",
            Self::Fraction | Self::Negative(_) | Self::Natural(_) => "a number",
            Self::Null => "null",
            Self::Object(_) => "an object",
            Self::Text(_) => "a text",
        }
    }

    /// Parses a document, or says where and why it is not JSON.
    ///
    /// # Errors
    /// The parser's own words, with line and column.
    pub fn parse(document: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(document).map_err(|error| alloc::format!("{error}"))
    }
}

/// Names the value the way an error message should: its kind, and itself when short.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Array(items) if items.is_empty() => f.write_str("an empty list"),
            Self::Array(_) => f.write_str("a list"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Null => f.write_str("null"),
            Self::Fraction => f.write_str("a fraction"),
            Self::Negative(value) => write!(f, "{value}"),
            Self::Natural(value) => write!(f, "{value}"),
            Self::Object(_) => f.write_str("an object"),
            Self::Text(text) => {
                let shown: String = text.chars().take(40).collect();
                let dots = if shown.len() < text.len() { "…" } else { "" };
                write!(f, "{shown:?}{dots}")
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

enum Step<'j> {
    Field(&'j str),
    Item(usize),
}

const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

impl<'de> Visitor<'de> for Tree {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(u64::try_from(value).map_or(Json::Negative(value), Json::Natural))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Natural(value))
    }

    /// Templates write whole numbers as `5.0` or `1e3`.
    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        let (natural, negative) = (value as u64, value as i64);
        Ok(if (0.0..TWO_TO_64).contains(&value) && natural as f64 == value {
            Json::Natural(natural)
        } else if (-TWO_TO_63..0.0).contains(&value) && negative as f64 == value {
            Json::Negative(negative)
        } else {
            Json::Fraction
        })
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(field) = fields.next_entry()? {
            object.push(field);
        }
        Ok(Json::Object(object))
    }
}

/// Why `bytes` are no document. Two mistakes are so common that the parser's own words,
/// `why`, would only mislead: no configuration at all, and one that the host hands over as
/// protobuf instead of text.
pub(super) fn not_json(bytes: &[u8], why: &str) -> String {
    if bytes.is_empty() {
        "empty".to_string()
    } else if is_binary(bytes) {
        "binary, as a google.protobuf.Struct is".to_string()
    } else {
        format!("not JSON: {why}")
    }
}

fn is_binary(bytes: &[u8]) -> bool {
    bytes.iter().any(|b| *b < b' ' && !b.is_ascii_whitespace())
}

/// What would be a document in the place of `bytes`.
pub(super) fn right(bytes: &[u8]) -> &'static str {
    if is_binary(bytes) {
        "one JSON object in a google.protobuf.StringValue"
    } else {
        "one JSON object"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_fields_are_kept() {
        let got = Json::parse(br#"{"a": 1, "a": [true, null, -2, 1.5, "x"]}"#).unwrap();
        let Json::Object(fields) = got else { panic!("not an object") };
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "a"]);
        let Json::Array(items) = &fields[1].1 else { panic!("not a list") };
        assert_eq!(items[2], Json::Negative(-2));
        assert_eq!(items[3], Json::Fraction);
    }

    #[test]
    fn whole_numbers_are_integers_however_they_are_written() {
        let cases = [
            ("5.0", Json::Natural(5)),
            ("1e3", Json::Natural(1_000)),
            ("-0.0", Json::Natural(0)),
            ("-2.0", Json::Negative(-2)),
            ("1e19", Json::Natural(10_000_000_000_000_000_000)),
            ("1.8446744073709552e19", Json::Fraction),
            ("18446744073709551616", Json::Fraction),
            ("0.5", Json::Fraction),
            ("-1e19", Json::Fraction),
            ("1e300", Json::Fraction),
        ];
        for (text, expected) in cases {
            assert_eq!(Json::parse(text.as_bytes()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_fingerprint_is_of_the_value_alone() {
        let of = |json: &str| Json::parse(json.as_bytes()).unwrap().fingerprint();
        let expected = of(r#"{"a": [1, -1, "b"], "c": null}"#);
        assert_eq!(of("{ \"a\":[1,-1,\"b\"],\n\"c\":null }"), expected);
        let others = [
            r#"{"a": [1, -1], "c": null}"#,
            r#"{"a": [1, -1, "b", "c"], "": null}"#,
            r#"{"a": [1, -1, ["b"]], "c": null}"#,
            r#"{"c": null, "a": [1, -1, "b"]}"#,
            r#"{"a": [1, -1, "b"], "c": false}"#,
        ];
        for json in others {
            assert_ne!(of(json), expected, "{json}");
        }
    }

    #[test]
    fn a_part_is_found_by_where_it_stands() {
        let document = Json::parse(br#"{"a": [7, {"b": 7}], "c": 7}"#).unwrap();
        let Json::Object(fields) = &document else { panic!("not an object") };
        let Json::Array(items) = &fields[0].1 else { panic!("not a list") };
        let Json::Object(inner) = &items[1] else { panic!("not an object") };
        let paths = [&document, &items[0], &inner[0].1, &fields[1].1].map(|part| document.path_of(part));
        assert_eq!(paths.map(|path| std::format!("{path}")), ["configuration", "a[0]", "a[1].b", "c"]);
    }

    #[test]
    fn a_syntax_error_says_where() {
        let error = Json::parse(b"{\n  \"a\": }").unwrap_err();
        assert_eq!(error, "expected value at line 2 column 8");
    }

    #[test]
    fn depth_is_bounded() {
        let deep: Vec<u8> = core::iter::repeat_n(b'[', 100_000).collect();
        assert!(Json::parse(&deep).unwrap_err().starts_with("recursion limit exceeded"));
    }
}
