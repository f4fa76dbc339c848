//! The variants of a route: where they are, what they weigh, how they ramp.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::ramp::Ramp;

/// One variant of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name in headers, metrics and logs.
    pub name: Rc<str>,
    /// Where it is.
    pub target: Target,
    /// Its part of the sum of all weights.
    pub weight: u32,
    /// The most that it may ever weigh: the size of its territory.
    pub max_weight: Option<u32>,
    /// How its weight changes.
    pub ramp: Option<Ramp>,
    /// Whether it was named the one that takes what the others leave.
    pub baseline: bool,
}

/// Where requests of a variant go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a cluster of Envoy.
    Cluster(Rc<str>),
    /// To a discovered service, perhaps only to some of its endpoints.
    Service {
        /// Its name in the registry.
        name: String,
        /// A tag that its endpoints must have.
        tag: Option<String>,
        /// Metadata that its endpoints must have.
        metadata: Vec<(String, String)>,
    },
    /// Nowhere: they are answered with this status, as a backend that is not there is
    /// answered with 500 by the Gateway API.
    Status(u32),
}

// === impl Variant ===

impl Variant {
    /// The most that it is configured to weigh at any time.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.ramp.as_ref().map_or(self.weight, |ramp| ramp.most().max(self.weight))
    }
}
