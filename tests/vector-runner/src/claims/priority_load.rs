//! Priority levels, overprovisioning and panic.

use tidegate_policy::balance::level::{Health, Level, Loads, Spread};

use super::least_request::counts;
use super::lists;
use crate::data::{Fault, Node};

/// Envoy's defaults, which the rows do not repeat.
const OVERPROVISIONING: u32 = 140;
const THRESHOLD: u32 = 50;

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let rows = lists(document, &[("rows", row), ("distribute_only", distribute), ("select", select)])?;
    let spread = Spread::new(&[Level { total: 10, ..Level::default() }; 2], OVERPROVISIONING, 0);
    same(&document.field("panic_disabled")?, &spread)?;
    Ok(rows + 1)
}

fn row(row: &Node<'_>) -> Result<(), Fault> {
    let mut levels = Vec::new();
    for level in row.field("levels")?.items()? {
        levels.push(Level {
            healthy: level.field("healthy")?.count()?,
            degraded: level.field("degraded")?.count()?,
            total: level.field("total")?.count()?,
            excluded: level.field("excluded")?.count()?,
            down: 0,
        });
    }
    let spread = Spread::new(&levels, OVERPROVISIONING, THRESHOLD);
    let expected = row.field("expect")?;
    same(&expected, &spread)?;
    expected.field("pre_panic_healthy_load")?.is(spread.before.healthy.clone())?;
    documented(row, &spread.loads)
}

fn same(expected: &Node<'_>, spread: &Spread) -> Result<(), Fault> {
    expected.field("health")?.is(spread.health.clone())?;
    expected.field("degraded")?.is(spread.degraded.clone())?;
    expected.field("normalized")?.is(spread.normalized)?;
    expected.field("healthy_load")?.is(spread.loads.healthy.clone())?;
    expected.field("degraded_load")?.is(spread.loads.degraded.clone())?;
    expected.field("panic")?.is(spread.panic.clone())?;
    expected.field("total_panic")?.is(spread.total_panic)
}

/// What Envoy's documentation says of a row: nothing, a sentence, or loads, which may be rounded
/// otherwise but add up to 100.
fn documented(row: &Node<'_>, loads: &Loads) -> Result<(), Fault> {
    let (documented, matches) = (row.field("documented")?, row.field("matches_doc")?);
    if matches.is_null() {
        if documented.is_null() {
            return Ok(());
        }
        let parts = [("healthy", &loads.healthy), ("degraded", &loads.degraded)];
        let parts = parts.map(|(name, loads)| (name, loads.iter().sum::<u32>()));
        let text: Vec<String> =
            parts.iter().filter(|(_, load)| *load > 0).map(|(name, load)| format!("{name} {load}")).collect();
        return documented.is(text.join(" "));
    }
    let theirs = counts(&documented)?;
    matches.is(theirs == loads.healthy)?;
    if theirs.len() == loads.healthy.len() && theirs.iter().sum::<u32>() == 100 {
        Ok(())
    } else {
        Err(documented.malformed("expected a load for each level, 100 together".to_string()))
    }
}

fn distribute(row: &Node<'_>) -> Result<(), Fault> {
    let (health, degraded) = (counts(&row.field("health")?)?, counts(&row.field("degraded")?)?);
    let sum: u32 = health.iter().chain(&degraded).sum();
    row.field("normalized")?.is(sum.min(100))?;
    let loads = Loads::new(&health, &degraded, sum.min(100));
    row.field("healthy_load")?.is(loads.healthy)?;
    row.field("degraded_load")?.is(loads.degraded)
}

fn select(row: &Node<'_>) -> Result<(), Fault> {
    let healthy = counts(&row.field("healthy_load")?)?;
    let degraded = counts(&row.field("degraded_load")?)?;
    if healthy.iter().chain(&degraded).sum::<u32>() != 100 {
        return Err(row.malformed("expected loads of 100 together".to_string()));
    }
    let (level, health) = Loads { healthy, degraded }.at(row.field("hash_mod_100")?.count()?);
    let health = match health {
        Health::Degraded => "degraded",
        Health::Healthy => "healthy",
    };
    row.field("pick")?.is(serde_json::json!([health, level]))
}
