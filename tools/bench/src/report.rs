//! The table for people and the JSON for programs.

use std::fmt::Write;
use std::path::Path;

use serde_json::{json, Value};
use tidegate_bench::machine;
use tidegate_tests::paths;

use crate::measure::Measured;
use crate::options::Options;
use crate::summary::{Line, Quartiles, Summary};

/// Characters of a bar for one unit.
const UNIT: f64 = 8.0;
const LONGEST: f64 = 40.0;

/// A table of all rows.
pub(crate) fn table(summary: &Summary<'_>, colour: bool) -> String {
    let paint = |code: &str, text: String| {
        if colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text
        }
    };
    let width = summary.lines.iter().map(|line| line.row.title.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    let mut group = "";
    let _ = writeln!(out, "{:width$}  {:>6}  {:^13}  {:>7}", "", "µs", "quartiles", "× empty");
    for line in &summary.lines {
        if line.row.group != group {
            group = line.row.group;
            let _ = writeln!(out, "{}", paint("1", group.to_owned()));
        }
        let code = match &line.target {
            None => "36",
            Some(check) if check.met() => "32",
            Some(_) => "31",
        };
        let over = line.over;
        let _ = writeln!(
            out,
            "{:width$}  {:>6.2}  {:>5.2} … {:<5.2}  {:>7.2}  {}{}",
            line.row.title,
            over.median,
            over.low,
            over.high,
            line.times,
            paint(code, bar(line.times)),
            verdict(line),
        );
    }
    let whole = summary.lines.first().map_or(f64::NAN, |line| line.whole.median);
    let _ = writeln!(out, "µs of Envoy's processor time a request, over no filter ({whole:.1} µs)");
    out
}

fn bar(times: f64) -> String {
    let eighths = (times * UNIT).clamp(0.0, LONGEST) * 8.0;
    let eighths = if eighths.is_nan() { 0 } else { eighths.round() as usize };
    let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    format!("{}{part}", "█".repeat(eighths / 8))
}

fn verdict(line: &Line<'_>) -> String {
    line.target.as_ref().map_or_else(String::new, |check| {
        let met = if check.met() { "met" } else { "missed" };
        format!("  {:.2} ± {:.2} × {}, at most {:.2}: {met}", check.got, check.margin, check.of, check.most)
    })
}

/// Everything that was measured and how.
pub(crate) fn json(options: &Options, measured: &[Measured], summary: &Summary<'_>) -> Value {
    let rows = measured.iter().zip(&summary.lines).map(|(m, line)| {
        json!({
            "id": m.row.id,
            "title": m.row.title,
            "workers": m.row.workers,
            "base": m.row.base,
            "unit": m.row.unit,
            "micros": quartiles(line.whole),
            "micros_over_base": quartiles(line.over),
            "times_unit": line.times,
            "target": line.target.as_ref().map(|check| json!({
                "of": check.of, "most": check.most, "got": check.got, "margin": check.margin, "met": check.met(),
            })),
            "samples_micros": m.samples,
        })
    });
    json!({
        "machine": machine::describe(),
        "settings": {
            "rounds": options.rounds,
            "requests": options.requests,
            "connections": options.connections,
        },
        "rows": rows.collect::<Vec<_>>(),
    })
}

fn quartiles(all: Quartiles) -> Value {
    json!({"low": all.low, "median": all.median, "high": all.high})
}

/// The path as seen from the repository, where it lies within.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(paths::root()).unwrap_or(path).display().to_string()
}
