//! When single endpoints are ejected, and for how long. Success rates, by which no policy ejects,
//! are compared with a model.

use tidegate_policy::balance::outlier::{ejection_time, may_eject, Runs, Trips};

use super::{lists, Row};
use crate::data::{Fault, Node};
use crate::models::{failure_percentage, success_rates};

/// Envoy's defaults, which the rows of `backoff` do not repeat.
const BASE_MS: u64 = 30_000;
const MAX_MS: u64 = 300_000;

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let all: [(&str, Row); 5] = [
        ("success_rate", success_rate),
        ("failure_percentage", failures),
        ("max_ejection_percent", cap),
        ("consecutive", consecutive),
        ("backoff", backoff),
    ];
    lists(document, &all)
}

fn success_rate(row: &Node<'_>) -> Result<(), Fault> {
    let rates = row.field("success_rates")?.items()?;
    let rates = rates.iter().map(Node::number).collect::<Result<Vec<_>, _>>()?;
    let got = success_rates(&rates, row.field("stdev_factor")?.number()?);
    row.field("mean")?.is_about(got.mean, 0.0)?;
    row.field("stdev")?.is_about(got.stdev, 0.0)?;
    row.field("threshold")?.is_about(got.threshold, 0.0)?;
    row.field("ejected")?.is(got.ejected)
}

fn failures(row: &Node<'_>) -> Result<(), Fault> {
    let (rate, threshold) = (row.field("success_rate")?.number()?, row.field("threshold")?.number()?);
    row.field("eject")?.is(failure_percentage(rate, threshold))
}

fn cap(row: &Node<'_>) -> Result<(), Fault> {
    let eject = may_eject(
        row.field("hosts")?.count()?,
        row.field("already_ejected")?.count()?,
        row.field("max_ejection_percent")?.count()?,
        row.field("always_eject_one_host")?.boolean()?,
    );
    row.field("eject")?.is(eject)
}

fn consecutive(row: &Node<'_>) -> Result<(), Fault> {
    let any_5xx = row.field("consecutive_5xx")?.count()?;
    let gateway = row.field("consecutive_gateway")?.count()?;
    let (codes, trips) = (row.field("codes")?.items()?, row.field("trips")?);
    let expected = trips.items()?;
    if codes.len() != expected.len() {
        return Err(trips.wrong(format!("{} answers", expected.len()), format!("{} codes", codes.len())));
    }
    let mut runs = Runs::default();
    for (code, expected) in codes.iter().zip(expected) {
        let trips = runs.take(code.count()?, any_5xx, gateway);
        let names = names(trips);
        // A code that ends both runs may have them in either order.
        let reversed: Vec<_> = names.iter().rev().copied().collect();
        expected.is(reversed).or_else(|_| expected.is(names))?;
    }
    Ok(())
}

fn names(trips: Trips) -> Vec<&'static str> {
    let names = [(trips.any_5xx, "5xx"), (trips.gateway, "gateway")];
    names.into_iter().filter(|(trips, _)| *trips).map(|(_, name)| name).collect()
}

fn backoff(row: &Node<'_>) -> Result<(), Fault> {
    let (multiplier, eject_ms) = ejection_time(row.field("ejection")?.count()?, BASE_MS, MAX_MS);
    row.field("multiplier")?.is(multiplier)?;
    row.field("eject_ms")?.is(eject_ms)
}
