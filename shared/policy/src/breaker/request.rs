//! The request's side of the filter: which breakers it meets, and what becomes of it when one
//! of them refuses.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::config::{Breaker, Mode, OnFailure};
use super::exchange::{count, Exchange, Label, View};
use super::metrics::BreakerMetric;
use super::reply;
use super::stage::CircuitBreaker;
use crate::breaker::config::target::{Fallback, Target};
use crate::breaker::worker::entry::{Answer, Context};
use crate::hash::sip::{SipHash13, SipKey};
use crate::host::{Host, StoreError};
use crate::http::classify::Class;
use crate::http::{steering, Attribute, Edit, Placement, Reply, ReplyPolicy, Request, RequestExt, Verdict};
use crate::time::Timestamp;

// === impl CircuitBreaker ===

impl CircuitBreaker {
    pub(super) fn context<'a, H: Host>(
        &'a self,
        breaker: &'a Breaker,
        at: usize,
        now: Timestamp,
        host: &'a H,
    ) -> Context<'a, H> {
        Context { breaker, at, host, now_ms: now.as_millis(), draw: self.draws.next(now) }
    }

    /// Whether the request is gRPC. Every such request announces that it takes trailers, and hardly
    /// any other does; that a header is absent is the cheapest question there is.
    pub(super) fn is_grpc(&self, request: &impl Request) -> bool {
        if self.reads_headers {
            return request.header("te").is_some() && request.is_grpc();
        }
        let is_grpc = |value: Vec<u8>| {
            let rest = value.strip_prefix(b"application/grpc");
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
        };
        request.lone_header("te").is_some() && request.lone_header("content-type").is_some_and(is_grpc)
    }

    /// Removes what would steer us or Envoy and was sent by the client. The header that names a
    /// cluster stays if an earlier filter of ours wrote it: then this is the cluster. Says, too,
    /// whether the client forged it, as then the route is not the one that the request will have.
    pub(super) fn unsteer(&self, request: &impl Request, edits: &mut Vec<Edit>) -> (Option<Vec<u8>>, bool) {
        if self.placement == Placement::Attempt {
            // The route is chosen, and clients are far away.
            return (None, false);
        }
        let name = &*self.policy.cluster_header;
        let value = if self.reads_headers {
            edits.extend(steering::look_alikes(request, name));
            request.header(name).map(<[u8]>::to_vec)
        } else {
            request.lone_header(name)
        };
        let Some(value) = value else { return (None, false) };
        let first = |chosen: &[u8]| chosen.split(|b| *b == b' ').next() == Some(&*value);
        let ours = request.attribute(Attribute::Chosen).is_some_and(|chosen| first(&chosen));
        if ours {
            return (Some(value), false);
        }
        edits.push(Edit::RemoveRequestHeader(String::from(name)));
        (None, true)
    }

    /// Which target of a breaker the request has; `None` when the breaker does not apply.
    pub(super) fn target<R: Request>(&self, breaker: &Breaker, view: &View<'_, R>) -> Option<u64> {
        let target = match &breaker.target {
            Target::Cluster(name) => (view.cluster()? == name.as_bytes()).then_some(0),
            Target::Route(name) => (view.route()? == name.as_bytes()).then_some(0),
            Target::Key(key) => key.hash(self.secret, view.request, false).ok(),
            Target::Endpoint(name) => {
                let here = view.cluster()? == name.as_bytes();
                let address = || view.request.attribute(Attribute::Endpoint);
                here.then(address).flatten().map(|address| endpoint(self.secret, &address))
            }
        }?;
        applies(breaker, view.request).then_some(target)
    }

    #[inline(never)]
    pub(super) fn admit(
        &self,
        at: usize,
        target: u64,
        now: Timestamp,
        host: &impl Host,
    ) -> Result<Answer, StoreError> {
        let Some((breaker, local)) = self.policy.breakers.get(at).zip(self.locals.get(at)) else {
            return Ok(Answer::Pass);
        };
        let answer = local.admit(&self.context(breaker, at, now, host), target)?;
        match answer {
            Answer::Admit(ticket) => {
                count(host, at, BreakerMetric::Admitted);
                if ticket.probe {
                    count(host, at, BreakerMetric::Probes);
                }
            }
            Answer::Pass => count(host, at, BreakerMetric::Admitted),
            Answer::Refuse { .. } => {}
        }
        Ok(answer)
    }

    /// Gives back the permits of breakers that had admitted a request which another one refuses.
    #[inline(never)]
    pub(super) fn give_back(&self, exchange: &mut Exchange, now: Timestamp, host: &impl Host) {
        exchange.label = None;
        for ticket in exchange.take().filter(|ticket| ticket.probe) {
            let at = ticket.breaker;
            let Some((breaker, local)) = self.policy.breakers.get(at).zip(self.locals.get(at)) else {
                continue;
            };
            let cx = self.context(breaker, at, now, host);
            if local.settle(&cx, ticket, Class::Ignored, false, &|| 0).is_err() {
                count(host, at, BreakerMetric::Undecided);
            }
        }
    }

    /// What becomes of a request that the breaker at `at` refuses: the first of its fallbacks that
    /// works.
    #[inline(never)]
    pub(super) fn fall_back(
        &self,
        at: usize,
        exchange: &mut Exchange,
        mut edits: Vec<Edit>,
        retry_after_ms: Option<u64>,
        now: Timestamp,
        host: &impl Host,
    ) -> Verdict {
        let Some(breaker) = self.policy.breakers.get(at) else { return Verdict::Continue(edits) };
        for fallback in &breaker.fallback {
            match fallback {
                Fallback::Reply(policy) => {
                    return Verdict::Reply(self.refuse(at, policy, retry_after_ms, exchange, host));
                }
                Fallback::Cluster { name, breaker } => {
                    match self.admit(*breaker, 0, now, host) {
                        Ok(Answer::Admit(ticket)) => exchange.keep(ticket),
                        Ok(Answer::Pass) => {}
                        Ok(Answer::Refuse { .. }) if self.observes(*breaker) => {}
                        Ok(Answer::Refuse { .. }) => continue,
                        Err(_) => {
                            count(host, *breaker, BreakerMetric::Undecided);
                            if self.policy.on_failure == OnFailure::Refuse {
                                continue;
                            }
                        }
                    }
                    count(host, at, BreakerMetric::FellBack);
                    exchange.label = Some((at, Label::Fallback));
                    edits.push(Edit::SetRequestHeader(
                        Rc::clone(&self.policy.cluster_header),
                        Rc::clone(name),
                    ));
                    return Verdict::Continue(edits);
                }
            }
        }
        Verdict::Reply(self.refuse(at, &self.policy.reply, retry_after_ms, exchange, host))
    }

    /// A request that tried to steer us is on a route that it will not keep, and its own cannot be
    /// known here. So that nobody gets past an open breaker this way, it is refused when any
    /// breaker of a cluster or route would not let it pass without a permit.
    #[inline(never)]
    pub(super) fn refuse_forged(
        &self,
        at: usize,
        exchange: &mut Exchange,
        now: Timestamp,
        host: &impl Host,
    ) -> Option<Reply> {
        let (breaker, local) = self.policy.breakers.get(at).zip(self.locals.get(at))?;
        let passes = local.would_pass(&self.context(breaker, at, now, host)).unwrap_or_else(|_| {
            count(host, at, BreakerMetric::Undecided);
            self.policy.on_failure == OnFailure::Allow
        });
        if breaker.mode == Mode::Observe || passes {
            return None;
        }
        self.give_back(exchange, now, host);
        Some(self.refuse(at, &self.policy.reply, None, exchange, host))
    }

    fn observes(&self, at: usize) -> bool {
        self.policy.breakers.get(at).is_some_and(|breaker| breaker.mode == Mode::Observe)
    }

    #[inline(never)]
    fn refuse(
        &self,
        at: usize,
        policy: &ReplyPolicy,
        retry_after_ms: Option<u64>,
        exchange: &mut Exchange,
        host: &impl Host,
    ) -> Reply {
        count(host, at, BreakerMetric::Refused);
        exchange.label = Some((at, Label::Refused));
        let Some(breaker) = self.policy.breakers.get(at) else { return reply::undecided(exchange.grpc) };
        let secs = reply::retry_after(&breaker.params, retry_after_ms);
        reply::refused(policy, &breaker.name, secs, exchange.grpc)
    }
}

/// Whether a breaker is for such requests.
pub(super) fn applies(breaker: &Breaker, request: &impl Request) -> bool {
    breaker.matches.is_empty() || breaker.matches.iter().any(|m| m.holds(request))
}

/// What stands for an endpoint in a table: the keyed hash of its address, as Envoy writes it.
#[must_use]
pub fn endpoint(secret: SipKey, address: &[u8]) -> u64 {
    let mut hash = SipHash13::new(secret);
    hash.write(address);
    hash.finish()
}
