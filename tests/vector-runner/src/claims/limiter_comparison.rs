//! The most that a limiter admits in any interval of one period.
//!
//! The bucket is ours; the windows that it is compared with are models. Each is sent floods
//! from its full state that begin, pause and go on at many instants.

use std::num::NonZeroU32;

use tidegate_policy::gcra::{Bucket, Decision, Rate};
use tidegate_policy::time::{Span, Timestamp};

use super::suffix;
use crate::data::{Fault, Node};
use crate::formula;
use crate::models::{FixedWindow, Limiter, SlidingLog, SlidingWindow};

/// A bucket with a burst of a whole period's units.
struct Gcra {
    rate: Rate,
    bucket: Bucket,
}

/// Ticks in which one unit comes back.
const TICKS: u64 = 4;
/// Instants at which a flood may begin, and may go on.
const PHASES: u64 = 8;
/// Largest limit that is searched.
const MAX_LIMIT: u64 = 1000;
/// The limit for a formula that names none.
const SOME_LIMIT: u64 = 10;

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let rows = document.field("rows")?.items()?;
    rows.iter().try_for_each(row)?;
    Ok(rows.len())
}

fn row(row: &Node<'_>) -> Result<(), Fault> {
    let algorithm = row.field("algo")?;
    let fresh =
        fresh(algorithm.text()?).ok_or_else(|| algorithm.malformed("not a known limiter".to_string()))?;
    // The burst is the limit.
    let variables = |limit: u64| [("L", limit as f64), ("B", limit as f64), ("P", (limit * TICKS) as f64)];
    let worst = row.field("worst")?;
    let most = worst_case(&fresh, SOME_LIMIT) as f64;
    let claims = formula::equal_bounds(worst.text()?, &variables(SOME_LIMIT));
    let claims = claims.ok_or_else(|| worst.malformed("expected a formula of L, B and P".to_string()))?;
    if claims.iter().any(|claim| !claim.holds(most)) {
        return Err(worst.wrong(worst.text()?, format!("{most} for L = {SOME_LIMIT}")));
    }
    let columns = row.fields()?.into_iter().filter_map(|(name, node)| Some((suffix(name, "L")?, node)));
    let columns: Vec<_> = columns.collect();
    if columns.is_empty() {
        return Err(row.malformed("field `L10`, or another number, is missing".to_string()));
    }
    columns.iter().try_for_each(|(limit, expected)| column(&fresh, *limit, expected))
}

/// Compares with `20`, or with the smallest bound `<=19`.
fn column(fresh: &impl Fn(u64) -> Box<dyn Limiter>, limit: u64, expected: &Node<'_>) -> Result<(), Fault> {
    if limit == 0 || limit > MAX_LIMIT {
        return Err(
            expected.malformed(format!("a limit of {limit} is out of range, expected 1 to {MAX_LIMIT}"))
        );
    }
    let most = worst_case(fresh, limit);
    let Ok(text) = expected.text() else { return expected.is(most) };
    let claim =
        formula::bound(text, &[]).ok_or_else(|| expected.malformed("expected `<=19` or 20".to_string()))?;
    if claim.is_tight(most as f64) {
        Ok(())
    } else {
        Err(expected.wrong(text, most))
    }
}

/// Makes the limiter that a row is about, for a limit in a period of [`TICKS`] times it.
fn fresh(algorithm: &str) -> Option<impl Fn(u64) -> Box<dyn Limiter>> {
    let make: fn(u64) -> Box<dyn Limiter> = match algorithm {
        a if a.starts_with("fixed window") => |limit| Box::new(FixedWindow::new(limit, limit * TICKS)),
        a if a.starts_with("sliding log") => |limit| Box::new(SlidingLog::new(limit, limit * TICKS)),
        a if a.starts_with("sliding window") => |limit| Box::new(SlidingWindow::new(limit, limit * TICKS)),
        a if a.starts_with("token bucket") || a.starts_with("GCRA") => |limit| Box::new(Gcra::new(limit)),
        _ => return None,
    };
    Some(make)
}

/// The most that is admitted in any interval of one period, over all floods that begin at
/// one instant, pause after some time and go on at another instant.
fn worst_case(fresh: &impl Fn(u64) -> Box<dyn Limiter>, limit: u64) -> u64 {
    let period = limit * TICKS;
    let stride = (period / PHASES).max(1);
    // Windows are aligned with 0: the last tick before one opens is always tried.
    let start = 3 * period;
    let mut most = 0;
    for begin in (start - period..start).step_by(stride as usize).chain([start - 1]) {
        for gap in (0..2 * period).step_by(stride as usize) {
            let pause = begin + 1..begin + gap;
            let ticks = (begin..begin + 4 * period).filter(|tick| !pause.contains(tick));
            let mut limiter = fresh(limit);
            let mut admitted: Vec<u64> = Vec::new();
            for tick in ticks {
                while limiter.admit(tick) {
                    admitted.push(tick);
                }
            }
            most = most.max(densest(&admitted, period));
        }
    }
    most
}

/// The most of `instants` that lie in one interval `[t, t + length]`.
fn densest(instants: &[u64], length: u64) -> u64 {
    let mut first = 0;
    let mut most = 0;
    for (last, instant) in instants.iter().enumerate() {
        while instants[first] + length < *instant {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most as u64
}

// === impl Gcra ===

impl Gcra {
    fn new(limit: u64) -> Self {
        let limit = u32::try_from(limit).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        let interval = Span::from_nanos(TICKS);
        let rate = Rate::new(limit, interval.times(u64::from(limit.get())), limit);
        let rate = rate.expect("a limit of at most 1000 makes a rate");
        Self { rate, bucket: Bucket::FULL }
    }
}

impl Limiter for Gcra {
    fn admit(&mut self, now: u64) -> bool {
        match self.rate.decide(self.bucket, Timestamp::from_nanos(now), 1) {
            Decision::Admit { next } => {
                self.bucket = next;
                true
            }
            Decision::Refuse { .. } => false,
        }
    }
}
