//! Single buckets, as the reference counts and as redis-cell prints.

use std::num::NonZeroU32;

use serde_json::Value;
use tidegate_policy::gcra::{Bucket, Decision, Rate};
use tidegate_policy::time::{Span, Timestamp};

use super::{count, rate};
use crate::data::{Fault, Node};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let cases = document.field("cases")?.items()?;
    cases.iter().try_for_each(case)?;
    let cells = document.field("redis_cell")?.items()?;
    cells.iter().try_for_each(redis_cell)?;
    Ok(cases.len() + cells.len())
}

fn case(case: &Node<'_>) -> Result<(), Fault> {
    let rate = rate(case)?;
    let mut bucket = Bucket::FULL;
    for step in case.field("steps")?.items()? {
        let now = Timestamp::from_nanos(step.field("now_ns")?.natural()?);
        let cost = step.field("cost")?.natural()?;
        step.field("tat_before")?.is(bucket.instant().as_nanos())?;
        let (allow, retry_after) = charge(rate, &mut bucket, now, cost);
        step.field("allow")?.is(allow)?;
        step.field("tat_after")?.is(bucket.instant().as_nanos())?;
        step.field("remaining")?.is(rate.remaining(bucket, now))?;
        step.field("retry_after_ns")?.is(retry_after.map(Span::as_nanos))?;
        step.field("next_unit_ns")?.is(rate.next_unit(bucket, now).as_nanos())?;
        step.field("reset_after_ns")?.is(rate.reset_after(bucket, now).as_nanos())?;
    }
    Ok(())
}

/// `CL.THROTTLE key max_burst count period quantity`: whether it is limited, the limit,
/// what remains, and the seconds until a retry and until the reset, rounded up.
fn redis_cell(cell: &Node<'_>) -> Result<(), Fault> {
    let max_burst: u32 = cell.field("max_burst")?.count()?;
    let limit = count(&cell.field("count")?)?;
    let period = Span::from_secs(cell.field("period")?.natural()?);
    let burst = NonZeroU32::MIN.checked_add(max_burst);
    let rate = burst.and_then(|burst| Rate::new(limit, period, burst));
    let rate = rate.ok_or_else(|| cell.malformed("max_burst, count and period make no rate".to_string()))?;
    let mut bucket = Bucket::FULL;
    for step in cell.field("steps")?.items()? {
        let now = Timestamp::from_nanos(step.field("now_ns")?.natural()?);
        let (allow, retry_after) = charge(rate, &mut bucket, now, step.field("quantity")?.natural()?);
        let retry_after = retry_after.filter(|_| !allow);
        let reply: [Value; 5] = [
            u8::from(!allow).into(),
            rate.burst().get().into(),
            rate.remaining(bucket, now).into(),
            retry_after.map_or(Value::from(-1), |wait| wait.ceil_secs().into()),
            rate.reset_after(bucket, now).ceil_secs().into(),
        ];
        step.field("reply")?.is(reply.to_vec())?;
    }
    Ok(())
}

/// Whether the request passes, and how long it has to wait; `None` when it never passes.
fn charge(rate: Rate, bucket: &mut Bucket, now: Timestamp, cost: u64) -> (bool, Option<Span>) {
    match rate.decide(*bucket, now, cost) {
        Decision::Admit { next } => {
            *bucket = next;
            (true, Some(Span::ZERO))
        }
        Decision::Refuse { retry_after } => (false, retry_after),
    }
}
