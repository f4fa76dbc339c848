//! Bounded loads: how many requests a host may have.

use tidegate_policy::balance::bounded::{overloaded, slots};

use super::least_request::counts;
use super::lists;
use crate::data::{Fault, Node};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    lists(document, &[("cases", case)])
}

fn case(case: &Node<'_>) -> Result<(), Fault> {
    let active = counts(&case.field("active")?)?;
    let factor = case.field("hash_balance_factor")?.count()?;
    let weights = case.field("weights")?;
    let weights = weights.items()?.iter().map(millionths).collect::<Result<Vec<_>, _>>()?;
    let total = weights.iter().map(|weight| u64::from(*weight)).sum();
    let all = active.iter().sum();
    let slots: Vec<u64> = weights.iter().map(|weight| slots(all, factor, *weight, total)).collect();
    let over: Vec<bool> =
        active.iter().zip(&slots).map(|(active, slots)| overloaded(*active, *slots)).collect();
    case.field("slots")?.is(slots)?;
    case.field("overloaded")?.is(over)
}

/// Weights are parts of all, with six decimals.
fn millionths(node: &Node<'_>) -> Result<u32, Fault> {
    let number = (node.number()? * 1e6).round();
    if (1.0..=1e6).contains(&number) {
        Ok(number as u32)
    } else {
        Err(node.malformed("out of range, expected 0.000001 to 1".to_string()))
    }
}
