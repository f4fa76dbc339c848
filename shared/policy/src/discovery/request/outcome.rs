//! What became of an attempt, as its response or Envoy's flags say it.

use alloc::rc::Rc;
use core::fmt;

use crate::discovery::catalog::endpoint_stats::EndpointStats;
use crate::http::{Completion, Response};
use crate::time::Span;

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was a response with this status.
    Answered(u32),
    /// The connection broke before the end of a response, or nothing came for too long.
    Broken,
    /// There was no connection: nothing was sent.
    Refused,
    /// The client left, or nothing is known.
    Left,
}

/// An attempt that ended before its response did, and not yet for a known reason: the client may have
/// left, or the endpoint may have failed. The next attempt of the request, or the request's end, tells.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// The endpoint.
    pub endpoint: Rc<EndpointStats>,
    /// How long the attempt took, since its request was complete.
    pub took: Span,
    /// Whether its request was complete: if not, the client may have been what others waited for.
    pub complete: bool,
    /// Whether there ever was a connection. Envoy gives no reason when there is none in time.
    pub connected: bool,
    /// What the headers of its response said, if they came.
    pub answered: Option<Outcome>,
}

/// How a request ended that may have a [`Suspect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestEnd {
    /// Envoy's response flags.
    pub flags: u64,
    /// Whether the client got all of a response.
    pub responded: bool,
}

/// Envoy's flags of an upstream that did not answer, or not to the end: UT, LR, UR, UC, SI, UPE.
const BROKEN: u64 = (1 << 2) | (1 << 3) | (1 << 4) | (1 << 6) | (1 << 16) | (1 << 23);
/// UF: no connection, for which no client is to blame.
const NO_CONNECTION: u64 = 1 << 5;

// === impl Outcome ===

impl Outcome {
    /// The outcome of an attempt with this response: a `grpc` call that failed at once says so in its
    /// headers, and no other is asked for it.
    pub fn of_response(response: &impl Response, grpc: bool) -> Self {
        // Without a status in the headers it is a 200 so far.
        let completion = Completion::of_headers(response, grpc);
        Self::Answered(completion.map_or(200, |completion| completion.http_status()))
    }

    /// The outcome of a request that has no whole response of its endpoint, by Envoy's flags. As long as
    /// the request was not `complete`, a server that gave up on it is not to blame, unless it never was
    /// `connected`.
    #[must_use]
    pub fn of_flags(flags: u64, complete: bool, connected: bool) -> Self {
        match flags {
            flags if flags & NO_CONNECTION != 0 => Self::Refused,
            flags if !connected && flags & BROKEN != 0 => Self::Refused,
            flags if complete && flags & BROKEN != 0 => Self::Broken,
            _ => Self::Left,
        }
    }

    /// The status that it counts as: a broken attempt is a 503, as in Envoy. `None` when the endpoint cannot
    /// be blamed.
    ///
    /// ```
    /// use tidegate_policy::discovery::request::outcome::Outcome;
    ///
    /// assert_eq!(Outcome::Broken.status(), Some(503));
    /// assert_eq!(Outcome::Left.status(), None);
    /// ```
    #[must_use]
    pub fn status(self) -> Option<u32> {
        match self {
            Self::Answered(status) => Some(status),
            Self::Broken | Self::Refused => Some(503),
            Self::Left => None,
        }
    }

    /// The outcome that this word stands for, as it prints.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "broken" => Self::Broken,
            "left" => Self::Left,
            "refused" => Self::Refused,
            status => Self::Answered(status.parse().ok()?),
        })
    }

    /// Whether the endpoint failed.
    #[must_use]
    pub fn failed(self) -> bool {
        self.status().is_some_and(|status| status >= 500)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(status) => write!(f, "{status}"),
            Self::Broken => f.write_str("broken"),
            Self::Left => f.write_str("left"),
            Self::Refused => f.write_str("refused"),
        }
    }
}

// === impl Suspect ===

impl Suspect {
    /// What became of it when the request ended so. A client that leaves after `patience` without
    /// headers leaves because of the endpoint.
    #[must_use]
    pub fn at_end(&self, end: RequestEnd, patience: Option<Span>) -> Outcome {
        let outcome = Outcome::of_flags(end.flags, self.complete, self.connected);
        let left = outcome == Outcome::Left && !end.responded;
        let waited = self.complete && self.answered.is_none();
        match patience {
            Some(patience) if left && waited && self.took >= patience => Outcome::Broken,
            _ => outcome,
        }
    }

    /// What became of it when another attempt followed: the client had not left.
    #[must_use]
    pub fn at_retry(&self) -> Outcome {
        match self.answered {
            Some(answered) => answered,
            None if !self.connected => Outcome::Refused,
            None if self.complete => Outcome::Broken,
            None => Outcome::Left,
        }
    }
}
