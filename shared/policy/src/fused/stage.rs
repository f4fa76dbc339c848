//! The stages of all policies in a row.

use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::Cell;

use super::exchange::{Exchange, Memory};
use super::fields;
use super::guards::Guards;
use super::misplaced::Misplaced;
use super::part::{Later, Others, Part, Passage};
use super::reply::{self, OwnReply};
use crate::breaker::CircuitBreaker;
use crate::claims::Claim;
use crate::config::Reader;
use crate::discovery::Discovery;
use crate::host::{Answer, Host, Store, StoreError};
use crate::http::steering::{self, Note};
use crate::http::{
    Attribute, Callback, CellSpec, Edit, Ending, Memo, Metric, NoResponse, Parsed, Placement, Reply, Request,
    Response, Stage, Verdict,
};
use crate::ratelimit::RateLimitWithHeaders;
use crate::routing::Routing;
use crate::scoped::Moment;

/// All policies in one stage.
///
/// ```
/// use tidegate_policy::fused::Fused;
/// use tidegate_policy::http::{Placement, Stage};
///
/// let json = br#"{"breaker": {"breakers": [{"name": "checkout", "target": {"cluster": "checkout"}}]}}"#;
/// let stage = Fused::configure(json, Placement::Downstream).unwrap();
/// assert!(stage.metrics().iter().any(|m| m.name == "tidegate.breaker.breaker.checkout.refused"));
/// ```
pub struct Fused {
    limits: Option<Part<RateLimitWithHeaders>>,
    routing: Option<Part<Routing>>,
    breaker: Option<Part<CircuitBreaker>>,
    discovery: Option<Part<Discovery>>,
    /// The breakers that routing looks at before it chooses.
    guards: Guards,
    /// Whether nothing of the document is for a filter that stands here.
    misplaced: Misplaced,
}

/// The fact by which discovery hears of breakers.
const GUARDED: &str = match Attribute::Guarded.fact() {
    Some(name) => name,
    None => "",
};

/// Does something with each stage that there is, on a host of its own, and with what it remembers of an
/// exchange if one is named.
macro_rules! each {
    ([$($stage:ident),+] of $fused:ident, $host:ident, $moment:expr, |$one:ident, $own:ident| $call:expr) => {
        let moment: &Moment = $moment;
        $(if let Some(part) = &$fused.$stage {
            let ($one, $own) = (&part.stage, &part.host($host, moment));
            $call;
        })+
    };
    ([$($stage:ident),+] of $fused:ident, $exchange:ident, $host:ident, $moment:expr, |$one:ident, $state:ident, $own:ident| $call:expr) => {
        let moment: &Moment = $moment;
        $(if let Some(part) = &$fused.$stage {
            let ($one, $state, $own) = (&part.stage, &mut $exchange.$stage, &part.host($host, moment));
            $call;
        })+
    };
}

impl Stage for Fused {
    const NAME: &'static str = "fused";
    const CLAIMS: bool = true;
    const CALLBACKS: &'static [Callback] = Self::UNION.0.split_at(Self::UNION.1).0;
    const SEVERAL: bool = true;
    const TICK_MS: u32 = 100;
    const WAIT_MS: u32 = Discovery::WAIT_MS;

    type Exchange = Exchange;
    type Memory = Memory;

    fn read(reader: &Reader<'_>, placement: Placement) -> Option<Self> {
        let object = reader.checked(&fields::DOCUMENT)?;
        let metrics = &mut 0;
        let limits = Part::read(&object, &fields::RATELIMIT, placement, metrics);
        let routing = Part::<Routing>::read(&object, &fields::ROUTING, placement, metrics);
        // Around attempts these have nothing to do, but are part of the same document.
        let here = placement == Placement::Downstream;
        if !here {
            *metrics = 0;
        }
        let breaker = Part::<CircuitBreaker>::read(&object, &fields::BREAKER, placement, metrics);
        let discovery = Part::read(&object, &fields::DISCOVERY, placement, metrics);
        let (limits, routing) = (limits?.filter(|_| here), routing?.filter(|_| here));
        let (breaker, discovery) = (breaker?, discovery?);
        let guards = match (&routing, &breaker) {
            (Some(routing), Some(breaker)) => Guards::new(routing.stage.policy(), breaker.stage.policy()),
            _ => Guards::default(),
        };
        let misplaced =
            Misplaced::new(!here && breaker.is_none() && discovery.is_none(), reader.fingerprint());
        Some(Self { limits, routing, breaker, discovery, guards, misplaced })
    }

    fn cells(&self) -> impl Iterator<Item = CellSpec> {
        let limits = self.limits.iter().flat_map(|part| part.stage.cells());
        let routing = self.routing.iter().flat_map(|part| part.stage.cells());
        let breaker = self.breaker.iter().flat_map(|part| part.stage.cells());
        let discovery = self.discovery.iter().flat_map(|part| part.stage.cells());
        limits.chain(routing).chain(breaker).chain(discovery).chain(self.misplaced.spec())
    }

    fn start(&mut self, memory: &Rc<Memory>, store: &impl Store) -> Result<(), StoreError> {
        let Self { limits, routing, breaker, discovery, .. } = self;
        limits.as_mut().map_or(Ok(()), |part| part.stage.start(&memory.limits, store))?;
        routing.as_mut().map_or(Ok(()), |part| part.stage.start(&memory.routing, store))?;
        breaker.as_mut().map_or(Ok(()), |part| part.stage.start(&memory.breaker, store))?;
        discovery.as_mut().map_or(Ok(()), |part| part.stage.start(&memory.discovery, store))
    }

    fn stop(&self, host: &impl Host) {
        each!([limits, routing, breaker, discovery] of self, host, &Moment::default(), |stage, own| stage.stop(own));
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut list = Vec::new();
        self.limits.iter().for_each(|part| list.extend(part.stage.metrics()));
        self.routing.iter().for_each(|part| list.extend(part.stage.metrics()));
        self.breaker.iter().for_each(|part| list.extend(part.stage.metrics()));
        self.discovery.iter().for_each(|part| list.extend(part.stage.metrics()));
        list
    }

    fn claims(&self) -> Vec<Claim> {
        let mut all = Vec::new();
        self.limits.iter().for_each(|part| all.extend(part.stage.claims()));
        self.routing.iter().for_each(|part| all.extend(part.stage.claims()));
        self.breaker.iter().for_each(|part| all.extend(part.stage.claims()));
        self.discovery.iter().for_each(|part| all.extend(part.stage.claims()));
        all
    }

    fn reads_headers(&self) -> bool {
        self.limits.iter().any(|part| part.stage.reads_headers())
            || self.routing.iter().any(|part| part.stage.reads_headers())
            || self.breaker.iter().any(|part| part.stage.reads_headers())
            || self.discovery.iter().any(|part| part.stage.reads_headers())
    }

    fn on_request(&self, exchange: &mut Exchange, request: &impl Request, host: &impl Host) -> Verdict {
        let moment = &Moment::default();
        let mut passage = Passage::default();
        let reply = self.request(exchange, &mut passage, &Parsed::new(request), host, moment);
        exchange.forged = passage.forged;
        match reply {
            Some((by, reply)) => Verdict::Reply(self.answer(exchange, by, reply, host, moment)),
            None => passage.verdict(),
        }
    }

    fn on_request_complete(&self, exchange: &mut Exchange, host: &impl Host) {
        each!([limits, routing, breaker, discovery] of self, exchange, host, &Moment::default(), |stage, state, own| {
            stage.on_request_complete(state, own);
        });
    }

    /// Only the last stage holds requests back, so the others' edits were made before.
    fn on_wait(&self, exchange: &mut Exchange, host: &impl Host) -> Verdict {
        let moment = &Moment::default();
        let Some(part) = &self.discovery else { return Verdict::Continue(Vec::new()) };
        match part.stage.on_wait(&mut exchange.discovery, &part.host(host, moment)) {
            Verdict::Reply(reply) => {
                Verdict::Reply(self.answer(exchange, Place::Discovery, reply, host, moment))
            }
            verdict => verdict,
        }
    }

    fn on_callout(&self, answer: &impl Answer, host: &impl Host) {
        each!([discovery] of self, host, &Moment::default(), |stage, own| stage.on_callout(answer, own));
    }

    fn on_response(&self, exchange: &mut Exchange, response: &impl Response, host: &impl Host) -> Vec<Edit> {
        let (mut edits, response, moment) = (Vec::new(), &self.memo(response), &Moment::default());
        each!([discovery, breaker, routing, limits] of self, exchange, host, moment, |stage, state, own| {
            edits.extend(stage.on_response(state, response, own));
        });
        self.heed(host, moment);
        edits
    }

    fn on_trailers(&self, exchange: &mut Exchange, trailers: &impl Response, host: &impl Host) {
        let (trailers, moment) = (&Memo::new(trailers), &Moment::default());
        each!([discovery, breaker, routing, limits] of self, exchange, host, moment, |stage, state, own| {
            stage.on_trailers(state, trailers, own);
        });
        self.heed(host, moment);
    }

    fn on_end(&self, exchange: &mut Exchange, ending: Ending, end: &impl Response, host: &impl Host) {
        let (end, moment) = (&self.memo(end), &Moment::default());
        each!([discovery, breaker, routing, limits] of self, exchange, host, moment, |stage, state, own| {
            stage.on_end(state, ending, end, own);
        });
        self.heed(host, moment);
    }

    fn facts(&self, exchange: &Exchange, tell: &mut dyn FnMut(&'static str, &str)) {
        match &exchange.told {
            Some(told) => told.iter().for_each(|(name, text)| tell(name, text)),
            None => self.tell(exchange, tell),
        }
    }

    fn on_tick(&self, host: &impl Host) {
        self.misplaced.tell(host);
        let moment = &Moment::default();
        each!([limits, routing, breaker, discovery] of self, host, moment, |stage, own| stage.on_tick(own));
        self.heed(host, moment);
    }
}

/// The place of a stage among the others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Limits,
    Routing,
    Breaker,
    Discovery,
}

// === impl Fused ===

impl Fused {
    const UNION: ([Callback; Callback::COUNT], usize) = Callback::union(&[
        RateLimitWithHeaders::CALLBACKS,
        Routing::CALLBACKS,
        CircuitBreaker::CALLBACKS,
        Discovery::CALLBACKS,
    ]);

    /// A response that is asked each thing once. That a breaker of this module sent a request elsewhere is
    /// known: then discovery had nothing to do with it.
    fn memo<'a>(&self, response: &'a dyn Response) -> Memo<'a> {
        let memo = Memo::new(response);
        if self.breaker.is_some() {
            memo.lacking(Attribute::Guarded)
        } else {
            memo
        }
    }

    /// Asks one stage after the other, each of the request as the earlier ones left it. The first reply,
    /// if there is one, and whose it is.
    fn request<R: Request>(
        &self,
        exchange: &mut Exchange,
        passage: &mut Passage,
        request: &R,
        host: &impl Host,
        moment: &Moment,
    ) -> Option<(Place, Reply)> {
        let Exchange { limits, routing, breaker, discovery, .. } = exchange;
        let nothing: &Later<'_, R> = &|_, _| None;
        let alone = Others { earlier: &|_| (), later: nothing };
        if let Some(part) = &self.limits {
            let host = part.host(host, moment);
            if let Some(reply) = part.request(limits, request, passage, &alone, &host) {
                return Some((Place::Limits, reply));
            }
        }
        if let Some(part) = &self.routing {
            let own = part.host(host, moment);
            let first = Cell::new(None);
            let passes = |route, variant| self.passes((route, variant), &first, request, host, moment);
            let reply = part.request_by(routing, request, passage, &alone, &own, |state, seen| {
                part.stage.route(state, seen, &passes, &own)
            });
            if let Some(reply) = reply {
                return Some((Place::Routing, reply));
            }
        }
        let chosen = |tell: &mut dyn FnMut(&'static str, &str)| {
            if let Some(part) = &self.routing {
                part.stage.facts(routing, tell);
            }
        };
        if let Some(part) = &self.breaker {
            let host = part.host(host, moment);
            let service: &Later<'_, R> =
                &|which, request| self.discovery.as_ref()?.stage.foretell(which, request);
            let others = Others { earlier: &chosen, later: service };
            if let Some(reply) = part.request(breaker, request, passage, &others, &host) {
                return Some((Place::Breaker, reply));
            }
        }
        let guarded = |tell: &mut dyn FnMut(&'static str, &str)| {
            chosen(tell);
            if let Some(part) = &self.breaker {
                // Where it says nothing there is nothing to ask the host.
                tell(GUARDED, "");
                part.stage.facts(breaker, tell);
            }
        };
        let part = self.discovery.as_ref()?;
        let others = Others { earlier: &guarded, later: nothing };
        let reply = part.request(discovery, request, passage, &others, &part.host(host, moment))?;
        Some((Place::Discovery, reply))
    }

    /// Whether no breaker of a variant would refuse the request now. `first` is the first that would have,
    /// of the variants that were asked for.
    fn passes(
        &self,
        (route, variant): (usize, usize),
        first: &Cell<Option<usize>>,
        request: &impl Request,
        host: &impl Host,
        moment: &Moment,
    ) -> bool {
        let Some(part) = self.breaker.as_ref().filter(|_| !self.guards.is_empty()) else { return true };
        let host = part.host(host, moment);
        let refuses = |breaker| part.stage.would_refuse(breaker, !request.end_of_stream(), &host);
        let refusing = self.guards.first(route, variant, &refuses);
        first.set(first.get().or(refusing));
        if let Some(first) = first.get().filter(|_| refusing.is_none()) {
            part.stage.saw(first);
        }
        refusing.is_none()
    }

    /// Has routing abort the ramps whose breaker opened in this callback, and not with its next tick.
    fn heed(&self, host: &impl Host, moment: &Moment) {
        let both = self.routing.as_ref().filter(|_| self.breaker.is_some() && moment.is_raised());
        if let Some(part) = both {
            part.stage.heed(&part.host(host, moment));
        }
    }

    /// The reply of the stage at `by`, as it leaves: it passes the stages before that one, and they take
    /// back what they gave for the request, which is not sent.
    #[inline(never)]
    fn answer(
        &self,
        exchange: &mut Exchange,
        by: Place,
        mut reply: Reply,
        host: &impl Host,
        moment: &Moment,
    ) -> Reply {
        let mut told = Vec::new();
        self.tell(exchange, &mut |name, text| told.push((name, text.to_string())));
        exchange.told = Some(told);
        let none = Memo::new(&NoResponse);
        if let Some(part) = self.breaker.as_ref().filter(|_| by > Place::Breaker) {
            let host = part.host(host, moment);
            part.stage.on_end(&mut exchange.breaker, Ending::NeverSent, &none, &host);
        }
        if let Some(part) = self.routing.as_ref().filter(|_| by > Place::Routing) {
            let host = part.host(host, moment);
            let edits = part.stage.on_response(&mut exchange.routing, &Memo::new(&OwnReply(&reply)), &host);
            part.stage.on_end(&mut exchange.routing, Ending::NeverSent, &none, &host);
            reply::edit(&mut reply, edits);
        }
        if let Some(part) = self.limits.as_ref().filter(|_| by > Place::Limits) {
            let host = part.host(host, moment);
            let edits = part.stage.on_response(&mut exchange.limits, &Memo::new(&OwnReply(&reply)), &host);
            reply::edit(&mut reply, edits);
        }
        reply
    }

    /// Tells what the stages tell, and the last note on the route behind it.
    fn tell(&self, exchange: &Exchange, tell: &mut dyn FnMut(&'static str, &str)) {
        let forged = exchange.forged;
        if let Some(part) = &self.limits {
            part.stage.facts(&exchange.limits, tell);
        }
        if let Some(part) = &self.routing {
            part.stage.facts(&exchange.routing, tell);
        }
        if let Some(part) = &self.breaker {
            part.stage.facts(&exchange.breaker, &mut |name, text| {
                if !(forged && name == steering::FACT) {
                    tell(name, text);
                }
            });
        }
        if let Some(part) = &self.discovery {
            part.stage.facts(&exchange.discovery, tell);
        }
        if forged {
            Note::Forged.tell(tell);
        }
    }
}
