//! Least request: Envoy's weight, and the choice between two.

use tidegate_policy::balance::weight::{least_request, sides};

use super::lists;
use super::wrr::weights;
use crate::data::{Fault, Node};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    lists(document, &[("effective", effective), ("p2c", choice)])
}

fn effective(row: &Node<'_>) -> Result<(), Fault> {
    let (weights, active) = (weights(row)?, counts(&row.field("active")?)?);
    let bias = row.field("bias")?.number()?;
    let expected = row.field("effective")?.items()?;
    if weights.len() != active.len() || weights.len() != expected.len() {
        return Err(row.malformed("lists of different lengths".to_string()));
    }
    let mut best = (f64::NEG_INFINITY, 0);
    for (index, expected) in expected.iter().enumerate() {
        let got = least_request(f64::from(weights[index]), active[index], bias);
        // Nine decimals are given.
        expected.is_about(got, 1e-9)?;
        if got > best.0 {
            best = (got, index);
        }
    }
    row.field("better")?.is(best.1)
}

fn choice(row: &Node<'_>) -> Result<(), Fault> {
    let (weights, active) = (counts(&row.field("w")?)?, counts(&row.field("active")?)?);
    let (&[first, second], &[busy, other]) = (&weights[..], &active[..]) else {
        return Err(row.malformed("expected two candidates".to_string()));
    };
    let (ours, theirs) = sides((busy, first), (other, second));
    row.field("lhs")?.is(ours)?;
    row.field("rhs")?.is(theirs)?;
    row.field("pick")?.is(u32::from(ours > theirs))
}

/// A list of counts.
pub(super) fn counts(list: &Node<'_>) -> Result<Vec<u32>, Fault> {
    list.items()?.iter().map(Node::count).collect()
}
