//! The index of Consul's blocking queries, and how fast they may follow each other.

use tidegate_policy::discovery::registry::consul::{next, Step};
use tidegate_policy::time::{Span, Timestamp};
use tidegate_policy::watch::pace::Pace;

use crate::data::{Fault, Node};

/// How long each answer of `rate_limit` takes.
const ANSWER: Span = Span::from_millis(100);

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let cases = document.field("cases")?.items()?;
    cases.iter().try_for_each(case)?;
    let sent = document.field("rate_limit")?.field("query_sent_at_s")?.items()?;
    let mut pace = Pace::default();
    let mut now = Timestamp::ZERO;
    for expected in &sent {
        let (after, at) = pace.next(now, false);
        expected.is_about(at.as_millis() as f64 / 1000.0, 1e-9)?;
        (pace, now) = (after, at.plus(ANSWER));
    }
    Ok(cases.len() + sent.len())
}

fn case(case: &Node<'_>) -> Result<(), Fault> {
    let header = case.field("header")?;
    let answered = if header.is_null() { None } else { Some(header.natural()?) };
    let got = next(case.field("prev")?.natural()?, answered);
    let expect = case.field("expect")?;
    expect.field("next_index")?.is(got.index)?;
    expect.field("changed")?.is(got.step != Step::Same)?;
    expect.field("why")?.is(match got.step {
        Step::Backward => "went backwards: restart",
        Step::Forward | Step::Same => "",
        Step::Missing => "no header: fall back to plain polling",
        Step::Zero => "must be >0: use 1",
    })
}
