//! From samples to numbers that can be compared.

use tidegate_bench::rows::Row;

use crate::measure::Measured;

/// One line for each row.
pub(crate) struct Summary<'a> {
    pub(crate) lines: Vec<Line<'a>>,
}

/// What a row costs.
pub(crate) struct Line<'a> {
    pub(crate) row: &'a Row,
    /// Processor time a request, microseconds.
    pub(crate) whole: Quartiles,
    /// The same less the row without a filter, round by round.
    pub(crate) over: Quartiles,
    /// The median of `over` as a multiple of the unit's.
    pub(crate) times: f64,
    pub(crate) target: Option<Check>,
}

/// A target and what became of it.
pub(crate) struct Check {
    pub(crate) got: f64,
    pub(crate) most: f64,
    pub(crate) of: String,
    /// How far `got` may be off by chance: half of what the quartiles of both rows span,
    /// over the square root of the rounds, as a multiple.
    pub(crate) margin: f64,
}

/// Where a quarter, half and three quarters of samples lie.
#[derive(Clone, Copy)]
pub(crate) struct Quartiles {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

// === impl Summary ===

impl<'a> Summary<'a> {
    pub(crate) fn of(measured: &'a [Measured]) -> Self {
        let over = |row: &Row| {
            let samples = |id: &str| measured.iter().find(|m| m.row.id == id).map(|m| m.samples.as_slice());
            let pairs = samples(&row.id).unwrap_or(&[]).iter().zip(samples(&row.base).unwrap_or(&[]));
            pairs.map(|(with, without)| with - without).collect::<Vec<_>>()
        };
        let find = |id: &str| measured.iter().find(|m| m.row.id == id).map(|m| &m.row);
        let median = |id: &str| find(id).map_or(f64::NAN, |row| Quartiles::of(&over(row)).median);
        let line = |m: &'a Measured| {
            let mine = Quartiles::of(&over(&m.row));
            let check = m.row.target.as_ref().map(|target| {
                let other = find(&target.of).map_or(mine, |row| Quartiles::of(&over(row)));
                let got = mine.median / other.median;
                let margin = got * (mine.error(m.samples.len()) + other.error(m.samples.len()));
                Check { got, most: target.most, of: target.of.clone(), margin }
            });
            Line {
                row: &m.row,
                whole: Quartiles::of(&m.samples),
                over: mine,
                times: mine.median / median(&m.row.unit),
                target: check,
            }
        };
        Self { lines: measured.iter().map(line).collect() }
    }

    /// What each missed target should have been.
    pub(crate) fn missed(&self) -> Vec<String> {
        let missed = |line: &Line<'_>| {
            let check = line.target.as_ref().filter(|check| !check.met())?;
            Some(format!(
                "{}: {:.2} × {}, expected at most {:.2} (margin {:.2})",
                line.row.id, check.got, check.of, check.most, check.margin
            ))
        };
        self.lines.iter().filter_map(missed).collect()
    }
}

// === impl Check ===

impl Check {
    pub(crate) fn met(&self) -> bool {
        self.got <= self.most + self.margin
    }
}

// === impl Quartiles ===

impl Quartiles {
    pub(crate) fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            let last = sorted.len().saturating_sub(1);
            let (index, part) = (last * quarter / 4, last * quarter % 4);
            let value = |index: usize| sorted.get(index.min(last)).copied().unwrap_or(f64::NAN);
            let step = [0.0, 0.25, 0.5, 0.75][part];
            value(index) + (value(index + 1) - value(index)) * step
        };
        Self { low: at(1), median: at(2), high: at(3) }
    }

    /// The standard error of the median, as a part of it: 0.93 of the span of the quartiles
    /// over the square root of the number of samples.
    fn error(self, samples: usize) -> f64 {
        0.93 * (self.high - self.low) / self.median / (samples.max(1) as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_samples() {
        let all = Quartiles::of(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!((all.low, all.median, all.high), (1.75, 2.5, 3.25));
        let one = Quartiles::of(&[7.0]);
        assert_eq!((one.low, one.median, one.high), (7.0, 7.0, 7.0));
    }
}
