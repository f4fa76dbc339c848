//! What one request says of its variant: how it went, and how long it took.
//!
//! A failure shows in the headers of a response, or in the trailers of a gRPC call. Any other response
//! is judged when its end has passed by, or when it broke off. Time runs from the end of the request.

use crate::http::classify::{self, Class, Rules};
use crate::http::{
    completion, grpc, Completion, Ending, Reached, Request, RequestExt, Response, ResponseExt,
};

/// What counts as failed.
pub(super) struct OutcomeRules(Rules);

/// How far a request of a route with a ramp has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    started_ms: u64,
    /// When the request was complete, if it is.
    completed_ms: Option<u64>,
    grpc: bool,
    /// When the time is over that the client of a gRPC request gave it.
    deadline_ms: Option<u64>,
    /// Whether response headers said that they begin a gRPC stream.
    streams: bool,
    /// Whether response headers came by.
    answered: bool,
    /// The headers of a response that is judged later.
    pending: Option<Pending>,
}

/// Response headers that are not all that a response is judged by.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// What they said; `None` when the gRPC status is in the trailers.
    class: Option<Class>,
    took_ms: u64,
    at_ms: u64,
}

/// What a request says of its variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Whether it failed.
    pub(super) failed: bool,
    /// How long its response's headers took; or how long its client waited for them, and left.
    pub(super) took_ms: u64,
    /// Whether the client left without any, or the deadline passed that it had set.
    pub(super) left: bool,
}

/// A response whose client left after so long is judged by its headers: streams have no other end.
const LONG_MS: u64 = 60_000;

// === impl OutcomeRules ===

impl Default for OutcomeRules {
    /// Whatever the reason for which Envoy could not deliver: to the client the variant failed.
    fn default() -> Self {
        let flags = |names: &[&str]| {
            let known = classify::FLAGS.iter().filter(|(name, _)| names.contains(name));
            known.fold(0, |all, (_, flag)| all | flag)
        };
        let usual = Rules::default();
        Self(Rules { flags: usual.flags | flags(&["NC", "UH", "UO"]), ..usual })
    }
}

// === impl Progress ===

impl Progress {
    /// A request that goes on, whose headers are all of it or not.
    pub(super) fn new(request: &impl Request, now_ms: u64) -> Self {
        let completed_ms = request.end_of_stream().then_some(now_ms);
        let grpc = request.is_grpc();
        let timeout = request.header("grpc-timeout").filter(|_| grpc).and_then(grpc::timeout_ms);
        let deadline_ms = timeout.map(|timeout_ms| now_ms.saturating_add(timeout_ms));
        Self { started_ms: now_ms, completed_ms, grpc, deadline_ms, ..Self::default() }
    }

    /// All of the request has arrived.
    pub(super) fn complete(&mut self, now_ms: u64) {
        self.completed_ms.get_or_insert(now_ms);
    }

    /// Response headers; `None` when the response is judged later, or says nothing.
    pub(super) fn on_headers(
        &mut self,
        rules: &OutcomeRules,
        response: &impl Response,
        now_ms: u64,
    ) -> Option<Outcome> {
        let (reached, took_ms) = (self.reached(now_ms), self.took_ms(now_ms));
        self.answered = true;
        let pending = |class| Some(Pending { class, took_ms, at_ms: now_ms });
        let Some(completion) = Completion::of_headers(response, self.grpc) else {
            self.streams = !reached.request_complete && completion::is_grpc(response);
            self.pending = pending(None);
            return None;
        };
        let class = match (completion.status, completion.grpc_status) {
            (200..=399, None) => Class::Success,
            _ => reached.classify(&rules.0, &completion.outcome()),
        };
        match class {
            Class::Success | Class::Throttled
                if completion.grpc_status.is_none() && !response.end_of_stream() =>
            {
                self.pending = pending(Some(class));
                None
            }
            _ => Outcome::of(class, took_ms),
        }
    }

    /// Response trailers, of which only those of gRPC say anything.
    pub(super) fn on_trailers(
        &mut self,
        rules: &OutcomeRules,
        trailers: &impl Response,
        now_ms: u64,
    ) -> Option<Outcome> {
        let pending = self.pending.take_if(|pending| pending.class.is_none())?;
        let completion = Completion::of_trailers(trailers);
        let status = completion.and_then(|completion| completion.grpc_status).unwrap_or(grpc::UNKNOWN);
        let class = self.reached(now_ms).at_deadline(rules.0.judge(200, Some(status)), Some(status), 0);
        Outcome::of(class, pending.took_ms)
    }

    /// The end. Why it came is asked only if it is not that of a good response.
    pub(super) fn on_end(
        &mut self,
        rules: &OutcomeRules,
        ending: Ending,
        end: &impl Response,
        now_ms: u64,
    ) -> Option<Outcome> {
        let Some(Pending { class, took_ms, at_ms }) = self.pending.take() else {
            return if self.answered { None } else { self.unanswered(rules, end, now_ms) };
        };
        let Some(class) = class else {
            // A gRPC call whose stream broke. Long silence is usual in one.
            let reached = Reached { response_began: false, fresh_call: false, ..self.reached(now_ms) };
            let completion = Completion::of_end(end, 200);
            return Outcome::of(reached.classify(&rules.0, &completion.outcome()), took_ms);
        };
        if ending != Ending::Incomplete {
            return Outcome::of(class, took_ms);
        }
        match completion::cut_flags(end) & self.reached(now_ms).blaming(rules.0.flags) {
            1.. => Outcome::of(Class::Failure, took_ms),
            0 if now_ms.saturating_sub(at_ms) >= LONG_MS => Outcome::of(class, took_ms),
            0 => None,
        }
    }

    /// No response came by: the client left, or Envoy had none for it.
    fn unanswered(&self, rules: &OutcomeRules, end: &impl Response, now_ms: u64) -> Option<Outcome> {
        let took_ms = self.took_ms(now_ms);
        match self.reached(now_ms).classify(&rules.0, &Completion::of_end(end, 0).outcome()) {
            class @ (Class::Early | Class::Failure) => Outcome::of(class, took_ms),
            // A filter behind ours may have held the request: no variant was slow then.
            _ if end.attempts() == Some(0) => None,
            _ => self.completed_ms.map(|_| Outcome { failed: false, took_ms, left: true }),
        }
    }

    fn reached(&self, now_ms: u64) -> Reached {
        Reached {
            request_complete: self.streams || self.completed_ms.is_some(),
            response_began: self.answered,
            deadline_passed: self.deadline_ms.is_some_and(|deadline_ms| now_ms >= deadline_ms),
            fresh_call: self.grpc && Reached::is_fresh(now_ms.saturating_sub(self.started_ms)),
        }
    }

    /// How long it has taken since the request was complete: nothing before.
    fn took_ms(&self, now_ms: u64) -> u64 {
        self.completed_ms.map_or(0, |at_ms| now_ms.saturating_sub(at_ms))
    }
}

// === impl Outcome ===

impl Outcome {
    fn of(class: Class, took_ms: u64) -> Option<Self> {
        match class {
            Class::Ignored => None,
            Class::Left => Some(Self { failed: false, took_ms, left: true }),
            Class::Early | Class::Failure => Some(Self { failed: true, took_ms, left: false }),
            Class::Success | Class::Throttled => Some(Self { failed: false, took_ms, left: false }),
        }
    }
}
