//! The placement around each attempt: how the attempt went, and where the next one goes.
//!
//! Envoy chose the endpoint of an attempt before this runs. But it keeps one set of request headers for
//! all attempts, so what is written now leads the next one.

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::discovery::config::policy::{Policy, Steer};
use crate::discovery::metrics::{self, ServiceMetric};
use crate::discovery::request::exchange::{Answered, Attempt, Exchange};
use crate::discovery::request::flight::Flight;
use crate::discovery::request::memory::{Memory, Ticket};
use crate::discovery::request::outcome::{Outcome, Suspect};
use crate::discovery::request::reply::{self, RefusalReason};
use crate::draws::Draws;
use crate::host::Host;
use crate::http::{choice, Attribute, Edit, Ending, Request, Response, Verdict};
use crate::time::Timestamp;

/// The filter around each attempt of a request that [`Downstream`](super::downstream::Downstream) sent.
#[derive(Debug)]
pub struct Attempts {
    policy: Rc<Policy>,
    memory: Rc<Memory>,
    draws: Draws,
}

// === impl Attempts ===

impl Attempts {
    /// The filter of a configuration; it finds no request until it shares the worker's memory.
    #[must_use]
    pub fn new(policy: Rc<Policy>) -> Self {
        Self { policy, memory: Rc::default(), draws: Draws::default() }
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

    /// An attempt begins.
    pub fn begin(&self, exchange: &mut Exchange, request: &impl Request, host: &impl Host) -> Verdict {
        let state = request.attribute(Attribute::Discovered);
        let ticket = state.as_deref().and_then(Ticket::read);
        let flight = ticket.and_then(|ticket| self.memory.find(ticket));
        if flight.as_ref().is_none_or(|flight| flight.attempts.get() == 0)
            && choice::is_diverted(request.attribute(Attribute::Guarded))
        {
            // It goes to another cluster, and nothing is learned of the endpoint.
            let _ = ticket.and_then(|ticket| self.memory.end(ticket));
            return Verdict::Continue(Vec::new());
        }
        let Some(flight) = flight else {
            host.add(metrics::ATTEMPTS_UNMATCHED, 1);
            return Verdict::Continue(Vec::new());
        };
        let now = host.now();
        let before = flight.attempts.get();
        flight.attempts.set(before.saturating_add(1));
        if let Some(suspect) = flight.suspect.take() {
            // There would be no other attempt if the client had left.
            flight.blame(&suspect, suspect.at_retry(), now, host);
        }
        let reported = || request.attribute(Attribute::Endpoint);
        let Some(endpoint) = flight.endpoint(before, &reported) else { return Verdict::Continue(Vec::new()) };
        let retry = before > 0;
        let paid = retry && !flight.unsent.take();
        if paid && !flight.view.retry_budget().take() {
            flight.view.count(ServiceMetric::RetriesRefused);
            return out_of_budget(&flight, request);
        }
        if retry {
            flight.view.count(ServiceMetric::Retries);
        }
        flight.began(&endpoint);
        let edits = self.steer_next(&flight, now, host);
        let completed = request.end_of_stream().then_some(now);
        exchange.attempt = Some(Attempt { flight, endpoint, paid, completed, answered: None });
        Verdict::Continue(edits)
    }

    /// Has the next attempt go to an endpoint that had none.
    fn steer_next(&self, flight: &Flight, now: Timestamp, host: &impl Host) -> Vec<Edit> {
        let policy = flight.view.policy();
        let most = flight.view.service().map_or(1, |service| service.attempts);
        let Steer::OriginalDst { header } = &policy.steer else { return Vec::new() };
        if flight.attempts.get() >= most {
            return Vec::new();
        }
        let Some(next) = flight.pick_another(self.draws.next(now), now, host) else { return Vec::new() };
        let text = Rc::clone(&next.text);
        flight.picks.borrow_mut().add(next);
        alloc::vec![Edit::SetRequestHeader(Rc::clone(header), text)]
    }

    /// All of an attempt's request has arrived.
    pub fn completed(&self, exchange: &mut Exchange, host: &impl Host) {
        if let Some(attempt) = &mut exchange.attempt {
            attempt.completed.get_or_insert(host.now());
        }
    }

    /// An attempt was answered.
    pub fn answered(&self, exchange: &mut Exchange, response: &impl Response, host: &impl Host) {
        let Some(attempt) = &mut exchange.attempt else { return };
        let now = host.now();
        let outcome = Outcome::of_response(response);
        let judged = attempt.flight.judges_headers(outcome, response.end_of_stream());
        let (endpoint, took) = (Some(Rc::clone(&attempt.endpoint)), attempt.took(now));
        attempt.answered = Some(Answered { endpoint, outcome, took, judged });
        if judged {
            attempt.flight.judge(&attempt.endpoint, outcome, now, host);
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
        let (flight, endpoint, now) = (&attempt.flight, &attempt.endpoint, host.now());
        match &attempt.answered {
            Some(answered) if answered.judged || ending != Ending::Incomplete => {
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
                let answered = answered.as_ref().map(|answered| answered.outcome);
                let suspect = Suspect { endpoint: Rc::clone(endpoint), took, complete, answered };
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

/// The answer in place of a retry for which the budget has no room.
fn out_of_budget(flight: &Flight, request: &impl Request) -> Verdict {
    let name = flight.view.service().map_or("", |service| &*service.name);
    let media = request.lone_header("content-type").unwrap_or_default();
    let grpc = media.starts_with(b"application/grpc");
    Verdict::Reply(reply::refused(&flight.view.policy().reply, RefusalReason::RetryBudget, name, grpc))
}
