//! What was kept of a JSON document.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// A value, with what was wanted of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `true` or `false`.
    Bool(bool),
    /// A number with a fraction, or one beyond 64 bits.
    Fraction(f64),
    /// The items of a list.
    List(Vec<Node>),
    /// The leaves of an object whose keys are not known before.
    Map(Vec<(Box<str>, Node)>),
    /// A negative integer.
    Negative(i64),
    /// A natural number.
    Natural(u64),
    /// `null`, or not there.
    Null,
    /// The wanted fields of an object, as far as it has them.
    Object(Vec<(&'static str, Node)>),
    /// A text.
    Text(Box<str>),
}

static NULL: Node = Node::Null;

// === impl Node ===

impl Node {
    /// The field of an object.
    #[must_use]
    pub fn field(&self, name: &str) -> &Self {
        let Self::Object(fields) = self else { return &NULL };
        fields.iter().find(|(there, _)| *there == name).map_or(&NULL, |(_, node)| node)
    }

    /// The items of a list; none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The texts of a map.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = match self {
            Self::Map(pairs) => pairs.as_slice(),
            _ => &[],
        };
        pairs.iter().filter_map(|(key, value)| Some((&**key, value.text()?)))
    }

    /// The text under a key of a map.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&str> {
        self.pairs().find(|(there, _)| *there == key).map(|(_, value)| value)
    }

    /// A text that is not empty.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// A natural number, or a text of one.
    #[must_use]
    pub fn natural(&self) -> Option<u64> {
        match self {
            Self::Natural(number) => Some(*number),
            // Not `parse` alone, which takes a plus sign.
            Self::Text(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        }
    }

    /// A port that one can connect to.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.natural().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
    }

    /// A truth, or a text of one.
    #[must_use]
    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            Self::Text(text) if &**text == "true" => Some(true),
            Self::Text(text) if &**text == "false" => Some(false),
            _ => None,
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{read, Shape};

    #[test]
    fn numbers_may_be_texts_but_not_anything_is_a_number() {
        let natural = |json: &str| read(json.as_bytes(), &Shape::Leaf).unwrap().natural();
        #[rustfmt::skip]
        let cases = [
            ("8", Some(8)), (r#""8""#, Some(8)), ("-8", None), ("8.0", None), (r#""+8""#, None), (r#"" 8""#, None),
            (r#""""#, None), ("true", None), ("18446744073709551615", Some(u64::MAX)), ("18446744073709551616", None),
            (r#""99999999999999999999""#, None), ("null", None),
        ];
        for (json, expected) in cases {
            assert_eq!(natural(json), expected, "{json}");
        }
        let truth = |json: &str| read(json.as_bytes(), &Shape::Leaf).unwrap().truth();
        let truths = [truth("true"), truth(r#""false""#), truth("1"), truth(r#""True""#)];
        assert_eq!(truths, [Some(true), Some(false), None, None]);
    }
}
