//! What a breaker guards, and which fallbacks it has, as the configuration says.

use alloc::borrow::ToOwned;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt;

use super::fields;
use crate::config::{Field, Object};
use crate::http::{reply, Placement, ReplyPolicy};
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
    /// A route of the host's, by its name.
    Route(String),
    /// A service of the discovery filter, by its name.
    Service(String),
    /// A variant of the routing filter, as `<route>/<variant>`.
    Variant(String),
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

// === impl Target ===

impl Target {
    /// Reads `{"cluster": "checkout"}` and the like; `number` tells keys of one breaker from those
    /// of another.
    #[must_use]
    pub(super) fn read(object: &Object<'_>, number: u32) -> Option<Self> {
        let name = |field: &Field<str>| object.get(field).map(ToOwned::to_owned);
        if object.has(&fields::TARGET_KEY) {
            let parts = Part::read_all(&object.items(&fields::TARGET_KEY))?;
            return Some(Self::Key(Key::new(u16::try_from(number & 0xffff).unwrap_or(0), parts)));
        }
        None.or_else(|| name(&fields::TARGET_CLUSTER).map(Self::Cluster))
            .or_else(|| name(&fields::TARGET_ENDPOINT).map(Self::Endpoint))
            .or_else(|| name(&fields::TARGET_ROUTE).map(Self::Route))
            .or_else(|| name(&fields::TARGET_SERVICE).map(Self::Service))
            .or_else(|| name(&fields::TARGET_VARIANT).map(Self::Variant))
    }

    /// Where the host has to put the filter for it.
    #[must_use]
    pub fn placement(&self) -> Placement {
        match self {
            Self::Endpoint(_) => Placement::Attempt,
            Self::Cluster(_) | Self::Key(_) | Self::Route(_) | Self::Service(_) | Self::Variant(_) => {
                Placement::Downstream
            }
        }
    }

    /// Whether it is the cluster of this name.
    pub(super) fn is_cluster(&self, name: &str) -> bool {
        matches!(self, Self::Cluster(cluster) if cluster == name)
    }

    /// Whether it is the cluster of this name, as the host tells it.
    #[must_use]
    pub fn is_cluster_of(&self, name: &[u8]) -> bool {
        matches!(self, Self::Cluster(cluster) if cluster.as_bytes() == name)
    }

    /// Whether the route of a request says if it is the request's.
    #[must_use]
    pub fn is_by_route(&self) -> bool {
        matches!(self, Self::Cluster(_) | Self::Route(_))
    }

    /// Whether filters of ours say if it is the request's, whatever the route of the host is.
    #[must_use]
    pub fn is_by_choice(&self) -> bool {
        matches!(self, Self::Service(_) | Self::Variant(_))
    }

    /// Whether what it guards shows only at run time.
    #[must_use]
    pub fn is_many(&self) -> bool {
        matches!(self, Self::Endpoint(_) | Self::Key(_))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(name) => write!(f, "cluster {name}"),
            Self::Endpoint(name) => write!(f, "each endpoint of cluster {name}"),
            Self::Key(_) => f.write_str("a key"),
            Self::Route(name) => write!(f, "route {name}"),
            Self::Service(name) => write!(f, "service {name}"),
            Self::Variant(name) => write!(f, "variant {name}"),
        }
    }
}

// === impl Fallback ===

impl Fallback {
    /// Reads one. The breaker of a cluster is found later, when all breakers are known.
    #[must_use]
    pub(super) fn read(object: &Object<'_>) -> Option<Self> {
        if let Some(name) = object.get(&fields::FALLBACK_CLUSTER) {
            return Some(Self::Cluster { name: name.into(), breaker: usize::MAX });
        }
        let reply = object.has(&fields::FALLBACK_REPLY).then(|| object.inner(&fields::FALLBACK_REPLY))??;
        ReplyPolicy::read(&reply, &fields::FALLBACK_STATUS, &reply::GRPC_STATUS).map(Self::Reply)
    }
}
