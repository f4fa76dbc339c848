//! SARIF 2.1.0, which code scanning reads.

use serde_json::{json, Value};

use super::{spot_of, Report};
use crate::rules::RULES;

pub(super) fn print(report: &Report<'_>) -> String {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "shortDescription": {"text": rule.id.replace('-', " ")},
                "help": {"text": rule.help},
                "defaultConfiguration": {"level": rule.level.word()},
            })
        })
        .collect();
    let results = report.findings.iter().map(|finding| {
        let spot = report.spot(&finding.place);
        let region = json!({
            "startLine": spot.line, "startColumn": spot.column,
            "endLine": spot.end_line, "endColumn": spot.end_column,
        });
        json!({
            "ruleId": finding.rule.id,
            "level": finding.level.word(),
            "message": {"text": finding.line()},
            "locations": [location(spot.file, &region)],
        })
    });
    let results: Vec<Value> = results.collect();
    let unread = report.unread.iter().map(|unread| {
        let (line, column) = spot_of(unread);
        let region = json!({"startLine": line, "startColumn": column});
        let locations = [location(&unread.name, &region)];
        json!({"level": "error", "message": {"text": unread.why.says}, "locations": locations})
    });
    let unread: Vec<Value> = unread.collect();
    let driver = json!({"name": "tidegate", "version": env!("CARGO_PKG_VERSION"), "rules": rules});
    let run = json!({
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": unread.is_empty(), "toolExecutionNotifications": unread}],
        "results": results,
    });
    let schema = "https://json.schemastore.org/sarif-2.1.0.json";
    format!("{:#}\n", json!({"$schema": schema, "version": "2.1.0", "runs": [run]}))
}

fn location(file: &str, region: &Value) -> Value {
    json!({"physicalLocation": {"artifactLocation": {"uri": file}, "region": region}})
}
