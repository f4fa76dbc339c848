//! The placement around the exchange with the client: which endpoint gets a request.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell};

use crate::balance::outlier::Runs;
use crate::balance::Ask;
use crate::discovery::catalog::service_view::ServiceView;
use crate::discovery::catalog::table::{Locality, Table};
use crate::discovery::catalog::unavailable::Unavailable;
use crate::discovery::config::policy::{NoMatch, OnFailure, Policy, Retry, Service, Steer, Subset};
use crate::discovery::metrics::{self, ServiceMetric};
use crate::discovery::request::exchange::{Answered, Exchange, PendingRequest};
use crate::discovery::request::flight::{Flight, Picks};
use crate::discovery::request::handover;
use crate::discovery::request::memory::Memory;
use crate::discovery::request::outcome::{Outcome, RequestEnd, Suspect};
use crate::discovery::request::reply::{self, RefusalReason};
use crate::discovery::request::service_index::{self, ServiceIndex};
use crate::draws::Draws;
use crate::hash::sip::SipKey;
use crate::host::Host;
use crate::http::steering::Lengths;
use crate::http::{
    choice, completion, steering, Attribute, Edit, Ending, Placement, Request, RequestExt, Response,
    ResponseExt, Verdict,
};
use crate::time::Timestamp;
use crate::usage::Usage;

/// The filter around the exchange with the client.
#[derive(Debug)]
pub struct Downstream {
    policy: Rc<Policy>,
    index: ServiceIndex,
    views: Vec<Rc<ServiceView>>,
    memory: Rc<Memory>,
    /// Whether the routing filter may choose a service.
    hears_routing: bool,
    zone: OnceCell<Rc<str>>,
    draws: Draws,
    /// Requests, at most, that still tell where further attempts may go, since one had none in this VM.
    unseen: Cell<u32>,
    usage: Usage,
}

/// As many requests after one whose attempts this VM did not see tell where further attempts may go, though
/// there is a filter around attempts here.
const WARY: u32 = 1_000;
/// Headers that name an endpoint, whichever of them is in use.
const ENDPOINTS: [&str; 2] = ["x-envoy-original-dst-host", "x-tidegate-endpoints"];
/// A fixed key, so that all proxies send a request's key to the same endpoint.
const HASH_KEY: [u8; 16] = [0; 16];

// === impl Downstream ===

impl Downstream {
    /// The filter of a configuration, with a view of each of its services.
    #[must_use]
    pub fn new(policy: Rc<Policy>, views: Vec<Rc<ServiceView>>) -> Self {
        Self {
            index: ServiceIndex::new(&policy.services),
            views,
            memory: Rc::default(),
            hears_routing: policy.services.iter().any(|service| service.matches.is_empty()),
            zone: policy.zone.clone().map_or_else(OnceCell::new, OnceCell::from),
            draws: Draws::default(),
            unseen: Cell::default(),
            usage: Usage::of("d1", policy.services.len(), policy.identity),
            policy,
        }
    }

    /// The configuration.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The services.
    #[must_use]
    pub fn views(&self) -> &[Rc<ServiceView>] {
        &self.views
    }

    /// Which services have had requests.
    #[must_use]
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Shares the requests in flight with the placement around attempts.
    pub fn share(&mut self, memory: &Rc<Memory>) {
        self.memory = Rc::clone(memory);
    }

    /// A request: finds its service and chooses an endpoint.
    pub fn route(&self, exchange: &mut Exchange, request: &impl Request, host: &impl Host) -> Verdict {
        exchange.grpc = request.is_grpc();
        let mut edits = Vec::new();
        self.unsteer(request, &mut edits);
        if choice::is_diverted(request.attribute(Attribute::Guarded)) {
            // A breaker before this filter.
            return Verdict::Continue(edits);
        }
        let chosen = self.chosen(request);
        let routed = chosen.is_some();
        let (service, subset) = match chosen {
            Some((service, subset)) => (Some(service), subset.map(Rc::new)),
            None => (self.index.find(request, &self.policy.services), None),
        };
        let known = service.and_then(|at| Some((at, self.views.get(at)?, self.policy.services.get(at)?)));
        let Some((service, view, params)) = known else {
            host.add(metrics::UNMATCHED, 1);
            self.usage.passed(Placement::Downstream);
            return match self.policy.no_match {
                NoMatch::NotFound => Verdict::Reply(reply::no_service(exchange.grpc)),
                NoMatch::Pass => Verdict::Continue(edits),
            };
        };
        // The retry headers of a request that the routing filter sent here are the routing filter's.
        if !routed {
            edits.extend(steering::retries(request));
        }
        view.count(ServiceMetric::Requests);
        let now = host.now();
        exchange.completed = request.end_of_stream().then_some(now);
        view.settle_locality(&|| self.locality(request, now));
        let hash = params.hash_key.as_ref();
        let hash = hash.and_then(|key| key.hash(SipKey::from_bytes(HASH_KEY), request, false).ok());
        let repeatable = params.attempts > 1 && is_repeatable(&params.retry, request);
        let repeatable = repeatable && view.retry_budget().has_room(&|| request.peer());
        let pending = PendingRequest { service, subset, hash, repeatable, held: false };
        self.choose(exchange, pending, edits, now, host)
    }

    /// The service that the routing filter chose, and the subset of its endpoints.
    fn chosen(&self, request: &impl Request) -> Option<(usize, Option<Subset>)> {
        let state = self.hears_routing.then(|| request.attribute(Attribute::Chosen)).flatten()?;
        service_index::chosen(&state, &self.policy.services)
    }

    /// The name of the service that a request is for, which has not come by here yet.
    #[inline(never)]
    pub fn service_of(&self, request: &impl Request) -> Option<&str> {
        let chosen = self.chosen(request).map(|(service, _)| service);
        let at = chosen.or_else(|| self.index.find(request, &self.policy.services))?;
        Some(&self.policy.services.get(at)?.name)
    }

    /// A request that waits: chooses an endpoint if there is one by now.
    pub fn resume(&self, exchange: &mut Exchange, host: &impl Host) -> Verdict {
        match exchange.waiting.take() {
            Some(pending) => self.choose(exchange, pending, Vec::new(), host.now(), host),
            None => Verdict::Continue(Vec::new()),
        }
    }

    /// Removes the headers that name endpoints, look-alikes with underscores included: a client must not
    /// choose endpoints.
    fn unsteer(&self, request: &impl Request, edits: &mut Vec<Edit>) {
        let own = &**self.policy.steer.header();
        let lengths = Lengths::of(ENDPOINTS.into_iter().chain([own]));
        for (name, _) in request.headers().iter().filter(|(name, _)| lengths.has(name)) {
            if steering::is_like(name, own) || ENDPOINTS.iter().any(|known| steering::is_like(name, known)) {
                let edit = Edit::RemoveRequestHeader(String::from_utf8_lossy(name).into_owned());
                if !edits.contains(&edit) {
                    edits.push(edit);
                }
            }
        }
    }

    /// The worker's locality. The host is asked for the zone once, unless the configuration has it.
    fn locality(&self, request: &impl Request, now: Timestamp) -> Locality {
        let zone = self.zone.get_or_init(|| {
            let bytes = request.attribute(Attribute::LocalZone).unwrap_or_default();
            core::str::from_utf8(&bytes).unwrap_or_default().into()
        });
        Locality { zone: Rc::clone(zone), seed: self.draws.next(now) }
    }

    /// Chooses the endpoint of a request for a service, unless the request has to wait.
    fn choose(
        &self,
        exchange: &mut Exchange,
        pending: PendingRequest,
        edits: Vec<Edit>,
        now: Timestamp,
        host: &impl Host,
    ) -> Verdict {
        let known = self.views.get(pending.service).zip(self.policy.services.get(pending.service));
        let Some((view, params)) = known else { return Verdict::Continue(edits) };
        exchange.started = now;
        let sent = match view.table(now, host) {
            Ok(table) => self.send(exchange, view, params, &table, &pending, now),
            Err(why) => Err(why.into()),
        };
        match sent {
            Ok(more) if edits.is_empty() => Verdict::Continue(more),
            Ok(more) => Verdict::Continue(edits.into_iter().chain(more).collect()),
            Err(RefusalReason::Unavailable(Unavailable::NotKnownYet)) if view.may_wait(now) => {
                if !pending.held {
                    view.count(ServiceMetric::Held);
                }
                exchange.waiting = Some(PendingRequest { held: true, ..pending });
                Verdict::Await(edits)
            }
            Err(why) => {
                view.count(ServiceMetric::Refused);
                match self.policy.on_failure {
                    OnFailure::Allow => Verdict::Continue(edits),
                    OnFailure::Refuse => {
                        exchange.label = format!("{} - {}", params.name, why.word());
                        Verdict::Reply(reply::refused(&self.policy.reply, why, &params.name, exchange.grpc))
                    }
                }
            }
        }
    }

    /// Sends a request to an endpoint of the table.
    fn send(
        &self,
        exchange: &mut Exchange,
        view: &Rc<ServiceView>,
        params: &Service,
        table: &Rc<Table>,
        pending: &PendingRequest,
        now: Timestamp,
    ) -> Result<Vec<Edit>, RefusalReason> {
        let pool = table.pool_of(pending.subset.as_deref(), now);
        let mut picks = Picks::default();
        let most = match self.policy.steer {
            Steer::OriginalDst { .. } => 1,
            Steer::OverrideHost { .. } => params.attempts,
        };
        for _ in 0..most {
            let taken = picks.places(table);
            let ask = Ask { draw: self.draws.next(now), hash: pending.hash, taken: &taken };
            match table.pick(&pool, now, &ask).and_then(|at| table.stats(at)) {
                Some(endpoint) => picks.add(Rc::clone(endpoint)),
                // Behind the list Envoy's own policy would choose, which knows nothing of what is known here.
                None => picks.add_last_again(),
            }
        }
        let Some(endpoint) = picks.of(0).cloned() else {
            return Err(pending.none_left(params));
        };
        let (mut edits, address) = (Vec::with_capacity(4), &endpoint.text);
        let value = if most == 1 { Rc::clone(address) } else { picks.addresses() };
        edits.push(Edit::SetRequestHeader(Rc::clone(self.policy.steer.header()), value));
        if params.attempts > 1 {
            // A refused connection is tried again in any case.
            params.retry_headers.set(pending.repeatable, &mut edits);
            view.retry_budget().save(endpoint.load.active());
        }
        exchange.label.reserve(params.name.len().saturating_add(address.len()).saturating_add(16));
        exchange.label.extend([&*params.name, " ", address, " "]);
        if params.attempts > 1 && (!self.memory.sees_attempts() || self.unseen.get() > 0) {
            let ask = || Ask { draw: self.draws.next(now), hash: pending.hash, taken: &[] };
            // Where the header has the endpoints of all attempts, these are they.
            let all = if most == 1 { params.attempts } else { 1 };
            let plan = picks.filled(all, table, &pool, &ask, now);
            exchange.proving = plan.refusing();
            handover::write_next(plan.all().skip(1).map(|next| &*next.text), &mut exchange.label);
        }
        let flight = Flight::new(view, pending.subset.clone(), pending.hash, picks, exchange.grpc);
        // A placement that sees attempts counts them; without one the request counts as its attempt.
        exchange.counted = (!self.memory.sees_attempts()).then(|| Rc::clone(&endpoint));
        if exchange.counted.is_some() {
            if exchange.proving.is_empty() {
                exchange.proving = flight.picks.borrow().refusing();
            }
            flight.began(&endpoint);
        }
        let ticket = self.memory.begin(Rc::new(flight), now);
        ticket.write(&mut exchange.label);
        exchange.ticket = Some(ticket);
        Ok(edits)
    }

    /// All of a request has arrived.
    pub fn completed(&self, exchange: &mut Exchange, host: &impl Host) {
        exchange.completed.get_or_insert(host.now());
    }

    /// The response of a request: judged here when no placement sees its attempts.
    pub fn answered(&self, exchange: &mut Exchange, response: &impl Response, host: &impl Host) {
        let Some(flight) = exchange.ticket.and_then(|ticket| self.memory.find(ticket)) else { return };
        if flight.attempts.get() > 0 {
            return;
        }
        let now = host.now();
        let endpoint = flight.last_endpoint(response, now, host);
        let outcome = Outcome::of_response(response, exchange.grpc);
        // Whether a good answer is the endpoint's only matters where answers decide the choice; asking
        // the host costs as much as all else here.
        let asks = flight.view.learns()
            || !exchange.proving.is_empty()
            || outcome.status().is_some_and(|status| status >= 400);
        let failing = endpoint.as_ref().is_some_and(|endpoint| endpoint.runs.get() != Runs::default());
        if (asks || failing) && choice::is_diverted(response.attribute(Attribute::Guarded)) {
            // A breaker behind this filter sent it elsewhere.
            return self.never_sent(exchange);
        }
        let of_upstream = |details: Vec<u8>| details == b"via_upstream";
        let outcome = if !asks || response.attribute(Attribute::Details).is_some_and(of_upstream) {
            outcome
        } else {
            let connected = response.attribute(Attribute::LocalAddress).is_some();
            Outcome::of_flags(response.number(Attribute::Flags), exchange.completed.is_some(), connected)
        };
        let judged = flight.judges_headers(outcome, response.end_of_stream());
        if let Some(endpoint) = &endpoint {
            if exchange.proving.contains(&endpoint.hash) && matches!(outcome, Outcome::Answered(_)) {
                flight.view.accepted(endpoint, now, host);
            }
            if judged {
                flight.judge(endpoint, outcome, now, host);
            }
        }
        let took = exchange.took(now);
        exchange.answered = Some(Answered { endpoint, outcome, at: now, took, judged });
    }

    /// A request is over that was not sent: nothing is learned of its endpoint.
    pub fn never_sent(&self, exchange: &mut Exchange) {
        let _ = exchange.ticket.take().and_then(|ticket| self.memory.end(ticket));
        exchange.counted.take().iter().for_each(|first| first.load.left());
    }

    /// A request is over.
    pub fn ended(&self, exchange: &mut Exchange, ending: Ending, end: &impl Response, host: &impl Host) {
        // Also when an attempt found that it went elsewhere, and ended it.
        let counted = exchange.counted.take();
        counted.iter().for_each(|first| first.load.left());
        let Some(flight) = exchange.ticket.take().and_then(|ticket| self.memory.end(ticket)) else { return };
        let responded = ending != Ending::Incomplete;
        let seen = flight.attempts.get() > 0;
        // One that had no attempt, because its client left say, tells nothing of who sees attempts.
        let attempted = || end.attempts().is_some_and(|attempts| attempts > 0);
        if seen {
            self.unseen.set(self.unseen.get().saturating_sub(1));
        } else if self.memory.sees_attempts() && attempted() {
            self.unseen.set(WARY);
        }
        if seen {
            let suspect = flight.suspect.take();
            // Of a good response nothing is asked.
            let asks = suspect.is_some() || !responded;
            let flags = if asks { completion::cut_flags(end) } else { 0 };
            let end = RequestEnd { flags, responded };
            flight.end.set(Some(end));
            if let Some(suspect) = suspect {
                flight.settle(&suspect, end, host.now(), host);
            }
            return;
        }
        let answered = exchange.answered.take();
        if answered.is_none() && choice::is_diverted(end.attribute(Attribute::Guarded)) {
            return;
        }
        let now = Answered::ended(answered.as_ref(), responded, host);
        let endpoint = match &answered {
            Some(answered) => answered.endpoint.clone(),
            None => flight.last_endpoint(end, now, host),
        };
        let Some(endpoint) = endpoint else { return };
        if counted.is_none() {
            flight.view.count(ServiceMetric::Attempts);
        }
        match answered {
            Some(answered) if answered.judged || responded => {
                if !answered.judged {
                    flight.judge(&endpoint, answered.outcome, now, host);
                }
                flight.learn(&endpoint, answered.outcome, answered.took, now);
            }
            _ => {
                let (complete, took) = (exchange.completed.is_some(), exchange.took(now));
                let answered = answered.map(|answered| answered.outcome);
                let connected = end.attribute(Attribute::LocalAddress).is_some();
                let end = RequestEnd { flags: completion::cut_flags(end), responded };
                let suspect = Suspect { endpoint, took, complete, connected, answered };
                flight.settle(&suspect, end, now, host);
            }
        }
    }
}

/// Whether a request may be sent again after bytes of it were sent.
fn is_repeatable(retry: &Retry, request: &impl Request) -> bool {
    let method = request.header(":method").unwrap_or_default();
    retry.methods.iter().any(|known| known.as_bytes() == method)
        || retry.safe.iter().any(|matcher| matcher.holds(request))
}
