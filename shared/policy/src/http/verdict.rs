//! What a stage wants done, as data. Glue does it and decides nothing.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It is held back after these edits, until [`super::Stage::on_wait`] says otherwise. Only for
    /// stages that [ask](super::Stage::ASKS): one that nobody answers has nothing to wait for.
    Await(Vec<Edit>),
    /// It goes on, after these edits.
    Continue(Vec<Edit>),
    /// It is answered here and now.
    Reply(Reply),
}

/// One change to a message, or one fact for those who come later.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Edit {
    /// Appends a request header behind its other values. The host chooses the route anew.
    AddRequestHeader(Rc<str>, Rc<str>),
    /// Appends a response header.
    AddResponseHeader(String, String),
    /// Puts one value in place of all values of a response header, if any.
    SetResponseHeader(String, String),
    /// Removes every value of a request header by which the host chooses no route.
    DropRequestHeader(String),
    /// Removes every value of a request header by which the host may have chosen the route, which it
    /// then chooses anew: see [`crate::http::steering`].
    RemoveRequestHeader(String),
    /// Puts one value in place of all values of a request header, if any. The host chooses the
    /// route anew. Both texts are mostly the configuration's, so they are shared and not copied.
    SetRequestHeader(Rc<str>, Rc<str>),
}

/// An answer in place of the upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status, 200 to 599; a gRPC client gets 200 and `grpc_status`.
    pub status: u32,
    /// gRPC status, for requests that are gRPC.
    pub grpc_status: u32,
    /// Headers besides those that the host sets.
    pub headers: Vec<(String, String)>,
    /// The body; the message, for gRPC.
    pub body: String,
    /// Response-code details for access logs: no spaces, no user input.
    pub details: String,
}
