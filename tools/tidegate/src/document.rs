//! The document of one plugin: what its filter gets, and where its parts stand.

use crate::source::{File, Place};
use crate::tree::{json, path, Embedded, Node, Span};

/// The document of one plugin.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where it stands.
    pub place: Place,
    /// The bytes that the filter gets.
    pub json: Vec<u8>,
    /// Its values with their places in the file, if it is JSON.
    pub tree: Option<Node>,
    /// Where it stops being JSON, if it does.
    broken: usize,
    /// Why it does not reach the filter as JSON, if it does not.
    pub misshapen: Option<&'static str>,
}

// === impl Document ===

impl Document {
    /// A document that is an object of the file.
    #[must_use]
    pub fn of_object(file: usize, node: &Node) -> Self {
        let place = Place { file, span: node.span.clone() };
        let (json, tree) = (node.to_json().into_bytes(), Some(node.clone()));
        Self { place, json, tree, broken: 0, misshapen: None }
    }

    /// An object that does not reach the filter as JSON, and why.
    #[must_use]
    pub fn misshapen(file: usize, node: &Node, why: &'static str) -> Self {
        Self { misshapen: Some(why), ..Self::of_object(file, node) }
    }

    /// A document that is a text of the file.
    #[must_use]
    pub fn of_text(file: usize, node: &Node, files: &[File]) -> Self {
        let text = node.text().unwrap_or_default();
        let source = files.get(file).map_or("", |file| &file.text);
        let raw = source.get(node.span.clone()).unwrap_or_default();
        let places = Embedded::new(text, raw, node.span.start);
        let (tree, broken) = match json::parse(text) {
            Ok(mut tree) => {
                places.place_all(&mut tree);
                (Some(tree), 0)
            }
            Err(error) => (None, places.place(error.at)),
        };
        let place = Place { file, span: node.span.clone() };
        Self { place, json: text.as_bytes().to_vec(), tree, broken, misshapen: None }
    }

    /// No document at all, of a plugin at this place.
    #[must_use]
    pub fn missing(place: &Place) -> Self {
        let span = place.span.clone();
        let place = place.clone();
        Self { place, json: Vec::new(), tree: None, broken: span.start, misshapen: None }
    }

    /// The configuration of Envoy's filter: a message of protobuf.
    #[must_use]
    pub fn of_message(file: usize, node: &Node, files: &[File]) -> Self {
        let value = node.get("value");
        if node.is_type("Struct") || node.is_type("Value") {
            return Self::misshapen(file, value.unwrap_or(node), "the filter would get protobuf");
        }
        match value {
            Some(value) if value.text().is_some() => Self::of_text(file, value, files),
            _ => Self::missing(&Place { file, span: node.span.clone() }),
        }
    }

    /// Where the value stands that a problem's path names; `key` for the name of its field.
    #[must_use]
    pub fn locate(&self, path: &str, key: bool) -> Place {
        let span = match &self.tree {
            Some(tree) => path::locate(tree, path, key),
            None if self.json.is_empty() => self.place.span.clone(),
            None => self.broken..self.broken + 1,
        };
        Place { file: self.place.file, span }
    }

    /// A part of it as a place in the file.
    #[must_use]
    pub fn part(&self, span: &Span) -> Place {
        Place { file: self.place.file, span: span.clone() }
    }
}
