//! Tables for people: in a terminal, and in `docs/performance.md`.

use std::fmt::Write;

use tidegate_tests::terminal::grouped;

use crate::table::{difference, Line, Table};

/// Where the table stands in the document.
const BEGIN: &str = "<!-- counted rows: printed by `make count UPDATE=1` -->\n";
const END: &str = "<!-- end of counted rows -->\n";

/// Gives a document its table, if it has the markers for it.
type Render = fn(&str, &Table) -> Option<String>;

/// The documents with a table, and what gives it to them.
pub(crate) const DOCUMENTS: [(&str, Render); 2] = [
    ("docs/performance.md", |text, table| document(text, &markdown(table))),
    ("README.md", |text, table| document(text, &brief(table))),
];

/// The document with this table between its markers, if it has them.
fn document(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// The rows for somebody who only wants to know what it costs, and the sizes of the modules.
fn brief(table: &Table) -> String {
    let mut out = String::from("| | instructions | × empty |\n|---|---|---|\n");
    let mut group = "";
    for line in &table.lines {
        if line.group != group {
            group = &line.group;
            let _ = writeln!(out, "| **{group}** | | |");
        }
        if line.id == line.base {
            let _ = writeln!(out, "| a whole request: {} | {} | |", line.title, grouped(line.count.whole()));
            continue;
        }
        let over = table.over(line).map_or_else(unknown, signed);
        let times = table.times(line).map_or_else(unknown, |times| format!("{times:.2}").replace('-', "−"));
        let _ = writeln!(out, "| {} | {over} | {times} |", line.title);
    }
    let _ = writeln!(out, "\n| module | KiB |\n|---|---|");
    for (name, bytes) in &table.modules {
        let _ = writeln!(out, "| `{name}` | {} |", bytes.div_ceil(1024));
    }
    out
}

/// The table in Markdown.
fn markdown(table: &Table) -> String {
    let mut out = String::from(
        "| row | instructions over no filter | × empty | in Envoy | in libraries | in the module |\n\
         |---|---|---|---|---|---|\n",
    );
    let mut group = "";
    for line in &table.lines {
        if line.group != group {
            group = &line.group;
            let _ = writeln!(out, "| **{group}** | | | | | |");
        }
        if line.id == line.base {
            let whole = grouped(line.count.whole());
            let _ = writeln!(out, "| {} (`{}`) | 0, a whole request: {whole} | | | | |", line.title, line.id);
            continue;
        }
        let base = table.line(&line.base).map(|base| base.count).unwrap_or_default();
        let over = table.over(line).map_or_else(unknown, signed);
        let times = table.times(line).map_or_else(unknown, |times| format!("{times:.2}").replace('-', "−"));
        let parts = [
            difference(line.count.envoy, base.envoy),
            difference(line.count.libraries, base.libraries),
            difference(line.count.module, base.module),
        ];
        let parts = parts.map(|part| part.map_or_else(unknown, signed)).join(" | ");
        let _ = writeln!(out, "| {} (`{}`) | {over} | {times} | {parts} |", line.title, line.id);
    }
    out
}

/// What was counted just now beside the committed table.
pub(crate) fn terminal(now: &Table, old: &Table) -> String {
    let width = now.lines.iter().map(|line| line.title.chars().count()).max().unwrap_or(0);
    let mut out =
        format!("{:width$}  {:>9}  {:>8}  {:>7}  {:>8}\n", "", "whole", "over", "× empty", "change");
    for line in &now.lines {
        let over = now.over(line).map_or_else(unknown, signed);
        let times = now.times(line).map_or_else(unknown, |times| format!("{times:.3}"));
        let _ = writeln!(
            out,
            "{:width$}  {:>9}  {over:>8}  {times:>7}  {:>8}",
            line.title,
            grouped(line.count.whole()),
            change(now, old, line),
        );
    }
    out
}

/// How the multiple differs from the committed one.
fn change(now: &Table, old: &Table, line: &Line) -> String {
    let was = old.line(&line.id).and_then(|line| old.times(line));
    match (was, now.times(line)) {
        (Some(was), Some(is)) if was != 0.0 => format!("{:+.2} %", (is / was - 1.0) * 100.0),
        (None, _) => "new".to_owned(),
        _ => String::new(),
    }
}

fn unknown() -> String {
    "?".to_owned()
}

fn signed(number: i64) -> String {
    let minus = if number < 0 { "−" } else { "" };
    format!("{minus}{}", grouped(number.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tidegate_tests::paths;

    use super::*;
    use crate::worker::Count;

    fn line(id: &str, group: &str, module: u64) -> Line {
        Line {
            id: id.to_owned(),
            title: format!("row {id}"),
            group: group.to_owned(),
            base: "none".to_owned(),
            unit: "empty".to_owned(),
            count: Count { envoy: 100_000 + 10 * module, libraries: 2_000 - module, module },
        }
    }

    #[test]
    fn a_document_gets_the_table_between_its_markers() {
        let lines = vec![
            line("none", "to compare with", 0),
            line("empty", "to compare with", 500),
            line("hot", "ours", 900),
        ];
        let modules = vec![("tidegate.wasm".to_owned(), 640_000)];
        let table = Table { envoy: "1.40.0".to_owned(), modules, lines };
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        let expected = format!(
            "before\n{BEGIN}\
             | row | instructions over no filter | × empty | in Envoy | in libraries | in the module |\n\
             |---|---|---|---|---|---|\n\
             | **to compare with** | | | | | |\n\
             | row none (`none`) | 0, a whole request: 102,000 | | | | |\n\
             | row empty (`empty`) | 5,000 | 1.00 | 5,000 | −500 | 500 |\n\
             | **ours** | | | | | |\n\
             | row hot (`hot`) | 9,000 | 1.80 | 9,000 | −900 | 900 |\n\
             {END}after\n"
        );
        assert_eq!(document(&text, &markdown(&table)), Some(expected));
        assert_eq!(document("no markers", &markdown(&table)), None);
        let brief = brief(&table);
        assert!(brief.contains("| a whole request: row none | 102,000 | |\n"), "{brief}");
        assert!(brief.contains("| row hot | 9,000 | 1.80 |\n"), "{brief}");
        assert!(brief.ends_with("| `tidegate.wasm` | 625 |\n"), "{brief}");
    }

    #[test]
    fn the_documents_have_the_committed_table() {
        let read = |name: &str| fs::read_to_string(paths::root().join(name)).unwrap();
        let table = Table::parse(&read("docs/cost.json")).expect("docs/cost.json");
        for (name, render) in DOCUMENTS {
            let text = read(name);
            let told = "run `make count UPDATE=1`, or with COUNT_ARGS=--render if no row changed";
            assert!(render(&text, &table).as_ref() == Some(&text), "{name}: {told}");
        }
    }
}
