//! What a person reads.

use std::fmt::Write;
use std::time::Duration;

use tidegate_tests::terminal::grouped;

use crate::changes::{Followed, Kind, WORKERS};
use crate::cost::{Cost, Size, SIZES};
use crate::options::Options;

/// The 95th percentile of changes is at most this.
const MOST: Duration = Duration::from_millis(150);
/// A request with the large catalog costs at most so many times as much.
const MOST_TIMES: f64 = 1.1;
/// Characters of the longest bar.
const BAR: usize = 40;
/// Upper bounds of the histogram, in milliseconds.
const BOUNDS: [u64; 9] = [1, 2, 5, 10, 20, 50, 100, 150, u64::MAX];
const KINDS: [(Kind, &str); 3] = [(Kind::New, "registered"), (Kind::Moved, "moved"), (Kind::Gone, "removed")];

/// Where samples lie.
#[derive(Clone, Copy)]
struct Spread {
    count: usize,
    min: Duration,
    median: Duration,
    high: Duration,
    max: Duration,
}

/// The table of changes and their histogram.
pub(crate) fn followed(all: &[Followed], colour: bool) -> String {
    let title = format!("{} changes in Consul until all of {WORKERS} workers follow, under load", all.len());
    let head =
        format!("{:12}{:>8}{:>10}{:>10}{:>10}{:>10}", "change", "count", "min", "median", "p95", "max");
    let mut out = format!("{title}\n\n{}\n", paint("1", &head, colour));
    for (kind, name) in KINDS {
        if let Some(spread) = Spread::of(all.iter().filter(|one| one.kind == kind)) {
            let _ = writeln!(out, "{}", spread.line(name));
        }
    }
    let Some(spread) = Spread::of(all.iter()) else { return out };
    let (code, verdict) = verdict(spread.high <= MOST, true);
    let verdict = format!("  p95 at most {}: {verdict}", millis(MOST));
    let _ = write!(out, "{}{}\n\n", spread.line("all"), paint(code, &verdict, colour));
    histogram(all, &mut out, colour);
    out
}

/// A bar for each span of time, from the first that has changes to the last.
fn histogram(all: &[Followed], out: &mut String, colour: bool) {
    let bound = |one: &Followed| BOUNDS.iter().position(|most| one.took < Duration::from_millis(*most));
    let mut counts = [0_usize; BOUNDS.len()];
    all.iter().filter_map(bound).for_each(|at| counts[at] += 1);
    let (Some(first), Some(last)) =
        (counts.iter().position(|count| *count > 0), counts.iter().rposition(|count| *count > 0))
    else {
        return;
    };
    let most = counts.iter().max().copied().unwrap_or(1).max(1);
    for at in first..=last {
        let low = if at == 0 { 0 } else { BOUNDS[at - 1] };
        let span = match BOUNDS[at] {
            u64::MAX => format!("{low} ms and more"),
            high => format!("{low} to {high} ms"),
        };
        let bar = "█".repeat((counts[at] * BAR).div_ceil(most));
        let code = if low >= 150 { "31" } else { "32" };
        let _ = writeln!(out, "{span:>16}  {:>4}  {}", counts[at], paint(code, &bar, colour));
    }
}

/// What each missed target of the changes should have been.
pub(crate) fn late(all: &[Followed]) -> Option<String> {
    let spread = Spread::of(all.iter()).filter(|spread| spread.high > MOST)?;
    Some(format!(
        "changes: the 95th percentile is {}, expected at most {}",
        millis(spread.high),
        millis(MOST)
    ))
}

/// The comparison of costs.
pub(crate) fn costs(all: &[Cost; SIZES.len()], options: &Options, colour: bool) -> String {
    let (rounds, requests) = (options.rounds, grouped(options.requests));
    let title =
        format!("Envoy's processor time for a request: {rounds} rounds of {requests} requests, in turn");
    let head = format!("{:34}{:>10}{:>20}", "endpoints", "median", "quartiles");
    let mut out = format!("{title}\n\n{}\n", paint("1", &head, colour));
    for cost in all {
        let [low, median, high] = quartiles(&cost.samples);
        let (name, between) = (cost.size.to_string(), format!("{low:.2} to {high:.2}"));
        let _ = writeln!(out, "{name:34}{:>10}{between:>20}", format!("{median:.2} µs"));
    }
    let (times, margin) = ratio(all);
    let (code, verdict) = verdict(times <= MOST_TIMES + margin, times <= MOST_TIMES);
    let verdict = format!("  at most {MOST_TIMES:.2}: {verdict}");
    let times = format!("{times:.2} ×");
    let _ = writeln!(
        out,
        "{:34}{times:>10}{:>20}{}",
        "last to first",
        format!("± {margin:.2}"),
        paint(code, &verdict, colour)
    );
    out
}

/// What the costs should have been, if they are not.
pub(crate) fn dear(all: &[Cost; SIZES.len()]) -> Option<String> {
    let (times, margin) = ratio(all);
    (times > MOST_TIMES + margin)
        .then(|| format!("cost: {times:.2} ×, expected at most {MOST_TIMES:.2} (margin {margin:.2})"))
}

/// The median of the rounds' ratios, and how far it may be off by chance: 0.93 of the span of the
/// quartiles over the square root of their number.
fn ratio([small, .., large]: &[Cost; SIZES.len()]) -> (f64, f64) {
    let each: Vec<f64> =
        large.samples.iter().zip(&small.samples).map(|(large, small)| large / small).collect();
    let [low, median, high] = quartiles(&each);
    (median, 0.93 * (high - low) / (each.len().max(1) as f64).sqrt())
}

/// Where a quarter, half and three quarters of samples lie; the nearest of them.
fn quartiles(samples: &[f64]) -> [f64; 3] {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| {
        let at = (sorted.len().saturating_sub(1) * quarter + 2) / 4;
        sorted.get(at).copied().unwrap_or(f64::NAN)
    })
}

/// The colour and the word for a target that was met, by more than chance can take back or not.
fn verdict(met: bool, clearly: bool) -> (&'static str, &'static str) {
    match (met, clearly) {
        (true, true) => ("32", "met"),
        (true, false) => ("33", "met within the margin"),
        (false, _) => ("31", "missed"),
    }
}

fn paint(code: &str, text: &str, colour: bool) -> String {
    match colour && !text.is_empty() {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

fn millis(time: Duration) -> String {
    let tenths = time.as_micros().div_ceil(100);
    format!("{}.{} ms", tenths / 10, tenths % 10)
}

// === impl Spread ===

impl Spread {
    /// `None` without samples. A percentile is the smallest sample that so many are not above.
    fn of<'a>(all: impl Iterator<Item = &'a Followed>) -> Option<Self> {
        let mut sorted: Vec<_> = all.map(|one| one.took).collect();
        sorted.sort_unstable();
        let at =
            |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(Self {
            count: sorted.len(),
            min: *sorted.first()?,
            median: at(50)?,
            high: at(95)?,
            max: *sorted.last()?,
        })
    }

    fn line(&self, name: &str) -> String {
        let [min, median, high, max] = [self.min, self.median, self.high, self.max].map(millis);
        format!("{name:12}{:>8}{min:>10}{median:>10}{high:>10}{max:>10}", self.count)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [endpoints, services] = [self.endpoints, self.services].map(|n| grouped(n as u64));
        let s = if self.services == 1 { "" } else { "s" };
        write!(f, "{endpoints} of {services} service{s}{}", if s.is_empty() { "" } else { " each" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::SIZES;

    fn took(kind: Kind, micros: &[u64]) -> Vec<Followed> {
        micros.iter().map(|us| Followed { kind, took: Duration::from_micros(*us) }).collect()
    }

    fn changes(slow: u64) -> Vec<Followed> {
        let new = took(Kind::New, &[1_500, 2_500, 3_000, slow]);
        [new, took(Kind::Moved, &[4_200]), took(Kind::Gone, &[700, 1_200])].concat()
    }

    #[test]
    fn changes_have_a_table_a_verdict_and_a_plot() {
        let expected = "\
7 changes in Consul until all of 2 workers follow, under load

change         count       min    median       p95       max
registered         4    1.5 ms    2.5 ms  120.1 ms  120.1 ms
moved              1    4.2 ms    4.2 ms    4.2 ms    4.2 ms
removed            2    0.7 ms    0.7 ms    1.2 ms    1.2 ms
all                7    0.7 ms    2.5 ms  120.1 ms  120.1 ms  p95 at most 150.0 ms: met

       0 to 1 ms     1  ██████████████
       1 to 2 ms     2  ███████████████████████████
       2 to 5 ms     3  ████████████████████████████████████████
      5 to 10 ms     0  
     10 to 20 ms     0  
     20 to 50 ms     0  
    50 to 100 ms     0  
   100 to 150 ms     1  ██████████████
";
        assert_eq!(followed(&changes(120_050), false), expected);
        assert_eq!(late(&changes(120_050)), None);
        let slow = changes(2_000_000);
        assert!(followed(&slow, true).contains("\x1b[31m  p95 at most 150.0 ms: missed\x1b[0m"));
        let problem = "changes: the 95th percentile is 2000.0 ms, expected at most 150.0 ms";
        assert_eq!(late(&slow).as_deref(), Some(problem));
    }

    fn all(large: f64) -> [Cost; SIZES.len()] {
        let of = |at: usize, micros: f64| Cost { size: SIZES[at], samples: vec![micros; 3] };
        [of(0, 20.0), of(1, 20.1), of(2, 20.5), of(3, large)]
    }

    #[test]
    fn costs_have_a_ratio_and_a_verdict() {
        let options = Options { changes: 0, rounds: 3, requests: 5_000 };
        let expected = "\
Envoy's processor time for a request: 3 rounds of 5,000 requests, in turn

endpoints                             median           quartiles
3 of 1 service                      20.00 µs      20.00 to 20.00
1,000 of 1 service                  20.10 µs      20.10 to 20.10
3 of 200 services each              20.50 µs      20.50 to 20.50
1,000 of 200 services each          21.00 µs      21.00 to 21.00
last to first                         1.05 ×              ± 0.00  at most 1.10: met
";
        assert_eq!(costs(&all(21.0), &options, false), expected);
        assert_eq!(dear(&all(21.0)), None);
        assert_eq!(dear(&all(24.0)).as_deref(), Some("cost: 1.20 ×, expected at most 1.10 (margin 0.00)"));
    }
}
