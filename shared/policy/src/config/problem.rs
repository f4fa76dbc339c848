//! What is wrong with a configuration, and where.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::{self, Write};

/// Where in a document a value stands; prints as `limits[2].per_ms`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

/// One thing that is wrong: where, what was found, what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands. The document as a whole prints as `configuration`.
    pub path: Path,
    /// What was found.
    pub found: String,
    /// What would be right.
    pub expected: Cow<'static, str>,
    /// Which kind of rule it breaks.
    pub cause: Cause,
}

/// Which kind of rule a problem breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The form of a text, such as an address. The JSON Schema may know less of it.
    Form,
    /// A rule between several values.
    Rule,
    /// What the tables of fields say, and so the JSON Schema.
    Shape,
}

/// Everything that is wrong with one document; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The problems, at most 100: first what the tables of fields say, in the order of the document,
    /// then the rules between fields.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more: usize,
}

/// Where the problems of a walk go.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<(Vec<Problem>, usize)>);

/// Most problems that are kept and printed: nobody mends more at a time.
const MAX_PROBLEMS: usize = 100;
/// Most characters of a field's name that a path shows.
const MAX_NAME: usize = 64;

/// Writes no control character, whatever is in a text: a log line stays one.
struct Plain<'a, 'b>(&'a mut fmt::Formatter<'b>);

// === impl Path ===

impl Path {
    /// The document itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// The field `name` of the object at this path; `["…"]` when it is no plain name.
    #[inline(never)]
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        if !is_plain(name) {
            return Self(format!("{}[{}]", self.0, Shown(name)));
        }
        Self(if self.0.is_empty() { name.to_string() } else { format!("{}.{name}", self.0) })
    }

    /// The item `index` of the list at this path.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "configuration" } else { &self.0 })
    }
}

/// Whether a field's name can stand in a message as it is.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(plain)
}

/// A text of a document in quotes, cut where it gets long.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(40).map_or(self.0.len(), |(at, _)| at);
        let (shown, dots) = (self.0.get(..end).unwrap_or(""), if end < self.0.len() { "…" } else { "" });
        write!(f, "{shown:?}{dots}")
    }
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Plain(f), "{}: {}, expected {}", self.path, self.found, self.expected)
    }
}

impl fmt::Write for Plain<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars()
            .try_for_each(|c| self.0.write_char(if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }))
    }
}

// === impl Problems ===

impl Problems {
    /// Keeps a problem, or counts it when there are too many.
    #[inline(never)]
    pub(super) fn push(&self, path: Path, found: String, expected: Cow<'static, str>, cause: Cause) {
        let mut kept = self.0.borrow_mut();
        if kept.0.len() < MAX_PROBLEMS {
            kept.0.push(Problem { path, found, expected, cause });
        } else {
            kept.1 = kept.1.saturating_add(1);
        }
    }

    /// What was wrong, if anything was.
    pub(super) fn into_error(self) -> Option<ConfigError> {
        let (problems, more) = self.0.into_inner();
        (!problems.is_empty()).then_some(ConfigError { problems, more })
    }
}

// === impl ConfigError ===

impl ConfigError {
    /// An error with one problem.
    #[must_use]
    pub fn one(path: Path, found: String, expected: &'static str) -> Self {
        let expected = Cow::Borrowed(expected);
        Self { problems: alloc::vec![Problem { path, found, expected, cause: Cause::Shape }], more: 0 }
    }

    /// What to print, line by line: the problems, and how many more there are.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let more = (self.more > 0).then(|| format!("and {} more problems", self.more));
        self.problems.iter().map(ToString::to_string).chain(more)
    }
}

/// One problem a line.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut newline = "";
        self.lines().try_for_each(|line| write!(f, "{}{line}", core::mem::replace(&mut newline, "\n")))
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::ToOwned;

    #[test]
    fn a_path_shows_odd_names_in_quotes() {
        let path = Path::root().field("a").item(2).field("x y").field("").field("b\nc").field("d-e");
        assert_eq!(path.to_string(), r#"a[2]["x y"][""]["b\nc"].d-e"#);
    }

    #[test]
    fn a_line_has_no_control_characters() {
        let found = "\u{1b}[31m\nred".to_owned();
        let error = ConfigError::one(Path::root(), found, "none");
        assert_eq!(error.to_string(), "configuration: \u{fffd}[31m\u{fffd}red, expected none");
    }

    #[test]
    fn only_so_many_problems_are_printed() {
        let problems = Problems::default();
        for index in 0..103 {
            problems.push(Path::root().item(index), "x".to_owned(), Cow::Borrowed("y"), Cause::Rule);
        }
        let lines: Vec<String> = problems.into_error().unwrap().lines().collect();
        assert_eq!((lines.len(), lines[100].as_str()), (101, "and 3 more problems"));
    }
}
