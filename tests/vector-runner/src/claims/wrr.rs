//! Smooth weighted round robin.

use tidegate_policy::split::RoundRobin;

use crate::data::{Fault, Node};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let cases = document.field("swrr")?.items()?;
    for case in &cases {
        let weights = weights(case)?;
        let mut robin = RoundRobin::new(&weights);
        picks(&case.field("picks")?, || robin.pick())?;
        let mut robin = RoundRobin::new(&weights);
        for step in case.field("trace")?.items()? {
            step.field("pick")?.is(robin.pick())?;
            step.field("current")?.is(robin.currents().collect::<Vec<_>>())?;
        }
    }
    let failing = document.field("swrr_with_failure")?;
    let mut robin = RoundRobin::new(&weights(&failing)?);
    let mut first = true;
    picks(&failing.field("picks")?, || {
        let pick = robin.pick();
        if std::mem::take(&mut first) {
            robin.failed(pick?, 1);
        }
        pick
    })?;
    let deadlines = document.field("edf")?.items()?;
    deadlines.iter().try_for_each(same_counts)?;
    Ok(cases.len() + 1 + deadlines.len())
}

/// Envoy's order differs, but in each cycle everyone has as many picks as with us.
fn same_counts(case: &Node<'_>) -> Result<(), Fault> {
    let mut robin = RoundRobin::new(&weights(case)?);
    let period = usize::try_from(robin.period()).unwrap_or(usize::MAX);
    let picks = case.field("picks")?;
    let theirs = picks.items()?.iter().map(Node::count).collect::<Result<Vec<usize>, _>>()?;
    if theirs.len() % period != 0 {
        return Err(picks.malformed(format!("{} picks, expected whole cycles of {period}", theirs.len())));
    }
    for cycle in theirs.chunks(period) {
        let mut ours: Vec<usize> = (0..period).filter_map(|_| robin.pick()).collect();
        let mut cycle = cycle.to_vec();
        ours.sort_unstable();
        cycle.sort_unstable();
        if ours != cycle {
            return Err(picks.wrong(format!("{cycle:?} in a cycle"), format!("{ours:?}")));
        }
    }
    Ok(())
}

fn picks(expected: &Node<'_>, mut pick: impl FnMut() -> Option<usize>) -> Result<(), Fault> {
    expected.items()?.iter().try_for_each(|expected| expected.is(pick()))
}

pub(super) fn weights(case: &Node<'_>) -> Result<Vec<u32>, Fault> {
    case.field("weights")?.items()?.iter().map(Node::count).collect()
}
