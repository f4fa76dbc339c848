//! Conditions on the path: exact, below a prefix, by its beginning, by a template.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use alloc::vec::Vec;

use super::{no_regex, MAX_TEXT};
use crate::config::{Object, Reader};
use crate::http::path;

/// What a path must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathMatch {
    form: Form,
    ignored: Ignored,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Exact(String),
    /// By whole segments.
    Prefix(String),
    /// Byte by byte, as Istio's `prefix`.
    StartsWith(String),
    Template(Vec<Segment>),
}

/// What a server may see alike, and a condition therefore ignores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ignored {
    /// The case of ASCII letters.
    case: bool,
    /// What follows `;` in a segment.
    parameters: bool,
    /// Slashes at the end.
    trailing_slash: bool,
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

/// The fields of a condition; of the first [`KINDS`] there is one.
const FIELDS: [&str; 7] =
    ["exact", "prefix", "starts_with", "template", "ignore_case", "path_parameters", "trailing_slash"];
const KINDS: usize = 4;

impl PathMatch {
    pub(super) fn read(reader: &Reader<'_>) -> Option<Self> {
        if no_regex(reader, "`template`, `prefix` or `starts_with`") {
            return None;
        }
        let object = reader.object(&FIELDS)?;
        let (kind, value) = condition(reader, &object)?;
        let words = [("keep", false), ("ignore", true)];
        let case = object.or("ignore_case", false, Reader::boolean);
        let parameters = object.or("path_parameters", false, |r| r.choice(&words));
        let trailing_slash = object.or("trailing_slash", false, |r| r.choice(&words));
        let text = value.text(MAX_TEXT)?;
        if !text.starts_with('/') {
            value.report(alloc::format!("{text:?} is not a path, expected one that starts with `/`"));
            return None;
        }
        if text.contains(['?', '#']) {
            value.report(alloc::format!("{text:?} has a query, expected a path without `?` and `#`"));
            return None;
        }
        let ignored = Ignored { case: case?, parameters: parameters?, trailing_slash: trailing_slash? };
        let mut text = if ignored.case { text.to_ascii_lowercase() } else { text.to_owned() };
        if ignored.trailing_slash && kind != "starts_with" {
            text.truncate(text.trim_end_matches('/').len().max(1));
        }
        let form = match kind {
            "exact" => Form::Exact(text),
            "prefix" => Form::Prefix(text),
            "starts_with" => Form::StartsWith(text),
            _ => Form::Template(template(&text, &value)?),
        };
        Some(Self { form, ignored })
    }

    pub(super) fn holds(&self, path: &[u8]) -> bool {
        let path = &*self.ignored.leave(path);
        match &self.form {
            Form::Exact(exact) => path == exact.as_bytes(),
            Form::Prefix(prefix) => path::has_prefix(path, prefix),
            Form::StartsWith(start) => path.starts_with(start.as_bytes()),
            Form::Template(segments) => template_holds(segments, path),
        }
    }

    pub(super) fn key(&self) -> Option<PathKey<'_>> {
        match &self.form {
            // An index compares bytes as sent.
            _ if self.ignored != Ignored::default() => None,
            Form::Exact(text) => Some(PathKey::Exact(text)),
            Form::Prefix(text) => Some(PathKey::Prefix(text.trim_end_matches('/'))),
            Form::StartsWith(_) | Form::Template(_) => None,
        }
    }

    /// Whether only one path is meant, and how many characters of it are given: what is
    /// more comes first in the order of the Gateway API.
    pub(super) fn specificity(&self) -> (bool, usize) {
        match &self.form {
            Form::Exact(text) => (true, text.chars().count()),
            Form::Prefix(text) => (false, text.trim_end_matches('/').chars().count().max(1)),
            Form::StartsWith(text) => (false, text.chars().count()),
            Form::Template(segments) => (false, segments.iter().map(Segment::characters).sum()),
        }
    }
}

impl Ignored {
    /// What is left of a path to compare.
    ///
    /// A segment that is `.`, `..` or empty once its parameters are gone is resolved, as a server does
    /// that drops parameters first: the proxy took `/x/..;/login` for three segments.
    fn leave(self, path: &[u8]) -> Cow<'_, [u8]> {
        let Some(below) = path.strip_prefix(b"/").filter(|_| self != Self::default()) else {
            return Cow::Borrowed(path);
        };
        let mut segments: Vec<&[u8]> = Vec::new();
        for raw in below.split(|b| *b == b'/') {
            let end = raw.iter().position(|b| self.parameters && *b == b';');
            match end.and_then(|end| raw.get(..end)) {
                None => segments.push(raw),
                Some(b"" | b".") => {}
                Some(b"..") => drop(segments.pop()),
                Some(segment) => segments.push(segment),
            }
        }
        while self.trailing_slash && segments.last().is_some_and(|segment| segment.is_empty()) {
            segments.pop();
        }
        let mut left = b"/".to_vec();
        left.extend(segments.join(&b'/'));
        if self.case {
            left.make_ascii_lowercase();
        }
        Cow::Owned(left)
    }
}

/// The one condition in an object, after what is unknown in it was reported.
fn condition<'a>(reader: &Reader<'a>, object: &Object<'a>) -> Option<(&'static str, Reader<'a>)> {
    let kinds = FIELDS.iter().take(KINDS).copied();
    let given: Vec<&'static str> = kinds.filter(|kind| object.has(kind)).collect();
    if let [one] = given.as_slice() {
        return Some((*one, object.optional(one)?));
    }
    let known = |(name, _): &(&str, Reader<'_>)| FIELDS.contains(name);
    if reader.entries(usize::MAX)?.iter().all(known) {
        let found = if given.is_empty() { "no condition" } else { "several conditions" };
        let right = "one of `exact`, `prefix`, `starts_with`, `template`";
        reader.report(alloc::format!("found {found}, expected {right}"));
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document;

    fn holds(json: &str, path: &str) -> bool {
        document(json.as_bytes(), PathMatch::read).unwrap().holds(path.as_bytes())
    }

    /// `/login;v=1`, `/login/` and `/LOGIN` missed a limit on `/login` that a Java server sees alike.
    #[test]
    fn what_a_server_may_see_alike_can_be_ignored() {
        let all = r#", "ignore_case": true, "path_parameters": "ignore", "trailing_slash": "ignore""#;
        #[rustfmt::skip]
        let cases = [
            // condition                    path                    as sent   with all ignored
            (r#""exact": "/login""#,        "/login",                true,     true),
            (r#""exact": "/login""#,        "/login;v=1",            false,    true),
            (r#""exact": "/login""#,        "/login/",               false,    true),
            (r#""exact": "/login""#,        "/LOGIN",                false,    true),
            (r#""exact": "/login""#,        "/Login;a=1;b=2/",       false,    true),
            (r#""exact": "/login""#,        "/;a/login",             false,    true),
            (r#""exact": "/login""#,        "/x/..;/login",          false,    true),
            (r#""exact": "/login""#,        "/.;x/login",            false,    true),
            (r#""exact": "/login""#,        "/..;/..;/login",        false,    true),
            (r#""exact": "/login""#,        "/logins",               false,    false),
            (r#""exact": "/login""#,        "/login/x",              false,    false),
            (r#""exact": "/login""#,        "/x;/login",             false,    false),
            (r#""exact": "/""#,             "/;x",                   false,    true),
            (r#""exact": "/""#,             "*",                     false,    false),
            (r#""prefix": "/Api/v1""#,      "/api;x/V1/users",       false,    true),
            (r#""starts_with": "/log""#,    "/LOG;x/in",             false,    true),
            (r#""template": "/u/{id}/Pay"#,  "/U/7;a=/pay/",         false,    true),
        ];
        for (condition, path, as_sent, ignoring) in cases {
            let condition = condition.trim_end_matches('"');
            let plain = std::format!(r#"{{{condition}"}}"#);
            assert_eq!(holds(&plain, path), as_sent, "{plain} {path}");
            let lenient = std::format!(r#"{{{condition}"{all}}}"#);
            assert_eq!(holds(&lenient, path), ignoring, "{lenient} {path}");
        }
        // Each by itself ignores only what it says.
        let one = |what: &str, path| holds(&std::format!(r#"{{"exact": "/a", {what}}}"#), path);
        for (what, at) in [
            (r#""ignore_case": true"#, 0),
            (r#""path_parameters": "ignore""#, 1),
            (r#""trailing_slash": "ignore""#, 2),
        ] {
            let got = ["/A", "/a;x", "/a/"].map(|path| one(what, path));
            assert_eq!(got, core::array::from_fn(|index| index == at), "{what}");
        }
    }
}
