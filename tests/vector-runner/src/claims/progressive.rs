//! Ramps that advance, halt and roll back.
//!
//! Flagger's checks run through our ramp, one step for each interval. Argo judges otherwise;
//! its rows are compared with a model.

use tidegate_policy::routing::judge::{Demands, Fault as Failed, Judgement};
use tidegate_policy::routing::ramp::{Event, Ramp, Step};

use super::{lists, Row};
use crate::data::{Fault, Node};
use crate::models::Analysis;

const INTERVAL_MS: u64 = 60_000;

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let all: [(&str, Row); 3] = [("flagger", flagger), ("argo", argo), ("flagger_formulas", formula)];
    lists(document, &all)
}

fn flagger(row: &Node<'_>) -> Result<(), Fault> {
    let ramp = ramp(
        row.field("stepWeight")?.count()?,
        row.field("maxWeight")?.count()?,
        row.field("threshold")?.count()?,
        INTERVAL_MS,
    );
    let checks = row.field("checks")?.parsed(judgements, "a text of P and X")?;
    let mut state = ramp.fresh();
    // The first check begins the ramp and judges nothing.
    let mut checks = std::iter::once(Judgement::Pass).chain(checks);
    let mut now_ms = INTERVAL_MS;
    for expected in row.field("events")?.items()? {
        let judgement = checks.next().ok_or_else(|| expected.malformed("has no check left".to_string()))?;
        let (next, event) = ramp.check(state, now_ms, judgement);
        state = next;
        now_ms += INTERVAL_MS;
        expected.field("event")?.is(name(event))?;
        expected.field("weight")?.is(ramp.weight(&state, 0))?;
        expected.field("failed")?.is(state.failed)?;
    }
    Ok(())
}

/// A ramp of steps of this size up to at least `most`, each for one interval.
fn ramp(step: u32, most: u32, threshold: u32, interval_ms: u64) -> Ramp {
    let steps = (1..).map(|n: u32| Step { weight: n.saturating_mul(step.max(1)), hold_ms: interval_ms });
    let mut reached = false;
    let steps = steps.take_while(|step| !std::mem::replace(&mut reached, step.weight >= most));
    Ramp {
        steps: steps.collect(),
        interval_ms,
        start_ms: None,
        paused: false,
        demands: Demands::default(),
        max_failed: threshold,
        breaker: None,
    }
}

fn judgements(checks: &str) -> Option<Vec<Judgement>> {
    let judgement = |check| match check {
        'P' => Some(Judgement::Pass),
        'X' => Some(Judgement::Fail(Failed::Success)),
        _ => None,
    };
    checks.chars().map(judgement).collect()
}

fn name(event: Event) -> &'static str {
    match event {
        Event::Abort => "rollback",
        Event::Advance => "advance",
        Event::Halt => "halt",
        Event::None => "none",
        Event::Promote => "promote",
    }
}

fn argo(row: &Node<'_>) -> Result<(), Fault> {
    let params = row.field("params")?;
    let limit = |name: &str| params.optional(name)?.map(|node| node.number()).transpose();
    let (count, failures, successes) = (limit("count")?, limit("fl")?, limit("csl")?);
    let mut analysis = Analysis::new(count, failures.unwrap_or(0.0), successes);
    let measurements = row.field("measurements")?;
    let all = measurements
        .parsed(|text| text.bytes().all(|b| b"SFIE".contains(&b)).then(|| text.to_string()), "S, F, I, E")?;
    all.chars().for_each(|measurement| analysis.take(measurement));
    row.field("phase")?.is(analysis.phase())
}

fn formula(row: &Node<'_>) -> Result<(), Fault> {
    let interval_ms = row.field("interval_s")?.natural()?.saturating_mul(1000);
    if let Some(expected) = row.optional("min_promote_s")? {
        let ramp = ramp(row.field("stepWeight")?.count()?, row.field("maxWeight")?.count()?, 1, interval_ms);
        let intervals = ramp.steps.iter().map(|step| step.hold_ms.div_ceil(interval_ms).max(1)).sum::<u64>();
        return expected.is(intervals * interval_ms / 1000);
    }
    let ramp = ramp(1, 100, row.field("threshold")?.count()?, interval_ms);
    let (mut state, _) = ramp.check(ramp.fresh(), 0, Judgement::Inconclusive);
    let mut now_ms = 0;
    loop {
        now_ms += interval_ms;
        let (next, event) = ramp.check(state, now_ms, Judgement::Fail(Failed::Success));
        state = next;
        if event == Event::Abort {
            return row.field("rollback_s")?.is(now_ms / 1000);
        }
    }
}
