//! Weighted localities and zone aware routing.

use tidegate_policy::balance::zone::{effective, ZoneRouting, Zones};

use super::least_request::counts;
use super::lists;
use crate::data::{Fault, Node};

/// Envoy's default, which the rows do not repeat.
const OVERPROVISIONING: u32 = 140;

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    lists(document, &[("locality", locality), ("zone_aware", zone)])
}

/// Locality X is healthy in part, Y as a whole.
fn locality(row: &Node<'_>) -> Result<(), Fault> {
    let healthy = row.field("x_healthy_pct")?.count()?;
    let weight =
        |name, healthy| Ok(effective(row.field(name)?.count()?, healthy, 100, OVERPROVISIONING) as f64);
    let (x, y): (f64, f64) = (weight("weight_x", healthy)?, weight("weight_y", 100)?);
    let load = 100.0 * x / (x + y);
    row.field("load_x_pct")?.is_about(load, 0.0)?;
    row.field("documented")?.is(load.round() as u64)
}

fn zone(row: &Node<'_>) -> Result<(), Fault> {
    let zones = Zones::new(&counts(&row.field("local_hosts")?)?, &counts(&row.field("upstream_hosts")?)?);
    let expected = row.field("expect")?;
    expected.field("local_pct")?.is(zones.proxies)?;
    expected.field("upstream_pct")?.is(zones.endpoints)?;
    match zones.route {
        ZoneRouting::Direct => expected.field("mode")?.is("LocalityDirect"),
        ZoneRouting::Residual { local, cumulative } => {
            expected.field("mode")?.is("LocalityResidual")?;
            expected.field("local_percent_to_route_x100")?.is(local)?;
            expected.field("residual_capacity_cumulative")?.is(cumulative)
        }
    }
}
