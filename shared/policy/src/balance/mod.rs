//! Which endpoint of a service gets a request.
//!
//! ```text
//!  members ─► subset ─► Pool ─► level ─► zone ─► turn, draw or hash ─► endpoint
//!             which?            priority,  near?   the algorithm
//!                               panic
//! ```
//!
//! A [`Pool`] is made once for the members of a snapshot, or a subset of them. All that depends on
//! who is ejected is worked out when that changes ([`Pool::refresh`]), not when a request
//! comes: a pick looks at a few members whether there are three or a thousand. The exception is
//! [`Algorithm::Rendezvous`], which looks at all of a level and is meant for 64 at most.
//!
//! What each worker knows of an endpoint is its [`Load`], shared by all pools that have it.
//! Priorities, panic and overprovisioning ([`level`]), zones ([`zone`]), slow start and least
//! request ([`weight`]), [`maglev`], [`ring`] and [`bounded`] loads are Envoy's, in its integers
//! where it has integers; peak-EWMA ([`ewma`]) is Finagle's.

pub mod bounded;
mod deadlines;
pub mod ewma;
mod group;
pub mod last_resort;
pub mod level;
pub mod load;
pub mod maglev;
pub mod outlier;
mod pool;
pub mod ring;
pub mod score;
pub mod subset;
mod table;
mod tier;
pub mod weight;
pub mod zone;

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::time::{Span, Timestamp};

pub use last_resort::LastResort;
pub use load::{Load, ServiceLoad};
pub use pool::{Pool, Turns};
pub use score::Logistic;
pub use weight::SlowStart;
pub use zone::ZoneAware;

/// What a pool must know of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `address:port`, what consistent hashes are made of. Unique among the members of a pool.
    pub key: Rc<str>,
    /// 1 to 65,535; a larger weight is as the largest, 0 as 1.
    pub weight: u32,
    /// Its zone; empty when unknown.
    pub zone: Rc<str>,
    /// Its level: those of the lowest number go first. Gaps between numbers do not matter.
    pub priority: u8,
    /// Whether it should only serve when those in full health are too few.
    pub degraded: bool,
    /// Since when it is there and healthy, for slow start.
    pub since: Timestamp,
}

/// How a service balances.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Who is picked among equals.
    pub algorithm: Algorithm,
    /// For round robin, least request and weighted random; the others have none.
    pub slow_start: Option<SlowStart>,
    /// Whether proxies prefer their own zone. Consistent hashing does not: a key has one endpoint.
    pub zone_aware: Option<ZoneAware>,
    /// Weights of zones, which then go before `zone_aware`. A zone that is not listed has none.
    /// Empty: zones have no weights.
    pub zone_weights: Vec<(Rc<str>, u32)>,
    /// A level with a smaller part available may panic, in percent: then it uses its ejected members, too,
    /// but none that its registry or a refused connection speaks against. Default 50; 0 never.
    pub panic_threshold_percent: u32,
    /// How much of its traffic a level can still take, in percent of its healthy part. Default 140.
    pub overprovisioning_factor: u32,
}

/// Who is picked among equals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Algorithm {
    /// Of some chosen at random, the one with the fewest requests in flight. With unequal weights
    /// or in a slow start, turns by `weight / (active + 1)^bias`, as in Envoy.
    LeastRequest {
        /// How many are compared, 2 to 16. Default 2.
        choice_count: u32,
        /// How much requests in flight count against a weight, 0 or more. Default 1.
        bias: f64,
    },
    /// Turns by weight and recent health.
    Logistic(Logistic),
    /// A table that maps hashes to members: a read for a pick.
    Maglev {
        /// Slots, a prime number up to 5,000,011. Default 65,537, for up to about 650 members.
        table_size: u32,
        /// Requests that a member may have, in percent of its part of all that are in flight to
        /// the service: 100 or more, usually 125 to 150. `None`: any number.
        hash_balance_factor: Option<u32>,
    },
    /// Of two chosen at random by weight, the one with the lower peak-EWMA latency times requests
    /// in flight. Its decay is that of [`ServiceLoad`].
    PeakEwma,
    /// Anyone, whatever the weights.
    Random,
    /// The best score by hash, for at most about 64 members: the score of a member is
    /// `weight / −ln u`, u being the upper 53 bits of XXH64 over the request's hash (8 bytes, little end
    /// first) with XXH64 of the member's key as the seed.
    Rendezvous,
    /// A hash ring, as Envoy's.
    RingHash {
        /// Least number of entries. Default 1024; a ring has 131,072 at most.
        minimum_ring_size: u32,
        /// As for Maglev.
        hash_balance_factor: Option<u32>,
    },
    /// Turns by weight.
    RoundRobin,
    /// Anyone, by weight.
    WeightedRandom,
}

/// What there is to pick from.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The members of a snapshot.
    pub members: &'a [Member],
    /// What this worker knows of each, by the same index.
    pub loads: &'a [Rc<Load>],
    /// The instant.
    pub now: Timestamp,
}

/// What is known of the request.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// 64 random bits.
    pub draw: u64,
    /// XXH64 of the request's key; without one consistent hashing uses `draw`.
    pub hash: Option<u64>,
    /// Members that the request has already: it is given another. Turns are not used up by a
    /// request that has some, so that a choice of runner-ups does not disturb the shares.
    pub taken: &'a [u32],
}

/// A heavier member is as heavy as this.
const MAX_WEIGHT: u32 = 65_535;

// === impl Member ===

impl Member {
    fn weight(&self) -> u32 {
        self.weight.clamp(1, MAX_WEIGHT)
    }
}

// === impl Policy ===

impl Policy {
    /// A policy with this algorithm and Envoy's defaults: no slow start, no zones.
    #[must_use]
    pub const fn new(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            slow_start: None,
            zone_aware: None,
            zone_weights: Vec::new(),
            panic_threshold_percent: 50,
            overprovisioning_factor: 140,
        }
    }

    /// When the slow start of a member is over; before `now` when there is none.
    fn warm_at(&self, view: &View<'_>, index: u32) -> Timestamp {
        match (&self.slow_start, self.algorithm.starts_slowly()) {
            (Some(slow), true) => view.ready_since(index).plus(slow.window),
            _ => Timestamp::ZERO,
        }
    }

    /// The part of its weight that a member has, 0 to 1.
    fn warmth(&self, view: &View<'_>, index: u32) -> f64 {
        match (&self.slow_start, self.algorithm.starts_slowly()) {
            (Some(slow), true) => slow.factor(view.now.since(view.ready_since(index))),
            _ => 1.0,
        }
    }

    /// The weight that a member has at its turn, in 10,000ths.
    fn turn_weight(&self, view: &View<'_>, index: u32) -> u64 {
        let load = view.load(index);
        let factor = match &self.algorithm {
            Algorithm::LeastRequest { bias, .. } => weight::least_request(1.0, view.active(index), *bias),
            Algorithm::Logistic(logistic) => {
                let score = load.map_or(weight::ONE, |load| load.score(view.now, logistic));
                f64::from(score) / f64::from(weight::ONE)
            }
            _ => 1.0,
        };
        weight::scaled(view.weight(index), factor * self.warmth(view, index))
    }
}

// === impl Algorithm ===

impl Algorithm {
    /// Whether the request's hash decides.
    #[must_use]
    pub const fn hashes(&self) -> bool {
        matches!(self, Self::Maglev { .. } | Self::Rendezvous | Self::RingHash { .. })
    }

    const fn starts_slowly(&self) -> bool {
        matches!(self, Self::LeastRequest { .. } | Self::RoundRobin | Self::WeightedRandom)
    }

    const fn balance_factor(&self) -> Option<u32> {
        match self {
            Self::Maglev { hash_balance_factor, .. } | Self::RingHash { hash_balance_factor, .. } => {
                *hash_balance_factor
            }
            _ => None,
        }
    }
}

// === impl View ===

impl<'a> View<'a> {
    fn member(&self, index: u32) -> Option<&'a Member> {
        self.members.get(index as usize)
    }

    fn load(&self, index: u32) -> Option<&'a Load> {
        self.loads.get(index as usize).map(|load| &**load)
    }

    fn weight(&self, index: u32) -> u32 {
        self.member(index).map_or(1, Member::weight)
    }

    fn last_resort(&self, index: u32) -> Option<LastResort> {
        self.load(index).and_then(Load::last_resort)
    }

    fn usable(&self, index: u32) -> bool {
        self.last_resort(index).is_none()
    }

    fn ready_since(&self, index: u32) -> Timestamp {
        let since = self.member(index).map_or(Timestamp::ZERO, |member| member.since);
        self.load(index).map_or(since, |load| since.max(load.readmitted()))
    }

    fn active(&self, index: u32) -> u32 {
        self.load(index).map_or(0, Load::active)
    }
}

/// A span of ten seconds: Finagle's and Envoy's decay of peak-EWMA.
pub const DEFAULT_DECAY: Span = Span::from_secs(10);
