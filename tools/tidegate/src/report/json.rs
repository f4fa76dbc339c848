//! For programs: one object.

use serde_json::{json, Value};

use super::{spot_of, Report};
use crate::rules::Level;

pub(super) fn print(report: &Report<'_>) -> String {
    let problems = report.findings.iter().map(|finding| {
        let spot = report.spot(&finding.place);
        let other = finding.other.as_ref().map(|(place, says)| {
            let spot = report.spot(place);
            json!({"file": spot.file, "line": spot.line, "column": spot.column, "says": says})
        });
        json!({
            "rule": finding.rule.id, "level": finding.level.word(),
            "file": spot.file, "line": spot.line, "column": spot.column,
            "end_line": spot.end_line, "end_column": spot.end_column,
            "plugin": finding.plugin, "path": finding.path,
            "found": finding.found, "expected": finding.expected,
            "help": finding.rule.help, "other": other,
        })
    });
    let problems: Vec<Value> = problems.collect();
    let unread = report.unread.iter().map(|unread| {
        let (line, column) = spot_of(unread);
        json!({"file": unread.name, "line": line, "column": column, "why": unread.why.says})
    });
    let unread: Vec<Value> = unread.collect();
    let whole = json!({
        "files": report.files.len(), "configurations": report.found,
        "errors": report.count(Level::Error), "warnings": report.count(Level::Warning),
        "problems": problems, "unread": unread,
    });
    format!("{whole:#}\n")
}
