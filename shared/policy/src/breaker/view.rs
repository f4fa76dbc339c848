//! What a request shows of where it goes, each asked of the host at most once.

use alloc::vec::Vec;
use core::cell::OnceCell;

use crate::breaker::config::target::Target;
use crate::http::choice::{Choice, Discovered};
use crate::http::{steering, Attribute, Request};

/// A request with what was asked about it, each at most once.
pub(super) struct View<'a, R> {
    pub(super) request: &'a R,
    header: ClusterHeader,
    /// Whether the host tells another route than the request will have.
    forged: OnceCell<bool>,
    cluster: OnceCell<Option<Vec<u8>>>,
    route: OnceCell<Option<Vec<u8>>>,
    chosen: OnceCell<Option<Vec<u8>>>,
    discovered: OnceCell<Option<Vec<u8>>>,
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
    /// A request of whose header nothing is known yet.
    pub(super) fn new(request: &'a R) -> Self {
        Self {
            request,
            header: ClusterHeader::Absent,
            forged: OnceCell::new(),
            cluster: OnceCell::new(),
            route: OnceCell::new(),
            chosen: OnceCell::new(),
            discovered: OnceCell::new(),
        }
    }

    /// Takes what the header that names a cluster is.
    pub(super) fn set_header(&mut self, header: ClusterHeader) {
        if matches!(header, ClusterHeader::Forged) {
            self.forged = OnceCell::from(true);
        }
        self.header = header;
    }

    /// Whether an earlier filter of ours chose the cluster, so that it is known.
    pub(super) fn knows_cluster(&self) -> bool {
        matches!(self.header, ClusterHeader::Ours(_))
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
            Target::Cluster(_) => !self.knows_cluster() && self.is_forged(),
            Target::Route(_) => self.is_forged(),
            Target::Key(_) | Target::Endpoint(_) | Target::Service(_) | Target::Variant(_) => false,
        }
    }

    /// The cluster that the request goes to: the one that an earlier filter of ours chose, else
    /// the one of its route.
    pub(super) fn cluster(&self) -> Option<&[u8]> {
        match &self.header {
            ClusterHeader::Ours(cluster) => Some(cluster),
            ClusterHeader::Absent | ClusterHeader::Forged => self.told(),
        }
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

    /// What the routing filter chose.
    pub(super) fn choice(&self) -> Option<Choice<'_>> {
        let text = self.chosen.get_or_init(|| self.request.attribute(Attribute::Chosen));
        text.as_deref().and_then(Choice::read)
    }

    /// Whether the routing filter chose this variant, `<route>/<variant>`.
    pub(super) fn is_of_variant(&self, name: &str) -> bool {
        let chosen = self.choice().and_then(Choice::variant);
        let own = name.split_once('/').map(|(route, variant)| (route.as_bytes(), variant.as_bytes()));
        own.is_some() && chosen == own
    }

    /// The service that the request is for: the one that the discovery filter chose, or will choose, as
    /// far as it has said so; else the one that the routing filter chose for it.
    pub(super) fn service(&self) -> Option<&[u8]> {
        let text = self.discovered.get_or_init(|| self.request.attribute(Attribute::Discovered));
        if let Some(text) = text {
            return Discovered::read(text).service();
        }
        // A filter that chooses a cluster sets the header.
        self.choice().filter(|_| !self.knows_cluster())?.service()
    }
}
