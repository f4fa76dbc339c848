//! Walking a document: each reader takes what is right and reports what is not.
//!
//! A reader never fails; it returns `None` after reporting, and the caller goes on to the
//! next field. [`document`] turns the walk's result into a policy only when nothing was
//! reported, so a `None` on the way needs no message of its own.
//!
//! Readers are not inlined: they run once, and a module carries them once.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ops::RangeInclusive;

use super::json::Json;
use super::problem::{ConfigError, Path, Problem};

/// A value of the document, with the place where its problems go.
#[derive(Clone)]
pub struct Reader<'a> {
    json: &'a Json,
    path: Path,
    problems: &'a RefCell<Vec<Problem>>,
}

/// An object whose field names were checked.
pub struct Object<'a> {
    fields: &'a [(String, Json)],
    path: Path,
    problems: &'a RefCell<Vec<Problem>>,
}

/// Parses `bytes` and walks them with `read`.
///
/// # Errors
/// Every problem that the walk reported, or the one syntax error.
pub fn document<T>(bytes: &[u8], read: impl FnOnce(&Reader<'_>) -> Option<T>) -> Result<T, ConfigError> {
    let json = Json::parse(bytes).map_err(|what| ConfigError::one(Path::root(), not_json(bytes, &what)))?;
    let problems = RefCell::new(Vec::new());
    let value = read(&Reader { json: &json, path: Path::root(), problems: &problems });
    let problems = problems.into_inner();
    match value {
        Some(value) if problems.is_empty() => Ok(value),
        _ if problems.is_empty() => Err(ConfigError::one(Path::root(), "is not usable".to_string())),
        _ => Err(ConfigError { problems }),
    }
}

/// Why `bytes` are no document. Two mistakes are so common that the parser's own words,
/// `why`, would only mislead: no configuration at all, and one that the host hands over as
/// protobuf instead of text.
fn not_json(bytes: &[u8], why: &str) -> String {
    let binary = |b: &u8| *b < b' ' && !b.is_ascii_whitespace();
    if bytes.is_empty() {
        "empty, expected one JSON object".to_string()
    } else if bytes.iter().any(binary) {
        "binary, as a google.protobuf.Struct is, expected one JSON object in a google.protobuf.StringValue"
            .to_string()
    } else {
        format!("not JSON: {why}, expected one JSON object")
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// Where this value stands.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reports that something is wrong with this value.
    #[inline(never)]
    pub fn report(&self, what: String) {
        self.problems.borrow_mut().push(Problem { path: self.path.clone(), what });
    }

    /// A number by which this value is told from others: equal values have equal ones, wherever they
    /// stand and however they are spaced.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.json.fingerprint()
    }

    fn expected<T>(&self, what: &str) -> Option<T> {
        self.report(format!("found {}, expected {what}", self.json));
        None
    }

    /// Whether the value is an object, for the few fields that take two shapes.
    #[must_use]
    pub fn is_object(&self) -> bool {
        matches!(self.json, Json::Object(_))
    }

    /// Whether the value is a text, for the few fields that take two shapes.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self.json, Json::Text(_))
    }

    /// Whether the value is this text.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        matches!(self.json, Json::Text(own) if own == text)
    }

    /// Whether the value is a list, for the few fields that take two shapes.
    #[must_use]
    pub fn is_array(&self) -> bool {
        matches!(self.json, Json::Array(_))
    }

    /// An object that has no other fields than `known`, and none of them twice.
    #[inline(never)]
    #[must_use]
    pub fn object(&self, known: &[&str]) -> Option<Object<'a>> {
        let Json::Object(fields) = self.json else { return self.expected("an object") };
        for (index, (name, _)) in fields.iter().enumerate() {
            let at = || Reader { path: self.path.field(name), ..self.clone() };
            if !known.contains(&name.as_str()) {
                at().report(format!("unknown field `{name}`, expected {}", one_of(known)));
            } else if fields.iter().take(index).any(|(earlier, _)| earlier == name) {
                at().report("given twice, expected once".to_string());
            }
        }
        Some(Object { fields, path: self.path.clone(), problems: self.problems })
    }

    /// An object without fields that stands here, for a short form whose long form is one.
    #[must_use]
    pub fn no_fields(&self) -> Object<'a> {
        Object { fields: &[], path: self.path.clone(), problems: self.problems }
    }

    /// An object with exactly one of the fields `known`: which, and its value.
    #[inline(never)]
    #[must_use]
    pub fn tagged<'k>(&self, known: &[&'k str]) -> Option<(&'k str, Reader<'a>)> {
        let object = self.object(known)?;
        let given: Vec<&'k str> = known.iter().copied().filter(|name| object.has(name)).collect();
        match given.as_slice() {
            [one] => Some((*one, object.optional(one)?)),
            _ if object.fields.iter().any(|(name, _)| !known.contains(&name.as_str())) => None,
            [] => self.expected(&format!("{} inside", one_of(known))),
            _ => {
                self.report(format!("found {} together, expected only one of them", listed(&given)));
                None
            }
        }
    }

    /// The items of a list with as many as `len` allows.
    #[inline(never)]
    #[must_use]
    pub fn items(&self, len: RangeInclusive<usize>, of: &str) -> Option<Vec<Reader<'a>>> {
        let Json::Array(items) = self.json else { return self.expected(&format!("a list of {of}")) };
        if !len.contains(&items.len()) {
            let (min, max) = (len.start(), len.end());
            self.report(format!("{} {of} are out of range, expected {min} to {max}", items.len()));
            return None;
        }
        let item = |(index, json)| Reader { json, path: self.path.item(index), problems: self.problems };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A text of 1 to `max` bytes.
    #[inline(never)]
    #[must_use]
    pub fn text(&self, max: usize) -> Option<&'a str> {
        match self.json {
            Json::Text(text) if (1..=max).contains(&text.len()) => Some(text),
            Json::Text(text) => {
                self.report(format!(
                    "a text of {} bytes is out of range, expected 1 to {max} bytes",
                    text.len()
                ));
                None
            }
            _ => self.expected("a text"),
        }
    }

    /// A text that can stand in a header: visible ASCII and spaces between.
    #[inline(never)]
    #[must_use]
    pub fn header_text(&self, max: usize) -> Option<String> {
        let text = self.text(max)?;
        if text.bytes().all(|b| (b' '..=b'~').contains(&b)) && text.trim() == text {
            return Some(text.to_string());
        }
        self.report(format!("{text:?} is no header value, expected visible ASCII"));
        None
    }

    /// An integer within `range`; `unit` is a plural such as `requests` or `ms`, or empty.
    #[inline(never)]
    #[must_use]
    pub fn integer(&self, range: RangeInclusive<u64>, unit: &str) -> Option<u64> {
        let (min, max) = (range.start(), range.end());
        let of = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        match self.json {
            Json::Natural(n) if range.contains(n) => Some(*n),
            Json::Natural(_) | Json::Negative(_) => {
                self.report(format!("{}{of} is out of range, expected {min} to {max}{of}", self.json));
                None
            }
            _ => self.expected(&format!("an integer, {min} to {max}{of}")),
        }
    }

    /// `true` or `false`.
    #[inline(never)]
    #[must_use]
    pub fn boolean(&self) -> Option<bool> {
        match self.json {
            Json::Bool(value) => Some(*value),
            _ => self.expected("true or false"),
        }
    }

    /// One of a few words, each standing for a value.
    #[must_use]
    pub fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        match self.json {
            Json::Text(text) => match words.iter().find(|(word, _)| word == text) {
                Some((_, value)) => Some(*value),
                None => self.expected(&one_of(&known)),
            },
            _ => self.expected(&one_of(&known)),
        }
    }

    /// The text of the field `name`, without checking anything; for telling duplicates.
    #[inline(never)]
    #[must_use]
    pub fn text_field(&self, name: &str) -> Option<&'a str> {
        let Json::Object(fields) = self.json else { return None };
        fields.iter().find_map(|(field, value)| match value {
            Json::Text(text) if field == name => Some(text.as_str()),
            _ => None,
        })
    }

    /// The text and value of each field of an object whose names are the user's own.
    #[inline(never)]
    #[must_use]
    pub fn entries(&self, max: usize) -> Option<Vec<(&'a str, Reader<'a>)>> {
        let Json::Object(fields) = self.json else { return self.expected("an object") };
        if fields.len() > max {
            self.report(format!("{} fields are out of range, expected 0 to {max}", fields.len()));
            return None;
        }
        let entry = |(name, json): &'a (String, Json)| {
            (name.as_str(), Reader { json, path: self.path.field(name), problems: self.problems })
        };
        Some(fields.iter().map(entry).collect())
    }
}

// === impl Object ===

impl<'a> Object<'a> {
    /// Whether the field is there and not `null`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.optional(name).is_some()
    }

    /// The field, if it is there and not `null`.
    #[inline(never)]
    #[must_use]
    pub fn optional(&self, name: &str) -> Option<Reader<'a>> {
        let (_, json) = self.fields.iter().find(|(field, _)| field == name)?;
        let reader = Reader { json, path: self.path.field(name), problems: self.problems };
        (*json != Json::Null).then_some(reader)
    }

    /// The field; reports its absence together with `what` would be right.
    #[inline(never)]
    #[must_use]
    pub fn required(&self, name: &str, what: &str) -> Option<Reader<'a>> {
        let found = self.optional(name);
        if found.is_none() {
            let problem = Problem { path: self.path.field(name), what: format!("missing, expected {what}") };
            self.problems.borrow_mut().push(problem);
        }
        found
    }

    /// The field as an object of the fields `known`, or one without fields when it is absent: whoever
    /// reads it then reads defaults. `None` only when it was reported.
    #[inline(never)]
    #[must_use]
    pub fn inner(&self, name: &str, known: &[&str]) -> Option<Self> {
        match self.optional(name) {
            Some(reader) => reader.object(known),
            None => Some(Self { fields: &[], path: self.path.field(name), problems: self.problems }),
        }
    }

    /// The field as an integer from `least` to `most`, or `default` when it is absent. `None` only
    /// when it was reported.
    #[inline(never)]
    #[must_use]
    pub fn natural(&self, name: &str, default: u64, least: u64, most: u64, unit: &str) -> Option<u64> {
        match self.optional(name) {
            Some(reader) => reader.integer(least..=most, unit),
            None => Some(default),
        }
    }

    /// The same of 32 bits.
    #[must_use]
    pub fn count(&self, name: &str, default: u32, least: u32, most: u32, unit: &str) -> Option<u32> {
        let number = self.natural(name, default.into(), least.into(), most.into(), unit)?;
        u32::try_from(number).ok()
    }

    /// The field read by `read`, or `default` when it is absent. `None` only when it was
    /// reported.
    #[must_use]
    pub fn or<T>(&self, name: &str, default: T, read: impl FnOnce(&Reader<'a>) -> Option<T>) -> Option<T> {
        match self.optional(name) {
            Some(reader) => read(&reader),
            None => Some(default),
        }
    }
}

fn one_of(words: &[&str]) -> String {
    match words {
        [] => "no field".to_string(),
        [word] => format!("`{word}`"),
        _ => format!("one of {}", listed(words)),
    }
}

fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(json: &str, read: impl Fn(&Reader<'_>)) -> Vec<String> {
        let error = document(json.as_bytes(), |reader| {
            read(reader);
            Some(())
        });
        error.err().map_or(Vec::new(), |e| e.problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_problem_is_listed_with_its_path() {
        let got = problems(r#"{"a": 0, "a": 1, "c": [1, "x", true], "d": "no"}"#, |reader| {
            let object = reader.object(&["a", "b", "c"]).unwrap();
            let _ = object.optional("a").unwrap().integer(1..=9, "ms");
            let _ = object.required("b", "a text");
            for item in object.optional("c").unwrap().items(1..=5, "numbers").unwrap() {
                let _ = item.integer(0..=9, "ms");
            }
        });
        assert_eq!(
            got,
            [
                "a: given twice, expected once",
                "d: unknown field `d`, expected one of `a`, `b`, `c`",
                "a: 0 ms is out of range, expected 1 to 9 ms",
                "b: missing, expected a text",
                "c[1]: found \"x\", expected an integer, 0 to 9 ms",
                "c[2]: found true, expected an integer, 0 to 9 ms",
            ]
        );
    }

    #[test]
    fn a_tag_must_be_single_and_known() {
        let cases = [
            (r#"{"header": "a"}"#, ""),
            (r#"{}"#, "configuration: found an object, expected one of `header`, `cookie` inside"),
            (
                r#"{"header": "a", "cookie": "b"}"#,
                "configuration: found `header`, `cookie` together, expected only one of them",
            ),
            (r#"{"heder": "a"}"#, "heder: unknown field `heder`, expected one of `header`, `cookie`"),
            ("7", "configuration: found 7, expected an object"),
        ];
        for (json, expected) in cases {
            let got = problems(json, |reader| {
                let _ = reader.tagged(&["header", "cookie"]);
            });
            assert_eq!(got.join("\n"), expected, "{json}");
        }
    }
}
