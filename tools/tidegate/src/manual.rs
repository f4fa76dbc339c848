//! `tidegate docs`, `schema` and `completions`: what there is to know of documents, and of the tool.

use clap::CommandFactory;
use tidegate_policy::config::{Def, Kind, Table};
use tidegate_reference::{page, schema as schemas, FILTERS};

use crate::done::Done;
use crate::options::Options;

/// A field of a document.
struct Entry {
    filter: &'static str,
    /// Its path: `limits[].burst`.
    path: String,
    def: &'static Def,
}

/// Where lines are broken.
const WIDTH: usize = 96;
/// How alike the path of a field must be to be offered.
const ALIKE: f64 = 0.75;

/// The JSON Schema of a filter's document.
#[must_use]
pub fn schema(filter: &str) -> Done {
    match FILTERS.iter().find(|(name, _)| *name == filter) {
        Some((name, table)) => Done::well(schemas::document(name, table)),
        None => Done::unread(&format!("no filter is called {filter:?}")),
    }
}

/// Completions for a shell.
#[must_use]
pub fn completions(shell: clap_complete::Shell) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Options::command(), "tidegate", &mut script);
    Done::well(String::from_utf8_lossy(&script).into_owned())
}

/// What fields mean: those of a filter, or all of a name or at the end of a path.
#[must_use]
pub fn docs(subject: Option<&str>) -> Done {
    let all = entries();
    let Some(subject) = subject else {
        let fields = all.iter().filter(|entry| entry.filter != "fused" || !entry.path.contains('.'));
        return Done::well(fields.map(|entry| format!("{}: {}\n", entry.filter, entry.path)).collect());
    };
    let wanted = plain(subject);
    let of_filter = all.iter().filter(|entry| entry.filter == wanted);
    // The parts of the document of all filters are those of the single filters.
    let own = |entry: &&Entry| entry.filter != "fused" || !entry.path.contains('.') && entry.path == wanted;
    let ends = |entry: &&Entry| {
        let path = plain(&entry.path);
        let full = format!("{}.{path}", entry.filter);
        path == wanted || full == wanted || path.ends_with(&format!(".{wanted}"))
    };
    let of_field = all.iter().filter(own).filter(ends);
    let found: Vec<&Entry> = if FILTERS.iter().any(|(name, _)| *name == wanted) {
        of_filter.filter(|entry| wanted != "fused" || !entry.path.contains('.')).collect()
    } else {
        of_field.collect()
    };
    if found.is_empty() {
        return Done::unread(&unknown(&all, &wanted));
    }
    Done::well(found.into_iter().map(described).collect::<Vec<_>>().join("\n"))
}

fn unknown(all: &[Entry], wanted: &str) -> String {
    let name = |entry: &Entry| entry.path.rsplit('.').next().unwrap_or_default().replace("[]", "");
    let score =
        |entry: &Entry| strsim::jaro_winkler(&name(entry), wanted.rsplit('.').next().unwrap_or(wanted));
    let mut alike: Vec<String> = all.iter().filter(|entry| score(entry) > ALIKE).map(name).collect();
    alike.sort_unstable();
    alike.dedup();
    let offer = if alike.is_empty() {
        "`tidegate docs` lists them all".to_owned()
    } else {
        format!("there is {}", alike.join(", "))
    };
    format!("no field is called `{wanted}`: {offer}")
}

fn described(entry: &Entry) -> String {
    let (value, default) = page::words(entry.def);
    let default = match default.as_str() {
        "" => String::new(),
        "required" => "; required".to_owned(),
        default => format!("; by default {default}"),
    };
    let meaning = wrapped(&without_links(entry.def.says));
    format!("{}: {}\n{}{meaning}", entry.filter, entry.path, wrapped(&format!("{value}{default}")))
}

/// The path without the marks of lists: `limits.burst`.
fn plain(path: &str) -> String {
    let mut rest = path;
    let mut plain = String::new();
    while let Some((before, behind)) = rest.split_once('[') {
        plain.push_str(before);
        rest = behind.split_once(']').map_or("", |(_, behind)| behind);
    }
    plain + rest
}

/// `[text](link)` is `text`.
fn without_links(text: &str) -> String {
    let mut rest = text;
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once("](") {
        let (kept, linked) = before.rsplit_once('[').unwrap_or(("", before));
        plain = plain + kept + linked;
        rest = after.split_once(')').map_or("", |(_, behind)| behind);
    }
    plain + rest
}

fn wrapped(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + word.chars().count() + 1 > WIDTH {
            lines += &format!("    {line}\n");
            line.clear();
        }
        line.push_str(if line.is_empty() { "" } else { " " });
        line.push_str(word);
    }
    lines + &format!("    {line}\n")
}

/// All fields of all documents, those of objects behind the fields that have them.
fn entries() -> Vec<Entry> {
    let mut all = Vec::new();
    for (filter, table) in FILTERS {
        collect(filter, "", table, &mut Vec::new(), &mut all);
    }
    all
}

fn collect(
    filter: &'static str,
    path: &str,
    table: &'static Table,
    around: &mut Vec<&'static str>,
    all: &mut Vec<Entry>,
) {
    if around.contains(&table.id) {
        return;
    }
    around.push(table.id);
    for def in table.fields.iter().copied().filter(|def| !matches!(def.kind, Kind::Never(_))) {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{}", def.name);
        all.push(Entry { filter, path: path.clone(), def });
        inside(filter, &path, &def.kind, around, all);
    }
    around.pop();
}

fn inside(
    filter: &'static str,
    path: &str,
    kind: &'static Kind,
    around: &mut Vec<&'static str>,
    all: &mut Vec<Entry>,
) {
    match kind {
        Kind::Either(one, other) => {
            inside(filter, path, one, around, all);
            inside(filter, path, other, around, all);
        }
        Kind::List { of, .. } => inside(filter, &format!("{path}[]"), of, around, all),
        Kind::Map(names) => inside(filter, &format!("{path}.<name>"), &names.of, around, all),
        Kind::Object(table) | Kind::Part(table) => collect(filter, path, table, around, all),
        _ => {}
    }
}
