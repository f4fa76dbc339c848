//! A registry's JSON, read by shape.
//!
//! A [`Shape`] says which few fields of an answer are wanted. Only these are kept; everything else
//! is skipped as it is parsed, so that an answer of megabytes costs the memory of its endpoints,
//! and one reader serves all registries. It reads as they write: `null` stands for what is
//! absent, numbers and booleans may be texts, an unknown field is none of ours.
//!
//! Of a field that is given twice the last counts, as in Go's and Java's readers.

mod node;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

pub use node::Node;

/// What is wanted of a value. `null` suits every shape.
#[derive(Debug)]
pub enum Shape {
    /// A text, a number, a boolean.
    Leaf,
    /// A list of these.
    List(&'static Shape),
    /// A text, a number, a boolean; a list or an object counts as `null`.
    Loose,
    /// An object of which every field is wanted that is a leaf, up to [`MAX_PAIRS`].
    Map,
    /// An object with these fields.
    Object(&'static [(&'static str, &'static Shape)]),
    /// A list of these, or just one without the list around it, or `""` for none: what the JSON of
    /// `XStream` does to lists.
    OneOrMore(&'static Shape),
}

/// Why an answer cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where, as `[3].Service.Port`; empty for the document.
    pub at: String,
    /// What was found and what would be right.
    pub what: String,
}

/// Most values that are kept of one answer, 24 to 40 bytes each: 150 of each endpoint that a set can have, with 32
/// tags, 32 pairs of metadata and a dozen checks.
pub const MAX_NODES: u32 = 750_000;
/// Most fields that are kept of one [`Shape::Map`].
pub const MAX_PAIRS: usize = 64;

/// What `shape` wants of a document.
///
/// # Errors
/// The document is no JSON, has another shape or more than [`MAX_NODES`] wanted values.
pub fn read(document: &[u8], shape: &'static Shape) -> Result<Node, Malformed> {
    let walk = Walk { path: RefCell::new(Vec::new()), left: Cell::new(MAX_NODES) };
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    let read = Seed { shape, walk: &walk }.deserialize(&mut deserializer);
    read.and_then(|node| deserializer.end().map(|()| node))
        .map_err(|error| Malformed { at: walk.place(), what: format!("{error}") })
}

/// Where the reader is and how much it may still keep. After an error: where that was.
struct Walk {
    path: RefCell<Vec<Step>>,
    left: Cell<u32>,
}

enum Step {
    Field(&'static str),
    Item(usize),
}

#[derive(Clone, Copy)]
struct Seed<'w> {
    shape: &'static Shape,
    walk: &'w Walk,
}

/// The name of a field, as far as it is one of these.
struct Known(&'static [(&'static str, &'static Shape)]);

// === impl Walk ===

impl Walk {
    fn place(&self) -> String {
        let mut place = String::new();
        for step in self.path.borrow().iter() {
            match step {
                Step::Field(name) if place.is_empty() => place.push_str(name),
                Step::Field(name) => place.push_str(&format!(".{name}")),
                Step::Item(index) => place.push_str(&format!("[{index}]")),
            }
        }
        place
    }

    fn enter(&self, step: Step) {
        self.path.borrow_mut().push(step);
    }

    /// Not called after an error, which leaves the path where it was.
    fn leave(&self) {
        self.path.borrow_mut().pop();
    }
}

// === impl Seed ===

impl Seed<'_> {
    /// Counts a value that is kept.
    fn spend<E: Error>(self) -> Result<(), E> {
        let left = self.walk.left.get().checked_sub(1);
        self.walk.left.set(left.ok_or_else(|| E::custom(format_args!("more than {MAX_NODES} values")))?);
        Ok(())
    }

    fn leaf<E: Error>(self, node: Node, found: &str) -> Result<Node, E> {
        self.spend()?;
        match (self.shape, node) {
            (_, Node::Null) => Ok(Node::Null),
            (Shape::Leaf | Shape::Loose, node) => Ok(node),
            (Shape::OneOrMore(_), Node::Text(text)) if text.is_empty() => Ok(Node::Null),
            (Shape::OneOrMore(Shape::Leaf), node) => Ok(Node::List(alloc::vec![node])),
            _ => Err(self.unlike(found)),
        }
    }

    fn unlike<E: Error>(self, found: &str) -> E {
        let wanted = match self.shape {
            Shape::Leaf | Shape::Loose => "a text, a number or a boolean",
            Shape::List(_) => "a list",
            Shape::Map | Shape::Object(_) => "an object",
            Shape::OneOrMore(_) => "one or a list",
        };
        E::custom(format_args!("found {found}, expected {wanted}"))
    }

    fn object<'de, A: MapAccess<'de>>(
        self,
        shapes: &'static [(&'static str, &'static Shape)],
        mut fields: A,
    ) -> Result<Node, A::Error> {
        self.spend()?;
        let mut object: Vec<(&'static str, Node)> = Vec::new();
        while let Some(known) = fields.next_key_seed(Known(shapes))? {
            let Some((name, shape)) = known else {
                fields.next_value::<IgnoredAny>()?;
                continue;
            };
            self.walk.enter(Step::Field(name));
            let node = fields.next_value_seed(Seed { shape, walk: self.walk })?;
            self.walk.leave();
            object.retain(|(there, _)| *there != name);
            object.push((name, node));
        }
        Ok(Node::Object(object))
    }

    fn map<'de, A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        self.spend()?;
        let mut map: Vec<(Box<str>, Node)> = Vec::new();
        while let Some(key) = fields.next_key::<String>()? {
            let node = fields.next_value_seed(Seed { shape: &Shape::Loose, walk: self.walk })?;
            map.retain(|(there, _)| **there != *key);
            if !node.is_null() && map.len() < MAX_PAIRS {
                map.push((key.into_boxed_str(), node));
            }
        }
        Ok(Node::Map(map))
    }

    fn list<'de, A: SeqAccess<'de>>(self, shape: &'static Shape, mut items: A) -> Result<Node, A::Error> {
        self.spend()?;
        let mut list = Vec::new();
        loop {
            self.walk.enter(Step::Item(list.len()));
            let item = items.next_element_seed(Seed { shape, walk: self.walk })?;
            self.walk.leave();
            match item {
                Some(item) => list.push(item),
                None => return Ok(Node::List(list)),
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        self.leaf(Node::Bool(value), "a boolean")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        self.leaf(u64::try_from(value).map_or(Node::Negative(value), Node::Natural), "a number")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        self.leaf(Node::Natural(value), "a number")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        self.leaf(Node::Fraction(value), "a number")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        self.leaf(Node::Text(value.into()), "a text")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        self.leaf(Node::Null, "null")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        match self.shape {
            Shape::List(shape) | Shape::OneOrMore(shape) => self.list(shape, items),
            Shape::Loose => {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Node::Null)
            }
            _ => Err(self.unlike("a list")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        match self.shape {
            Shape::Object(shapes) => self.object(shapes, fields),
            Shape::Map => self.map(fields),
            Shape::OneOrMore(Shape::Object(shapes)) => {
                self.object(shapes, fields).map(|node| Node::List(alloc::vec![node]))
            }
            Shape::Loose => {
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Node::Null)
            }
            _ => Err(self.unlike("an object")),
        }
    }
}

// === impl Known ===

impl<'de> DeserializeSeed<'de> for Known {
    type Value = Option<(&'static str, &'static Shape)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Known {
    type Value = Option<(&'static str, &'static Shape)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|(known, _)| *known == name).copied())
    }
}

// === impl Malformed ===

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.at.is_empty() {
            write!(f, "{}: ", self.at)?;
        }
        f.write_str(&self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    static PORT: Shape = Shape::Object(&[("$", &Shape::Leaf)]);
    static ITEM: Shape = Shape::Object(&[
        ("name", &Shape::Leaf),
        ("port", &PORT),
        ("tags", &Shape::List(&Shape::Leaf)),
        ("meta", &Shape::Map),
    ]);
    static ITEMS: Shape = Shape::List(&ITEM);
    static DOCUMENT: Shape = Shape::Object(&[("items", &Shape::OneOrMore(&ITEM))]);

    fn got(document: &str) -> Node {
        read(document.as_bytes(), &DOCUMENT).unwrap()
    }

    fn error(document: &[u8]) -> String {
        read(document, &DOCUMENT).unwrap_err().to_string()
    }

    #[test]
    fn only_what_is_wanted_is_kept() {
        let node =
            got(r#"{"a": [[{}]], "items": [{"x": {"name": 1}, "name": "n", "port": {"$": "80", "y": 1}}]}"#);
        let item = Node::Object(std::vec![
            ("name", Node::Text("n".into())),
            ("port", Node::Object(std::vec![("$", Node::Text("80".into()))])),
        ]);
        assert_eq!(node, Node::Object(std::vec![("items", Node::List(std::vec![item]))]));
        assert_eq!(node.field("items").items()[0].field("port").field("$").port(), Some(80));
    }

    #[test]
    fn one_may_stand_for_a_list_of_one_and_nothing_for_none() {
        for (document, items) in [
            (r#"{"items": {"name": "n"}}"#, 1),
            (r#"{"items": [{}, {"name": "n"}, null]}"#, 3),
            (r#"{"items": []}"#, 0),
            (r#"{"items": ""}"#, 0),
            (r#"{"items": null}"#, 0),
            ("{}", 0),
            ("null", 0),
        ] {
            assert_eq!(got(document).field("items").items().len(), items, "{document}");
        }
    }

    #[test]
    fn the_last_of_two_counts_and_a_map_keeps_its_leaves() {
        let node =
            got(r#"{"items": {"name": "a", "name": "b", "meta": {"k": "1", "l": [1], "k": "2", "n": 3}}}"#);
        let item = &node.field("items").items()[0];
        assert_eq!(item.field("name").text(), Some("b"));
        assert_eq!(item.field("meta").pairs().collect::<Vec<_>>(), [("k", "2")]);
        assert_eq!((item.field("meta").entry("k"), item.field("meta").entry("l")), (Some("2"), None));
    }

    #[test]
    fn an_error_says_where_and_what() {
        #[rustfmt::skip]
        let cases: [(&[u8], &str); 9] = [
            (b"[]", "found a list, expected an object"),
            (br#"{"items": 1}"#, "items: found a number, expected one or a list"),
            (br#"{"items": [{}, {"name": {}}]}"#,
             "items[1].name: found an object, expected a text, a number or a boolean"),
            (br#"{"items": [{"tags": ["a", []]}]}"#,
             "items[0].tags[1]: found a list, expected a text, a number or a boolean"),
            (br#"{"items": [{"name": "n"#, "items[0].name: EOF while parsing a string"),
            (b"", "EOF while parsing a value"),
            (b"{} {}", "trailing characters"),
            (b"{\"items\": [{\"name\": \"\xff\"}]}", "items[0].name: invalid unicode code point"),
            (br#"{"items": [{"name": 1e999}]}"#, "items[0].name: number out of range"),
        ];
        for (document, expected) in cases {
            let error = error(document);
            let (what, place) = error.split_once(" at line 1 column ").unwrap();
            assert_eq!(what, expected, "{}", String::from_utf8_lossy(document));
            assert!(place.parse::<usize>().unwrap() <= document.len(), "{error}");
        }
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep = |open: &str| std::format!(r#"{{"x": {}"#, open.repeat(100_000));
        assert!(error(deep("[").as_bytes()).starts_with("EOF"), "skipped without a stack");
        assert!(error(deep(r#"{"items":"#).as_bytes()).starts_with("EOF"));
        let many = |n: usize| std::format!("[0{}]", ",0".repeat(n - 1));
        let leaves = |n| read(many(n).as_bytes(), &Shape::List(&Shape::Leaf));
        // The list itself is one.
        let most = MAX_NODES as usize - 1;
        assert_eq!(leaves(most).unwrap().items().len(), most);
        let error = leaves(most + 1).unwrap_err();
        assert!(error.what.starts_with("more than 750000 values"), "{error}");
        assert_eq!(error.at, "[749999]");
        let objects = std::format!("[{}{{}}]", "{},".repeat(MAX_NODES as usize));
        assert!(read(objects.as_bytes(), &ITEMS).is_err());
    }
}
