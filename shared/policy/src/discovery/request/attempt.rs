//! The placement around each attempt: how the attempt went, and where the next one goes.
//!
//! Envoy chose the endpoint of an attempt before this runs. But it keeps one set of request headers for
//! all attempts, so what is written now leads the next one.

use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

use crate::discovery::catalog::service_view::ServiceView;
use crate::discovery::config::policy::{Policy, Steer};
use crate::discovery::metrics::{self, ServiceMetric};
use crate::discovery::request::exchange::{Answered, Attempt, Exchange};
use crate::discovery::request::flight::{Flight, Picks};
use crate::discovery::request::handover::{Handover, Report};
use crate::discovery::request::memory::Memory;
use crate::discovery::request::outcome::{Outcome, Suspect};
use crate::discovery::request::reply::{self, RefusalReason};
use crate::discovery::request::ticket::Ticket;
use crate::draws::Draws;
use crate::host::Host;
use crate::http::{choice, message, Attribute, Edit, Ending, Request, RequestExt, Response, Verdict};
use crate::time::Timestamp;

/// The filter around each attempt of a request that [`Downstream`](super::downstream::Downstream) sent.
#[derive(Debug)]
pub struct Attempts {
    policy: Rc<Policy>,
    /// The services, for requests of other VMs: without endpoints, which are known there.
    views: Vec<Rc<ServiceView>>,
    memory: Rc<Memory>,
    draws: Draws,
    /// Attempts of requests that are not known, until the first of one that is.
    unmatched: Cell<Option<u32>>,
}

/// After as many attempts of unknown requests, and no other, something is configured wrong.
const MANY: u32 = 10;

// === impl Attempts ===

impl Attempts {
    /// The filter of a configuration; it finds no request until it shares the worker's memory.
    #[must_use]
    pub fn new(policy: Rc<Policy>) -> Self {
        let view = |at| ServiceView::new(&policy, at, &[], &[]).map(Rc::new);
        Self {
            views: (0..policy.services.len()).filter_map(view).collect(),
            policy,
            memory: Rc::default(),
            draws: Draws::default(),
            unmatched: Cell::new(Some(0)),
        }
    }

    /// The configuration.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Shares the requests in flight, and has the other placement leave attempts to this one.
    pub fn share(&mut self, memory: &Rc<Memory>) {
        self.memory = Rc::clone(memory);
        memory.see_attempts();
    }

    /// Hands what was counted of requests of other VMs to the host.
    pub fn publish(&self, host: &impl Host) {
        for view in &self.views {
            view.publish(host);
        }
    }

    /// An attempt begins.
    pub fn begin(&self, exchange: &mut Exchange, request: &impl Request, host: &impl Host) -> Verdict {
        let state = request.attribute(Attribute::Discovered).unwrap_or_default();
        let ticket = Ticket::read(&state);
        let own = ticket.and_then(|ticket| self.memory.find(ticket));
        let own = own.filter(|flight| flight.is_first(first_of(&state)));
        if own.as_ref().is_none_or(|flight| flight.attempts.get() == 0)
            && choice::is_diverted(request.attribute(Attribute::Guarded))
        {
            // It goes to another cluster, and nothing is learned of the endpoint.
            let _ = ticket.filter(|_| own.is_some()).and_then(|ticket| self.memory.end(ticket));
            return Verdict::Continue(Vec::new());
        }
        let Some(flight) = own.or_else(|| self.adopt(&state, request)) else {
            self.pass(host);
            return Verdict::Continue(Vec::new());
        };
        self.unmatched.set(None);
        let now = host.now();
        let before = flight.attempts.get();
        flight.attempts.set(before.saturating_add(1));
        if let Some(suspect) = flight.suspect.take() {
            // There would be no other attempt if the client had left.
            let outcome = suspect.at_retry();
            flight.unsent.set(outcome == Outcome::Refused);
            flight.blame(&suspect, outcome, now, host);
        }
        let reported = || request.attribute(Attribute::Endpoint);
        let Some(endpoint) = flight.endpoint(before, &reported) else { return Verdict::Continue(Vec::new()) };
        let retry = before > 0;
        if let Some(report) = &flight.report {
            self.prepare(&flight, report, retry, exchange);
        }
        let paid = retry && !flight.unsent.take();
        if paid && !flight.view.retry_budget().take(request.peer()) {
            flight.view.count(ServiceMetric::RetriesRefused);
            return out_of_budget(&flight, request);
        }
        if retry {
            flight.view.count(ServiceMetric::Retries);
        }
        flight.began(&endpoint);
        let edits = self.steer_next(&flight, now, host);
        let completed = request.end_of_stream().then_some(now);
        let proves = endpoint.is_refusing();
        // A filter between the two placements may have made gRPC of what the client sent.
        exchange.grpc = flight.grpc || (flight.report.is_none() && request.says_grpc());
        exchange.attempt = Some(Attempt { flight, endpoint, paid, proves, completed, answered: None });
        Verdict::Continue(edits)
    }

    /// An attempt of a request that is not known.
    #[inline(never)]
    fn pass(&self, host: &impl Host) {
        host.add(metrics::ATTEMPTS_UNMATCHED, 1);
        let Some(before) = self.unmatched.get() else { return };
        let count = before.saturating_add(1);
        self.unmatched.set(Some(count));
        if count == MANY {
            host.note(&format!(
                "none of the first {MANY} attempts is of a request that a discovery filter sent on: the filter is needed among the listener's http_filters, too, with the same configuration, and attempts above 1"
            ));
        }
    }

    /// A request that began in another VM, by what its filter state tells.
    #[inline(never)]
    fn adopt(&self, state: &[u8], request: &impl Request) -> Option<Rc<Flight>> {
        let handover = Handover::read(state)?;
        let of = |view: &&Rc<ServiceView>| view.service().is_some_and(|own| *own.name == *handover.service);
        let view = self.views.iter().find(of)?;
        let kept = self.memory.take_kept(handover.ticket);
        if let Some(flight) = kept.filter(|flight| flight.is_first(handover.first)) {
            return Some(flight);
        }
        let mut picks = Picks::default();
        handover.endpoints(&self.policy.allow).for_each(|key| picks.add(view.unlisted(key)));
        let report = Report::new(handover.ticket);
        let count = request.attribute(Attribute::AttemptCount).map_or(0, |count| message::number(&count));
        let before = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
        if let Some(last) = before.checked_sub(1).and_then(|last| picks.of(last)) {
            // It is still in flight, or was forgotten.
            report.add(&last.text, Outcome::Left);
        }
        let grpc = request.says_grpc();
        let flight = Flight { report: Some(report), ..Flight::new(view, None, None, picks, grpc) };
        flight.attempts.set(before);
        flight.is_first(handover.first).then(|| Rc::new(flight))
    }

    /// Has the other VM hear how the attempts before this one ended, and saves for them here.
    fn prepare(&self, flight: &Flight, report: &Report, retry: bool, exchange: &mut Exchange) {
        if retry {
            exchange.label = report.text();
        } else {
            // What each endpoint has in flight is known in the other VM: here it is their part of all.
            let endpoints = u32::try_from(flight.picks.borrow().all().count()).unwrap_or(u32::MAX);
            flight.view.retry_budget().save(flight.view.in_flight().div_ceil(endpoints.max(1)));
        }
    }

    /// Has the next attempt go to an endpoint that had none.
    fn steer_next(&self, flight: &Flight, now: Timestamp, host: &impl Host) -> Vec<Edit> {
        let policy = flight.view.policy();
        let most = flight.view.service().map_or(1, |service| service.attempts);
        let Steer::OriginalDst { header } = &policy.steer else { return Vec::new() };
        if flight.attempts.get() >= most {
            return Vec::new();
        }
        let next = if flight.report.is_some() {
            flight.picks.borrow().next(flight.attempts.get()).map(|next| Rc::clone(&next.text))
        } else {
            let next = flight.pick_another(self.draws.next(now), now, host);
            next.map(|next| {
                let text = Rc::clone(&next.text);
                flight.picks.borrow_mut().add(next);
                text
            })
        };
        next.map(|text| Edit::SetRequestHeader(Rc::clone(header), text)).into_iter().collect()
    }

    /// All of an attempt's request has arrived.
    pub fn completed(&self, exchange: &mut Exchange, host: &impl Host) {
        if let Some(attempt) = &mut exchange.attempt {
            attempt.completed.get_or_insert(host.now());
        }
    }

    /// An attempt was answered.
    pub fn answered(&self, exchange: &mut Exchange, response: &impl Response, host: &impl Host) {
        let grpc = exchange.grpc;
        let Some(attempt) = &mut exchange.attempt else { return };
        let now = host.now();
        let outcome = Outcome::of_response(response, grpc);
        let judged = attempt.flight.judges_headers(outcome, response.end_of_stream());
        let (endpoint, took) = (Some(Rc::clone(&attempt.endpoint)), attempt.took(now));
        attempt.answered = Some(Answered { endpoint, outcome, at: now, took, judged });
        if attempt.proves {
            attempt.flight.view.accepted(&attempt.endpoint, now, host);
        }
        if judged {
            attempt.flight.judge(&attempt.endpoint, outcome, now, host);
            if outcome.failed() {
                self.memory.keep(&attempt.flight);
            }
        }
    }

    /// An attempt is over that was not sent: nothing is learned of its endpoint.
    pub fn never_sent(&self, exchange: &mut Exchange) {
        let Some(attempt) = exchange.attempt.take() else { return };
        if attempt.paid {
            attempt.flight.view.retry_budget().give_back();
        }
        attempt.endpoint.load.left();
    }

    /// An attempt is over.
    pub fn ended(&self, exchange: &mut Exchange, ending: Ending, end: &impl Response, host: &impl Host) {
        let Some(attempt) = exchange.attempt.take() else { return };
        let complete = ending != Ending::Incomplete;
        let now = Answered::ended(attempt.answered.as_ref(), complete, host);
        let (flight, endpoint) = (&attempt.flight, &attempt.endpoint);
        if attempt.answered.is_none() {
            self.memory.keep(flight);
        }
        match &attempt.answered {
            Some(answered) if answered.judged || complete => {
                if !answered.judged {
                    flight.judge(endpoint, answered.outcome, now, host);
                }
                flight.ended(endpoint, answered.outcome, answered.took, now);
            }
            None if end.attribute(Attribute::TransportFailure).is_some_and(|why| !why.is_empty()) => {
                flight.unsent.set(true);
                flight.judge(endpoint, Outcome::Refused, now, host);
                flight.ended(endpoint, Outcome::Refused, attempt.took(now), now);
            }
            answered => {
                // A timeout, a reset, or a client that left: what comes next tells, or came already.
                endpoint.load.left();
                let (complete, took) = (attempt.completed.is_some(), attempt.took(now));
                let connected = end.attribute(Attribute::LocalAddress).is_some();
                let answered = answered.as_ref().map(|answered| answered.outcome);
                let suspect = Suspect { endpoint: Rc::clone(endpoint), took, complete, connected, answered };
                match flight.end.get() {
                    Some(end) => flight.settle(&suspect, end, now, host),
                    None => {
                        flight.suspect.replace(Some(suspect));
                    }
                }
            }
        }
    }
}

/// The word of filter state that names the endpoint of the first attempt.
fn first_of(state: &[u8]) -> &str {
    let word = state.split(|byte| *byte == b' ').nth(1);
    word.and_then(|word| core::str::from_utf8(word).ok()).unwrap_or_default()
}

/// The answer in place of a retry for which the budget has no room.
fn out_of_budget(flight: &Flight, request: &impl Request) -> Verdict {
    let name = flight.view.service().map_or("", |service| &*service.name);
    let media = request.lone_header("content-type").unwrap_or_default();
    let grpc = media.starts_with(b"application/grpc");
    Verdict::Reply(reply::refused(&flight.view.policy().reply, RefusalReason::RetryBudget, name, grpc))
}
