//! How a registry is spoken to, without IO: the calls to make are values, and so are the answers.
//!
//! A [`Protocol`] asks one registry for one service, again and again. Each time is a *round*: [`Protocol::ask`]
//! begins one and says which calls to make, [`Protocol::answered`] takes their answers one by one, in
//! any order, until the round is done. Who sends the calls, how long an answer is waited for and what
//! becomes of the endpoints is `discovery::refresh`'s.

use alloc::string::String;
use alloc::vec::Vec;

use crate::discovery::registry::answer::{AnswerError, Found, Reply};
use crate::time::Span;

/// One registry asked for one service.
pub trait Protocol {
    /// Begins a round and forgets an unfinished one. The calls to make, numbered from 0; `hold` is how long
    /// the registry may hold them until something changes, `None` for an answer at once.
    ///
    /// # Errors
    /// The service's name cannot be asked for.
    fn ask(&mut self, hold: Option<Span>) -> Result<Vec<Call>, AnswerError>;

    /// Takes the answer to the round's call number `call`. Calls that follow are numbered on.
    ///
    /// # Errors
    /// The round failed. Answers that are still to come must not be handed over.
    fn answered(
        &mut self,
        call: usize,
        reply: Result<&Reply<'_>, AnswerError>,
    ) -> Result<Progress, AnswerError>;

    /// After how long a round has failed, should the host lose an answer and its timeout.
    fn patience(&self) -> Span;

    /// How long the registry holds a query until something changes; `None` when it answers at once.
    fn holds_queries(&self) -> Option<Span> {
        None
    }

    /// Whether the next query can be held: the registry has said what it is to differ from.
    fn can_wait(&self) -> bool {
        false
    }
}

/// A call to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// An HTTP request.
    Http {
        /// The cluster of Envoy's that leads there.
        cluster: String,
        /// The `:method`.
        method: &'static str,
        /// The `:path`.
        path: String,
        /// The `:authority`.
        authority: String,
        /// Further headers, always the same.
        headers: &'static [(&'static str, &'static str)],
        /// The header with the token, if there is one.
        token: Option<(&'static str, String)>,
        /// The body; empty for none.
        body: Vec<u8>,
        /// How long the answer may take.
        timeout: Span,
    },
    /// The addresses of this name, by the host's own resolver.
    Name(String),
}

/// How far a round is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is done.
    Done(FetchAnswer),
    /// Answers are still to come: of these further calls, if any, and of earlier ones.
    Pending(Vec<Call>),
}

/// The endpoints of a service, and how long they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchAnswer {
    /// The endpoints.
    pub found: Found,
    /// How long the answer holds by itself: zero when the registry does not say, `None` when the next
    /// query is held until something changes.
    pub holds: Option<Span>,
}
