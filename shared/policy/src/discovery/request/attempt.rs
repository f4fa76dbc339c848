//! The attempt's side: what came of one attempt, and where the next one goes.
//!
//! Envoy chose the endpoint of an attempt before this runs. But it keeps one set of request headers for
//! all attempts, so what is written now leads the next one.

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::balance::Ask;
use crate::discovery::config::policy::Steer;
use crate::discovery::metrics::{self, ServiceMetric};
use crate::discovery::request::flight::{Flight, Suspect, Ticket};
use crate::discovery::request::outcome::Outcome;
use crate::discovery::request::reply::{self, RefusalReason};
use crate::discovery::stage::{Discovery, Exchange};
use crate::host::Host;
use crate::http::{grpc, Attribute, Edit, Request, Response, ResponseExt, Verdict};
use crate::time::{Span, Timestamp};

/// One attempt under way.
#[derive(Debug)]
pub(crate) struct Attempt {
    flight: Rc<Flight>,
    endpoint: u32,
    /// Whether it counts against the retry budget.
    retry: bool,
    started: Timestamp,
    answered: Option<(Outcome, Span)>,
}

// === impl Discovery ===

impl Discovery {
    /// An attempt begins.
    pub(crate) fn attempt(
        &self,
        exchange: &mut Exchange,
        request: &impl Request,
        host: &impl Host,
    ) -> Verdict {
        let state = request.attribute(Attribute::Discovered);
        let ticket = state.as_deref().and_then(Ticket::read);
        let Some(flight) = ticket.and_then(|ticket| self.memory.find(ticket)) else {
            host.add(metrics::ATTEMPTS_UNMATCHED, 1);
            return Verdict::Continue(Vec::new());
        };
        let now = host.now();
        let before = flight.attempts.get();
        flight.attempts.set(before.saturating_add(1));
        let view = Rc::clone(&flight.view);
        if let Some(suspect) = flight.suspect.take() {
            // There would be no other attempt if the client had left.
            view.blame(&flight.table, suspect, Outcome::Broken, now, host);
        }
        let Some(endpoint) = endpoint(&flight, before, request) else { return Verdict::Continue(Vec::new()) };
        let retry = before > 0;
        if retry && !view.retry() {
            view.count(ServiceMetric::RetriesRefused);
            return self.out_of_budget(&flight, request);
        }
        if retry {
            view.count(ServiceMetric::Retries);
        }
        view.began(&flight.table, endpoint);
        let edits = self.lead(&flight, now);
        exchange.attempt = Some(Attempt { flight, endpoint, retry, started: now, answered: None });
        Verdict::Continue(edits)
    }

    /// The answer in place of an attempt that would be one too many.
    fn out_of_budget(&self, flight: &Flight, request: &impl Request) -> Verdict {
        let policy = flight.view.policy();
        let name = flight.view.service().map_or("", |service| &*service.name);
        let media = request.lone_header("content-type").unwrap_or_default();
        let grpc = media.starts_with(b"application/grpc");
        Verdict::Reply(reply::refused(&policy.reply, RefusalReason::RetryBudget, name, grpc))
    }

    /// Has the next attempt go to an endpoint that had none.
    fn lead(&self, flight: &Flight, now: Timestamp) -> Vec<Edit> {
        let policy = flight.view.policy();
        let most = flight.view.service().map_or(1, |service| service.attempts);
        let Steer::OriginalDst { header } = &policy.steer else { return Vec::new() };
        if flight.attempts.get() >= most {
            return Vec::new();
        }
        let mut picks = *flight.picks.borrow();
        let ask = Ask { draw: self.draws.next(now), hash: flight.hash, taken: picks.all() };
        let next = flight.table.pick(&flight.pool, now, &ask);
        let Some((next, text)) = next.and_then(|next| Some((next, flight.table.text(next)?))) else {
            return Vec::new();
        };
        picks.add(next);
        flight.picks.replace(picks);
        alloc::vec![Edit::SetRequestHeader(Rc::clone(header), Rc::clone(text))]
    }

    /// An attempt was answered.
    pub(crate) fn attempt_answered(
        &self,
        exchange: &mut Exchange,
        response: &impl Response,
        host: &impl Host,
    ) {
        let Some(attempt) = &mut exchange.attempt else { return };
        let now = host.now();
        let outcome = Outcome::Answered(status(response));
        attempt.answered = Some((outcome, now.since(attempt.started)));
        let flight = &attempt.flight;
        flight.view.judge(&flight.table, attempt.endpoint, outcome, now, host);
    }

    /// An attempt is over.
    pub(crate) fn attempt_ended(&self, exchange: &mut Exchange, end: &impl Response, host: &impl Host) {
        let Some(attempt) = exchange.attempt.take() else { return };
        let (flight, now) = (&attempt.flight, host.now());
        let (view, table) = (&flight.view, &flight.table);
        if attempt.retry {
            view.retried();
        }
        let took = now.since(attempt.started);
        match attempt.answered {
            Some((outcome, took)) => view.ended(table, attempt.endpoint, outcome, took, now),
            None if end.attribute(Attribute::TransportFailure).is_some_and(|why| !why.is_empty()) => {
                view.judge(table, attempt.endpoint, Outcome::Broken, now, host);
                view.ended(table, attempt.endpoint, Outcome::Broken, took, now);
            }
            None => {
                // A timeout, a reset, or a client that left: what comes next tells.
                flight.suspect.set(Some(Suspect { endpoint: attempt.endpoint, took }));
                view.left(table, attempt.endpoint);
            }
        }
    }
}

/// What a response says of its endpoint: a gRPC call that failed at once says so in its headers.
pub(crate) fn status(response: &impl Response) -> u32 {
    let status = response.status();
    let failed = response.header("grpc-status").filter(|_| status == 200);
    failed.map_or(status, |text| grpc::to_http(grpc::number(&text)))
}

/// The endpoint of the attempt after so many others.
fn endpoint(flight: &Flight, before: u32, request: &impl Request) -> Option<u32> {
    match flight.view.policy().steer {
        Steer::OriginalDst { .. } => flight.picks.borrow().of(before),
        // Envoy passes over those that its cluster does not have.
        Steer::OverrideHost { .. } => flight.table.place(&request.attribute(Attribute::Endpoint)?),
    }
}
