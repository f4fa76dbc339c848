//! How an exchange ended, as each breaker counts it: a success, a failure, throttling, or nothing.
//!
//! The headers of a response decide, unless the exchange is gRPC, whose status may come with the
//! trailers. An exchange that ends without a response says that the upstream failed only if Envoy
//! says so, since the client may have left.

use super::breakers::{count, Breakers};
use super::config::Breaker;
use super::exchange::Exchange;
use super::metrics::BreakerMetric;
use crate::breaker::config::target::Target;
use crate::breaker::worker::context::Ticket;
use crate::host::Host;
use crate::http::classify::Class;
use crate::http::{Attribute, Completion, Ending, Placement, Response, ResponseExt};
use crate::time::Timestamp;

/// Envoy's flags for a connection lost, a stream reset by the endpoint, and an answer that did not
/// come in time.
const BROKEN_OFF: u64 = (1 << 6) | (1 << 4) | (1 << 2);

/// Settles the tickets of one exchange by what the host shows of its response or end.
pub(super) struct Settlement<'a, R, H> {
    breakers: &'a Breakers,
    response: &'a R,
    now: Timestamp,
    host: &'a H,
}

// === impl Settlement ===

impl<'a, R: Response, H: Host> Settlement<'a, R, H> {
    pub(super) fn new(breakers: &'a Breakers, response: &'a R, host: &'a H) -> Self {
        Self { breakers, response, now: host.now(), host }
    }

    /// Takes the headers of a response. Probes of a gRPC exchange whose status is still to come wait
    /// for it.
    pub(super) fn on_response(&self, exchange: &mut Exchange) {
        let took_ms = self.since(exchange.started_ms);
        let completion = Completion::of_headers(self.response, exchange.grpc);
        let failed = completion.as_ref().is_some_and(|completion| completion.status >= 500);
        if self.breakers.blames && (failed || exchange.grpc) {
            self.blame(exchange.started_ms);
        }
        match completion {
            Some(completion) => self.settle(exchange, took_ms, &completion),
            None => {
                exchange.took_ms = Some(took_ms);
                self.breakers.waiting.hold(exchange, took_ms, self.now.as_millis());
            }
        }
    }

    /// Takes the trailers of a gRPC exchange whose headers took `took_ms`.
    pub(super) fn on_trailers(&self, exchange: &mut Exchange, took_ms: u64) {
        let Some(completion) = Completion::of_trailers(self.response) else { return };
        self.breakers.waiting.recall(exchange);
        self.settle(exchange, took_ms, &completion);
    }

    /// Takes the end of an exchange that was not settled before.
    pub(super) fn on_end(&self, exchange: &mut Exchange, ending: Ending) {
        if ending == Ending::NeverSent {
            return self.breakers.give_back(exchange, self.now, self.host);
        }
        if let Some(took_ms) = exchange.took_ms {
            let completion = Completion::of_end(self.response, 200);
            return self.each(exchange, took_ms, |_, breaker| classify(breaker, &completion));
        }
        let lasted_ms = self.since(exchange.started_ms);
        if self.breakers.placement == Placement::Attempt {
            return self.each(exchange, lasted_ms, |_, _| self.unanswered());
        }
        let completion = Completion::of_end(self.response, 0);
        self.each(exchange, lasted_ms, |_, breaker| match classify(breaker, &completion) {
            Class::Failure => Class::Failure,
            Class::Ignored | Class::Success | Class::Throttled => Class::Ignored,
        });
    }

    fn settle(&self, exchange: &mut Exchange, took_ms: u64, completion: &Completion<'_, R>) {
        self.each(exchange, took_ms, |ticket, breaker| {
            let plain = breaker.rules.judge(completion.status, completion.grpc_status);
            if self.is_plain(ticket, completion, plain) {
                plain
            } else {
                classify(breaker, completion)
            }
        });
    }

    /// Settles each ticket of an exchange by the class that `class` finds.
    fn each(&self, exchange: &mut Exchange, took_ms: u64, class: impl Fn(&Ticket, &Breaker) -> Class) {
        for ticket in exchange.take() {
            if let Some(breaker) = self.breakers.get(ticket.breaker) {
                self.publish(ticket, class(&ticket, breaker), took_ms);
            }
        }
    }

    /// Whether the class that the status alone gives is right. An attempt's responses are the
    /// endpoint's own. Elsewhere a filter may have answered in place of the upstream, and the cause
    /// costs two more questions to the host; a success of a target that is not failing is not worth
    /// them.
    fn is_plain(&self, ticket: &Ticket, completion: &Completion<'_, R>, class: Class) -> bool {
        let well = matches!(completion.status, 200..=399)
            && class == Class::Success
            && completion.grpc_status.unwrap_or(0) == 0;
        self.breakers.placement == Placement::Attempt || (well && !self.breakers.is_troubled(ticket))
    }

    /// The class of an attempt that ended without an answer: a failure if there was no connection,
    /// else nothing, since the client may have left.
    fn unanswered(&self) -> Class {
        let cause = self.response.attribute(Attribute::TransportFailure);
        if cause.is_some_and(|cause| !cause.is_empty()) {
            Class::Failure
        } else {
            Class::Ignored
        }
    }

    /// Blames the endpoint for an exchange that it broke off. Where attempts are seen, such an end
    /// looks like that of one whose caller left; here, behind the last attempt, the reason is known.
    #[inline(never)]
    fn blame(&self, started_ms: u64) {
        let cluster = self.response.attribute(Attribute::Cluster);
        let (Some(cluster), true) = (cluster, self.response.number(Attribute::Flags) & BROKEN_OFF != 0)
        else {
            return;
        };
        let Some(address) = self.response.attribute(Attribute::Endpoint) else { return };
        let target = self.breakers.endpoint(&address);
        for (at, breaker) in self.breakers.policy.breakers.iter().enumerate() {
            if !matches!(&breaker.target, Target::Endpoint(name) if name.as_bytes() == cluster) {
                continue;
            }
            let Some((local, cx)) = self.breakers.local(at, self.now, self.host) else { continue };
            match local.late_ticket(&cx, target, started_ms) {
                Ok(ticket) => self.publish(ticket, Class::Failure, self.since(started_ms)),
                Err(_) => count(self.host, at, BreakerMetric::Undecided),
            }
        }
    }

    #[inline(never)]
    fn publish(&self, ticket: Ticket, class: Class, took_ms: u64) {
        let hosts = || self.response.number(Attribute::Endpoints);
        self.breakers.settle(ticket, class, took_ms, &hosts, self.now, self.host);
    }

    fn since(&self, started_ms: u64) -> u64 {
        self.now.as_millis().saturating_sub(started_ms)
    }
}

/// The class of a completion by all that Envoy says of it.
#[inline(never)]
fn classify(breaker: &Breaker, completion: &Completion<'_, impl Response>) -> Class {
    breaker.rules.classify(&completion.outcome())
}
