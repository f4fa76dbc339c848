//! What one exchange carries from its request to its outcome: a ticket of each breaker that
//! admitted it, and the label for access logs.

use alloc::vec::Vec;

use crate::breaker::worker::context::Ticket;

/// What to remember until the outcome.
#[derive(Debug, Default)]
pub struct Exchange {
    pub(super) started_ms: u64,
    /// Nearly always there is one or none, which costs no allocation.
    pub(super) first: Option<Ticket>,
    pub(super) more: Vec<Ticket>,
    pub(super) grpc: bool,
    /// How long the response headers of a gRPC exchange took whose status is in the trailers.
    pub(super) took_ms: Option<u64>,
    /// The number under which its probes wait for their status, if they do.
    pub(super) held: Option<u64>,
    /// For access logs: a breaker, and what it did.
    pub(super) label: Option<(usize, Label)>,
}

/// What a breaker did with a request, for access logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Fallback,
    Observed,
    Probe,
    Refused,
    Undecided,
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

    /// Takes the tickets of probes out.
    pub(super) fn take_probes(&mut self) -> Vec<Ticket> {
        let probes = self.more.iter().chain(&self.first).filter(|ticket| ticket.probe).copied().collect();
        self.more.retain(|ticket| !ticket.probe);
        if self.first.is_some_and(|ticket| ticket.probe) {
            self.first = self.more.pop();
        }
        probes
    }

    /// Takes all tickets out.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Ticket> {
        self.took_ms = None;
        self.first.take().into_iter().chain(core::mem::take(&mut self.more))
    }
}
