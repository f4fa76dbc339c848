//! One exchange: routed before it goes on, judged by how it completed.

use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell};

use super::arrival::Arrivals;
use super::config::{NoMatch, OnFailure, Policy};
use super::cookie::Generated;
use super::decide::{Choice, ChoiceReason};
use super::exchange::Exchange;
use super::local::LocalRoute;
use super::metrics::{self, Places, RouteMetric, VariantMetric};
use super::outcome::{Outcome, OutcomeRules, Progress};
use super::reply;
use super::route::{Mode, Route};
use super::rules::Facts;
use super::unused::Unused;
use super::variant::Target;
use crate::claims::Claim;
use crate::config::Reader;
use crate::hash::sip::{SipHash13, SipKey};
use crate::host::{Host, Store, StoreError};
use crate::http::{
    steering, Callback, CellSpec, Edit, Ending, Metric, Parsed, Placement, Request, RequestExt, Response,
    Stage, Verdict,
};
use crate::secret;
use crate::time::Timestamp;

/// The routing filter.
pub struct Routing {
    policy: Policy,
    /// What this worker keeps of each route, in the policy's order.
    locals: Vec<LocalRoute>,
    places: Places,
    secret: SipKey,
    draws: Cell<u64>,
    /// When the first draw was: what tells a worker's draws from those of others and of former ones.
    began: OnceCell<Timestamp>,
    rules: OutcomeRules,
    arrivals: Arrivals,
    wanted: Vec<Vec<String>>,
    unused: Unused,
}

impl Stage for Routing {
    const NAME: &'static str = "routing";
    const CLAIMS: bool = true;
    const CALLBACKS: &'static [Callback] = &[
        Callback::RequestBody,
        Callback::RequestHeaders,
        Callback::RequestTrailers,
        Callback::ResponseBody,
        Callback::ResponseHeaders,
        Callback::ResponseTrailers,
        Callback::Tick,
    ];
    const TICK_MS: u32 = 100;

    type Exchange = Exchange;
    type Memory = ();

    fn read(reader: &Reader<'_>, placement: Placement) -> Option<Self> {
        let policy = Policy::read(reader)?;
        let (list, places) = metrics::metrics(&policy);
        let mut breakers = list.len()..;
        let routes = policy.routes.iter().enumerate();
        let locals =
            routes.map(|(at, route)| LocalRoute::new(at, route, &policy.scope, &mut breakers)).collect();
        let (secret, wanted) = (SipKey::from_bytes([0; 16]), policy.metadata());
        let (rules, arrivals) = (OutcomeRules::default(), Arrivals::new(&policy.routes));
        Some(Self {
            locals,
            places,
            secret,
            draws: Cell::default(),
            began: OnceCell::new(),
            rules,
            arrivals,
            wanted,
            unused: Unused::new(&policy, placement),
            policy,
        })
    }

    fn cells(&self) -> impl Iterator<Item = CellSpec> {
        self.locals.iter().flat_map(LocalRoute::cells).chain([self.unused.usage.spec()])
    }

    fn start(&mut self, _memory: &Rc<()>, store: &impl Store) -> Result<(), StoreError> {
        self.secret = SipKey::from_bytes(secret::load(store)?);
        let mut locals = self.policy.routes.iter().zip(&self.locals);
        locals.try_for_each(|(route, local)| local.adopt(route, store))
    }

    fn stop(&self, host: &impl Host) {
        self.unused.usage.stop(host, &|at| self.places.route(at, RouteMetric::Unused));
    }

    fn metrics(&self) -> Vec<Metric> {
        let (mut list, _) = metrics::metrics(&self.policy);
        let ramps = self.policy.routes.iter().flat_map(|route| &route.variants);
        let breakers = ramps.filter_map(|variant| variant.ramp.as_ref()?.breaker.as_deref());
        list.extend(breakers.map(|name| metrics::breaker_state(&self.policy.scope, name)));
        list
    }

    fn claims(&self) -> Vec<Claim> {
        let routes = self.policy.routes.iter();
        routes.flat_map(|route| route.claims(&self.policy.scope)).collect()
    }

    fn on_request(&self, exchange: &mut Exchange, request: &impl Request, host: &impl Host) -> Verdict {
        self.route(exchange, request, &|_, _| true, host)
    }

    fn on_forged(&self, host: &impl Host) {
        host.add(metrics::ROUTE_FORGED, 1);
    }

    fn on_request_complete(&self, exchange: &mut Exchange, host: &impl Host) {
        if let Some(progress) = &mut exchange.progress {
            progress.complete(host.now().as_millis());
        }
    }

    fn on_response(&self, exchange: &mut Exchange, response: &impl Response, host: &impl Host) -> Vec<Edit> {
        let Some((at, variant)) = exchange.chosen else { return Vec::new() };
        if let Some(progress) = &mut exchange.progress {
            let outcome = progress.on_headers(&self.rules, response, host.now().as_millis());
            self.record(at, variant, outcome, host);
        }
        if let Some(line) = self.arrivals.check(&self.policy, at, variant, response) {
            let counter = self.places.variant(at, variant, VariantMetric::Misrouted);
            if host.read(counter) == 0 {
                host.note(&line);
            }
            host.raise(counter);
        }
        let mut edits = Vec::new();
        let Some(route) = self.policy.routes.get(at) else { return edits };
        let name = route.variants.get(variant).map(|variant| variant.name.to_string());
        if let Some((header, name)) = self.policy.headers.response.as_ref().zip(name) {
            edits.push(Edit::SetResponseHeader(header.clone(), name));
        }
        let cookies = exchange.set_cookies(route);
        edits.extend(cookies.map(|(name, value)| Edit::AddResponseHeader(name, value)));
        edits
    }

    fn on_trailers(&self, exchange: &mut Exchange, trailers: &impl Response, host: &impl Host) {
        let Some(((at, variant), progress)) = exchange.chosen.zip(exchange.progress.as_mut()) else { return };
        let outcome = progress.on_trailers(&self.rules, trailers, host.now().as_millis());
        self.record(at, variant, outcome, host);
    }

    fn on_end(&self, exchange: &mut Exchange, ending: Ending, end: &impl Response, host: &impl Host) {
        let went_on = exchange.chosen.filter(|_| ending != Ending::NeverSent);
        let Some(((at, variant), mut progress)) = went_on.zip(exchange.progress.take()) else { return };
        let outcome = progress.on_end(&self.rules, ending, end, host.now().as_millis());
        self.record(at, variant, outcome, host);
    }

    fn facts(&self, exchange: &Exchange, tell: &mut dyn FnMut(&'static str, &str)) {
        if !exchange.label.is_empty() {
            tell("tidegate.routing", &exchange.label);
        }
    }

    fn on_tick(&self, host: &impl Host) {
        self.arrivals.tick();
        self.unused.tell(&self.policy.routes, &self.places, host);
        for (at, (route, local)) in self.policy.routes.iter().zip(&self.locals).enumerate() {
            if local.tick(route, &self.places, host).is_err() {
                host.add(self.places.route(at, RouteMetric::Undecided), 1);
            }
        }
    }
}

// === impl Routing ===

impl Routing {
    /// What it was told.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Decides a request. `passes` says of a route and a variant, by their places, whether the variant lets
    /// anything through: for a module that knows it.
    pub(crate) fn route(
        &self,
        exchange: &mut Exchange,
        request: &impl Request,
        passes: &dyn Fn(usize, usize) -> bool,
        host: &impl Host,
    ) -> Verdict {
        let request = &Parsed::new(request);
        let draw = self.draw(host);
        let values: Vec<Option<Vec<u8>>> = self.wanted.iter().map(|path| request.metadata(path)).collect();
        let found = self.wanted.iter().zip(&values);
        let metadata: Vec<(&[String], &[u8])> =
            found.filter_map(|(path, value)| Some((path.as_slice(), value.as_deref()?))).collect();
        let refused = |why| Verdict::Reply(reply::plain(why, request.is_grpc()));
        let mut edits = self.removals(request);
        self.unused.usage.passed(Placement::Downstream);
        let Some(at) = self.policy.find(request, Facts { draw, metadata: &metadata }) else {
            host.add(metrics::UNMATCHED, 1);
            return match self.policy.no_match {
                NoMatch::NotFound => refused(reply::ReplyReason::NoRoute),
                NoMatch::Pass => Verdict::Continue(edits),
            };
        };
        let Some((route, local)) = self.policy.routes.get(at).zip(self.locals.get(at)) else {
            return Verdict::Continue(edits);
        };
        self.unused.usage.saw(at);
        let passes = |variant| passes(at, variant);
        let Ok(choice) = self.choose(exchange, (route, local), request, draw, &passes, host) else {
            host.add(self.places.route(at, RouteMetric::Undecided), 1);
            return match self.policy.on_failure {
                OnFailure::Refuse if route.mode == Mode::Enforce => refused(reply::ReplyReason::Undecided),
                _ => Verdict::Continue(edits),
            };
        };
        if route.mode == Mode::Observe {
            host.add(self.places.route(at, RouteMetric::Observed), 1);
            exchange.cookie = None;
            return Verdict::Continue(edits);
        }
        self.count(at, choice, host);
        exchange.label(route, choice);
        if let Some(Target::Status(status)) = route.variants.get(choice.variant).map(|v| &v.target) {
            let mut reply = reply::plain(reply::ReplyReason::Status(*status, &route.name), request.is_grpc());
            reply.headers.extend(exchange.set_cookies(route));
            return Verdict::Reply(reply);
        }
        exchange.chosen = Some((at, choice.variant));
        if local.judges() {
            exchange.progress = Some(Progress::new(request, host.now().as_millis()));
        }
        if let Some(Target::Service { .. }) = route.variants.get(choice.variant).map(|v| &v.target) {
            edits.extend(steering::retries(request));
        }
        self.steer(&mut edits, route, choice, draw);
        edits.extend(exchange.attach(route, request));
        Verdict::Continue(edits)
    }

    /// Breakers changed their states just now: ramps that watch one that is open are aborted.
    pub(crate) fn heed(&self, host: &impl Host) {
        for (at, (route, local)) in self.policy.routes.iter().zip(&self.locals).enumerate() {
            if local.heed(route, &self.places, host).is_err() {
                host.add(self.places.route(at, RouteMetric::Undecided), 1);
            }
        }
    }

    /// 64 bits that no client can foresee or repeat. Nothing that a request carries is among what
    /// they are made of: a client that sends an `x-request-id` once more would get its variant again.
    fn draw(&self, host: &impl Host) -> u64 {
        let next = self.draws.get().wrapping_add(1);
        self.draws.set(next);
        let mut hash = SipHash13::new(self.secret);
        hash.write(&next.to_le_bytes());
        hash.write(&self.began.get_or_init(|| host.now()).as_nanos().to_le_bytes());
        hash.finish()
    }

    /// What clients must not send: headers that steer us or Envoy, and names of variants.
    fn removals(&self, request: &impl Request) -> Vec<Edit> {
        let mut edits = steering::removals(request);
        for (name, _) in request.headers().iter().filter(|(name, _)| self.policy.owns(name)) {
            let text = String::from_utf8_lossy(name).into_owned();
            let edit = if self.policy.forces(name) {
                Edit::DropRequestHeader(text)
            } else {
                Edit::RemoveRequestHeader(text)
            };
            if !edits.contains(&edit) {
                edits.push(edit);
            }
        }
        edits
    }

    fn choose(
        &self,
        exchange: &mut Exchange,
        (route, local): (&Route, &LocalRoute),
        request: &impl Request,
        draw: u64,
        passes: &dyn Fn(usize) -> bool,
        host: &impl Host,
    ) -> Result<Choice, StoreError> {
        let wish = self.policy.force.as_ref().and_then(|force| force.wish(request));
        let known = route.sticky.as_ref().and_then(|sticky| sticky.identity(request));
        exchange.cookie = route.cookie().and_then(|cookie| match &known {
            Some(identity) => cookie.due(identity, request),
            None => Some(Generated::value(self.random(host.now()))),
        });
        let identity = known.as_deref().or(exchange.cookie.as_deref().map(str::as_bytes));
        local.with_weights(route, &self.places, host, |weights| {
            weights.pass_over(route, weights.choose(route, wish, identity, draw), passes)
        })
    }

    /// 128 bits that cannot be foreseen without the secret.
    fn random(&self, now: Timestamp) -> u128 {
        let next = self.draws.get().wrapping_add(1);
        self.draws.set(next);
        let half = |which: u8| {
            let mut hash = SipHash13::new(self.secret);
            hash.write(&[which]);
            hash.write(&next.to_le_bytes());
            hash.write(&now.as_nanos().to_le_bytes());
            u128::from(hash.finish())
        };
        (half(0) << 64) | half(1)
    }

    fn count(&self, at: usize, choice: Choice, host: &impl Host) {
        host.add(self.places.variant(at, choice.variant, VariantMetric::Requests), 1);
        match choice.reason {
            ChoiceReason::Forced => host.add(self.places.route(at, RouteMetric::Forced), 1),
            ChoiceReason::PassedOver => host.add(self.places.route(at, RouteMetric::PassedOver), 1),
            ChoiceReason::Sticky => host.add(self.places.route(at, RouteMetric::Sticky), 1),
            ChoiceReason::Drawn => {}
        }
    }

    /// Sets the headers by which Envoy and the upstream learn what was chosen.
    fn steer(&self, edits: &mut Vec<Edit>, route: &Route, choice: Choice, draw: u64) {
        let Some(variant) = route.variants.get(choice.variant) else { return };
        let headers = &self.policy.headers;
        let mut set = |name: &Rc<str>, value: Rc<str>| {
            edits.push(Edit::SetRequestHeader(Rc::clone(name), value));
        };
        if let Target::Cluster(cluster) = &variant.target {
            set(&headers.cluster, Rc::clone(cluster));
        }
        if let Some(mirror) = route.mirror.as_ref().filter(|mirror| mirror.holds(draw)) {
            set(&headers.mirror, Rc::clone(&mirror.cluster));
        }
        for header in [&headers.random, &headers.bucket].into_iter().flatten() {
            set(header, choice.bucket.to_string().into());
        }
        if let Some(header) = &headers.variant {
            set(header, Rc::clone(&variant.name));
        }
        for (name, value) in &route.upstream {
            set(name, Rc::clone(value));
        }
    }

    /// Counts what a request said of its variant, if it said something.
    fn record(&self, at: usize, variant: usize, outcome: Option<Outcome>, host: &impl Host) {
        let Some(outcome) = outcome else { return };
        let Some((route, local)) = self.policy.routes.get(at).zip(self.locals.get(at)) else { return };
        host.add(self.places.variant(at, variant, VariantMetric::Failed), u64::from(outcome.failed));
        local.count(route, variant, outcome, host);
    }
}
