//! Holding a document against its table: every value that is not as its definition says is a problem.
//!
//! One walk of a few functions for all documents. It goes on after a problem, so that all of them are
//! reported at once; what it lets pass can be read without another look.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};

use super::definition::{Absent, Group, Kind, Literal, Names, Table, Text};
use super::duration;
use super::expected::{expected, expected_object, listed, one_of, real, unit, yaml};
use super::field::Raw;
use super::json::Json;
use super::problem::{is_plain, Cause, Path, Problems, Shown};

/// Where in a document a value stands; made into a path only for a problem.
struct At<'a> {
    /// The document's own path in a larger one.
    start: &'a Path,
    /// The value around this one, and the way from there; nothing at the start.
    step: Option<(&'a At<'a>, Step<'a>)>,
    problems: &'a Problems,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

/// Fields that the documents of our filters begin with, the module that each is for, and the part in
/// which the document of all filters has it.
const MODULES: [(&str, &str, &str); 9] = [
    ("breaker", "tidegate.wasm", ""),
    ("breakers", "tidegate-breaker.wasm", "breaker"),
    ("discovery", "tidegate.wasm", ""),
    ("limits", "tidegate-ratelimit.wasm", "ratelimit"),
    ("ratelimit", "tidegate.wasm", ""),
    ("registries", "tidegate-discovery.wasm", "discovery"),
    ("routes", "tidegate-routing.wasm", "routing"),
    ("routing", "tidegate.wasm", ""),
    ("services", "tidegate-discovery.wasm", "discovery"),
];

/// Reports all that is wrong with a value by its kind.
pub(super) fn check(kind: &Kind, json: &Json, path: &Path, problems: &Problems) {
    value(kind, json, &At { start: path, step: None, problems });
}

/// The same by a table.
pub(super) fn check_table(table: &Table, json: &Json, path: &Path, problems: &Problems) {
    object(table, json, &At { start: path, step: None, problems });
}

/// Of two kinds the one that a value is written in; the first when it is neither.
pub(super) fn chosen<'k>(kind: &'k Kind, json: &Json) -> &'k Kind {
    match kind {
        Kind::Either(one, other) => {
            chosen(if takes(other, json) && !takes(one, json) { other } else { one }, json)
        }
        _ => kind,
    }
}

/// The checked value of a simple kind; `None` when it is not as it must be.
#[inline(never)]
pub(super) fn raw<'a>(kind: &Kind, json: &'a Json) -> Option<Raw<'a>> {
    match (chosen(kind, json), json) {
        (Kind::Boolean, Json::Bool(value)) => Some(Raw::Boolean(*value)),
        (Kind::Choice(words), Json::Text(text)) => words.iter().position(|word| word == text).map(Raw::Word),
        (simple @ (Kind::Integer { least, most, .. } | Kind::Duration { least, most }), _) => {
            number(simple, json).filter(|n| u64::from(*least) <= *n && n <= most).map(Raw::Number)
        }
        (Kind::Text(rule), Json::Text(text)) => {
            let fits = within(text.len(), rule.least, rule.most) && (rule.form.wrong)(text).is_none();
            fits.then_some(Raw::Text(text))
        }
        _ => None,
    }
}

/// A value of a definition as though it stood in the document.
pub(super) fn usual(kind: &Kind, value: Literal) -> Option<Raw<'static>> {
    match (kind, value) {
        (Kind::Boolean, Literal::Boolean(value)) => Some(Raw::Boolean(value)),
        (Kind::Choice(words), Literal::Text(text)) => {
            words.iter().position(|word| *word == text).map(Raw::Word)
        }
        (Kind::Duration { .. } | Kind::Integer { .. }, Literal::Number(number)) => Some(Raw::Number(number)),
        (Kind::Either(one, other), _) => usual(one, value).or_else(|| usual(other, value)),
        (Kind::Text(_), Literal::Text(text)) => Some(Raw::Text(text)),
        _ => None,
    }
}

/// A number that a value stands for, in bounds or not.
fn number(kind: &Kind, json: &Json) -> Option<u64> {
    match (kind, json) {
        (Kind::Duration { .. }, Json::Text(text)) => duration::millis(text),
        (_, Json::Natural(number)) => Some(*number),
        _ => None,
    }
}

/// Whether a value has the type of JSON that a kind is written in.
fn takes(kind: &Kind, json: &Json) -> bool {
    match (kind, json) {
        (Kind::Boolean, Json::Bool(_))
        | (Kind::Choice(_) | Kind::Duration { .. } | Kind::Text(_), Json::Text(_))
        | (
            Kind::Integer { .. } | Kind::Duration { .. },
            Json::Natural(_) | Json::Negative(_) | Json::Fraction,
        )
        | (Kind::List { .. }, Json::Array(_))
        | (Kind::Map(_) | Kind::Object(_) | Kind::Part(_), Json::Object(_)) => true,
        (Kind::Object(table), Json::Text(_)) => !table.words.is_empty(),
        (Kind::Either(one, other), _) => takes(one, json) || takes(other, json),
        (Kind::List { of, .. }, _) => takes(of, json),
        _ => false,
    }
}

// === impl At ===

impl<'a> At<'a> {
    fn below(&'a self, step: Step<'a>) -> Self {
        At { step: Some((self, step)), ..*self }
    }

    fn path(&self) -> Path {
        match self.step {
            Some((of, Step::Field(name))) => of.path().field(name),
            Some((of, Step::Item(index))) => of.path().item(index),
            None => self.start.clone(),
        }
    }

    fn is_document(&self) -> bool {
        self.step.is_none() && *self.start == Path::root()
    }

    #[inline(never)]
    fn report(&self, found: String, expected: Cow<'static, str>, cause: Cause) {
        self.problems.push(self.path(), found, expected, cause);
    }

    fn wrong(&self, found: String, expected: String) {
        self.report(found, Cow::Owned(expected), Cause::Shape);
    }

    #[inline(never)]
    fn wrong_count(&self, count: usize, called: &str, least: u16, most: u16) {
        self.wrong(format!("{count} {called} are out of range"), format!("{least} to {most}"));
    }

    #[inline(never)]
    fn given_twice(&self) {
        self.report("given twice".to_string(), Cow::Borrowed("once"), Cause::Shape);
    }
}

// === the walk ===

fn value(kind: &Kind, json: &Json, at: &At<'_>) {
    match (chosen(kind, json), json) {
        (Kind::List { least, most, called, .. }, Json::Array(items))
            if !within(items.len(), *least, *most) =>
        {
            at.wrong_count(items.len(), called, *least, *most);
        }
        (Kind::List { of, .. }, Json::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                value(of, item, &at.below(Step::Item(index)));
            }
        }
        (Kind::List { of, .. }, lone) if takes(of, lone) => value(of, lone, at),
        (Kind::Map(map), Json::Object(fields)) => names(map, fields, at),
        (Kind::Never(misfit), _) => {
            at.report(misfit.found.to_string(), Cow::Borrowed(misfit.expected), Cause::Shape);
        }
        (Kind::Object(table), _) => object(table, json, at),
        // Its own reader says all.
        (Kind::Part(_), _) => (),
        (Kind::Text(rule), Json::Text(text)) => text_of(rule, text, at),
        (simple, _) => {
            if raw(simple, json).is_none() {
                report_simple(kind, simple, json, at);
            }
        }
    }
}

/// Says what is wrong with a value of a kind, of which it is `chosen`.
#[inline(never)]
fn report_simple(kind: &Kind, chosen: &Kind, json: &Json, at: &At<'_>) {
    if let Kind::Integer { least, most, .. } | Kind::Duration { least, most } = chosen {
        let of = unit(chosen);
        // A duration that is a text is one by its form.
        let is_text = matches!((chosen, json), (Kind::Duration { .. }, Json::Text(_)));
        let cause = if is_text { Cause::Form } else { Cause::Shape };
        let found = match (number(chosen, json), json) {
            (Some(number), _) => format!("{number}{of} is out of range"),
            (None, Json::Negative(_)) => format!("{json}{of} is out of range"),
            _ => return at.report(format!("found {json}"), Cow::Owned(expected(kind)), cause),
        };
        return at.report(found, Cow::Owned(format!("{least} to {most}{of}")), cause);
    }
    let found = match (chosen, json) {
        (Kind::Text(Text { secret: true, .. }), _) => format!("found {}", json.kind()),
        (Kind::Choice(_) | Kind::List { .. } | Kind::Text(_), Json::Bool(value)) => {
            format!("found {json} ({})", yaml(*value))
        }
        _ => format!("found {json}"),
    };
    // What is a text, and no word, is told the words.
    let right = if matches!((chosen, json), (Kind::Choice(_), Json::Text(_))) { chosen } else { kind };
    at.wrong(found, expected(right));
}

fn names(map: &Names, fields: &[(String, Json)], at: &At<'_>) {
    if !within(fields.len(), map.least, map.most) {
        return at.wrong_count(fields.len(), map.called, map.least, map.most);
    }
    for (index, (name, json)) in fields.iter().enumerate() {
        let at = at.below(Step::Field(name));
        if is_repeated(fields, index) {
            at.given_twice();
        }
        text_of(&map.names, name, &at);
        value(&map.of, json, &at);
    }
}

#[inline(never)]
fn text_of(rule: &Text, text: &str, at: &At<'_>) {
    let (least, most) = (rule.least, rule.most);
    let (found, expected, cause) = if within(text.len(), least, most) {
        let Some(misfit) = (rule.form.wrong)(text) else { return };
        let found = format!("{} {}", Shown(text), misfit.found);
        (found, Cow::Borrowed(misfit.expected), Cause::Form)
    } else {
        let found = format!("a text of {} bytes is out of range", text.len());
        (found, Cow::Owned(format!("{least} to {most} bytes")), Cause::Shape)
    };
    if rule.secret {
        let expected = format!("{}, {least} to {most} bytes", rule.called);
        return at.report("does not fit (no message shows it)".to_string(), Cow::Owned(expected), cause);
    }
    at.report(found, expected, cause);
}

fn object(table: &Table, json: &Json, at: &At<'_>) {
    let fields = match json {
        Json::Object(fields) => fields,
        Json::Text(text) if table.words.contains(&text.as_str()) => return,
        _ => return at.wrong(format!("found {json}"), expected_object(table)),
    };
    let (mut unknown, mut elsewhere) = (false, false);
    for (index, (name, json)) in fields.iter().enumerate() {
        let here = at.below(Step::Field(name));
        match table.fields.iter().find(|def| def.name == name) {
            Some(_) if is_repeated(fields, index) => here.given_twice(),
            Some(def) if *json != Json::Null => {
                unknown |= matches!(def.kind, Kind::Never(_));
                value(&def.kind, json, &here);
            }
            Some(_) => (),
            // Editors find the schema by it.
            None if name == "$schema" && at.is_document() => (),
            None => {
                unknown = true;
                elsewhere |= report_unknown(table, name, at, &here);
            }
        }
    }
    if elsewhere {
        return;
    }
    for def in table.fields {
        if matches!(def.absent, Absent::Required) && !has(fields, def.name) {
            at.below(Step::Field(def.name)).wrong("missing".to_string(), expected(&def.kind));
        }
    }
    for group in table.groups {
        check_group(group, fields, unknown, at);
    }
}

/// Reports an unknown field; whether it shows that the document is for another module.
#[inline(never)]
fn report_unknown(table: &Table, name: &str, of: &At<'_>, at: &At<'_>) -> bool {
    let module = MODULES.iter().find(|(field, ..)| *field == name && of.is_document());
    let found = match module {
        Some((.., part)) if table.fields.iter().any(|def| def.name == *part) => {
            format!("belongs into `{part}`")
        }
        Some((_, module, _)) => format!("belongs to {module}"),
        None if matches!(name, "true" | "false") => {
            format!("unknown field `{name}` ({})", yaml(name == "true"))
        }
        None if is_plain(name) => format!("unknown field `{name}`"),
        None => format!("unknown field {}", Shown(name)),
    };
    at.wrong(found, one_of(&mut real(table)));
    module.is_some()
}

#[inline(never)]
fn check_group(group: &Group, fields: &[(String, Json)], unknown: bool, at: &At<'_>) {
    let given = || group.fields.iter().copied().filter(|name| has(fields, name));
    let count = given().count();
    if group.required && count == 0 && !unknown {
        at.wrong(group.lacking.to_string(), listed(&mut group.fields.iter().copied(), " or "));
    } else if group.exclusive && count > 1 {
        let found = format!("found {} together", listed(&mut given(), " and "));
        at.report(found, Cow::Borrowed("only one of them"), Cause::Shape);
    }
}

pub(super) fn within(len: usize, least: u16, most: u16) -> bool {
    usize::from(least) <= len && len <= usize::from(most)
}

/// Whether the field is there and not `null`.
fn has(fields: &[(String, Json)], name: &str) -> bool {
    fields.iter().find(|(field, _)| field == name).is_some_and(|(_, value)| *value != Json::Null)
}

fn is_repeated(fields: &[(String, Json)], index: usize) -> bool {
    let name = fields.get(index).map(|(name, _)| name);
    fields.iter().take(index).any(|(earlier, _)| Some(earlier) == name)
}
