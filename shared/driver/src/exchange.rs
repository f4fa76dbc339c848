//! One exchange and its stage: what the stage is asked and told, in which order, and what not.
//!
//! Whoever holds an exchange carries out what comes back. An exchange that the stage answered is
//! over for it: its own reply passes through the filter again and is none of its business.

use tidegate_policy::host::Host;
use tidegate_policy::http::steering::{self, Note};
use tidegate_policy::http::{
    Attribute, Callback, Edit, Ending, NoResponse, Reply, Request, RequestExt, Response, Stage, Verdict,
};

/// An exchange in flight.
pub struct Exchange<S: Stage> {
    state: S::Exchange,
    position: Position,
    seen: Seen,
    /// Whether the stage took away a header by which the route may have been chosen.
    unsteered: bool,
}

/// Where an exchange stands with its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// The stage never saw the request.
    Unseen,
    /// The stage answered it.
    Answered,
    /// It is held back.
    Held,
    /// It was held back, and the host answered it meanwhile.
    Abandoned,
    /// The stage let it go on.
    Sent,
}

/// How much of the response passed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Headers,
    End,
}

// === impl Exchange ===

impl<S: Stage> Exchange<S> {
    /// The headers of its request arrived. The verdict is [`Verdict::Await`] only for a stage that
    /// asks others.
    pub fn request(&mut self, stage: &S, request: &impl Request, host: &impl Host) -> Verdict {
        let verdict = stage.on_request(&mut self.state, request, host);
        let verdict = match self.distrust(stage, &verdict, request) {
            Some(reply) => {
                stage.on_forged(host);
                stage.on_end(&mut self.state, Ending::NeverSent, &NoResponse, host);
                Verdict::Reply(reply)
            }
            None => verdict,
        };
        self.take(verdict)
    }

    /// Asks again for an exchange that is held back.
    pub fn wait(&mut self, stage: &S, host: &impl Host) -> Verdict {
        let verdict = stage.on_wait(&mut self.state, host);
        self.take(verdict)
    }

    /// All of the request arrived, by its body or its trailers.
    pub fn request_complete(&mut self, stage: &S, host: &impl Host) {
        if matches!(self.position, Position::Held | Position::Sent) {
            stage.on_request_complete(&mut self.state, host);
        }
    }

    /// The headers of a response are about to leave.
    pub fn response(&mut self, stage: &S, response: &impl Response, host: &impl Host) -> Vec<Edit> {
        self.seen = if response.end_of_stream() { Seen::End } else { Seen::Headers };
        match self.position {
            Position::Sent => return stage.on_response(&mut self.state, response, host),
            // The host answers, for want of time or because of the client. It must not go on now.
            Position::Held => self.position = Position::Abandoned,
            Position::Unseen | Position::Answered | Position::Abandoned => {}
        }
        Vec::new()
    }

    /// The end of a response is about to leave with a part of its body.
    pub fn response_complete(&mut self) {
        self.seen = Seen::End;
    }

    /// The trailers of a response are about to leave.
    pub fn trailers(&mut self, stage: &S, trailers: &impl Response, host: &impl Host) {
        self.seen = Seen::End;
        if self.position == Position::Sent {
            stage.on_trailers(&mut self.state, trailers, host);
        }
    }

    /// The exchange is over.
    pub fn end(mut self, stage: &S, end: &impl Response, host: &impl Host) {
        if !matches!(self.position, Position::Unseen | Position::Answered) {
            let ending = self.ending();
            stage.on_end(&mut self.state, ending, end, host);
        }
    }

    /// Tells what was decided.
    pub fn facts(&self, stage: &S, tell: &mut dyn FnMut(&'static str, &str)) {
        stage.facts(&self.state, tell);
        if self.unsteered {
            Note::Forged.tell(tell);
        }
    }

    /// Whether it is held back.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.position == Position::Held
    }

    /// Whether its request may go on. While it is held back, to let a part of its body go on would
    /// let all of it go.
    #[must_use]
    pub fn may_go_on(&self) -> bool {
        matches!(self.position, Position::Unseen | Position::Sent)
    }

    /// What its stage remembers of it.
    #[must_use]
    pub fn state(&self) -> &S::Exchange {
        &self.state
    }

    /// Notes that a request is not on the route that it will have, because the stage takes away a
    /// header by which that route was chosen. The reply to one that passed an open breaker with it.
    fn distrust(&mut self, stage: &S, verdict: &Verdict, request: &impl Request) -> Option<Reply> {
        let (Verdict::Await(edits) | Verdict::Continue(edits)) = verdict else { return None };
        if S::SEVERAL || !steering::unsteers(edits) {
            return None;
        }
        self.unsteered = true;
        // What a stage tells is not at the host yet.
        let own = steering::note_of(|tell| stage.facts(&self.state, tell));
        let note = own.or_else(|| request.attribute(Attribute::Steering))?;
        steering::distrusted(&note, request.is_grpc())
    }

    fn take(&mut self, verdict: Verdict) -> Verdict {
        let (position, verdict) = match verdict {
            Verdict::Await(edits) if S::ASKS => (Position::Held, Verdict::Await(edits)),
            Verdict::Await(edits) | Verdict::Continue(edits) => (Position::Sent, Verdict::Continue(edits)),
            Verdict::Reply(reply) => (Position::Answered, Verdict::Reply(reply)),
        };
        self.position = position;
        verdict
    }

    fn ending(&self) -> Ending {
        let called = |callback: Callback| callback.is_in(S::CALLBACKS);
        match (self.position, self.seen) {
            (Position::Held | Position::Abandoned, _) => Ending::NeverSent,
            (_, Seen::End) => Ending::Complete,
            (_, Seen::Nothing) if called(Callback::ResponseHeaders) => Ending::Incomplete,
            (_, Seen::Headers) if called(Callback::ResponseBody) && called(Callback::ResponseTrailers) => {
                Ending::Incomplete
            }
            _ => Ending::Unknown,
        }
    }
}

impl<S: Stage> Default for Exchange<S> {
    fn default() -> Self {
        Self {
            state: S::Exchange::default(),
            position: Position::Unseen,
            seen: Seen::Nothing,
            unsteered: false,
        }
    }
}
