//! What a breaker guards, and which fallbacks it has, as the configuration says.

use alloc::borrow::ToOwned;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::config::Reader;
use crate::http::matcher::collect;
use crate::http::{Placement, ReplyPolicy};
use crate::key::{Key, Part};

/// What a breaker guards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A cluster, by its name.
    Cluster(String),
    /// Each endpoint of a cluster, where the filter runs for each attempt.
    Endpoint(String),
    /// Whatever has one key in common.
    Key(Key),
    /// A route, by its name.
    Route(String),
}

/// What becomes of a request that a breaker refuses.
#[derive(Clone, Debug, PartialEq)]
pub enum Fallback {
    /// It goes to another cluster, if the breaker at this index admits it.
    Cluster {
        /// The cluster.
        name: Rc<str>,
        /// Its breaker: one that the configuration has for it, or one of its own.
        breaker: usize,
    },
    /// It is answered with this.
    Reply(ReplyPolicy),
}

/// Longest name of a cluster or route.
const MAX_NAME: usize = 256;

// === impl Target ===

impl Target {
    /// Reads `{"cluster": "checkout"}` and the like; `number` tells keys of one breaker from those
    /// of another.
    #[must_use]
    pub fn read(reader: &Reader<'_>, number: u32) -> Option<Self> {
        let (kind, value) = reader.tagged(&["cluster", "endpoint", "key", "route"])?;
        match kind {
            "cluster" => value.text(MAX_NAME).map(|name| Self::Cluster(name.to_owned())),
            "endpoint" => value.text(MAX_NAME).map(|name| Self::Endpoint(name.to_owned())),
            "route" => value.text(MAX_NAME).map(|name| Self::Route(name.to_owned())),
            _ => {
                let parts = value.items(1..=8, "key parts")?;
                let parts = parts.iter().map(Part::read).fold(Some(Vec::new()), collect)?;
                Some(Self::Key(Key::new(u16::try_from(number & 0xffff).unwrap_or(0), parts)))
            }
        }
    }

    /// Where the host has to put the filter for it.
    #[must_use]
    pub fn placement(&self) -> Placement {
        match self {
            Self::Endpoint(_) => Placement::Attempt,
            Self::Cluster(_) | Self::Key(_) | Self::Route(_) => Placement::Downstream,
        }
    }

    /// Whether what it guards shows only at run time.
    #[must_use]
    pub fn is_many(&self) -> bool {
        matches!(self, Self::Endpoint(_) | Self::Key(_))
    }
}

// === impl Fallback ===

impl Fallback {
    /// Reads one. The breaker of a cluster is found later, when all breakers are known.
    #[must_use]
    pub fn read(reader: &Reader<'_>, default: &ReplyPolicy) -> Option<Self> {
        let (kind, value) = reader.tagged(&["cluster", "reply"])?;
        if kind == "cluster" {
            let name = value.text(MAX_NAME)?.into();
            return Some(Self::Cluster { name, breaker: usize::MAX });
        }
        ReplyPolicy::read(&value, default, 200..=599).map(Self::Reply)
    }
}
