//! Conditions on the path: exact, below a prefix, by its beginning, by a template.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use alloc::vec::Vec;

use super::value::{MAX_TEXT, NO_REGEX};
use crate::config::{self, all, choices, Field, Group, Kind, Misfit, Never, Object, Table};
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

/// Whether something counts or is ignored.
#[derive(Clone, Copy)]
enum Keep {
    Keep,
    Ignore,
}
choices!(Keep { "keep" => Keep::Keep, "ignore" => Keep::Ignore });

/// A path without query and fragment.
static PATH: config::Form = config::Form::new(is_no_path, "^/[^?#]*$", true);
/// The same whose segments may be `*`, `{name}`, and `**` at the end.
static TEMPLATE: config::Form = config::Form::new(
    |text| {
        let expected = "segments that are a literal, `*`, `{name}`, or `**` at the end";
        let misfit = Misfit { found: "is not a template", expected };
        is_no_path(text).or_else(|| template(text).is_none().then_some(misfit))
    },
    "^/*(([^/?#*{}]*|\\*|\\{[A-Za-z0-9_]+\\})/)*([^/?#*{}]*|\\*\\*?|\\{[A-Za-z0-9_]+\\})$",
    false,
);

const PATH_TEXT: Kind = Kind::formed("a path", MAX_TEXT, &PATH);
static EXACT_PATH: Field<str> = Field::of("exact", PATH_TEXT).says("The path is this.");
static PREFIX_PATH: Field<str> = Field::of("prefix", PATH_TEXT).says(
    "The path is this or below it, by whole segments: `/api` holds for `/api` and `/api/x`, not for \
     `/apix`.",
);
static START_OF_PATH: Field<str> = Field::of("starts_with", PATH_TEXT).says(
    "The path begins with this, byte by byte, as with Istio's `prefix`: `/api` holds for `/apix`, \
     too.",
);
static TEMPLATE_PATH: Field<str> = Field::of("template", Kind::formed("a template", MAX_TEXT, &TEMPLATE))
    .says(
        "Segment by segment: a literal, `*` or `{name}` for one segment that is not empty, `**` at the \
     end for any number of segments.",
    );
static REGEX_PATH: Field<Never> =
    Field::never("regex", &Misfit { found: NO_REGEX, expected: "`template`, `prefix` or `starts_with`" });
static IGNORE_CASE: Field<bool> =
    Field::boolean("ignore_case", false).says("Whether the case of ASCII letters is ignored.");
static PATH_PARAMETERS: Field<Keep> = Field::choice("path_parameters").or_text("keep").says(
    "`ignore` drops what follows `;` in each segment, and resolves segments that are `.`, `..` or empty \
     then.",
);
static TRAILING_SLASH: Field<Keep> =
    Field::choice("trailing_slash").or_text("keep").says("`ignore` drops slashes at the end.");
pub(super) static TABLE: Table = Table::new(
    "match.path",
    &[
        EXACT_PATH.def(),
        PREFIX_PATH.def(),
        START_OF_PATH.def(),
        TEMPLATE_PATH.def(),
        IGNORE_CASE.def(),
        PATH_PARAMETERS.def(),
        TRAILING_SLASH.def(),
        REGEX_PATH.def(),
    ],
)
.groups(&[Group::one_of(&["exact", "prefix", "starts_with", "template"], "has no condition")]);

fn is_no_path(text: &str) -> Option<Misfit> {
    if !text.starts_with('/') {
        Some(Misfit { found: "is not a path", expected: "one that starts with `/`" })
    } else if text.contains(['?', '#']) {
        Some(Misfit { found: "has a query", expected: "a path without `?` and `#`" })
    } else {
        None
    }
}

impl PathMatch {
    pub(super) fn read(object: &Object<'_>) -> Option<Self> {
        let ignores = |field: &Field<Keep>| object.get(field).map(|keep| matches!(keep, Keep::Ignore));
        let ignored = Ignored {
            case: object.get(&IGNORE_CASE)?,
            parameters: ignores(&PATH_PARAMETERS)?,
            trailing_slash: ignores(&TRAILING_SLASH)?,
        };
        let text = |field: &Field<str>| {
            let text = object.get(field)?;
            Some(if ignored.case { text.to_ascii_lowercase() } else { text.to_owned() })
        };
        let trimmed = |mut text: String| {
            if ignored.trailing_slash {
                text.truncate(text.trim_end_matches('/').len().max(1));
            }
            text
        };
        let form = None
            .or_else(|| text(&EXACT_PATH).map(trimmed).map(Form::Exact))
            .or_else(|| text(&PREFIX_PATH).map(trimmed).map(Form::Prefix))
            .or_else(|| text(&START_OF_PATH).map(Form::StartsWith))
            .or_else(|| template(&text(&TEMPLATE_PATH).map(trimmed)?).map(Form::Template))?;
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

fn template(text: &str) -> Option<Vec<Segment>> {
    let parts: Vec<&str> = text.trim_start_matches('/').split('/').collect();
    let last = parts.len().saturating_sub(1);
    let segment = |(index, part): (usize, &&str)| {
        let name = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
        match (*part, name) {
            ("**", _) if index == last => Some(Segment::Rest),
            ("*", _) => Some(Segment::One),
            (_, Some(name)) if is_name(name) => Some(Segment::One),
            (literal, None) if !literal.contains(['*', '{', '}']) => {
                Some(Segment::Literal(literal.to_owned()))
            }
            _ => None,
        }
    };
    all(parts.iter().enumerate().map(segment))
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
        document(json.as_bytes(), |reader| PathMatch::read(&reader.checked(&TABLE)?))
            .unwrap()
            .holds(path.as_bytes())
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
