//! The request's side: which service it is for, and which endpoint gets it.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt::Write;

use crate::balance::Ask;
use crate::discovery::catalog::service_view::ServiceView;
use crate::discovery::catalog::table::Table;
use crate::discovery::config::policy::{NoMatch, OnFailure, Service, Steer, Subset, SubsetFallback};
use crate::discovery::metrics::{self, ServiceMetric};
use crate::discovery::request::attempt;
use crate::discovery::request::flight::{Flight, Picks};
use crate::discovery::request::outcome::Outcome;
use crate::discovery::request::reply::{self, RefusalReason};
use crate::discovery::stage::{Discovery, Exchange};
use crate::hash::sip::SipKey;
use crate::host::Host;
use crate::http::{steering, Attribute, Edit, Request, RequestExt, Response, ResponseExt, Verdict};
use crate::key::Key;
use crate::time::Timestamp;

/// What is known of a request, for when it is asked again.
#[derive(Clone, Debug)]
pub(crate) struct PendingRequest {
    service: usize,
    /// The subset that the routing filter chose.
    subset: Option<Subset>,
    hash: Option<u64>,
    /// Whether it may be sent again after bytes were sent.
    safe: bool,
    /// Whether it waits already.
    held: bool,
}

/// Headers that name an endpoint, whichever of them is in use.
const ENDPOINTS: [&str; 2] = ["x-envoy-original-dst-host", "x-tidegate-endpoints"];
/// Hashes of requests are the same on every proxy.
const HASH_KEY: [u8; 16] = [0; 16];
/// Envoy's flags of an upstream that did not answer: LR, UT, UR, UF, UC.
const BROKEN: u64 = (1 << 2) | (1 << 3) | (1 << 4) | (1 << 5) | (1 << 6);

// === impl Discovery ===

impl Discovery {
    /// A request: which service it is for.
    pub(crate) fn route(&self, exchange: &mut Exchange, request: &impl Request, host: &impl Host) -> Verdict {
        exchange.grpc = request.is_grpc();
        let mut edits = Vec::new();
        let chosen = self.hears_routing.then(|| request.attribute(Attribute::Chosen)).flatten();
        let chosen = chosen.as_deref().and_then(|state| self.chosen(state));
        self.remove(request, &ENDPOINTS, &mut edits);
        let routed = chosen.is_some();
        let (service, subset) = match chosen {
            Some((service, subset)) => (Some(service), subset),
            None => (self.index.find(request, &self.policy.services), None),
        };
        let known = service.and_then(|at| Some((at, self.views.get(at)?, self.policy.services.get(at)?)));
        let Some((service, view, rules)) = known else {
            host.add(metrics::UNMATCHED, 1);
            return match self.policy.no_match {
                NoMatch::NotFound => Verdict::Reply(reply::no_service(exchange.grpc)),
                NoMatch::Pass => Verdict::Continue(edits),
            };
        };
        // Those of a request that the routing filter sent here are the routing filter's.
        if !routed {
            self.remove(request, &steering::RETRIES, &mut edits);
        }
        view.count(ServiceMetric::Requests);
        let now = host.now();
        view.settle_locality(&|| self.locality(request, now));
        let hash = rules.hash_key.as_ref().and_then(|key| self.hash(key, request));
        let safe = rules.attempts > 1 && rules.may_repeat(request);
        self.choose(exchange, PendingRequest { service, subset, hash, safe, held: false }, edits, now, host)
    }

    /// The service that the routing filter chose and the subset of its endpoints:
    /// `orders;tag=v1;version=2 …`. A service that is not ours is Envoy's, by its cluster.
    fn chosen(&self, state: &[u8]) -> Option<(usize, Option<Subset>)> {
        let word = state.split(|byte| *byte == b' ').next()?;
        let mut parts = core::str::from_utf8(word).ok()?.split(';');
        let name = parts.next()?;
        let at = self.policy.services.iter().position(|service| *service.name == *name)?;
        let fallback = self.policy.services.get(at).map_or(SubsetFallback::NoFallback, |s| s.subset.fallback);
        let mut subset = Subset { fallback, ..Subset::default() };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            if key == "tag" {
                subset.tags.push(value.to_string());
            } else {
                subset.metadata.push((key.to_string(), value.to_string()));
            }
        }
        let plain = subset.tags.is_empty() && subset.metadata.is_empty();
        Some((at, (!plain).then_some(subset)))
    }

    /// Removes what the client sent of these headers, look-alikes with underscores included.
    fn remove(&self, request: &impl Request, names: &[&str], edits: &mut Vec<Edit>) {
        let own = &**self.policy.steer.header();
        for (name, _) in request.headers() {
            // Most headers do not begin as these do.
            let begins = matches!(name, [b'x' | b'X', b'-' | b'_', ..]);
            if (begins && names.iter().any(|known| steering::is_like(name, known)))
                || steering::is_like(name, own)
            {
                let edit = Edit::RemoveRequestHeader(String::from_utf8_lossy(name).into_owned());
                if !edits.contains(&edit) {
                    edits.push(edit);
                }
            }
        }
    }

    fn hash(&self, key: &Key, request: &impl Request) -> Option<u64> {
        key.hash(SipKey::from_bytes(HASH_KEY), request, false).ok()
    }

    /// A request for a service: which endpoint gets it, unless it has to wait.
    pub(crate) fn choose(
        &self,
        exchange: &mut Exchange,
        wanted: PendingRequest,
        edits: Vec<Edit>,
        now: Timestamp,
        host: &impl Host,
    ) -> Verdict {
        let known = self.views.get(wanted.service).zip(self.policy.services.get(wanted.service));
        let Some((view, rules)) = known else { return Verdict::Continue(edits) };
        exchange.started = now;
        let found = view.table(now, host);
        let found = found.and_then(|table| self.send(exchange, view, rules, &table, &wanted, now));
        match found {
            Ok(more) if edits.is_empty() => Verdict::Continue(more),
            Ok(more) => Verdict::Continue(edits.into_iter().chain(more).collect()),
            Err(RefusalReason::NotKnownYet) if view.may_wait(now) => {
                if !wanted.held {
                    view.count(ServiceMetric::Held);
                }
                exchange.waiting = Some(PendingRequest { held: true, ..wanted });
                Verdict::Await(edits)
            }
            Err(why) => {
                view.count(ServiceMetric::Refused);
                match self.policy.on_failure {
                    OnFailure::Allow => Verdict::Continue(edits),
                    OnFailure::Refuse => {
                        exchange.label = format!("{} - {}", rules.name, why.word());
                        Verdict::Reply(reply::refused(&self.policy.reply, why, &rules.name, exchange.grpc))
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
        rules: &Service,
        table: &Rc<Table>,
        wanted: &PendingRequest,
        now: Timestamp,
    ) -> Result<Vec<Edit>, RefusalReason> {
        let pool = match &wanted.subset {
            Some(subset) => table.pool(subset, now),
            None => table.own_pool(now),
        };
        let mut picks = Picks::default();
        let most = match self.policy.steer {
            Steer::OriginalDst { .. } => 1,
            Steer::OverrideHost { .. } => rules.attempts,
        };
        for _ in 0..most {
            let ask = Ask { draw: self.draws.next(now), hash: wanted.hash, taken: picks.all() };
            match table.pick(&pool, now, &ask) {
                Some(endpoint) => picks.add(endpoint),
                None => break,
            }
        }
        let first = picks.of(0).and_then(|first| table.text(first));
        let Some(first) = first else {
            let narrow = wanted.subset.is_some() || !rules.subset.is_any();
            return Err(if narrow { RefusalReason::NoneInSubset } else { RefusalReason::NoEndpoints });
        };
        let mut edits = Vec::with_capacity(4);
        let value = if most == 1 { Rc::clone(first) } else { list(table, &picks) };
        edits.push(Edit::SetRequestHeader(Rc::clone(self.policy.steer.header()), value));
        if rules.attempts > 1 && view.may_retry() {
            rules.retry_headers.set(wanted.safe, &mut edits);
        }
        exchange.label.reserve(rules.name.len().saturating_add(first.len()).saturating_add(16));
        exchange.label.push_str(&rules.name);
        exchange.label.push(' ');
        exchange.label.push_str(first);
        exchange.label.push(' ');
        let flight = Flight {
            view: Rc::clone(view),
            table: Rc::clone(table),
            pool,
            hash: wanted.hash,
            picks: RefCell::new(picks),
            attempts: Cell::default(),
            suspect: Cell::default(),
        };
        // Whoever sees attempts counts them; without attempts the request counts itself.
        exchange.counted = !self.memory.sees_attempts();
        if let Some(endpoint) = picks.of(0).filter(|_| exchange.counted) {
            view.began(table, endpoint);
        }
        let ticket = self.memory.begin(Rc::new(flight));
        ticket.write(&mut exchange.label);
        exchange.ticket = Some(ticket);
        Ok(edits)
    }

    /// The response of a request: looked at here when nobody looks at attempts.
    pub(crate) fn answered(&self, exchange: &mut Exchange, response: &impl Response, host: &impl Host) {
        let Some(flight) = exchange.ticket.and_then(|ticket| self.memory.find(ticket)) else { return };
        if flight.attempts.get() > 0 {
            return;
        }
        let now = host.now();
        let status = attempt::status(response);
        // Whose answer a good one is only matters where latencies decide; asking costs as much again.
        let asks = status >= 400 || flight.view.learns();
        let upstream = |why: Vec<u8>| why == b"via_upstream";
        let outcome = if !asks || response.attribute(Attribute::Details).is_some_and(upstream) {
            Outcome::Answered(status)
        } else {
            broken(response.number(Attribute::Flags))
        };
        let endpoint = reached(&flight, response);
        exchange.answered = Some((endpoint, outcome, now.since(exchange.started)));
        if let Some(endpoint) = endpoint {
            flight.view.judge(&flight.table, endpoint, outcome, now, host);
        }
    }

    /// A request is over.
    pub(crate) fn ended(&self, exchange: &mut Exchange, end: &impl Response, host: &impl Host) {
        let Some(flight) = exchange.ticket.take().and_then(|ticket| self.memory.end(ticket)) else { return };
        let (view, table) = (&flight.view, &flight.table);
        if let Some(first) = flight.picks.borrow().of(0).filter(|_| exchange.counted) {
            view.left(table, first);
        }
        // Nobody knows why there was no response: the client left, or the endpoint failed.
        let unknown = || broken(end.number(Attribute::Flags));
        let now = host.now();
        if flight.attempts.get() > 0 {
            if let Some(suspect) = flight.suspect.take() {
                view.blame(table, suspect, unknown(), now, host);
            }
            return;
        }
        let (endpoint, outcome, took) = exchange.answered.unwrap_or_else(|| {
            let (endpoint, outcome) = (reached(&flight, end), unknown());
            if let Some(endpoint) = endpoint {
                view.judge(table, endpoint, outcome, now, host);
            }
            (endpoint, outcome, now.since(exchange.started))
        });
        let Some(endpoint) = endpoint else { return };
        if !exchange.counted {
            view.count(ServiceMetric::Attempts);
        }
        view.learn(table, endpoint, outcome, took, now);
    }
}

/// The endpoint that a request was sent to, when nobody saw its attempts.
fn reached(flight: &Flight, response: &impl Response) -> Option<u32> {
    match flight.view.policy().steer {
        Steer::OriginalDst { .. } => flight.picks.borrow().of(0),
        // Envoy passes over those that its cluster does not have, and tries the next.
        Steer::OverrideHost { .. } => flight.table.place(&response.attribute(Attribute::Endpoint)?),
    }
}

/// What Envoy's flags say of an endpoint that did not answer.
fn broken(flags: u64) -> Outcome {
    if flags & BROKEN == 0 {
        Outcome::Left
    } else {
        Outcome::Broken
    }
}

/// All endpoints of a request, for a policy that tries one after the other.
fn list(table: &Table, picks: &Picks) -> Rc<str> {
    let mut all = String::new();
    for text in picks.all().iter().filter_map(|endpoint| table.text(*endpoint)) {
        let comma = if all.is_empty() { "" } else { "," };
        let _ = write!(all, "{comma}{text}");
    }
    all.into()
}

// === impl Service ===

impl Service {
    /// Whether a request may be sent again after bytes were sent.
    fn may_repeat(&self, request: &impl Request) -> bool {
        let method = request.header(":method").unwrap_or_default();
        self.retry.methods.iter().any(|known| known.as_bytes() == method)
            || self.retry.safe.iter().any(|matcher| matcher.holds(request))
    }
}

// === impl Subset ===

impl Subset {
    fn is_any(&self) -> bool {
        self.tags.is_empty() && self.metadata.is_empty()
    }
}
