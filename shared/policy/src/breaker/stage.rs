//! One exchange through all breakers: asked before it goes on, told what came of it.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::config::{Breaker, Mode, OnFailure, Policy};
use super::exchange::{count, Exchange, Label, View};
use super::metrics::{self, BreakerMetric};
use super::outcome::why_of;
use super::reply;
use super::request::applies;
use super::waiting::Waiting;
use crate::breaker::config::target::Target;
use crate::breaker::worker::entry::Answer;
use crate::breaker::worker::local::LocalBreaker;
use crate::config::Reader;
use crate::draws::Draws;
use crate::hash::sip::SipKey;
use crate::hash::xxh64::xxh64;
use crate::host::{Host, Store, StoreError};
use crate::http::{
    grpc, Callback, CellSpec, Edit, Ending, Metric, Placement, Request, Response, ResponseExt, Stage, Verdict,
};
use crate::secret;

/// The breaker filter.
pub struct CircuitBreaker {
    pub(super) policy: Policy,
    pub(super) placement: Placement,
    /// What this worker keeps of each breaker, in the policy's order.
    pub(super) locals: Vec<LocalBreaker>,
    pub(super) secret: SipKey,
    pub(super) reads_headers: bool,
    /// Whether an endpoint of ours may have broken off an exchange that ends here.
    blames: bool,
    pub(super) draws: Draws,
    pub(super) waiting: Waiting,
    /// What access logs say, by breaker.
    labels: Vec<[String; 5]>,
}

impl Stage for CircuitBreaker {
    const NAME: &'static str = "breaker";
    const CALLBACKS: &'static [Callback] =
        &[Callback::RequestHeaders, Callback::ResponseHeaders, Callback::ResponseTrailers, Callback::Tick];
    const TICK_MS: u32 = 100;

    type Exchange = Exchange;
    type Memory = ();

    fn read(reader: &Reader<'_>, placement: Placement) -> Option<Self> {
        let policy = Policy::read(reader)?;
        let here = |breaker: &&Breaker| breaker.target.placement() == placement;
        let reads = |breaker: &Breaker| {
            !breaker.matches.is_empty() || matches!(&breaker.target, Target::Key(key) if !key.is_constant())
        };
        let words = ["fallback", "observed", "probe", "refused", "undecided"];
        let label = |breaker: &Breaker| words.map(|word| alloc::format!("{word}:{}", breaker.name));
        Some(Self {
            placement,
            locals: policy.breakers.iter().map(LocalBreaker::new).collect(),
            secret: SipKey::from_bytes([0; 16]),
            reads_headers: policy.breakers.iter().filter(here).any(reads),
            blames: placement == Placement::Downstream
                && policy.breakers.iter().any(Breaker::guards_endpoints),
            draws: Draws::default(),
            waiting: Waiting::default(),
            labels: policy.breakers.iter().map(label).collect(),
            policy,
        })
    }

    fn cells(&self) -> impl Iterator<Item = CellSpec> {
        let cells = self.policy.breakers.iter().zip(&self.locals);
        cells.flat_map(|(breaker, local)| local.cells.specs(breaker))
    }

    fn start(&mut self, _memory: &Rc<()>, store: &impl Store) -> Result<(), StoreError> {
        let bytes = secret::load(store)?;
        self.secret = SipKey::from_bytes(bytes);
        self.draws = Draws::seeded(xxh64(&bytes, 0));
        let mut breakers = self.policy.breakers.iter().zip(&self.locals);
        breakers.try_for_each(|(breaker, local)| local.cells.adopt(breaker, store))
    }

    fn metrics(&self) -> Vec<Metric> {
        metrics::metrics(self.policy.breakers.iter().map(|breaker| breaker.name.as_str()))
    }

    fn reads_headers(&self) -> bool {
        self.reads_headers
    }

    fn on_request(&self, exchange: &mut Exchange, request: &impl Request, host: &impl Host) -> Verdict {
        let now = host.now();
        exchange.started_ms = now.as_millis();
        exchange.grpc = self.is_grpc(request);
        let mut edits = Vec::new();
        let (chosen, forged) = self.unsteer(request, &mut edits);
        let view = View::new(request, chosen);
        for (at, breaker) in self.policy.breakers.iter().enumerate() {
            if breaker.target.placement() != self.placement {
                continue;
            }
            if forged && matches!(breaker.target, Target::Cluster(_) | Target::Route(_)) {
                let ask = || self.refuse_forged(at, exchange, now, host);
                if let Some(reply) = applies(breaker, request).then(ask).flatten() {
                    return Verdict::Reply(reply);
                }
                continue;
            }
            let Some(target) = self.target(breaker, &view) else { continue };
            let refused = match self.admit(at, target, now, host) {
                Ok(Answer::Admit(ticket)) => {
                    exchange.keep(ticket);
                    continue;
                }
                Ok(Answer::Pass) => continue,
                Ok(Answer::Refuse { .. }) if breaker.mode == Mode::Observe => {
                    count(host, at, BreakerMetric::Observed);
                    exchange.label = Some((at, Label::Observed));
                    continue;
                }
                Ok(Answer::Refuse { retry_after_ms }) => retry_after_ms,
                Err(_) => {
                    count(host, at, BreakerMetric::Undecided);
                    if self.policy.on_failure == OnFailure::Allow {
                        continue;
                    }
                    self.give_back(exchange, now, host);
                    exchange.label = Some((at, Label::Undecided));
                    return Verdict::Reply(reply::undecided(exchange.grpc));
                }
            };
            self.give_back(exchange, now, host);
            return self.fall_back(at, exchange, edits, refused, now, host);
        }
        Verdict::Continue(edits)
    }

    fn on_response(&self, exchange: &mut Exchange, response: &impl Response, host: &impl Host) -> Vec<Edit> {
        if exchange.first.is_none() && !self.blames {
            return Vec::new();
        }
        let now = host.now();
        let took_ms = now.as_millis().saturating_sub(exchange.started_ms);
        let status = response.status();
        if self.blames && (status >= 500 || exchange.grpc) {
            self.blame(exchange.started_ms, response, now, host);
        }
        let grpc_status = if exchange.grpc && status == 200 {
            let Some(text) = response.header("grpc-status") else {
                exchange.took_ms = Some(took_ms);
                self.waiting.hold(exchange, took_ms, now.as_millis());
                return Vec::new();
            };
            Some(grpc::number(&text))
        } else {
            None
        };
        self.settle(exchange, took_ms, (status, grpc_status), response, now, host);
        Vec::new()
    }

    fn on_trailers(&self, exchange: &mut Exchange, trailers: &impl Response, host: &impl Host) {
        let (Some(took_ms), Some(text)) = (exchange.took_ms, trailers.header("grpc-status")) else { return };
        self.waiting.recall(exchange);
        self.settle(exchange, took_ms, (200, Some(grpc::number(&text))), trailers, host.now(), host);
    }

    fn on_end(&self, exchange: &mut Exchange, ending: Ending, end: &impl Response, host: &impl Host) {
        self.waiting.recall(exchange);
        if exchange.first.is_none() {
            return;
        }
        let now = host.now();
        if ending == Ending::NeverSent {
            return self.give_back(exchange, now, host);
        }
        let lasted_ms = now.as_millis().saturating_sub(exchange.started_ms);
        if let Some(took_ms) = exchange.took_ms {
            let why = why_of(end);
            let class = |at: usize| self.class_of(at, &why, (200, None));
            return self.settle_as(exchange, took_ms, class, end, now, host);
        }
        let why = (self.placement == Placement::Downstream).then(|| why_of(end));
        let unanswered = |at: usize| match &why {
            Some(why) => self.unseen(at, why),
            None => Self::unanswered(end),
        };
        self.settle_as(exchange, lasted_ms, unanswered, end, now, host);
    }

    fn facts(&self, exchange: &Exchange, tell: &mut dyn FnMut(&'static str, &str)) {
        let Some((at, label)) = exchange.label else { return };
        if let Some(text) = self.labels.get(at).and_then(|labels| labels.get(label as usize)) {
            tell("tidegate.breaker", text);
        }
    }

    fn on_tick(&self, host: &impl Host) {
        let now = host.now();
        self.pass_long_streams(now, host);
        for (at, (breaker, local)) in self.policy.breakers.iter().zip(&self.locals).enumerate() {
            let cx = self.context(breaker, at, now, host);
            if local.tick(&cx).is_err() {
                count(host, at, BreakerMetric::Undecided);
            }
        }
    }
}
