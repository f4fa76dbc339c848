//! How much of the traffic each priority level gets, in Envoy's integers.
//!
//! A level with a few endpoints less still takes all of its traffic: its health is 140 % of its
//! healthy part, at most 100. What the first level cannot take goes to the next, then to
//! degraded endpoints. When all levels together have a health below 100, a level with less than
//! half of its endpoints available balances over all it has, ejected or not: that is a panic,
//! and better than to bury the few that are left. When all panic, traffic goes by head count.
//! Endpoints that are down by other witnesses than their failures have no say in a panic.

use alloc::vec::Vec;

/// The endpoints of a level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// In full health.
    pub healthy: u32,
    /// Better than nothing.
    pub degraded: u32,
    /// All that there are.
    pub total: u32,
    /// Of these, how many do not count for its health.
    pub excluded: u32,
    /// Of these, how many a panic does not bring back: their registry calls them critical, or they refuse
    /// connections.
    pub down: u32,
}

/// Which endpoints of a level are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Those that are degraded.
    Degraded,
    /// Those in full health.
    Healthy,
}

/// The part of each level, in percent: by level, the first being tried first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loads {
    /// For healthy endpoints.
    pub healthy: Vec<u32>,
    /// For degraded ones.
    pub degraded: Vec<u32>,
}

/// How traffic spreads over the levels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// The health of each level: 0 to 100.
    pub health: Vec<u32>,
    /// What its degraded endpoints add: 0 to 100.
    pub degraded: Vec<u32>,
    /// The sum of both, at most 100.
    pub normalized: u32,
    /// The part of each level if none panicked.
    pub before: Loads,
    /// The part of each level.
    pub loads: Loads,
    /// Which levels balance over all of their endpoints.
    pub panic: Vec<bool>,
    /// Whether all do.
    pub total_panic: bool,
}

// === impl Spread ===

impl Spread {
    /// Spreads traffic over `levels`. Factor and threshold are in percent, Envoy's defaults being
    /// 140 and 50; a threshold of 0 turns panics off.
    #[must_use]
    pub fn new(levels: &[Level], overprovisioning: u32, panic_threshold: u32) -> Self {
        let part = |of: u32, level: &Level| {
            let counted = level.total.saturating_sub(level.excluded);
            let part = u64::from(overprovisioning).saturating_mul(of.into());
            let part = part.checked_div(counted.into()).unwrap_or(0).min(100);
            u32::try_from(part).unwrap_or(100)
        };
        let health: Vec<u32> = levels.iter().map(|level| part(level.healthy, level)).collect();
        let degraded: Vec<u32> = levels.iter().map(|level| part(level.degraded, level)).collect();
        let normalized = sum(&health).saturating_add(sum(&degraded)).min(100);
        let before = Loads::new(&health, &degraded, normalized);
        let threshold = u64::from(panic_threshold.min(100));
        let panics = |level: &Level| {
            let counted = u64::from(level.total.saturating_sub(level.excluded).saturating_sub(level.down));
            let available = u64::from(level.healthy).saturating_add(level.degraded.into());
            let few = available.saturating_mul(100) < counted.saturating_mul(threshold);
            normalized < 100 && (few || (counted == 0 && threshold > 0))
        };
        let panic: Vec<bool> = levels.iter().map(panics).collect();
        let total_panic = !panic.is_empty() && panic.iter().all(|panic| *panic);
        let mut loads = if total_panic { Loads::by_count(levels) } else { before.clone() };
        if sum(&loads.healthy).saturating_add(sum(&loads.degraded)) == 0 {
            // The first level takes it, although it has no endpoint.
            add(&mut loads.healthy, 0, 100);
        }
        Self { health, degraded, normalized, before, loads, panic, total_panic }
    }
}

// === impl Loads ===

impl Loads {
    /// Distributes 100 % by health, `normalized` being what all of it adds up to. What rounding
    /// left over goes to the first level that can take anything.
    #[must_use]
    pub fn new(health: &[u32], degraded: &[u32], normalized: u32) -> Self {
        let mut left = 100_u32;
        let mut share = |parts: &[u32]| -> Vec<u32> {
            let mut share = |part: &u32| {
                let load = part.saturating_mul(100).checked_div(normalized).unwrap_or(0).min(left);
                left = left.saturating_sub(load);
                load
            };
            parts.iter().map(&mut share).collect()
        };
        let mut loads = Self { healthy: share(health), degraded: share(degraded) };
        let first = |parts: &[u32]| parts.iter().position(|part| *part > 0);
        if let Some(first) = first(health) {
            add(&mut loads.healthy, first, left);
        } else if let Some(first) = first(degraded) {
            add(&mut loads.degraded, first, left);
        }
        loads
    }

    /// Where `percent` of 0 to 99 falls: healthy endpoints first, level by level, then degraded.
    #[must_use]
    pub fn at(&self, percent: u32) -> (usize, Health) {
        let mut below = 0_u32;
        for (loads, health) in [(&self.healthy, Health::Healthy), (&self.degraded, Health::Degraded)] {
            for (level, load) in loads.iter().enumerate() {
                below = below.saturating_add(*load);
                if percent < below {
                    return (level, health);
                }
            }
        }
        (0, Health::Healthy)
    }

    fn by_count(levels: &[Level]) -> Self {
        let all = levels.iter().fold(0_u64, |sum, level| sum.saturating_add(level.total.into()));
        let share = |level: &Level| {
            let share = u64::from(level.total).saturating_mul(100).checked_div(all).unwrap_or(0);
            u32::try_from(share).unwrap_or(100)
        };
        let mut healthy: Vec<u32> = levels.iter().map(share).collect();
        let left = 100_u32.saturating_sub(sum(&healthy));
        let first = levels.iter().position(|level| level.total > 0).unwrap_or(0);
        add(&mut healthy, first, left);
        Self { degraded: alloc::vec![0; healthy.len()], healthy }
    }
}

fn sum(parts: &[u32]) -> u32 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
}

fn add(parts: &mut [u32], index: usize, more: u32) {
    if let Some(part) = parts.get_mut(index) {
        *part = part.saturating_add(more);
    }
}
