//! A request on its way past the breakers: which of them it meets, and what becomes of it when one
//! refuses.
//!
//! Breakers are asked in the order of the configuration. The first that refuses decides: permits
//! that earlier ones gave are given back, and the request goes to the first fallback that works.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::breakers::{count, Breakers};
use super::config::{Breaker, Mode, OnFailure};
use super::exchange::{Exchange, Label};
use super::metrics::BreakerMetric;
use super::misroutes::{self, FellBack, Path};
use super::reply;
use super::view::{ClusterHeader, View};
use crate::breaker::config::target::{Fallback, Target};
use crate::breaker::worker::context::Answer;
use crate::host::{Host, StoreError};
use crate::http::{
    grpc, steering, Attribute, Edit, Placement, Reply, ReplyPolicy, Request, RequestExt, Verdict,
};
use crate::key::{Hashes, Repeated, Unkeyed};
use crate::time::Timestamp;

/// The checks of one request.
pub(super) struct Checks<'a, H> {
    breakers: &'a Breakers,
    exchange: &'a mut Exchange,
    now: Timestamp,
    host: &'a H,
}

/// What a breaker is asked for.
enum Asked {
    One(u64),
    /// A part of the key is there several times, and which of them the upstream reads is not known: all
    /// its keys, or `None` when these are more than are looked at.
    Several(Option<Hashes>),
}

// === impl Checks ===

impl<'a, H: Host> Checks<'a, H> {
    pub(super) fn new(breakers: &'a Breakers, exchange: &'a mut Exchange, host: &'a H) -> Self {
        Self { breakers, exchange, now: host.now(), host }
    }

    /// Asks every breaker that applies.
    pub(super) fn run(&mut self, request: &impl Request) -> Verdict {
        self.exchange.started_ms = self.now.as_millis();
        self.exchange.completed_ms = request.end_of_stream().then_some(self.exchange.started_ms);
        self.exchange.grpc = self.is_grpc(request);
        self.exchange.deadline_ms = self.deadline_ms(request);
        let mut edits = Vec::new();
        let mut view = View::new(request);
        let header = self.unsteer(&view, &mut edits);
        view.set_header(header);
        self.exchange.chosen = view.knows_cluster();
        let breakers = self.breakers;
        breakers.unused.usage.passed(breakers.placement);
        for (at, breaker) in breakers.policy.breakers.iter().enumerate() {
            if breaker.target.placement() != breakers.placement {
                continue;
            }
            if view.is_in_doubt(&breaker.target) {
                let ask = || self.refuse_forged(at);
                if let Some(reply) = applies(breaker, request).then(ask).flatten() {
                    return Verdict::Reply(reply);
                }
                continue;
            }
            let Some(target) = self.target(breaker, &view) else { continue };
            breakers.unused.usage.saw(at);
            match self.admit(at, &target) {
                Ok(Answer::Admit(ticket)) => self.exchange.keep(ticket),
                Ok(Answer::Pass) => {}
                Ok(Answer::Refuse { .. }) if breaker.mode == Mode::Observe => {
                    count(self.host, at, BreakerMetric::Observed);
                    self.exchange.label = Some((at, Label::Observed));
                }
                Ok(Answer::Refuse { retry_after_ms }) => {
                    self.give_back();
                    return self.fall_back(at, &view, edits, retry_after_ms);
                }
                Err(_) => {
                    count(self.host, at, BreakerMetric::Undecided);
                    if breakers.policy.on_failure == OnFailure::Refuse {
                        self.give_back();
                        self.exchange.label = Some((at, Label::Undecided));
                        return Verdict::Reply(reply::undecided(self.exchange.grpc));
                    }
                }
            }
        }
        self.exchange.evaded = self.evaded(request, &view);
        Verdict::Continue(edits)
    }

    /// A breaker that a request passes only because of its route. If a later filter of ours takes
    /// away a header by which the client chose that route, the request must not go on.
    fn evaded(&self, request: &impl Request, view: &View<'_, impl Request>) -> Option<usize> {
        let at = self.breakers.blocking(|breaker| applies(breaker, request), self.now, self.host)?;
        (!view.is_forged()).then_some(at)
    }

    /// Whether the request is gRPC.
    fn is_grpc(&self, request: &impl Request) -> bool {
        if self.breakers.reads_headers {
            return request.header("te").is_some() && request.is_grpc();
        }
        request.says_grpc()
    }

    /// When the time is over that the client of a gRPC request gives it.
    fn deadline_ms(&self, request: &impl Request) -> Option<u64> {
        let timeout_ms = match (self.exchange.grpc, self.breakers.reads_headers) {
            (false, _) => None,
            (true, true) => request.header("grpc-timeout").and_then(grpc::timeout_ms),
            (true, false) => request.lone_header("grpc-timeout").and_then(|value| grpc::timeout_ms(&value)),
        };
        timeout_ms.map(|timeout_ms| self.now.as_millis().saturating_add(timeout_ms))
    }

    /// Removes what would steer us or Envoy and was sent by the client. The header that names a
    /// cluster stays if an earlier filter of ours wrote it: then the request goes to this cluster.
    fn unsteer(&self, view: &View<'_, impl Request>, edits: &mut Vec<Edit>) -> ClusterHeader {
        let request = view.request;
        if self.breakers.placement == Placement::Attempt {
            // The route is chosen, and clients are far away.
            return ClusterHeader::Absent;
        }
        let name = &*self.breakers.policy.cluster_header;
        let value = if self.breakers.reads_headers {
            edits.extend(steering::look_alikes(request, name));
            request.header(name).map(<[u8]>::to_vec)
        } else {
            request.lone_header(name)
        };
        let Some(value) = value else {
            return if edits.is_empty() { ClusterHeader::Absent } else { ClusterHeader::Forged };
        };
        if view.choice().is_some_and(|choice| choice.goal == value) {
            return ClusterHeader::Ours(value);
        }
        edits.push(Edit::RemoveRequestHeader(String::from(name)));
        ClusterHeader::Forged
    }

    /// Which target of a breaker the request has; `None` when the breaker does not apply.
    fn target<R: Request>(&self, breaker: &Breaker, view: &View<'_, R>) -> Option<Asked> {
        let target = match &breaker.target {
            Target::Cluster(name) => (view.cluster()? == name.as_bytes()).then_some(Asked::One(0)),
            Target::Route(name) => (view.route()? == name.as_bytes()).then_some(Asked::One(0)),
            Target::Service(name) => (view.service()? == name.as_bytes()).then_some(Asked::One(0)),
            Target::Variant(name) => view.is_of_variant(name).then_some(Asked::One(0)),
            Target::Key(key) => match key.hashes(self.breakers.secret, view.request, false, Repeated::Each) {
                Ok(keys) => Some(keys.only().map_or(Asked::Several(Some(keys)), Asked::One)),
                Err(Unkeyed::Excess) => Some(Asked::Several(None)),
                Err(Unkeyed::Ipv4 | Unkeyed::Missing) => None,
            },
            Target::Endpoint(name) => {
                let here = view.cluster()? == name.as_bytes();
                let address = || view.request.attribute(Attribute::Endpoint);
                here.then(address).flatten().map(|address| Asked::One(self.breakers.endpoint(&address)))
            }
        }?;
        applies(breaker, view.request).then_some(target)
    }

    #[inline(never)]
    fn admit(&self, at: usize, asked: &Asked) -> Result<Answer, StoreError> {
        let Some((local, cx)) = self.breakers.local(at, self.now, self.host) else {
            return Ok(Answer::Pass);
        };
        let answer = match asked {
            Asked::One(target) => local.admit(&cx, *target, self.exchange.completed_ms.is_none())?,
            Asked::Several(keys) => local.admit_several(&cx, keys.as_ref())?,
        };
        match answer {
            Answer::Admit(ticket) => {
                cx.count(BreakerMetric::Admitted, 1);
                cx.count(BreakerMetric::Probes, ticket.probe.into());
            }
            Answer::Pass => cx.count(BreakerMetric::Admitted, 1),
            Answer::Refuse { .. } => {}
        }
        Ok(answer)
    }

    fn give_back(&mut self) {
        self.breakers.give_back(self.exchange, self.now, self.host);
    }

    /// Sends a request that the breaker at `at` refuses to the first of its fallbacks that works.
    #[inline(never)]
    fn fall_back<R: Request>(
        &mut self,
        at: usize,
        view: &View<'_, R>,
        mut edits: Vec<Edit>,
        retry_after_ms: Option<u64>,
    ) -> Verdict {
        let Breakers { policy, .. } = self.breakers;
        let Some(breaker) = policy.breakers.get(at) else { return Verdict::Continue(edits) };
        for fallback in &breaker.fallback {
            match fallback {
                Fallback::Reply(policy) => {
                    return Verdict::Reply(self.refuse(at, policy, retry_after_ms));
                }
                Fallback::Cluster { name, breaker } => {
                    let origin = misroutes::number(view.origin());
                    let route = misroutes::number(view.route().unwrap_or_default());
                    let path = Path { to: *breaker, origin, route };
                    if self.breakers.misroutes.avoids(path, self.now.as_millis()) {
                        continue;
                    }
                    match self.admit(*breaker, &Asked::One(0)) {
                        Ok(Answer::Admit(ticket)) => self.exchange.keep(ticket),
                        Ok(Answer::Pass) => {}
                        Ok(Answer::Refuse { .. }) if self.observes(*breaker) => {}
                        Ok(Answer::Refuse { .. }) => continue,
                        Err(_) => {
                            count(self.host, *breaker, BreakerMetric::Undecided);
                            if policy.on_failure == OnFailure::Refuse {
                                continue;
                            }
                        }
                    }
                    count(self.host, at, BreakerMetric::FellBack);
                    self.exchange.label = Some((at, Label::Fallback));
                    self.exchange.evaded = Some(at);
                    self.exchange.fell_back = Some(FellBack { from: at, path, forged: view.is_forged() });
                    edits.push(Edit::SetRequestHeader(Rc::clone(&policy.cluster_header), Rc::clone(name)));
                    return Verdict::Continue(edits);
                }
            }
        }
        Verdict::Reply(self.refuse(at, &policy.reply, retry_after_ms))
    }

    /// A request with a forged header is on a route that it will not keep, and its own cannot be known
    /// here. So that no client passes an open breaker this way, the request is refused when
    /// any breaker of a cluster or route would not let it pass without a permit.
    #[inline(never)]
    fn refuse_forged(&mut self, at: usize) -> Option<Reply> {
        let Breakers { policy, .. } = self.breakers;
        let (local, cx) = self.breakers.local(at, self.now, self.host)?;
        let passes = local.would_pass(&cx, 0).unwrap_or_else(|_| {
            cx.count(BreakerMetric::Undecided, 1);
            policy.on_failure == OnFailure::Allow
        });
        if cx.breaker.mode == Mode::Observe || passes {
            return None;
        }
        self.give_back();
        Some(self.refuse(at, &policy.reply, None))
    }

    fn observes(&self, at: usize) -> bool {
        self.breakers.get(at).is_some_and(|breaker| breaker.mode == Mode::Observe)
    }

    #[inline(never)]
    fn refuse(&mut self, at: usize, policy: &ReplyPolicy, retry_after_ms: Option<u64>) -> Reply {
        count(self.host, at, BreakerMetric::Refused);
        self.exchange.label = Some((at, Label::Refused));
        let grpc = self.exchange.grpc;
        let Some(breaker) = self.breakers.get(at) else { return reply::undecided(grpc) };
        let secs = reply::retry_after(&breaker.params, retry_after_ms);
        reply::refused(policy, self.breakers.policy.headers, &breaker.name, secs, grpc)
    }
}

/// Whether the conditions of a breaker hold for a request.
fn applies(breaker: &Breaker, request: &impl Request) -> bool {
    breaker.matches.is_empty() || breaker.matches.iter().any(|m| m.holds(request))
}
