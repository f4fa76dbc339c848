//! What became of many requests, printed.

use std::collections::BTreeMap;
use std::fmt::Write;

use anstyle::Style;
use serde_json::json;
use tidegate_reference::page::grouped;

use super::plot::{plot, seconds};
use super::tally::Tally;
use super::About;

const BOLD: Style = Style::new().bold();

/// The most rows of a table but that of limited clients.
const ROWS: usize = 20;

pub(super) fn text(tally: &Tally, about: &About, top: usize) -> String {
    let mut out = String::new();
    let (width_ms, columns) = tally.series.in_columns(usize::MAX);
    let length = seconds(width_ms * columns.len() as u64);
    _ = writeln!(out, "{BOLD}{} requests{BOLD:#} in {length}", grouped(tally.total()));
    if about.skipped > 0 {
        let example = about.example.as_deref().unwrap_or_default();
        _ = writeln!(out, "{} lines are no request, the first is: {example}", grouped(about.skipped));
    }
    table(&mut out, "what became of them", &tally.outcomes, tally.total());
    table(&mut out, "variants", &tally.variants, tally.total());
    table(&mut out, "clusters", &tally.clusters, tally.total());
    table(&mut out, "endpoints", &tally.endpoints, tally.total());
    limited(&mut out, tally, top);
    let ejections = tally.metrics.iter().filter(|(name, _)| name.ends_with(".ejections"));
    for (name, count) in ejections {
        _ = writeln!(out, "\n{BOLD}ejections{BOLD:#}: {count} ({name})");
    }
    if !tally.notes.is_empty() {
        _ = writeln!(out, "\n{BOLD}what the filters logged{BOLD:#}");
        tally.notes.iter().take(ROWS).for_each(|note| _ = writeln!(out, "  {note}"));
        if tally.notes.len() > ROWS {
            _ = writeln!(out, "  and {} more lines", tally.notes.len() - ROWS);
        }
    }
    _ = write!(out, "\n{}", plot(&tally.series));
    out
}

fn table(out: &mut String, title: &str, counts: &BTreeMap<String, u64>, total: u64) {
    if counts.is_empty() {
        return;
    }
    _ = writeln!(out, "\n{BOLD}{title}{BOLD:#}");
    let mut rows: Vec<(&String, &u64)> = counts.iter().collect();
    rows.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), (*name).clone()));
    for (name, count) in rows.iter().take(ROWS) {
        let percent = **count as f64 * 100.0 / total.max(1) as f64;
        _ = writeln!(out, "  {:>11}  {percent:>5.1} %  {name}", grouped(**count));
    }
    if rows.len() > ROWS {
        _ = writeln!(out, "  {:>11}           and {} more", "", rows.len() - ROWS);
    }
}

fn limited(out: &mut String, tally: &Tally, top: usize) {
    if tally.limited.is_empty() {
        return;
    }
    _ = writeln!(out, "\n{BOLD}who was limited{BOLD:#}, {} in all", grouped(tally.limited.len() as u64));
    let mut rows: Vec<_> = tally.limited.iter().collect();
    rows.sort_by_key(|(who, count)| (std::cmp::Reverse(**count), (*who).clone()));
    for ((limit, who), count) in rows.iter().take(top) {
        _ = writeln!(out, "  {:>11}  {limit}: {who}", grouped(**count));
    }
    if tally.others > 0 {
        _ = writeln!(out, "  {:>11}  others, for whom there was no room", grouped(tally.others));
    }
}

pub(super) fn json(tally: &Tally, about: &About) -> String {
    let (width_ms, columns) = tally.series.in_columns(300);
    let series = columns.iter().map(
        |counts| json!({"passed": counts.passed, "limited": counts.limited, "answered": counts.answered}),
    );
    let limited = tally
        .limited
        .iter()
        .map(|((limit, who), count)| json!({"limit": limit, "who": who, "refused": count}));
    let metrics: BTreeMap<&String, &u64> = tally.metrics.iter().map(|(name, count)| (name, count)).collect();
    let whole = json!({
        "requests": tally.total(), "skipped_lines": about.skipped, "real_ms": about.real.as_millis() as u64,
        "outcomes": tally.outcomes, "variants": tally.variants, "clusters": tally.clusters,
        "endpoints": tally.endpoints, "limited": limited.collect::<Vec<_>>(), "metrics": metrics,
        "log": tally.notes, "series": {"width_ms": width_ms, "counts": series.collect::<Vec<_>>()},
    });
    format!("{whole:#}\n")
}
