//! The table, for a terminal and for README.

use std::fmt::Write;

use tidegate_tests::terminal::grouped;

use crate::arms::WORKERS;
use crate::measure::{Measured, CLIENTS};

/// Characters of the longest bar.
const BAR: u64 = 24;
/// What README has around its table.
const MARKERS: [&str; 2] = ["<!-- dead-upstream -->", "<!-- /dead-upstream -->"];

/// The table with bars.
pub(crate) fn table(all: &[Measured], seconds: u64, colour: bool) -> String {
    let paint = |code: &str, text: &str| match colour && !text.trim().is_empty() {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let width = all.iter().map(|one| one.arm.name.chars().count()).max().unwrap_or(0).max(10);
    let most = all.iter().map(|one| one.reached).max().unwrap_or(0);
    let head = format!("{:width$}  {:>10}  {:>10}", "protection", "reached it", "answered");
    let mut out = format!(
        "An upstream that always answers 503: {CLIENTS} clients for {seconds} s, Envoy with {WORKERS} workers\n\n{}\n",
        paint("1", &head)
    );
    for one in all {
        let code = match one.met() {
            None => "36",
            Some(true) => "32",
            Some(false) => "31",
        };
        let line = format!(
            "{:width$}  {:>10}  {:>10}  {}{}",
            one.arm.name,
            grouped(one.reached),
            grouped(one.answered),
            paint(code, &bar(one.reached, most)),
            paint(code, &verdict(one)),
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// The table of README, markers included.
pub(crate) fn markdown(all: &[Measured]) -> String {
    let rows: String = all.iter().map(row).collect();
    let [begin, end] = MARKERS;
    format!("{begin}\n| protection | requests that reached the upstream | answered |\n|---|--:|--:|\n{rows}{end}\n")
}

fn row(one: &Measured) -> String {
    let [reached, answered] = [one.reached, one.answered].map(grouped);
    let strong = if one.arm.title.starts_with("**") { "**" } else { "" };
    format!("| {} | {strong}{reached}{strong} | {answered} |\n", one.arm.title)
}

/// As long as its part of `most`; what is there is seen, however little it is.
fn bar(value: u64, most: u64) -> String {
    let eighths = (value * BAR * 8).div_ceil(most.max(1));
    let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let part = usize::try_from(eighths % 8).ok().and_then(|index| part.get(index));
    (0..eighths / 8).map(|_| "█").chain(part.copied()).collect()
}

fn verdict(one: &Measured) -> String {
    let (Some(met), Some(most)) = (one.met(), one.arm.most) else { return String::new() };
    format!(" at most {most}: {}", if met { "met" } else { "missed" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arms::ARMS;

    fn two(passed: u64) -> [Measured; 2] {
        let [none, .., breaker] = ARMS;
        [
            Measured { arm: none, reached: 380_726, answered: 380_726, strange: 0 },
            Measured { arm: breaker, reached: passed, answered: 1_204_400, strange: 0 },
        ]
    }

    #[test]
    fn the_table_has_bars_and_a_verdict() {
        let expected = "\
An upstream that always answers 503: 16 clients for 12 s, Envoy with 4 workers

protection                    reached it    answered
no protection                    380,726     380,726  ████████████████████████
Tidegate's breaker, defaults          17   1,204,400  ▏ at most 24: met
";
        assert_eq!(table(&two(17), 12, false), expected);
        let missed = table(&two(25), 12, true);
        assert!(missed.ends_with("\x1b[31m▏\x1b[0m\x1b[31m at most 24: missed\x1b[0m\n"), "{missed}");
    }

    #[test]
    fn markdown_is_what_readme_has() {
        let expected = "\
<!-- dead-upstream -->
| protection | requests that reached the upstream | answered |
|---|--:|--:|
| none | 380,726 | 380,726 |
| **Tidegate's breaker** | **17** | 1,204,400 |
<!-- /dead-upstream -->
";
        assert_eq!(markdown(&two(17)), expected);
    }
}
