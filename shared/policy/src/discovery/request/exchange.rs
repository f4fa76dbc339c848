//! What the filter remembers of one exchange between its callbacks.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::discovery::catalog::endpoint_stats::EndpointStats;
use crate::discovery::catalog::unavailable::Unavailable;
use crate::discovery::config::policy::{Service, Subset};
use crate::discovery::request::flight::Flight;
use crate::discovery::request::outcome::Outcome;
use crate::discovery::request::reply::RefusalReason;
use crate::discovery::request::ticket::Ticket;
use crate::host::Host;
use crate::time::{Span, Timestamp};

/// What to remember until the exchange is over: of a request, or of one attempt of it.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The request is in flight to an endpoint that the filter chose.
    pub(super) ticket: Option<Ticket>,
    /// The request waits for a first snapshot.
    pub(super) waiting: Option<PendingRequest>,
    /// The exchange is one attempt of such a request.
    pub(super) attempt: Option<Attempt>,
    /// When the endpoint was chosen.
    pub(super) started: Timestamp,
    /// When the request was complete, if it is.
    pub(super) completed: Option<Timestamp>,
    /// How the request was answered, when no placement sees its attempts.
    pub(super) answered: Option<Answered>,
    /// The endpoint for which the request was counted when it was sent, if it was.
    pub(super) counted: Option<Rc<EndpointStats>>,
    /// The endpoints of which an answer proves that they take connections again: they refused some when the
    /// request was sent.
    pub(super) proving: Vec<u64>,
    /// Whether the client speaks gRPC.
    pub(super) grpc: bool,
    /// The text for filter state and access logs: service, endpoint, ticket.
    pub(super) label: String,
}

/// What is known of a request that has no endpoint yet. While it waits, its headers cannot be read.
#[derive(Clone, Debug)]
pub(super) struct PendingRequest {
    /// The service, as its place in the configuration.
    pub(super) service: usize,
    /// The subset that the routing filter chose.
    pub(super) subset: Option<Rc<Subset>>,
    /// The hash of its key, when the choice is by hash.
    pub(super) hash: Option<u64>,
    /// Whether it may be sent again after bytes were sent.
    pub(super) repeatable: bool,
    /// Whether it has waited already.
    pub(super) held: bool,
}

/// How a request was answered.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    /// The endpoint that answered, if it is known.
    pub(super) endpoint: Option<Rc<EndpointStats>>,
    /// What the response's headers said.
    pub(super) outcome: Outcome,
    /// When they came: as good for what is learned of a good end as its own time, which costs a call.
    pub(super) at: Timestamp,
    /// How long they took, since the request was complete.
    pub(super) took: Span,
    /// Whether they were enough to judge the endpoint.
    pub(super) judged: bool,
}

/// One attempt in flight.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Its request.
    pub(super) flight: Rc<Flight>,
    /// Its endpoint.
    pub(super) endpoint: Rc<EndpointStats>,
    /// Whether the retry budget paid for it.
    pub(super) paid: bool,
    /// Whether an answer proves that its endpoint takes connections again.
    pub(super) proves: bool,
    /// When its request was complete, if it is.
    pub(super) completed: Option<Timestamp>,
    /// What was answered.
    pub(super) answered: Option<Answered>,
}

// === impl Answered ===

impl Answered {
    /// When an exchange ended that was answered so, as far as that matters.
    pub(super) fn ended(answered: Option<&Self>, complete: bool, host: &impl Host) -> Timestamp {
        let well = |answered: &&Self| complete && !answered.outcome.failed();
        answered.filter(well).map_or_else(|| host.now(), |answered| answered.at)
    }
}

// === impl PendingRequest ===

impl PendingRequest {
    /// Why there is no endpoint for it, where the table of its service has none left.
    pub(super) fn none_left(&self, params: &Service) -> RefusalReason {
        let own = &params.subset;
        if self.subset.is_some() || !(own.tags.is_empty() && own.metadata.is_empty()) {
            return RefusalReason::NoneInSubset;
        }
        RefusalReason::Unavailable(Unavailable::NoEndpoints)
    }
}

// === impl Attempt ===

impl Attempt {
    /// How long it has taken since its request was complete: nothing before.
    pub(super) fn took(&self, now: Timestamp) -> Span {
        self.completed.map_or(Span::ZERO, |at| now.since(at))
    }
}

// === impl Exchange ===

impl Exchange {
    /// The text for filter state and access logs; `None` when there is nothing to say.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        (!self.label.is_empty()).then_some(self.label.as_str())
    }

    /// How long the request has taken since it was complete and its endpoint chosen: nothing before.
    pub(super) fn took(&self, now: Timestamp) -> Span {
        self.completed.map_or(Span::ZERO, |at| now.since(at.max(self.started)))
    }
}
