//! Speaking to one registry about one service: sends the calls of a [`Protocol`], and hands it the
//! answers.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::discovery::registry::protocol::{Call, FetchAnswer, Progress, Protocol};
use crate::discovery::registry::{AnswerError, Reply};
use crate::host::{Answer, Callout, CalloutError, Question, Token};
use crate::time::Span;

/// A protocol and its calls in flight.
pub struct Session {
    protocol: Box<dyn Protocol>,
    /// Calls in flight, with their numbers in the round.
    in_flight: Vec<(Token, usize)>,
    /// How many calls the round has made.
    calls: usize,
}

/// Why a round failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// An answer says nothing of the service's endpoints.
    Answer(AnswerError),
    /// A call could not be sent.
    NotSent(CalloutError),
}

// === impl Session ===

impl Session {
    /// Begins with nothing in flight.
    #[must_use]
    pub fn new(protocol: Box<dyn Protocol>) -> Self {
        Self { protocol, in_flight: Vec::new(), calls: 0 }
    }

    /// Whether an answer is still to come.
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Whether it made this call.
    #[must_use]
    pub fn made(&self, token: Token) -> bool {
        self.in_flight.iter().any(|(known, _)| *known == token)
    }

    /// Ignores all answers that are still to come.
    pub fn give_up(&mut self) {
        self.in_flight.clear();
        self.calls = 0;
    }

    /// After how long a round has failed, should the host lose an answer and its timeout.
    #[must_use]
    pub fn patience(&self) -> Span {
        self.protocol.patience()
    }

    /// How long the registry holds a query until something changes; `None` when it answers at once.
    #[must_use]
    pub fn holds_queries(&self) -> Option<Span> {
        self.protocol.holds_queries()
    }

    /// Whether the next query can be held.
    #[must_use]
    pub fn can_wait(&self) -> bool {
        self.protocol.can_wait()
    }

    /// Begins a round; `hold` is how long the registry may hold it until something changes.
    ///
    /// # Errors
    /// Not all of its calls could be sent. The round is over.
    pub fn ask(&mut self, hold: Option<Span>, host: &dyn Callout) -> Result<(), FetchError> {
        self.give_up();
        let calls = self.protocol.ask(hold).map_err(FetchError::Answer);
        let sent = calls.and_then(|calls| self.send(&calls, host));
        if sent.is_err() {
            self.give_up();
        }
        sent
    }

    /// Takes an answer, of which at most `most` bytes are read. What the round brought, once it is
    /// over.
    pub fn answered(
        &mut self,
        answer: &impl Answer,
        most: usize,
        host: &dyn Callout,
    ) -> Option<Result<FetchAnswer, FetchError>> {
        let token = answer.token();
        let at = self.in_flight.iter().position(|(known, _)| *known == token)?;
        let (_, call) = self.in_flight.swap_remove(at);
        let progress = self.read(call, answer, most).map_err(FetchError::Answer);
        let done = progress.and_then(|progress| match progress {
            Progress::Done(answer) => Ok(Some(answer)),
            Progress::Pending(calls) => self.send(&calls, host).map(|()| None),
        });
        if done.is_err() {
            self.give_up();
        }
        done.transpose()
    }

    fn read(&mut self, call: usize, answer: &impl Answer, most: usize) -> Result<Progress, AnswerError> {
        if answer.size() > most {
            return self.protocol.answered(call, Err(AnswerError::TooLarge(answer.size())));
        }
        let status = match answer.token() {
            Token::Http(_) => answer.header(":status"),
            Token::Name(_) => Some(b"200".to_vec()),
        };
        let Some(status) = status else {
            return self.protocol.answered(call, Err(AnswerError::NoAnswer));
        };
        let status = core::str::from_utf8(&status).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let body = if status == 200 { answer.body(most) } else { Vec::new() };
        let reply = Reply { status, header: &|name| answer.header(name), body: &body };
        self.protocol.answered(call, Ok(&reply))
    }

    fn send(&mut self, calls: &[Call], host: &dyn Callout) -> Result<(), FetchError> {
        for call in calls {
            let token = match call {
                Call::Http { cluster, method, path, authority, headers, token, body, timeout } => {
                    let mut all =
                        alloc::vec![(":method", *method), (":path", path), (":authority", authority)];
                    all.extend_from_slice(headers);
                    all.extend(token.iter().map(|(name, value)| (*name, value.as_str())));
                    let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1);
                    host.ask(&Question::Http { cluster, headers: &all, body, timeout_ms })
                }
                Call::Name(name) => host.ask(&Question::Name(name)),
            };
            self.in_flight.push((token.map_err(FetchError::NotSent)?, self.calls));
            self.calls = self.calls.saturating_add(1);
        }
        Ok(())
    }
}

/// Without the protocol: it would have to be able to show itself, in every module.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

// === impl FetchError ===

impl FetchError {
    /// The reason without the numbers that differ from one time to the next, to tell a new one by.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Answer(AnswerError::TooLarge(_)) => "too large".to_string(),
            Self::Answer(AnswerError::Malformed(_)) => "malformed".to_string(),
            Self::Answer(AnswerError::Message(_)) => "malformed message".to_string(),
            Self::Answer(AnswerError::Unusable { .. }) => "unusable".to_string(),
            other => other.to_string(),
        }
    }

    /// Whether the answer is that the registry knows no such service, which is not a failure.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::Answer(AnswerError::Unknown)
    }

    /// Whether the registry answered.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::NotSent(_) | Self::Answer(AnswerError::NoAnswer))
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(error) => write!(f, "{error}"),
            Self::NotSent(error) => write!(f, "{error}"),
        }
    }
}
