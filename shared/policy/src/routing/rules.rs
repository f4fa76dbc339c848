//! To which requests a route applies: a [`Matcher`], and what only routes ask for.
//!
//! Metadata, such as the claims of a token that an earlier filter checked, is not among the
//! headers; the stage looks up what they name ([`Condition::metadata`]) and
//! hands it in with the request's draw, as [`Facts`].

use alloc::string::String;
use alloc::vec::Vec;

use super::sticky::BUCKETS;
use crate::http::matcher::Narrowness;
use crate::http::{Matcher, Request};
use crate::split::{below, derive};

/// A condition on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    matcher: Matcher,
    metadata: Vec<MetadataMatch>,
    share: Option<Share>,
}

/// What is known of a request besides its headers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// 64 random bits, of which no client chose any.
    pub draw: u64,
    /// Values that earlier filters left, by where.
    pub metadata: &'a [(&'a [String], &'a [u8])],
}

/// How narrow a condition is, its host apart.
pub type Rank = (Narrowness, usize, bool);

/// Some of the requests, at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    basis_points: u32,
    /// Keeps the draws of several routes apart.
    purpose: u64,
}

/// A condition on what an earlier filter left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MetadataMatch {
    /// The name of the filter, then the keys down to the value.
    pub(super) path: Vec<String>,
    /// What the value must be; anything, when nothing is given.
    pub(super) exact: Option<String>,
    /// Whether the answer is turned around.
    pub(super) invert: bool,
}

// === impl Condition ===

impl Condition {
    /// A condition of its parts.
    pub(super) fn new(matcher: Matcher, metadata: Vec<MetadataMatch>, share: Option<Share>) -> Self {
        Self { matcher, metadata, share }
    }

    /// A condition that holds for every request.
    #[must_use]
    pub fn any() -> Self {
        Self { matcher: Matcher::default(), metadata: Vec::new(), share: None }
    }

    /// Whether it holds for the `host`th of its hosts; `None` stands for the one that has none.
    #[must_use]
    pub fn holds(&self, host: Option<usize>, request: &impl Request, facts: Facts<'_>) -> bool {
        self.share.is_none_or(|share| share.holds(facts.draw))
            && self.metadata.iter().all(|m| m.holds(facts))
            && match host {
                Some(index) => self.matcher.holds_on(index, request),
                None => self.matcher.holds(request),
            }
    }

    /// How narrow each of its hosts is.
    pub fn hosts(&self) -> impl Iterator<Item = (bool, usize)> + '_ {
        self.matcher.hosts()
    }

    /// How narrow it is, its hosts apart.
    #[must_use]
    pub fn rank(&self) -> Rank {
        (self.matcher.narrowness(), self.metadata.len(), self.share.is_some())
    }

    /// Which metadata it asks for.
    pub fn metadata(&self) -> impl Iterator<Item = &[String]> {
        self.metadata.iter().map(|m| m.path.as_slice())
    }
}

// === impl Share ===

impl Share {
    /// So many basis points of the requests, drawn for a purpose of their own.
    pub(super) fn new(basis_points: u32, purpose: u64) -> Self {
        Self { basis_points, purpose }
    }

    pub(super) fn holds(self, draw: u64) -> bool {
        below(derive(draw, self.purpose), u64::from(BUCKETS)) < u64::from(self.basis_points)
    }
}

// === impl MetadataMatch ===

impl MetadataMatch {
    fn holds(&self, facts: Facts<'_>) -> bool {
        let value = facts.metadata.iter().find(|(path, _)| *path == self.path.as_slice());
        let holds = match (&self.exact, value) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(exact), Some((_, value))) => *value == exact.as_bytes(),
        };
        holds != self.invert
    }
}
