//! Requests over time, as bars of characters: what passed at the bottom, what a limit refused on it, what
//! other filters answered on top.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::tally::{Counts, Series};

const COLUMNS: usize = 72;
const ROWS: usize = 10;
const KINDS: [(char, Style, &str); 3] = [
    ('█', AnsiColor::Green.on_default(), "passed"),
    ('▒', AnsiColor::Red.on_default(), "refused by a limit"),
    ('░', AnsiColor::Yellow.on_default(), "answered by another filter"),
];

/// The plot, with its axes.
pub(super) fn plot(series: &Series) -> String {
    let (width_ms, columns) = series.in_columns(COLUMNS);
    let most = columns.iter().map(|counts| counts.sum()).max().unwrap_or(0).max(1);
    let per_second = |count: f64| count * 1_000.0 / width_ms as f64;
    let mut out = String::new();
    for row in (0..ROWS).rev() {
        let label = if row == ROWS - 1 { format!("{:.0}/s", per_second(most as f64)) } else { String::new() };
        _ = write!(out, "{label:>9} │");
        let mut last = None;
        for counts in &columns {
            let kind = kind_at(*counts, row, most);
            if kind != last {
                if let Some((_, style, _)) = last.and_then(|kind: usize| KINDS.get(kind)) {
                    _ = write!(out, "{style:#}");
                }
                if let Some((_, style, _)) = kind.and_then(|kind| KINDS.get(kind)) {
                    _ = write!(out, "{style}");
                }
            }
            last = kind;
            out.push(kind.and_then(|kind| KINDS.get(kind)).map_or(' ', |(sign, ..)| *sign));
        }
        if let Some((_, style, _)) = last.and_then(|kind| KINDS.get(kind)) {
            _ = write!(out, "{style:#}");
        }
        out.push('\n');
    }
    let end = seconds(width_ms * columns.len() as u64);
    _ = writeln!(out, "{:>9} └{}", 0, "─".repeat(columns.len()));
    _ = writeln!(out, "{:>11}{end:>width$}", "0 s", width = columns.len().saturating_sub(1).max(end.len()));
    let there =
        |kind: usize| columns.iter().any(|counts| parts(*counts).get(kind).is_some_and(|part| *part > 0));
    let kinds = KINDS.iter().enumerate().filter(|(kind, _)| there(*kind));
    let kinds = kinds.map(|(_, (sign, style, says))| format!("{style}{sign}{style:#} {says}"));
    _ = writeln!(out, "{:>11}{}", "", kinds.collect::<Vec<_>>().join("   "));
    out
}

fn parts(counts: Counts) -> [u64; 3] {
    [counts.passed, counts.limited, counts.answered]
}

/// Which kind a column has in a row. Each that is there has a row at least.
fn kind_at(counts: Counts, row: usize, most: u64) -> Option<usize> {
    let (mut sum, mut from) = (0, 0);
    for (kind, part) in parts(counts).into_iter().enumerate().filter(|(_, part)| *part > 0) {
        sum += part;
        let end = (sum as f64 * ROWS as f64 / most as f64).round() as usize;
        let end = end.max(from + 1);
        if (from..end).contains(&row) {
            return Some(kind);
        }
        from = end;
    }
    None
}

/// A time in a unit that suits it.
pub(super) fn seconds(ms: u64) -> String {
    match ms {
        0..=119_999 => format!("{:.0} s", ms as f64 / 1_000.0),
        120_000..=7_199_999 => format!("{:.0} min", ms as f64 / 60_000.0),
        _ => format!("{:.1} h", ms as f64 / 3_600_000.0),
    }
}
