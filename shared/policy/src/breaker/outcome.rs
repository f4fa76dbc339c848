//! How an exchange ended, as each breaker counts it: a success, a failure, throttling, or nothing.
//!
//! Headers that are not well decide at once. Others decide when the end of the response has passed
//! by, or the trailers of a gRPC call. An exchange that ends before that says that the upstream failed
//! only if Envoy says so, since the client may have left.

use super::breakers::{count, Breakers};
use super::config::Breaker;
use super::exchange::{Answered, Exchange};
use super::metrics::BreakerMetric;
use super::misroutes;
use super::no_endpoint;
use super::waiting;
use crate::breaker::config::target::Target;
use crate::breaker::worker::context::Ticket;
use crate::host::Host;
use crate::http::classify::Class;
use crate::http::completion;
use crate::http::{steering, Attribute, Completion, Ending, Placement, Reached, Response, ResponseExt};
use crate::time::Timestamp;

/// Envoy's flags for an upstream that was reached and did not answer, or not to the end: UT, LR, UR,
/// UC, SI, UPE.
const BROKEN_OFF: u64 = (1 << 2) | (1 << 3) | (1 << 4) | (1 << 6) | (1 << 16) | (1 << 23);
/// The status of a connection that changes its protocol and has no other end.
const SWITCHING_PROTOCOLS: u32 = 101;
/// The status by which a server, or a filter, says that the client was too slow.
const REQUEST_TIMEOUT: u32 = 408;

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
        Self::at(host.now(), breakers, response, host)
    }

    /// The same at a time that is known.
    pub(super) fn at(now: Timestamp, breakers: &'a Breakers, response: &'a R, host: &'a H) -> Self {
        Self { breakers, response, now, host }
    }

    /// Learns where a request arrived that fell back. If it went to the cluster where it came from, or where
    /// those go that do not fall back, the outcome is that cluster's and not the fallback's.
    #[inline(never)]
    pub(super) fn on_arrival(&self, exchange: &mut Exchange) {
        let Some(fell_back) = exchange.fell_back.take() else { return };
        let Some(reached) = self.response.attribute(Attribute::Cluster) else { return };
        let Some(to) = self.breakers.get(fell_back.path.to) else { return };
        if self.response.attempts().is_none_or(|attempts| attempts == 0) {
            return;
        }
        let back = self.breakers.reached.is_of(fell_back.from, &reached);
        let away = !back && misroutes::number(&reached) != fell_back.path.origin;
        if to.target.is_cluster_of(&reached) || away {
            return self.breakers.misroutes.learn(fell_back, true, self.now.as_millis());
        }
        self.breakers.misrouted(fell_back, &reached, self.now, self.host);
        if let Some(ticket) = exchange.take_of(fell_back.path.to) {
            self.publish(ticket, Class::Ignored, 0);
        }
        let guards = |at: usize, breaker: &Breaker| {
            breaker.matches.is_empty() && breaker.target.is_cluster_of(&reached)
                || back && at == fell_back.from && breaker.target.is_by_choice()
        };
        let breakers = self.breakers.policy.breakers.iter().enumerate();
        for at in breakers.filter_map(|(at, own)| guards(at, own).then_some(at)) {
            let Some((local, cx)) = self.breakers.local(at, self.now, self.host) else { continue };
            match local.late_ticket(&cx, 0, exchange.started_ms) {
                Ok(ticket) => exchange.keep(Ticket { probe: false, ..ticket }),
                Err(_) => count(self.host, at, BreakerMetric::Undecided),
            }
        }
    }

    /// Takes the headers of a response. Probes whose outcome is still to come wait for it.
    pub(super) fn on_response(&self, exchange: &mut Exchange) {
        let at_ms = self.now.as_millis();
        let reached = exchange.reached(at_ms);
        let took_ms = exchange.took_ms(at_ms);
        let completion = Completion::of_headers(self.response, exchange.grpc);
        let lacks_status = completion.is_none();
        let failed = completion.as_ref().is_some_and(|completion| completion.http_status() >= 500);
        // Envoy writes its own replies to gRPC requests as gRPC, but with a status in the headers.
        let streams = lacks_status && !reached.request_complete && completion::is_grpc(self.response);
        exchange.answered = Some(Answered { at_ms, took_ms, failed, lacks_status, streams });
        if let Some(completion) = completion {
            if self.breakers.blames && failed {
                self.blame(exchange, reached);
            }
            self.judge_headers(exchange, reached, took_ms, &completion);
        }
        self.breakers.waiting.hold(exchange, at_ms, took_ms);
    }

    /// Takes the trailers of a gRPC exchange whose headers took `took_ms`.
    pub(super) fn on_trailers(&self, exchange: &mut Exchange, took_ms: u64) {
        let Some(completion) = Completion::of_trailers(self.response) else { return };
        self.breakers.waiting.recall(exchange);
        let reached = exchange.reached(self.now.as_millis());
        self.each(exchange, took_ms, |ticket, breaker| self.class_of(&completion, reached, ticket, breaker));
    }

    /// Takes the end of an exchange.
    pub(super) fn on_end(&self, exchange: &mut Exchange, ending: Ending) {
        if ending == Ending::NeverSent {
            // As if the reply in its place had passed by, which says nothing of a target.
            (exchange.label, exchange.evaded) = (None, None);
            return self.each(exchange, 0, |_, _| Class::Ignored);
        }
        let judged = exchange.answered.is_some_and(|answered| answered.failed);
        if self.breakers.blames && ending == Ending::Incomplete && !judged {
            self.blame(exchange, exchange.reached(self.now.as_millis()));
        }
        match exchange.answered {
            None => self.on_no_response(exchange),
            Some(Answered { took_ms, lacks_status: true, .. }) => {
                // A gRPC call whose stream broke. Long silence is usual in one.
                let completion = Completion::of_end(self.response, 200);
                let reached = exchange.reached(self.now.as_millis());
                let reached = Reached { response_began: false, fresh_call: false, ..reached };
                self.each(exchange, took_ms, |_, breaker| {
                    reached.classify(&breaker.rules, &completion.outcome())
                });
            }
            Some(Answered { took_ms, .. }) if ending != Ending::Incomplete => {
                self.each(exchange, took_ms, |_, _| Class::Success);
            }
            Some(answered) => self.on_cut(exchange, answered),
        }
    }

    /// The headers decide for those breakers to which they are not well, and for all if nothing
    /// follows that matters.
    fn judge_headers(
        &self,
        exchange: &mut Exchange,
        reached: Reached,
        took_ms: u64,
        completion: &Completion<'_, R>,
    ) {
        let last = completion.grpc_status.is_some()
            || completion.status == SWITCHING_PROTOCOLS
            || self.response.end_of_stream();
        for ticket in exchange.take() {
            let Some(breaker) = self.breakers.get(ticket.breaker) else { continue };
            match self.class_of(completion, reached, &ticket, breaker) {
                Class::Success if !last => exchange.keep(ticket),
                class => self.settle(exchange, ticket, class, took_ms),
            }
        }
    }

    /// The response began well and broke off. Who cut it is asked only now.
    fn on_cut(&self, exchange: &mut Exchange, Answered { at_ms, took_ms, .. }: Answered) {
        let reached = exchange.reached(self.now.as_millis());
        let lasted_ms = self.now.as_millis().saturating_sub(at_ms);
        // An attempt has no flags: the filter at the listener knows.
        let flags = match self.breakers.placement {
            Placement::Attempt => 0,
            Placement::Downstream => completion::cut_flags(self.response),
        };
        self.each(exchange, took_ms, |_, breaker| {
            if flags & reached.blaming(breaker.rules.flags) != 0 {
                Class::Failure
            } else if lasted_ms >= waiting::long_ms(&breaker.params) {
                Class::Success
            } else {
                Class::Ignored
            }
        });
    }

    /// There was no response: Envoy had none, or the client left.
    fn on_no_response(&self, exchange: &mut Exchange) {
        let took_ms = exchange.took_ms(self.now.as_millis());
        if self.breakers.placement == Placement::Attempt {
            return self.each(exchange, took_ms, |_, _| self.unanswered());
        }
        let completion = Completion::of_end(self.response, 0);
        let reached = exchange.reached(self.now.as_millis());
        self.each(exchange, took_ms, |_, breaker| {
            match reached.classify(&breaker.rules, &completion.outcome()) {
                class @ (Class::Early | Class::Failure) => class,
                _ if breaker.params.is_slow(took_ms) && self.response.attempts() != Some(0) => Class::Left,
                _ => Class::Ignored,
            }
        });
    }

    /// Settles each ticket of an exchange by the class that `class` finds.
    fn each(&self, exchange: &mut Exchange, took_ms: u64, class: impl Fn(&Ticket, &Breaker) -> Class) {
        for ticket in exchange.take() {
            if let Some(breaker) = self.breakers.get(ticket.breaker) {
                self.settle(exchange, ticket, class(&ticket, breaker), took_ms);
            }
        }
    }

    /// Settles one ticket, if the outcome is its target's.
    fn settle(&self, exchange: &Exchange, ticket: Ticket, class: Class, took_ms: u64) {
        let misled = !exchange.chosen && self.is_misled(&ticket, class);
        let slow = |breaker: &Breaker| breaker.params.is_slow(took_ms);
        let quick = class == Class::Left && !self.breakers.get(ticket.breaker).is_some_and(slow);
        self.publish(ticket, if misled || quick { Class::Ignored } else { class }, took_ms);
    }

    /// Whether an outcome is not its target's, because a later filter of ours took away a header by
    /// which the client had chosen the route. Asked of those that could change a breaker.
    fn is_misled(&self, ticket: &Ticket, class: Class) -> bool {
        class != Class::Ignored
            && (class != Class::Success || self.breakers.is_troubled(ticket))
            && self.breakers.get(ticket.breaker).is_some_and(|breaker| breaker.target.is_by_route())
            && steering::is_forged(self.response.attribute(Attribute::Steering))
    }

    /// The class of headers or trailers.
    fn class_of(
        &self,
        completion: &Completion<'_, R>,
        reached: Reached,
        ticket: &Ticket,
        breaker: &Breaker,
    ) -> Class {
        if completion.status == REQUEST_TIMEOUT && !reached.request_complete {
            return Class::Ignored;
        }
        let plain = breaker.rules.judge(completion.status, completion.grpc_status);
        if self.is_plain(ticket, completion, plain) {
            reached.answered(plain, completion.grpc_status)
        } else {
            reached.classify(&breaker.rules, &completion.outcome())
        }
    }

    /// Whether the class that the status alone gives is right. An attempt's responses are the
    /// endpoint's own. Elsewhere a filter may have answered in place of the upstream, and the cause
    /// costs two more questions to the host; a success of a target that is not failing is not worth
    /// them.
    fn is_plain(&self, ticket: &Ticket, completion: &Completion<'_, R>, class: Class) -> bool {
        let well = matches!(completion.status, 101 | 200..=399)
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

    /// Blames the endpoint for an exchange that it broke off, or whose client it kept waiting. Where
    /// attempts are seen, such an end looks like that of one whose caller left; here, behind the last
    /// attempt, the reason is known.
    #[inline(never)]
    fn blame(&self, exchange: &Exchange, reached: Reached) {
        let took_ms = exchange.took_ms(self.now.as_millis());
        let flags = match reached.response_began {
            true => completion::cut_flags(self.response),
            false => self.response.number(Attribute::Flags),
        } & BROKEN_OFF;
        // How long earlier attempts took is not known here.
        let left =
            flags == 0 && exchange.answered.is_none() && self.response.attempts().is_none_or(|n| n == 1);
        if flags == 0 && !left {
            return;
        }
        let Some(cluster) = self.response.attribute(Attribute::Cluster) else { return };
        let Some(address) = self.response.attribute(Attribute::Endpoint) else { return };
        let target = self.breakers.endpoint(&address);
        for (at, breaker) in self.breakers.policy.breakers.iter().enumerate() {
            if !matches!(&breaker.target, Target::Endpoint(name) if name.as_bytes() == cluster) {
                continue;
            }
            let class = if flags & reached.blaming(breaker.rules.flags) != 0 {
                reached.at_deadline(Class::Failure, None, flags)
            } else if flags & reached.resets(breaker.rules.flags) != 0 {
                reached.at_deadline(Class::Early, None, flags)
            } else if left {
                Class::Left
            } else {
                continue;
            };
            if class == Class::Left && !breaker.params.is_slow(took_ms) {
                continue;
            }
            let Some((local, cx)) = self.breakers.local(at, self.now, self.host) else { continue };
            match local.late_ticket(&cx, target, exchange.started_ms) {
                Ok(ticket) => self.publish(ticket, class, took_ms),
                Err(_) => count(self.host, at, BreakerMetric::Undecided),
            }
        }
    }

    #[inline(never)]
    fn publish(&self, ticket: Ticket, class: Class, took_ms: u64) {
        let hosts = || self.response.number(Attribute::Endpoints);
        self.breakers.settle(ticket, class, took_ms, &hosts, self.now, self.host);
        let falls_back = |at| self.breakers.get(at).is_some_and(|breaker| !breaker.fallback.is_empty());
        if class == Class::Failure
            && falls_back(ticket.breaker)
            && self.response.number(Attribute::Flags) & no_endpoint::FLAG != 0
        {
            self.breakers.on_no_endpoint(&ticket, self.now, self.host);
        }
    }
}
