//! A file as a tree of values that know where they stand in it, whatever it is written in.
//!
//! Fields are kept in order and twice where they stand twice: what a filter's parser says of them must
//! be found again. Texts know the bytes that they were written with, so that a document within a
//! text has places in the file, too.

mod embed;
pub mod hcl;
pub mod json;
pub mod path;
pub mod yaml;

use std::fmt::Write;
use std::ops::Range;

pub use embed::Embedded;

/// Bytes of a file.
pub type Span = Range<usize>;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A list.
    List(Vec<Node>),
    /// An object.
    Map(Vec<(Key, Node)>),
    /// Nothing.
    Null,
    /// A number, as JSON writes it.
    Number(String),
    /// A text.
    Text(String),
}

/// The name of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The name.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// What is wrong.
    pub says: String,
    /// Where.
    pub at: usize,
}

// === impl Node ===

impl Node {
    /// The field of an object by its name, however it is spelled: `vm_id`, `vmId` and `VmID` are one. The
    /// last of several.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|(_, node)| node)
    }

    /// The same with its key.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<(&Key, &Self)> {
        let same = |(key, _): &&(Key, Self)| key.text == name || folded(&key.text).eq(folded(name));
        self.fields().iter().rev().find(same).map(|(key, node)| (key, node))
    }

    /// The field at the end of a way through objects.
    #[must_use]
    pub fn at(&self, way: &[&str]) -> Option<&Self> {
        way.iter().try_fold(self, |node, name| node.get(name))
    }

    /// The text of a field.
    #[must_use]
    pub fn text_at(&self, way: &[&str]) -> Option<&str> {
        self.at(way)?.text()
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        match &self.value {
            Value::Number(number) => number.parse().ok(),
            _ => None,
        }
    }

    /// Whether it is `true`.
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.value == Value::Bool(true)
    }

    /// The items of a list; none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The fields of an object; none of anything else.
    #[must_use]
    pub fn fields(&self) -> &[(Key, Self)] {
        match &self.value {
            Value::Map(fields) => fields,
            _ => &[],
        }
    }

    /// The items of a list; of anything else, itself: where one value stands for a list of it.
    #[must_use]
    pub fn items_or_self(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// Whether an object of the xDS API is of this type, by the end of its `@type`.
    #[must_use]
    pub fn is_type(&self, name: &str) -> bool {
        let of = self.fields().iter().find(|(key, _)| key.text == "@type");
        of.and_then(|(_, node)| node.text()).is_some_and(|text| text.rsplit(['/', '.']).next() == Some(name))
    }

    /// Calls something with every value, those around before those within.
    pub fn walk<'n>(&'n self, each: &mut dyn FnMut(&'n Self)) {
        each(self);
        self.items().iter().for_each(|node| node.walk(each));
        self.fields().iter().for_each(|(_, node)| node.walk(each));
    }

    /// How many values there are.
    #[must_use]
    pub fn size(&self) -> usize {
        let items = self.items().iter().map(Self::size).sum::<usize>();
        items + self.fields().iter().map(|(_, node)| node.size()).sum::<usize>() + 1
    }

    /// The value as JSON in one line, with its fields in order.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        self.write_json(&mut json);
        json
    }

    fn write_json(&self, json: &mut String) {
        match &self.value {
            Value::Bool(value) => _ = write!(json, "{value}"),
            Value::List(items) => {
                json.push('[');
                for (index, item) in items.iter().enumerate() {
                    json.push_str(if index > 0 { "," } else { "" });
                    item.write_json(json);
                }
                json.push(']');
            }
            Value::Map(fields) => {
                json.push('{');
                for (index, (key, node)) in fields.iter().enumerate() {
                    json.push_str(if index > 0 { "," } else { "" });
                    _ = write!(json, "{}:", quoted(&key.text));
                    node.write_json(json);
                }
                json.push('}');
            }
            Value::Null => json.push_str("null"),
            Value::Number(number) => json.push_str(number),
            Value::Text(text) => json.push_str(&quoted(text)),
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The letters of a name without case and underscores.
fn folded(name: &str) -> impl Iterator<Item = u8> + '_ {
    name.bytes().filter(|b| *b != b'_').map(|b| b.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_however_it_is_spelled() {
        let node = json::parse(r#"{"vmConfig": {"VmID": "a", "vm_id": "b"}, "x-y": 1}"#).unwrap();
        assert_eq!(node.text_at(&["vm_config", "vm_id"]), Some("b"));
        assert_eq!((node.get("xy"), node.get("x-y").unwrap().number()), (None, Some(1)));
    }

    #[test]
    fn json_goes_in_and_comes_out() {
        let text = r#"{"a":[1,-2.5e3,true,null,"x\n\"y"],"a":{}}"#;
        assert_eq!(json::parse(text).unwrap().to_json(), text);
    }
}
