//! What became of an attempt, as its response or Envoy's flags say it.

use crate::http::{grpc, Attribute, Response, ResponseExt};
use crate::time::Span;

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was a response with this status.
    Answered(u32),
    /// There was no connection, or it broke before a response.
    Broken,
    /// The client left, or nothing is known.
    Left,
}

/// An attempt that ended without a response, and not yet for a known reason: the client may have left,
/// or the endpoint may have failed. The next attempt of the request, or the request's end, tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The endpoint's place in the table.
    pub endpoint: u32,
    /// How long the attempt took.
    pub took: Span,
}

/// Envoy's flags of an upstream that did not answer: LR, UT, UR, UF, UC.
const BROKEN: u64 = (1 << 2) | (1 << 3) | (1 << 4) | (1 << 5) | (1 << 6);

// === impl Outcome ===

impl Outcome {
    /// The outcome of an attempt with this response: a gRPC call that failed at once says so in its
    /// headers.
    pub fn of_response(response: &impl Response) -> Self {
        let status = response.status();
        let failed = response.header("grpc-status").filter(|_| status == 200);
        Self::Answered(failed.map_or(status, |text| grpc::to_http(grpc::number(&text))))
    }

    /// The outcome of a request that has no response of its endpoint, by Envoy's flags.
    pub fn of_flags(end: &impl Response) -> Self {
        if end.number(Attribute::Flags) & BROKEN == 0 {
            Self::Left
        } else {
            Self::Broken
        }
    }

    /// The status that outlier detection counts: a broken attempt is a 503, as in Envoy. `None` when
    /// the endpoint cannot be blamed.
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
            Self::Broken => Some(503),
            Self::Left => None,
        }
    }

    /// Whether the endpoint failed.
    #[must_use]
    pub fn failed(self) -> bool {
        self.status().is_some_and(|status| status >= 500)
    }
}
