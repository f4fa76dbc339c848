//! One breaker through all its states, as a single worker that tells each outcome at once.

use std::collections::HashMap;

use serde_json::json;
use tidegate_policy::breaker::{decide, transition, Admission, BreakerParams, Delta, Record};
use tidegate_policy::http::classify::Class;

use super::breaker::{calls, same, state, terms, Call, DRAW};
use crate::data::{Fault, Node};

/// The only worker, and the record that others would share with it.
struct Worker {
    terms: BreakerParams,
    record: Record,
}

/// A request that was let through.
#[derive(Clone, Copy)]
struct Pass {
    generation: u32,
    probe: bool,
}

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let cases = document.field("cases")?.items()?;
    cases.iter().try_for_each(case)?;
    Ok(cases.len())
}

fn case(case: &Node<'_>) -> Result<(), Fault> {
    let terms = terms(&case.field("config")?)?;
    let mut worker = Worker { record: Record::new(&terms), terms };
    let mut passed = HashMap::new();
    for event in case.field("events")?.items()? {
        let now_ms = event.field("t")?.natural()?;
        let expected = event.field("expect")?;
        let op = event.field("op")?;
        match op.text()? {
            "admit" => {
                let pass = worker.admission(&expected, now_ms)?;
                if let (Some(id), Some(pass)) = (event.optional("id")?, pass) {
                    passed.insert(id.text()?, pass);
                }
            }
            "burst" => expected.is(worker.burst(&event, now_ms)?)?,
            "done" => {
                let id = event.field("id")?;
                let pass = passed.remove(id.text()?);
                let pass =
                    pass.ok_or_else(|| id.malformed("nothing of this name was admitted".to_string()))?;
                let class = event.field("res")?.parsed(class, "`failure`, `ignored` or `success`")?;
                let slow = worker.terms.is_slow(event.field("ms")?.natural()?);
                expected.is(worker.tell(pass, Call { class, slow }, now_ms))?;
            }
            "force" => {
                transition::force(&mut worker.record, state(&event.field("to")?)?, now_ms);
                expected.is("ok")?;
            }
            _ => return Err(op.malformed("expected `admit`, `burst`, `done` or `force`".to_string())),
        }
        same(&event.field("after")?, &worker.record, &worker.terms, now_ms)?;
    }
    Ok(())
}

fn class(result: &str) -> Option<Class> {
    Some(match result {
        "failure" => Class::Failure,
        "ignored" => Class::Ignored,
        "success" => Class::Success,
        _ => return None,
    })
}

// === impl Worker ===

impl Worker {
    /// Asks for one request and compares the answer. A probe is marked, no other is.
    fn admission(&mut self, expected: &Node<'_>, now_ms: u64) -> Result<Option<Pass>, Fault> {
        let (admission, _) = decide::admit(&mut self.record, &self.terms, false, now_ms, DRAW);
        match admission {
            Admission::Admit { generation, probe: true } => {
                expected.is(json!({"allow": true, "gen": generation, "probe": true}))?;
                Ok(Some(Pass { generation, probe: true }))
            }
            Admission::Admit { generation, probe: false } => {
                expected.is(json!({"allow": true, "gen": generation}))?;
                Ok(Some(Pass { generation, probe: false }))
            }
            Admission::Refuse { retry_after_ms } => {
                expected.is(json!({"allow": false, "retry_after_ms": retry_after_ms}))?;
                Ok(None)
            }
        }
    }

    /// Sends the calls of `seq`, one after the other; what became of the last.
    fn burst(&mut self, event: &Node<'_>, now_ms: u64) -> Result<&'static str, Fault> {
        let ms = event.optional("ms")?.map_or(Ok(0), |ms| ms.natural())?;
        let mut last = "";
        for call in calls(&event.field("seq")?, &self.terms, ms)? {
            last = match decide::admit(&mut self.record, &self.terms, false, now_ms, DRAW).0 {
                Admission::Admit { generation, probe } => self.tell(Pass { generation, probe }, call, now_ms),
                Admission::Refuse { .. } => "rejected",
            };
        }
        Ok(last)
    }

    /// Tells the outcome of a request at once; what became of it.
    fn tell(&mut self, pass: Pass, call: Call, now_ms: u64) -> &'static str {
        let Pass { generation, probe } = pass;
        let late = generation != self.record.generation;
        if probe {
            let told = decide::probed(
                &mut self.record,
                &self.terms,
                decide::Probe { generation, upload: false },
                call.class,
                call.slow,
                now_ms,
                DRAW,
            );
            return if told.is_some() { "recorded" } else { "stale" };
        }
        let mut delta = Delta::new(generation);
        delta.count(&self.terms, now_ms, call.class, call.slow);
        let left = decide::merge(&mut self.record, &self.terms, &delta, now_ms, DRAW).left;
        match (left.dropped, left.discarded) {
            // An ignored outcome leaves nothing that could be discarded.
            (0, 0) if late && call.class == Class::Ignored => "stale",
            (0, 0) => "recorded",
            (_, 0) => "dropped",
            _ => "stale",
        }
    }
}
