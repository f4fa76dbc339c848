//! The response's side of the filter: what an outcome says, and to whom.

use core::cell::OnceCell;

use super::classify::{Class, Outcome};
use super::entry::Ticket;
use super::exchange::{count, Exchange};
use super::metrics::What;
use super::stage::CircuitBreaker;
use crate::host::Host;
use crate::http::{Attribute, Placement, Response, ResponseExt};
use crate::time::Timestamp;

/// HTTP status, and gRPC status when the exchange is gRPC.
pub(super) type Status = (u32, Option<u32>);

/// Why a response is what it is: details and flags.
pub(super) type Why = (alloc::vec::Vec<u8>, u64);

// === impl CircuitBreaker ===

impl CircuitBreaker {
    /// Takes the outcome of an exchange that was answered.
    pub(super) fn settle(
        &self,
        exchange: &mut Exchange,
        took_ms: u64,
        status: Status,
        response: &impl Response,
        now: Timestamp,
        host: &impl Host,
    ) {
        let why = OnceCell::new();
        for ticket in exchange.take() {
            let class = if self.is_plain(&ticket, status) {
                self.judge(ticket.breaker, status)
            } else {
                self.class_of(ticket.breaker, why.get_or_init(|| why_of(response)), status)
            };
            self.tell(ticket, class, took_ms, response, now, host);
        }
    }

    /// Takes the outcome of an exchange that ended, classified for each breaker by `class`.
    pub(super) fn settle_as(
        &self,
        exchange: &mut Exchange,
        took_ms: u64,
        class: impl Fn(usize) -> Class,
        end: &impl Response,
        now: Timestamp,
        host: &impl Host,
    ) {
        for ticket in exchange.take() {
            self.tell(ticket, class(ticket.breaker), took_ms, end, now, host);
        }
    }

    /// What an attempt says that ended without an answer: that there was no connection, that it
    /// was waited for longer than a slow call takes, or nothing, since whoever waited may have left.
    pub(super) fn unanswered(&self, at: usize, lasted_ms: u64, end: &impl Response) -> Class {
        let slow = self.policy.breakers.get(at).is_some_and(|breaker| breaker.terms.is_slow(lasted_ms));
        if slow || end.attribute(Attribute::TransportFailure).is_some_and(|why| !why.is_empty()) {
            Class::Failure
        } else {
            Class::Ignored
        }
    }

    pub(super) fn class_of(&self, at: usize, why: &Why, (status, grpc_status): Status) -> Class {
        let outcome = Outcome { status, grpc_status, details: &why.0, flags: why.1 };
        self.policy.breakers.get(at).map_or(Class::Ignored, |breaker| breaker.rules.classify(&outcome))
    }

    fn judge(&self, at: usize, (status, grpc_status): Status) -> Class {
        let breakers = &self.policy.breakers;
        breakers.get(at).map_or(Class::Ignored, |breaker| breaker.rules.judge(status, grpc_status))
    }

    /// Whether the status alone says enough. An attempt's responses are the endpoint's own. Elsewhere
    /// a filter may have answered in place of the upstream, and why is known for the price of two more
    /// questions to the host; a success of a target that is not failing is not worth them.
    fn is_plain(&self, ticket: &Ticket, (status, grpc_status): Status) -> bool {
        let well = matches!(status, 200..=399)
            && self.judge(ticket.breaker, (status, grpc_status)) == Class::Success
            && grpc_status.unwrap_or(0) == 0;
        let troubled = || self.shards.get(ticket.breaker).is_none_or(|shard| shard.is_troubled(ticket));
        self.placement == Placement::Attempt || (well && !troubled())
    }

    fn tell(
        &self,
        ticket: Ticket,
        class: Class,
        took_ms: u64,
        response: &impl Response,
        now: Timestamp,
        host: &impl Host,
    ) {
        let at = ticket.breaker;
        let Some((breaker, shard)) = self.policy.breakers.get(at).zip(self.shards.get(at)) else { return };
        let cx = self.context(breaker, at, now, host);
        let hosts = || response.number(Attribute::Endpoints);
        if shard.settle(&cx, ticket, class, breaker.terms.is_slow(took_ms), hosts).is_err() {
            count(host, at, What::Undecided);
        }
    }
}

pub(super) fn why_of(response: &impl Response) -> Why {
    (response.attribute(Attribute::Details).unwrap_or_default(), response.number(Attribute::Flags))
}
