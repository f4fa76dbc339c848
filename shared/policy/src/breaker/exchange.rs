//! What one exchange carries from its request to its outcome.

use alloc::vec::Vec;
use core::cell::OnceCell;

use super::metrics::{self, BreakerMetric};
use crate::breaker::worker::entry::Ticket;
use crate::host::Host;
use crate::http::{Attribute, Request};

/// What to remember until the outcome.
#[derive(Debug, Default)]
pub struct Exchange {
    pub(super) started_ms: u64,
    /// Nearly always there is one or none.
    pub(super) first: Option<Ticket>,
    pub(super) more: Vec<Ticket>,
    pub(super) grpc: bool,
    /// How long the response headers of a gRPC exchange took whose status is in the trailers.
    pub(super) took_ms: Option<u64>,
    /// Under which number its probes wait for their status, if they do.
    pub(super) held: Option<u64>,
    pub(super) label: Option<(usize, Label)>,
}

/// What became of a request, for access logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Fallback,
    Observed,
    Probe,
    Refused,
    Undecided,
}

/// A request with what was asked about it.
pub(super) struct View<'a, R> {
    pub(super) request: &'a R,
    /// The cluster that an earlier filter of ours chose.
    pub(super) chosen: Option<Vec<u8>>,
    pub(super) cluster: OnceCell<Option<Vec<u8>>>,
    pub(super) route: OnceCell<Option<Vec<u8>>>,
}

// === impl Exchange ===

impl Exchange {
    pub(super) fn keep(&mut self, ticket: Ticket) {
        match self.first {
            None => self.first = Some(ticket),
            Some(_) => self.more.push(ticket),
        }
        if ticket.probe {
            self.label = Some((ticket.breaker, Label::Probe));
        }
    }

    /// The tickets of probes, which are gone then.
    pub(super) fn take_probes(&mut self) -> Vec<Ticket> {
        let probes = self.more.iter().chain(&self.first).filter(|ticket| ticket.probe).copied().collect();
        self.more.retain(|ticket| !ticket.probe);
        if self.first.is_some_and(|ticket| ticket.probe) {
            self.first = self.more.pop();
        }
        probes
    }

    /// The tickets, which are gone then.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Ticket> {
        self.took_ms = None;
        self.first.take().into_iter().chain(core::mem::take(&mut self.more))
    }
}

// === impl View ===

impl<'a, R: Request> View<'a, R> {
    pub(super) fn new(request: &'a R, chosen: Option<Vec<u8>>) -> Self {
        Self { request, chosen, cluster: OnceCell::new(), route: OnceCell::new() }
    }

    /// The cluster that the request goes to: the one that an earlier filter of ours chose, else
    /// the one of its route.
    pub(super) fn cluster(&self) -> Option<&[u8]> {
        let asked = || self.request.attribute(Attribute::Cluster);
        self.chosen.as_deref().or_else(|| self.cluster.get_or_init(asked).as_deref())
    }

    /// The name of the route.
    pub(super) fn route(&self) -> Option<&[u8]> {
        self.route.get_or_init(|| self.request.attribute(Attribute::Route)).as_deref()
    }
}

pub(super) fn count(host: &impl Host, at: usize, what: BreakerMetric) {
    host.add(metrics::index(at, what), 1);
}
