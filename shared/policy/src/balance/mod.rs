//! Stand-in.

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::time::Span;

/// How a service balances.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Who is picked among equals.
    pub algorithm: Algorithm,
    /// Slow start.
    pub slow_start: Option<SlowStart>,
    /// Zones.
    pub zone_aware: Option<ZoneAware>,
    /// Weights of zones.
    pub zone_weights: Vec<(Rc<str>, u32)>,
    /// Panic.
    pub panic_threshold_percent: u32,
    /// Overprovisioning.
    pub overprovisioning_factor: u32,
}

/// Slow start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// How long it takes.
    pub window: Span,
    /// How the share grows.
    pub aggression: f64,
    /// The share to begin with.
    pub min_weight_percent: u32,
}

/// Zones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneAware {
    /// Least endpoints.
    pub min_cluster_size: u32,
    /// Requests.
    pub routing_enabled_percent: u32,
    /// Proxies.
    pub proxies: Vec<(Rc<str>, u32)>,
}

/// Logistic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logistic {
    /// θ.
    pub midpoint: f64,
    /// k.
    pub steepness: f64,
    /// Latency.
    pub target: Span,
}

/// Who is picked among equals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Algorithm {
    /// Least request.
    LeastRequest {
        /// How many.
        choice_count: u32,
        /// Bias.
        bias: f64,
    },
    /// Logistic.
    Logistic(Logistic),
    /// Maglev.
    Maglev {
        /// Slots.
        table_size: u32,
        /// Bound.
        hash_balance_factor: Option<u32>,
    },
    /// Peak-EWMA.
    PeakEwma,
    /// Random.
    Random,
    /// Rendezvous.
    Rendezvous,
    /// Ring.
    RingHash {
        /// Entries.
        minimum_ring_size: u32,
        /// Bound.
        hash_balance_factor: Option<u32>,
    },
    /// Turns.
    RoundRobin,
    /// By weight.
    WeightedRandom,
}
