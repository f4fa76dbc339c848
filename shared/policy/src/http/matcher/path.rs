//! Conditions on the path: exact, below a prefix, by its beginning, by a template.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use super::{no_regex, MAX_TEXT};
use crate::config::Reader;
use crate::http::path;

/// What a path must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PathMatch {
    Exact(String),
    /// By whole segments.
    Prefix(String),
    /// Byte by byte, as Istio's `prefix`.
    StartsWith(String),
    Template(Vec<Segment>),
}

/// A condition on the path that an index can look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKey<'a> {
    /// The path is this.
    Exact(&'a str),
    /// The path is this, or goes on behind it with a slash. Without slashes at its end, so empty for
    /// the prefix `/`.
    Prefix(&'a str),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(String),
    /// `*` or `{name}`: exactly one segment that is not empty.
    One,
    /// `**`, at the end only: any number of segments, none included.
    Rest,
}

impl PathMatch {
    pub(super) fn read(reader: &Reader<'_>) -> Option<Self> {
        if no_regex(reader, "`template`, `prefix` or `starts_with`") {
            return None;
        }
        let (kind, value) = reader.tagged(&["exact", "prefix", "starts_with", "template"])?;
        let text = value.text(MAX_TEXT)?;
        if !text.starts_with('/') {
            value.report(alloc::format!("{text:?} is not a path, expected one that starts with `/`"));
            return None;
        }
        if text.contains(['?', '#']) {
            value.report(alloc::format!("{text:?} has a query, expected a path without `?` and `#`"));
            return None;
        }
        match kind {
            "exact" => Some(Self::Exact(text.to_owned())),
            "prefix" => Some(Self::Prefix(text.to_owned())),
            "starts_with" => Some(Self::StartsWith(text.to_owned())),
            _ => template(text, &value).map(Self::Template),
        }
    }

    pub(super) fn holds(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => path == exact.as_bytes(),
            Self::Prefix(prefix) => path::has_prefix(path, prefix),
            Self::StartsWith(start) => path.starts_with(start.as_bytes()),
            Self::Template(segments) => template_holds(segments, path),
        }
    }

    pub(super) fn key(&self) -> Option<PathKey<'_>> {
        match self {
            Self::Exact(text) => Some(PathKey::Exact(text)),
            Self::Prefix(text) => Some(PathKey::Prefix(text.trim_end_matches('/'))),
            Self::StartsWith(_) | Self::Template(_) => None,
        }
    }

    /// Whether only one path is meant, and how many characters of it are given: what is
    /// more comes first in the order of the Gateway API.
    pub(super) fn specificity(&self) -> (bool, usize) {
        match self {
            Self::Exact(text) => (true, text.chars().count()),
            Self::Prefix(text) => (false, text.trim_end_matches('/').chars().count().max(1)),
            Self::StartsWith(text) => (false, text.chars().count()),
            Self::Template(segments) => (false, segments.iter().map(Segment::characters).sum()),
        }
    }
}

fn template(text: &str, value: &Reader<'_>) -> Option<Vec<Segment>> {
    let parts: Vec<&str> = text.trim_start_matches('/').split('/').collect();
    let last = parts.len().saturating_sub(1);
    let mut segments = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        let name = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
        let segment = match (part, name) {
            ("**", _) if index == last => Segment::Rest,
            ("*", _) => Segment::One,
            (_, Some(name)) if is_name(name) => Segment::One,
            (_, None) if !part.contains(['*', '{', '}']) => Segment::Literal(part.to_owned()),
            _ => {
                let right = "a literal, `*`, `{name}`, or `**` at the end";
                value.report(alloc::format!("{part:?} is not a template segment, expected {right}"));
                return None;
            }
        };
        segments.push(segment);
    }
    Some(segments)
}

impl Segment {
    /// Literal characters, the slash before it included.
    fn characters(&self) -> usize {
        match self {
            Self::Literal(text) => text.chars().count().saturating_add(1),
            Self::One | Self::Rest => 1,
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn template_holds(segments: &[Segment], path: &[u8]) -> bool {
    let mut parts = path::segments(path);
    for segment in segments {
        let holds = match segment {
            Segment::Rest => return true,
            Segment::One => parts.next().is_some_and(|part| !part.is_empty()),
            Segment::Literal(text) => parts.next() == Some(text.as_bytes()),
        };
        if !holds {
            return false;
        }
    }
    parts.next().is_none()
}
