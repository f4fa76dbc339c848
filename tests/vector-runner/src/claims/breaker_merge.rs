//! Several workers that count by themselves and merge into one record.

use std::collections::HashMap;

use serde_json::{json, Map, Value};
use tidegate_policy::breaker::{decide, BreakerParams, Delta, Reason, Record};

use super::breaker::{calls, same, terms, DRAW};
use super::hex;
use crate::data::{Fault, Node};

/// One worker's counts, and counts of the file that they do not agree with yet.
#[derive(Default)]
struct Worker<'a> {
    delta: Option<Delta>,
    ahead: Vec<Node<'a>>,
}

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let cases = document.field("cases")?.items()?;
    cases.iter().try_for_each(case)?;
    Ok(cases.len())
}

fn case(case: &Node<'_>) -> Result<(), Fault> {
    let terms = terms(&case.field("config")?)?;
    let mut record = Record::new(&terms);
    let mut workers: HashMap<&str, Worker<'_>> = HashMap::new();
    let mut reason = None;
    for step in case.field("ops")?.items()? {
        let now_ms = step.field("t")?.natural()?;
        let worker = workers.entry(step.field("w")?.text()?).or_default();
        let op = step.field("op")?;
        match op.text()? {
            "flush" => {
                reason = worker.flush(&step, &mut record, &terms, now_ms)?.or(reason);
                let shared = step.field("shared")?;
                shared.field("reason")?.is(reason.map(Reason::word))?;
                same(&shared, &record, &terms, now_ms)?;
            }
            "rec" => worker.count(&step, &record, &terms, now_ms)?,
            _ => return Err(op.malformed("expected `flush` or `rec`".to_string())),
        }
    }
    for worker in workers.values() {
        worker.caught_up()?;
    }
    case.field("record_hex")?.is(hex(&record.encode()))
}

// === impl Worker ===

impl<'a> Worker<'a> {
    /// Counts the calls of `seq`, all of the generation in which counting began, and
    /// compares the counts.
    fn count(
        &mut self,
        step: &Node<'a>,
        record: &Record,
        terms: &BreakerParams,
        now_ms: u64,
    ) -> Result<(), Fault> {
        let delta = self.delta.get_or_insert_with(|| Delta::new(record.generation));
        for call in calls(&step.field("seq")?, terms, 0)? {
            delta.count(terms, now_ms, call.class, call.slow);
        }
        let expected = step.field("delta")?;
        expected.field("gen")?.is(delta.generation)?;
        expected.field("saw_success")?.is(delta.saw_success)?;
        expected.field("trailing_failures")?.is(delta.trailing_failures)?;
        let counts = expected.field("buckets")?;
        if counts.is(buckets(delta)).is_err() {
            self.ahead.push(counts);
        }
        Ok(())
    }

    /// Merges what was counted, and compares what was left out.
    fn flush(
        &mut self,
        step: &Node<'_>,
        record: &mut Record,
        terms: &BreakerParams,
        now_ms: u64,
    ) -> Result<Option<Reason>, Fault> {
        self.caught_up()?;
        self.ahead.clear();
        let delta = self.delta.take().unwrap_or_else(|| Delta::new(record.generation));
        let late = delta.generation != record.generation;
        let told = decide::merge(record, terms, &delta, now_ms, DRAW);
        let left = if late {
            json!({"discarded": told.left.discarded})
        } else {
            json!({"dropped": told.left.dropped})
        };
        step.field("result")?.is(left)?;
        Ok(told.reason)
    }

    /// Compares counts that the file lists too early: as they are when they are flushed.
    fn caught_up(&self) -> Result<(), Fault> {
        let counts = self.delta.as_ref().map_or_else(Value::default, buckets);
        self.ahead.iter().try_for_each(|expected| expected.is(counts.clone()))
    }
}

fn buckets(delta: &Delta) -> Value {
    let counts = delta.slots.iter().map(|slot| {
        let counts = slot.counts;
        (slot.epoch.to_string(), json!([counts.total, counts.failed, counts.slow]))
    });
    Value::Object(counts.collect::<Map<_, _>>())
}
