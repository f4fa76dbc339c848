//! What a registry's answer says, in the form that all registries have.

use alloc::vec::Vec;
use core::fmt;

use crate::discovery::endpoint::{self, Endpoint};
use crate::discovery::json;
use crate::discovery::registry::dns::message;

/// An answer of a registry.
pub struct Reply<'a> {
    /// Its HTTP status; 200 for what the host's resolver hands over.
    pub status: u16,
    /// The value of a header, by its name in lower case.
    pub header: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    /// Its body.
    pub body: &'a [u8],
}

/// The endpoints of a service, in normal form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Sorted, each once.
    pub endpoints: Vec<Endpoint>,
    /// Entries without an IP address and a port, and entries beyond
    /// [`endpoint::MAX_ENDPOINTS`].
    pub skipped: usize,
}

/// Why an answer says nothing of a service's endpoints. What was known before stays.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerError {
    /// The registry reports an error of its own by this number, under HTTP status 200.
    Code(u64),
    /// The answer lacks what the token may not see, which may be all of it.
    Filtered,
    /// The registry's cluster has no leader, and the answer is empty.
    Leaderless,
    /// The body is not JSON, or of another shape.
    Malformed(json::Malformed),
    /// The body is not a DNS message.
    Message(message::Malformed),
    /// There was no answer, or it broke off.
    NoAnswer,
    /// The DNS server answered with this code, which is neither success nor "no such name".
    Rcode(u8),
    /// The HTTP status is not a success.
    Status(u16),
    /// The answer has this many bytes, more than are read.
    TooLarge(usize),
    /// The answer is cut short.
    Truncated,
    /// The registry knows no such service. Not a failure, and not an empty service either.
    Unknown,
    /// The answer has entries, and none of them has an IP address and a port.
    Unusable {
        /// How many there are.
        entries: usize,
    },
}

/// Entries on their way to a [`Found`].
#[derive(Default)]
pub(super) struct Entries {
    found: Found,
    /// How often the entries so far were normalized.
    normalized: u32,
}

/// Entries are normalized, and cut, at most this often; later ones are only counted. One answer of a
/// few bytes can name the same endpoint again and again, and each round costs a sort of 10,000.
const MAX_NORMALIZED: u32 = 16;
/// Largest body that is parsed, in bytes: 3,355 for each endpoint that a set can have.
pub const MAX_BODY: usize = 16 << 20;

/// What `shape` picks from the body of a successful answer.
pub(super) fn body(reply: &Reply<'_>, shape: &'static json::Shape) -> Result<json::Node, AnswerError> {
    match reply.status {
        200 if reply.body.len() > MAX_BODY => Err(AnswerError::Truncated),
        200 => json::read(reply.body, shape).map_err(AnswerError::Malformed),
        404 => Err(AnswerError::Unknown),
        status => Err(AnswerError::Status(status)),
    }
}

// === impl AnswerError ===

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "the registry answered with error {code}"),
            Self::Filtered => f.write_str("the token may not see all of the answer"),
            Self::Leaderless => f.write_str("the registry has no leader"),
            Self::Malformed(malformed) => write!(f, "malformed answer: {malformed}"),
            Self::Message(malformed) => write!(f, "malformed DNS message: {malformed}"),
            Self::NoAnswer => f.write_str("no answer"),
            Self::Rcode(rcode) => write!(f, "the DNS server answered with code {rcode}"),
            Self::Status(status) => write!(f, "the registry answered with status {status}"),
            Self::TooLarge(bytes) => write!(f, "the answer has {bytes} bytes, too many to be read"),
            Self::Truncated => f.write_str("the answer is cut short"),
            Self::Unknown => f.write_str("the registry knows no such service"),
            Self::Unusable { entries } => {
                write!(f, "none of {entries} entries has an IP address and a port")
            }
        }
    }
}

impl core::error::Error for AnswerError {}

// === impl Entries ===

impl Entries {
    /// Begins with this many entries that are not endpoints.
    pub(super) fn skipping(skipped: usize) -> Self {
        Self { found: Found { endpoints: Vec::new(), skipped }, normalized: 0 }
    }

    /// Takes an entry of the answer; `None` is one that is not an endpoint.
    pub(super) fn take(&mut self, entry: Option<Endpoint>) {
        match entry {
            Some(endpoint) if !self.is_full() => self.found.endpoints.push(endpoint),
            _ => self.found.skipped = self.found.skipped.saturating_add(1),
        }
        if self.found.endpoints.len() >= 2 * endpoint::MAX_ENDPOINTS {
            self.normalized = self.normalized.saturating_add(1);
            let beyond = endpoint::normalize(&mut self.found.endpoints);
            self.found.skipped = self.found.skipped.saturating_add(beyond);
        }
    }

    /// Whether further entries are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.normalized >= MAX_NORMALIZED
    }

    /// The endpoints. An error when there were entries and none can be used: that is not an empty
    /// service but one that cannot be read.
    pub(super) fn finish(mut self) -> Result<Found, AnswerError> {
        if self.found.endpoints.is_empty() && self.found.skipped > 0 {
            return Err(AnswerError::Unusable { entries: self.found.skipped });
        }
        let beyond = endpoint::normalize(&mut self.found.endpoints);
        self.found.skipped = self.found.skipped.saturating_add(beyond);
        Ok(self.found)
    }
}
