//! The response's side of the filter: what an outcome says, and to whom.

use core::cell::OnceCell;

use super::exchange::{count, Exchange};
use super::metrics::BreakerMetric;
use super::request::endpoint;
use super::stage::CircuitBreaker;
use crate::breaker::config::target::Target;
use crate::breaker::worker::entry::Ticket;
use crate::host::Host;
use crate::http::classify::{Class, Outcome};
use crate::http::{Attribute, Placement, Response, ResponseExt};
use crate::time::Timestamp;

/// Envoy's flags for a connection lost, a stream reset by the endpoint, and an answer that did not
/// come in time.
const BROKEN_OFF: u64 = (1 << 6) | (1 << 4) | (1 << 2);

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

    /// Lets probes pass whose streams have been up for long.
    pub(super) fn pass_long_streams(&self, now: Timestamp, host: &impl Host) {
        let params = |at: usize| self.policy.breakers.get(at).map(|breaker| breaker.params);
        for (ticket, took_ms) in self.waiting.long(now.as_millis(), params) {
            let at = ticket.breaker;
            let Some((breaker, local)) = self.policy.breakers.get(at).zip(self.locals.get(at)) else {
                continue;
            };
            let (cx, slow) = (self.context(breaker, at, now, host), breaker.params.is_slow(took_ms));
            if local.settle(&cx, ticket, Class::Success, slow, &|| 0).is_err() {
                count(host, at, BreakerMetric::Undecided);
            }
        }
    }

    /// Blames the endpoint for an exchange that it broke off. Where attempts are seen, such an end
    /// looks like that of one whose caller left; here, behind the last attempt, the reason is known.
    #[inline(never)]
    pub(super) fn blame(&self, started_ms: u64, response: &impl Response, now: Timestamp, host: &impl Host) {
        let took_ms = now.as_millis().saturating_sub(started_ms);
        let cluster = response.attribute(Attribute::Cluster);
        let (Some(cluster), true) = (cluster, response.number(Attribute::Flags) & BROKEN_OFF != 0) else {
            return;
        };
        let Some(address) = response.attribute(Attribute::Endpoint) else { return };
        let target = endpoint(self.secret, &address);
        for (at, breaker) in self.policy.breakers.iter().enumerate() {
            let is_its = matches!(&breaker.target, Target::Endpoint(name) if name.as_bytes() == cluster);
            if !is_its {
                continue;
            }
            let Some(local) = self.locals.get(at) else { continue };
            match local.late_ticket(&self.context(breaker, at, now, host), target, started_ms) {
                Ok(ticket) => self.tell(ticket, Class::Failure, took_ms, response, now, host),
                Err(_) => count(host, at, BreakerMetric::Undecided),
            }
        }
    }

    /// What an exchange says that ended without a response that came by here: that the upstream
    /// failed, if Envoy says so, or nothing, since the client may have left.
    pub(super) fn unseen(&self, at: usize, why: &Why) -> Class {
        match self.class_of(at, why, (0, None)) {
            Class::Failure => Class::Failure,
            Class::Ignored | Class::Success | Class::Throttled => Class::Ignored,
        }
    }

    /// What an attempt says that ended without an answer: that there was no connection, or nothing,
    /// since whoever waited may have left.
    pub(super) fn unanswered(end: &impl Response) -> Class {
        if end.attribute(Attribute::TransportFailure).is_some_and(|why| !why.is_empty()) {
            Class::Failure
        } else {
            Class::Ignored
        }
    }

    #[inline(never)]
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
        let troubled = || self.locals.get(ticket.breaker).is_none_or(|local| local.is_troubled(ticket));
        self.placement == Placement::Attempt || (well && !troubled())
    }

    #[inline(never)]
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
        let Some((breaker, local)) = self.policy.breakers.get(at).zip(self.locals.get(at)) else { return };
        let cx = self.context(breaker, at, now, host);
        let hosts = || response.number(Attribute::Endpoints);
        if local.settle(&cx, ticket, class, breaker.params.is_slow(took_ms), &hosts).is_err() {
            count(host, at, BreakerMetric::Undecided);
        }
    }
}

pub(super) fn why_of(response: &impl Response) -> Why {
    (response.attribute(Attribute::Details).unwrap_or_default(), response.number(Attribute::Flags))
}
