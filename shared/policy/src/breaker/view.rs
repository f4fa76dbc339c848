//! What a request shows of where it goes, each asked of the host at most once.

use alloc::vec::Vec;
use core::cell::OnceCell;

use crate::breaker::config::target::Target;
use crate::http::{steering, Attribute, Request};

/// A request with what was asked about it, each at most once.
pub(super) struct View<'a, R> {
    pub(super) request: &'a R,
    /// The cluster that an earlier filter of ours chose.
    chosen: Option<Vec<u8>>,
    /// Whether the host tells another route than the request will have.
    forged: OnceCell<bool>,
    cluster: OnceCell<Option<Vec<u8>>>,
    route: OnceCell<Option<Vec<u8>>>,
}

/// The request header that names a cluster to Envoy.
pub(super) enum ClusterHeader {
    Absent,
    /// Sent by the client, and to be removed; or one that looks like it was.
    Forged,
    /// Written by an earlier filter of ours.
    Ours(Vec<u8>),
}

// === impl View ===

impl<'a, R: Request> View<'a, R> {
    pub(super) fn new(request: &'a R, header: ClusterHeader) -> Self {
        let (chosen, forged) = match header {
            ClusterHeader::Ours(cluster) => (Some(cluster), OnceCell::new()),
            ClusterHeader::Absent => (None, OnceCell::new()),
            ClusterHeader::Forged => (None, OnceCell::from(true)),
        };
        Self { request, chosen, forged, cluster: OnceCell::new(), route: OnceCell::new() }
    }

    /// Whether a filter of ours takes away, or took away, a header by which the client may have
    /// chosen the route. Of an honest request the host has nothing to tell, which costs little.
    pub(super) fn is_forged(&self) -> bool {
        let asked = || steering::is_forged(self.request.attribute(Attribute::Steering));
        *self.forged.get_or_init(asked)
    }

    /// Whether it cannot be known if the request is for this target.
    pub(super) fn is_in_doubt(&self, target: &Target) -> bool {
        match target {
            Target::Cluster(_) => self.chosen.is_none() && self.is_forged(),
            Target::Route(_) => self.is_forged(),
            Target::Key(_) | Target::Endpoint(_) => false,
        }
    }

    /// The cluster that the request goes to: the one that an earlier filter of ours chose, else
    /// the one of its route.
    pub(super) fn cluster(&self) -> Option<&[u8]> {
        self.chosen.as_deref().or_else(|| self.told())
    }

    /// The cluster that it goes to if Envoy obeys no header.
    pub(super) fn origin(&self) -> &[u8] {
        self.told().unwrap_or_default()
    }

    /// The cluster of the route, as the host tells it.
    fn told(&self) -> Option<&[u8]> {
        self.cluster.get_or_init(|| self.request.attribute(Attribute::Cluster)).as_deref()
    }

    /// The name of the route.
    pub(super) fn route(&self) -> Option<&[u8]> {
        self.route.get_or_init(|| self.request.attribute(Attribute::Route)).as_deref()
    }
}
