//! One request through all limits: evaluate every one, then charge every one, or none.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::charge::{Charge, Found};
use super::config::{Mode, OnFailure, OnMissingKey, Policy};
use super::headers::{self, Quota, Style};
use super::local::{count, LocalLimit};
use super::metrics::{self, LimitMetric};
use super::reply::{self, Refusal};
use crate::claims::Claim;
use crate::config::Reader;
use crate::hash::sip::SipKey;
use crate::host::{Host, Store, StoreError};
use crate::http::{
    steering, Callback, CellSpec, Edit, Metric, Parsed, Placement, Request, RequestExt, Response, Stage,
    Verdict,
};
use crate::key::Unkeyed;
use crate::secret;
use crate::time::{Span, Timestamp};
use crate::usage::Usage;

/// The rate-limit filter. It touches requests only.
pub type RateLimit = Limiter<false>;

/// The rate-limit filter that can tell admitted clients about their limits, too. It is
/// another module, because the host enters a module for each response as soon as that exports
/// the callback, and exports cannot depend on a configuration.
pub type RateLimitWithHeaders = Limiter<true>;

/// The rate-limit filter; with `RESPONSES` it can add headers to admitted responses.
pub struct Limiter<const RESPONSES: bool> {
    policy: Policy,
    secret: SipKey,
    /// What this worker keeps of each limit, in the policy's order.
    locals: Vec<LocalLimit>,
    /// The charges of the request in flight; kept to reuse its memory.
    charges: RefCell<Vec<Charge>>,
    observed: Vec<String>,
    refused: Vec<String>,
    usage: Usage,
}

/// What to remember until the response.
#[derive(Debug, Default)]
pub struct Exchange {
    outcome: Outcome,
    response: Vec<(String, String)>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Outcome {
    Admitted,
    Failed,
    /// Passed although the limit at this index would refuse it.
    Observed(usize),
    Refused(usize),
    /// No limit applies.
    #[default]
    Unlimited,
}

impl<const RESPONSES: bool> Stage for Limiter<RESPONSES> {
    const NAME: &'static str = "ratelimit";
    const CLAIMS: bool = true;
    const CALLBACKS: &'static [Callback] = if RESPONSES {
        &[Callback::RequestHeaders, Callback::ResponseHeaders, Callback::Tick]
    } else {
        &[Callback::RequestHeaders, Callback::Tick]
    };

    type Exchange = Exchange;
    type Memory = ();

    fn read(reader: &Reader<'_>, _placement: Placement) -> Option<Self> {
        let policy = Policy::read(reader, RESPONSES)?;
        let labels = |word: &str| policy.limits.iter().map(|l| alloc::format!("{word}:{}", l.name)).collect();
        Some(Self {
            secret: SipKey::from_bytes([0; 16]),
            locals: policy.limits.iter().map(LocalLimit::new).collect(),
            charges: RefCell::default(),
            observed: labels("observed"),
            refused: labels("refused"),
            usage: Usage::of("r1", policy.limits.len(), policy.identity),
            policy,
        })
    }

    fn cells(&self) -> impl Iterator<Item = CellSpec> {
        self.locals.iter().flat_map(LocalLimit::cells).chain([self.usage.spec()])
    }

    fn start(&mut self, _memory: &Rc<()>, store: &impl Store) -> Result<(), StoreError> {
        self.secret = SipKey::from_bytes(secret::load(store)?);
        let mut limits = self.policy.limits.iter().zip(&self.locals);
        limits.try_for_each(|(limit, local)| local.announce(limit, store))
    }

    fn stop(&self, host: &impl Host) {
        for (limit, local) in self.policy.limits.iter().zip(&self.locals) {
            local.withdraw(limit, host);
        }
        self.usage.stop(host, &unused);
    }

    fn metrics(&self) -> Vec<Metric> {
        metrics::metrics(&self.policy.scope, self.policy.limits.iter().map(|limit| limit.name.as_str()))
    }

    fn claims(&self) -> Vec<Claim> {
        self.policy.limits.iter().map(|limit| limit.claim(&self.policy.scope)).collect()
    }

    fn on_request(&self, exchange: &mut Exchange, request: &impl Request, host: &impl Host) -> Verdict {
        let request = &Parsed::new(request);
        let now = host.now();
        let mut charges = self.charges.take();
        charges.clear();
        self.usage.passed(Placement::Downstream);
        self.evaluate(&mut charges, request, now, host);
        if !self.blocked(&charges) {
            self.commit(&mut charges, now, host);
        }
        let verdict = self.conclude(exchange, &charges, request, now, host);
        self.charges.replace(charges);
        verdict
    }

    fn on_forged(&self, host: &impl Host) {
        host.add(metrics::route_forged(self.policy.limits.len()), 1);
    }

    fn on_response(
        &self,
        exchange: &mut Exchange,
        _response: &impl Response,
        _host: &impl Host,
    ) -> Vec<Edit> {
        let headers = core::mem::take(&mut exchange.response);
        headers.into_iter().map(|(name, value)| Edit::AddResponseHeader(name, value)).collect()
    }

    fn facts(&self, exchange: &Exchange, tell: &mut dyn FnMut(&'static str, &str)) {
        let outcome = match exchange.outcome {
            Outcome::Admitted => self.policy.log_admitted.then_some("admitted"),
            Outcome::Failed => Some("failed"),
            Outcome::Observed(index) => self.observed.get(index).map(String::as_str),
            Outcome::Refused(index) => self.refused.get(index).map(String::as_str),
            Outcome::Unlimited => None,
        };
        if let Some(outcome) = outcome {
            tell("tidegate.ratelimit", outcome);
        }
    }

    fn on_tick(&self, host: &impl Host) {
        self.usage.tell(host, &unused, &|at, requests| self.line(at, requests));
        let now = host.now();
        for (index, (limit, local)) in self.policy.limits.iter().zip(&self.locals).enumerate() {
            let ended = local.hot.borrow_mut().sweep(now);
            for unspent in ended {
                count(host, index, LimitMetric::Stranded, local.give_back(limit, unspent, host));
            }
        }
    }
}

// === impl Limiter ===

impl<const RESPONSES: bool> Limiter<RESPONSES> {
    /// Finds what each limit that applies says, without charging any.
    fn evaluate(&self, charges: &mut Vec<Charge>, request: &impl Request, now: Timestamp, host: &impl Host) {
        for (index, (limit, local)) in self.policy.limits.iter().zip(&self.locals).enumerate() {
            if !limit.matches.is_empty() && !limit.matches.iter().any(|m| m.holds(request)) {
                continue;
            }
            let lenient = limit.on_missing_key == OnMissingKey::Shared;
            match limit.key.hashes(self.secret, request, lenient, limit.repeated) {
                Ok(hashes) => {
                    let evaluate = |hash| Charge::evaluate(limit, local, index, hash, now, host);
                    charges.extend(hashes.iter().map(evaluate));
                }
                Err(Unkeyed::Ipv4) => {}
                Err(Unkeyed::Missing) if limit.on_missing_key == OnMissingKey::Skip => continue,
                Err(_) => charges.push(Charge::without_key(index)),
            }
            self.usage.saw(index);
        }
    }

    /// The line for the log of a limit that applied to none of the first requests.
    fn line(&self, at: usize, requests: u64) -> String {
        let Some(limit) = self.policy.limits.get(at) else { return String::new() };
        let why = if limit.matches.is_empty() {
            "had all parts of its `key`: name parts that requests have, or set `on_missing_key`"
        } else {
            "matched: correct its `match`, or the parts of its `key`, or remove the limit"
        };
        alloc::format!("{}: no request yet among {requests} requests {why}", limit.name)
    }

    fn enforces(&self, charge: &Charge) -> bool {
        self.policy.limits.get(charge.limit).is_some_and(|limit| limit.mode == Mode::Enforce)
    }

    /// Whether this charge alone keeps the request from passing.
    fn blocks(&self, charge: &Charge) -> bool {
        self.enforces(charge)
            && match charge.found {
                Found::Failed => self.policy.on_failure == OnFailure::Refuse,
                Found::Refused { .. } => true,
                _ => false,
            }
    }

    fn blocked(&self, charges: &[Charge]) -> bool {
        charges.iter().any(|charge| self.blocks(charge))
    }

    /// Charges every limit, or none when one of them turns out to refuse after all.
    fn commit(&self, charges: &mut [Charge], now: Timestamp, host: &impl Host) {
        for at in 0..charges.len() {
            let (done, rest) = charges.split_at_mut_checked(at).unwrap_or((&mut [], &mut []));
            let Some(charge) = rest.first_mut() else { return };
            let Some((limit, local)) = self.of(charge) else { return };
            charge.commit(limit, local, now, host);
            if self.blocks(charge) {
                for earlier in done {
                    if let Some((limit, local)) = self.of(earlier) {
                        earlier.undo(limit, local, now, host);
                    }
                }
                return;
            }
        }
        for charge in charges.iter() {
            if let Some((_, local)) = self.of(charge) {
                charge.settle(local, host);
            }
        }
    }

    fn of(&self, charge: &Charge) -> Option<(&super::Limit, &LocalLimit)> {
        self.policy.limits.get(charge.limit).zip(self.locals.get(charge.limit))
    }

    /// Counts what happened and says what becomes of the request.
    fn conclude(
        &self,
        exchange: &mut Exchange,
        charges: &[Charge],
        request: &impl Request,
        now: Timestamp,
        host: &impl Host,
    ) -> Verdict {
        let blocked = self.blocked(charges);
        let mut violated = Vec::new();
        let mut wait = Some(Span::ZERO);
        let mut outcome = if charges.is_empty() { Outcome::Unlimited } else { Outcome::Admitted };
        for charge in of_each_limit(charges) {
            let (index, enforced) = (charge.limit, self.enforces(charge));
            if matches!(charge.found, Found::Refused { newcomer: true, .. }) && (enforced || !blocked) {
                count(host, index, LimitMetric::NewcomersRefused, 1);
            }
            match charge.found {
                Found::Refused { retry_after, .. } if enforced => {
                    count(host, index, LimitMetric::Refused, 1);
                    violated.extend(self.policy.limits.get(index).map(|limit| limit.name.as_str()));
                    wait = wait.zip(retry_after).map(|(a, b)| a.max(b));
                    if !matches!(outcome, Outcome::Refused(_)) {
                        outcome = Outcome::Refused(index);
                    }
                }
                Found::Refused { .. } if !blocked => {
                    count(host, index, LimitMetric::Observed, 1);
                    if outcome == Outcome::Admitted {
                        outcome = Outcome::Observed(index);
                    }
                }
                Found::Failed => {
                    count(host, index, LimitMetric::Failed, 1);
                    if !matches!(outcome, Outcome::Refused(_)) {
                        outcome = Outcome::Failed;
                    }
                }
                _ if !blocked => count(host, index, LimitMetric::Admitted, 1),
                _ => {}
            }
        }
        exchange.outcome = outcome;
        if !violated.is_empty() {
            let quotas = self.quotas(charges, now);
            let policy = &self.policy;
            let refusal = Refusal { violated: &violated, retry_after: wait, grpc: request.is_grpc() };
            return Verdict::Reply(reply::refused(&policy.reply, policy.headers, &quotas, refusal));
        }
        if blocked {
            return Verdict::Reply(reply::failed(request.is_grpc()));
        }
        if self.policy.headers_on_admitted && self.policy.headers != Style::None {
            exchange.response = reply::quota_headers(self.policy.headers, &self.quotas(charges, now));
        }
        Verdict::Continue(steering::removals(request))
    }

    /// What the client learns about each limit that applied to its request. One that only
    /// observes is not the client's business.
    fn quotas<'a>(&'a self, charges: &[Charge], now: Timestamp) -> Vec<Quota<'a>> {
        let quota = |charge: &Charge| {
            let (limit, _) = self.of(charge)?;
            let (bucket, leased) = charge.standing()?;
            let (units, window_secs) = headers::window(limit.requests, limit.period);
            // Its client has no bucket of its own, and so none of the limit's burst.
            let rate = if charge.by_overflow() { limit.rate.single() } else { limit.rate };
            Some(Quota {
                name: &limit.name,
                units,
                unit: None,
                window_secs,
                partition: None,
                burst: limit.rate.burst().get().into(),
                remaining: rate.remaining(bucket, now).saturating_add(leased.saturating_mul(limit.cost)),
                next_unit: rate.next_unit(bucket, now),
            })
        };
        let of_one = |charges: &[Charge]| {
            let enforced = charges.iter().filter(|charge| self.enforces(charge));
            enforced.filter_map(quota).min_by_key(|quota| quota.remaining)
        };
        by_limit(charges).filter_map(of_one).collect()
    }
}

/// Where the gauge of a limit that applied to no request is.
fn unused(limit: usize) -> usize {
    metrics::index(limit, LimitMetric::Unused)
}

/// The charges of each limit, several when the request has several keys under it.
fn by_limit(charges: &[Charge]) -> impl Iterator<Item = &[Charge]> {
    charges.chunk_by(|one, next| one.limit == next.limit)
}

/// Of each limit's charges the one that decides: one that refuses for longest, else one that failed.
fn of_each_limit(charges: &[Charge]) -> impl Iterator<Item = &Charge> {
    let weight = |charge: &&Charge| match charge.found {
        Found::Refused { retry_after, .. } => (2, retry_after.unwrap_or(Span::from_nanos(u64::MAX))),
        Found::Failed => (1, Span::ZERO),
        _ => (0, Span::ZERO),
    };
    by_limit(charges).filter_map(move |charges| charges.iter().max_by_key(weight))
}
