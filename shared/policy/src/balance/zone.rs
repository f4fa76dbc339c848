//! Keeping traffic in the zone of the proxy, as far as that is fair.
//!
//! Envoy's zone aware routing. When a zone has at least as large a part of the endpoints as of
//! the proxies, its proxies stay there. Otherwise they send there what it can take, and the rest
//! where there are more endpoints than proxies, in proportion. Parts are in 10,000ths.

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::split::{below, derive};

/// Zone aware routing within the first priority level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneAware {
    /// With fewer healthy endpoints zones do not matter. Default 6.
    pub min_cluster_size: u32,
    /// The part of requests for which zones matter, in percent. Default 100.
    pub routing_enabled_percent: u32,
    /// How many proxies are in each zone. Empty: as many in each.
    pub proxies: Vec<(Rc<str>, u32)>,
}

/// How traffic of the zone with index 0 spreads over all zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zones {
    /// The part of the proxies in each.
    pub proxies: Vec<u32>,
    /// The part of the endpoints in each.
    pub endpoints: Vec<u32>,
    /// What follows.
    pub route: ZoneRouting,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneRouting {
    /// All of them to the local zone.
    Direct,
    /// Some to the local zone.
    Residual {
        /// So many 10,000ths.
        local: u32,
        /// The others by what each zone can take, added up.
        cumulative: Vec<u64>,
    },
}

// === impl ZoneAware ===

impl Default for ZoneAware {
    fn default() -> Self {
        Self { min_cluster_size: 6, routing_enabled_percent: 100, proxies: Vec::new() }
    }
}

// === impl Zones ===

impl Zones {
    /// Plans for as many proxies and healthy endpoints in each zone, the local one being first.
    #[must_use]
    pub fn new(proxies: &[u32], endpoints: &[u32]) -> Self {
        let (proxies, endpoints) = (parts(proxies), parts(endpoints));
        let first = |parts: &[u32]| parts.first().copied().unwrap_or(0);
        let (ours, theirs) = (first(&proxies), first(&endpoints));
        if theirs > 0 && theirs >= ours {
            return Self { proxies, endpoints, route: ZoneRouting::Direct };
        }
        let local = theirs.saturating_mul(10_000).checked_div(ours).unwrap_or(0);
        let mut sum = 0_u64;
        let mut room = |(index, (ours, theirs)): (usize, (&u32, &u32))| {
            let room = if index == 0 { 0 } else { theirs.saturating_sub(*ours) };
            sum = sum.saturating_add(room.into());
            sum
        };
        let cumulative = proxies.iter().zip(&endpoints).enumerate().map(&mut room).collect();
        Self { proxies, endpoints, route: ZoneRouting::Residual { local, cumulative } }
    }
}

// === impl ZoneRouting ===

impl ZoneRouting {
    /// By weights alone, whatever the zone of the proxy; `None` when no zone has one.
    pub(super) fn weighted(weights: impl Iterator<Item = u64>) -> Option<Self> {
        let mut sum = 0_u64;
        let add = |weight| {
            sum = sum.saturating_add(weight);
            sum
        };
        let cumulative: Vec<u64> = weights.map(add).collect();
        (sum > 0).then_some(Self::Residual { local: 0, cumulative })
    }

    /// The zone of a request with this draw.
    #[must_use]
    pub fn zone(&self, draw: u64) -> usize {
        let Self::Residual { local, cumulative } = self else { return 0 };
        if below(draw, 10_000) < u64::from(*local) {
            return 0;
        }
        let rest = derive(draw, 1);
        let room = cumulative.last().copied().unwrap_or(0);
        if room == 0 {
            // Rounding left nothing.
            return usize::try_from(below(rest, cumulative.len() as u64)).unwrap_or(0);
        }
        let point = below(rest, room);
        cumulative.iter().position(|sum| point < *sum).unwrap_or(0)
    }
}

/// Envoy's effective weight of a zone: its `weight` times what of it is available,
/// overprovisioned and at most all, in 10,000ths.
#[must_use]
pub fn effective(weight: u32, available: u32, total: u32, overprovisioning: u32) -> u64 {
    let part = u64::from(overprovisioning).saturating_mul(100).saturating_mul(available.into());
    part.checked_div(total.into()).unwrap_or(0).min(10_000).saturating_mul(weight.into())
}

fn parts(counts: &[u32]) -> Vec<u32> {
    let sum = counts.iter().fold(0_u64, |sum, count| sum.saturating_add(u64::from(*count)));
    let part = |count: &u32| {
        let part = u64::from(*count).saturating_mul(10_000).checked_div(sum).unwrap_or(0);
        u32::try_from(part).unwrap_or(0)
    };
    counts.iter().map(part).collect()
}
