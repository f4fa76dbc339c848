//! What one exchange carries from its request to its outcome: a ticket of each breaker that
//! admitted it, how far it has come, and the label for access logs.

use alloc::vec::Vec;

use super::misroutes::FellBack;
use crate::breaker::worker::context::Ticket;
use crate::http::Reached;

/// What to remember until the outcome.
#[derive(Debug, Default)]
pub struct Exchange {
    pub(super) started_ms: u64,
    /// When the request was complete, if it is.
    pub(super) completed_ms: Option<u64>,
    /// Nearly always there is one or none, which costs no allocation.
    pub(super) first: Option<Ticket>,
    pub(super) more: Vec<Ticket>,
    pub(super) grpc: bool,
    /// When the time is over that the client of a gRPC request gave it.
    pub(super) deadline_ms: Option<u64>,
    /// The headers of its response, once they came by.
    pub(super) answered: Option<Answered>,
    /// The number under which its probes wait for the end, if they do.
    pub(super) held: Option<u64>,
    /// For access logs: a breaker, and what it did.
    pub(super) label: Option<(usize, Label)>,
    /// Whether an earlier filter of ours chose the cluster, so that it is known.
    pub(super) chosen: bool,
    /// How it fell back, until it is known where it arrived.
    pub(super) fell_back: Option<FellBack>,
    /// A breaker that would not have let the request pass on another route.
    pub(super) evaded: Option<usize>,
}

/// The headers of a response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    pub(super) at_ms: u64,
    /// How long they took since the request was complete.
    pub(super) took_ms: u64,
    /// Whether they said that it failed.
    pub(super) failed: bool,
    /// Whether the gRPC status was not among them.
    pub(super) lacks_status: bool,
    /// Whether they said themselves that they begin a gRPC stream.
    pub(super) streams: bool,
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

    /// Takes out the ticket of one breaker.
    pub(super) fn take_of(&mut self, breaker: usize) -> Option<Ticket> {
        if self.first.is_some_and(|ticket| ticket.breaker == breaker) {
            return core::mem::replace(&mut self.first, self.more.pop());
        }
        let at = self.more.iter().position(|ticket| ticket.breaker == breaker)?;
        Some(self.more.swap_remove(at))
    }

    /// Takes all tickets out.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Ticket> {
        self.first.take().into_iter().chain(core::mem::take(&mut self.more))
    }

    /// How long it has taken at `now_ms` since its request was complete: nothing before.
    pub(super) fn took_ms(&self, now_ms: u64) -> u64 {
        self.completed_ms.map_or(0, |at_ms| now_ms.saturating_sub(at_ms))
    }

    /// How far it has come at `now_ms`.
    pub(super) fn reached(&self, now_ms: u64) -> Reached {
        let streams = self.answered.is_some_and(|answered| answered.streams);
        Reached {
            request_complete: streams || self.completed_ms.is_some(),
            response_began: self.answered.is_some(),
            deadline_passed: self.deadline_ms.is_some_and(|deadline_ms| now_ms >= deadline_ms),
            fresh_call: self.grpc && Reached::is_fresh(now_ms.saturating_sub(self.started_ms)),
        }
    }
}
