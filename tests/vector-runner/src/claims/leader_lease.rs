//! One fetcher among workers.

use tidegate_policy::time::{Span, Timestamp};
use tidegate_policy::watch::lease::Lease;

use super::suffix;
use crate::data::{Fault, Node};

const TTL: Span = Span::from_secs(3);
const TAG: u64 = 7;

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let steps = document.field("steps")?.items()?;
    let mut cell = Lease::default().encode();
    for step in &steps {
        let now = Timestamp::ZERO.plus(Span::from_millis(step.field("t_ms")?.natural()?));
        let worker = step.field("worker")?.parsed(|name| suffix(name, "w"), "a worker's name, w1")?;
        let release = step.field("op")?.parsed(
            |op| match op {
                "release" => Some(true),
                "try" => Some(false),
                _ => None,
            },
            "try or release",
        )?;
        let lease = Lease::decode(&cell);
        let next = if release { lease.release(worker, now) } else { lease.take(worker, TAG, now, TTL) };
        step.field("ok")?.is(next.is_some())?;
        let lease = next.unwrap_or(lease);
        step.field("holder")?.is(format!("w{}", lease.holder))?;
        step.field("expires")?.is(lease.expires_ms)?;
        step.field("term")?.is(lease.term)?;
        cell = lease.encode();
    }
    Ok(steps.len())
}
