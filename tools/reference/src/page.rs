//! The tables of the reference, in Markdown.
//!
//! A page says where a table goes, and keeps all that stands around it:
//!
//! ```text
//! ## `limits[]`
//!
//! <!-- fields: ratelimit.limit -->
//! | field | value | default | meaning |
//! …
//! <!-- end of fields -->
//! ```

use std::collections::BTreeMap;

use tidegate_policy::config::definition::Absent;
use tidegate_policy::config::{Def, Kind, Literal, Table, Text};

use crate::FILTERS;

const BEGIN: &str = "<!-- fields: ";
const END: &str = "<!-- end of fields -->";

/// Where each table is described: the page, and the heading as links call it.
pub struct Links(BTreeMap<String, (String, String)>);

// === impl Links ===

impl Links {
    /// What the markers of these pages say.
    #[must_use]
    pub fn of(pages: &[(&str, String)]) -> Self {
        let mut links = BTreeMap::new();
        for (path, text) in pages {
            let mut heading = "";
            for line in text.lines() {
                if line.starts_with('#') {
                    heading = line.trim_start_matches('#').trim();
                } else if let Some(id) = marked(line) {
                    links.entry(id.to_owned()).or_insert(((*path).to_owned(), anchor(heading)));
                }
            }
        }
        Self(links)
    }

    /// The link from a page to a table, or to the one that it is a part of.
    fn to(&self, from: &str, id: &str) -> Option<String> {
        let (path, anchor) = self.0.get(id).or_else(|| self.0.get(id.rsplit_once('.')?.0))?;
        let up = if from.matches('/').count() > path.matches('/').count() { "../" } else { "" };
        let name = path.rsplit('/').next().unwrap_or(path);
        Some(if from == path { format!("#{anchor}") } else { format!("{up}{name}#{anchor}") })
    }
}

/// What a page should be: its text with the tables that its markers name.
///
/// # Errors
/// A marker names no table.
pub fn refreshed(path: &str, text: &str, links: &Links) -> Result<String, String> {
    let tables = tables();
    let mut page = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        page.push_str(line);
        page.push('\n');
        if let Some(id) = marked(line) {
            let table = tables.get(id).ok_or_else(|| format!("{path}: no table is called {id}"))?;
            page.push_str(&rows(path, table, links));
            let end = lines.by_ref().find(|line| *line == END);
            page.push_str(end.ok_or_else(|| format!("{path}: {id} has no end"))?);
            page.push('\n');
        }
    }
    Ok(page)
}

/// What a field's value may be, and what its absence means: the words of the tables, without links.
#[must_use]
pub fn words(def: &Def) -> (String, String) {
    (value(&def.kind, &|_| None), default(def))
}

/// All tables by their names.
#[must_use]
pub fn tables() -> BTreeMap<&'static str, &'static Table> {
    fn collect(table: &'static Table, into: &mut BTreeMap<&'static str, &'static Table>) {
        if into.insert(table.id, table).is_none() {
            table.fields.iter().for_each(|def| inside(&def.kind, into));
        }
    }
    fn inside(kind: &'static Kind, into: &mut BTreeMap<&'static str, &'static Table>) {
        match kind {
            Kind::Either(one, other) => [one, other].into_iter().for_each(|kind| inside(kind, into)),
            Kind::List { of, .. } => inside(of, into),
            Kind::Map(names) => inside(&names.of, into),
            Kind::Object(table) | Kind::Part(table) => collect(table, into),
            _ => (),
        }
    }
    let mut all = BTreeMap::new();
    FILTERS.iter().for_each(|(_, table)| collect(table, &mut all));
    all
}

fn marked(line: &str) -> Option<&str> {
    line.strip_prefix(BEGIN)?.strip_suffix(" -->")
}

/// What links call a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_ascii_alphanumeric() || " -_".contains(*c);
    heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

fn rows(page: &str, table: &Table, links: &Links) -> String {
    let mut rows = String::from("| field | value | default | meaning |\n|---|---|---|---|\n");
    let fields = table.fields.iter().filter(|def| !matches!(def.kind, Kind::Never(_)));
    for def in fields {
        let value = value(&def.kind, &|id| links.to(page, id));
        rows.push_str(&format!("| `{}` | {value} | {} | {} |\n", def.name, default(def), says(page, def)));
    }
    rows
}

/// The sentences of a field; those of shared ones have links that are right on the page of shared ones.
fn says(page: &str, def: &Def) -> String {
    let _ = page;
    def.says.to_owned()
}

fn default(def: &Def) -> String {
    match def.absent {
        _ if !def.absent_says.is_empty() => def.absent_says.to_owned(),
        Absent::Nothing => String::new(),
        Absent::Required => "required".to_owned(),
        Absent::Usual(Literal::Number(number)) => grouped(number),
        Absent::Usual(value) => format!("`{}`", literal(value)),
    }
}

fn literal(value: Literal) -> String {
    match value {
        Literal::Boolean(value) => value.to_string(),
        Literal::List(values) => {
            let quoted = |value: &Literal| match value {
                Literal::Text(text) => format!("{text:?}"),
                other => literal(*other),
            };
            format!("[{}]", values.iter().map(quoted).collect::<Vec<_>>().join(", "))
        }
        Literal::Number(number) => number.to_string(),
        Literal::Text(text) => text.to_owned(),
    }
}

fn value(kind: &Kind, link: &dyn Fn(&str) -> Option<String>) -> String {
    match kind {
        Kind::Boolean => "`true` or `false`".to_owned(),
        Kind::Choice(words) => words_of(words),
        Kind::Duration { least, most } => format!("{} ms", range(u64::from(*least), *most)),
        Kind::Either(one, other) => format!("{}, or {}", value(one, link), value(other, link)),
        Kind::Integer { least, most, unit } => {
            format!("{} {unit}", range(u64::from(*least), *most)).trim_end().to_owned()
        }
        Kind::List { of, least, most, called } => {
            let count = count(*least, *most);
            match of {
                Kind::Object(table) => match link(table.id) {
                    Some(target) => format!("list of {count} [{called}]({target})"),
                    None => format!("list of {count} {called}"),
                },
                _ => format!("list of {count} {called}: {}", value(of, link)),
            }
        }
        Kind::Map(names) => {
            let count = count(names.least, names.most);
            format!("object with {count} {}: {}", names.called, value(&names.of, link))
        }
        Kind::Never(_) => String::new(),
        Kind::Object(table) if table.fields.is_empty() => "`{}`".to_owned(),
        Kind::Object(table) | Kind::Part(table) => {
            let object = match link(table.id) {
                Some(target) => format!("[object]({target})"),
                None => "object".to_owned(),
            };
            if table.words.is_empty() {
                object
            } else {
                format!("{}, or {object}", words_of(table.words))
            }
        }
        Kind::Text(rule) => text(rule),
    }
}

fn text(rule: &Text) -> String {
    let called = rule.called.trim_start_matches("a ").trim_start_matches("an ").trim_start_matches("the ");
    let bytes = if rule.least == rule.most {
        grouped(rule.most.into())
    } else {
        range(rule.least.into(), rule.most.into())
    };
    format!("{called}, {bytes} bytes")
}

fn count(least: u16, most: u16) -> String {
    if least == 0 {
        format!("up to {}", grouped(most.into()))
    } else {
        range(least.into(), most.into())
    }
}

fn range(least: u64, most: u64) -> String {
    format!("{} to {}", grouped(least), grouped(most))
}

/// `a`, `b` or `c`.
fn words_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.join(""),
    }
}

/// A number with commas between thousands.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
