//! Peak-EWMA latency and cost.

use tidegate_policy::balance::ewma::PeakEwma;
use tidegate_policy::balance::DEFAULT_DECAY;
use tidegate_policy::time::{Span, Timestamp};

use crate::data::{Fault, Node};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let (mut latency, mut pending) = (PeakEwma::default(), 0_u32);
    let steps = document.field("steps")?.items()?;
    for step in &steps {
        let (rtt, load) = (step.field("rtt_ms")?, step.field("load")?);
        let now = Timestamp::ZERO.plus(Span::from_millis(step.field("t_ms")?.natural()?));
        match step.field("op")?.text()? {
            "end" => {
                latency.take(now, rtt.number()?, DEFAULT_DECAY);
                pending = pending.saturating_sub(1);
            }
            "load" => load.is_about(latency.cost(now, pending, DEFAULT_DECAY), 0.0)?,
            "start" => pending += 1,
            _ => return Err(step.malformed("expected an op of end, load, start".to_string())),
        }
        // What a step does not have is null.
        let has = |op| step.field("op").and_then(|field| field.text()).map(|text| text == op);
        for (field, op) in [(&rtt, "end"), (&load, "load")] {
            if has(op)? == field.is_null() {
                return Err(field.malformed(format!("expected a number in {op} and null elsewhere")));
            }
        }
        step.field("ewma")?.is_about(latency.millis(), 0.0)?;
        step.field("pending")?.is(pending)?;
    }
    Ok(steps.len())
}
