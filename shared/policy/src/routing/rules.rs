//! To which requests a route applies: a [`Matcher`], and what only routes ask for.
//!
//! Metadata, such as the claims of a token that an earlier filter checked, is not among the
//! headers; the stage looks up what they name ([`Condition::metadata`]) and
//! hands it in with the request's draw, as [`Facts`].

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use super::read::basis_points;
use super::sticky::BUCKETS;
use crate::config::{Object, Reader};
use crate::hash::xxh64::xxh64;
use crate::http::matcher::{collect, Narrowness};
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
    /// 64 random bits, the same whenever the same request is decided.
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

#[derive(Clone, Debug, PartialEq, Eq)]
struct MetadataMatch {
    /// The name of the filter, then the keys down to the value.
    path: Vec<String>,
    /// What the value must be; anything, when nothing is given.
    exact: Option<String>,
    invert: bool,
}

const MORE: [&str; 3] = ["metadata", "percent", "basis_points"];

// === impl Condition ===

impl Condition {
    /// Reads a condition of the route `name`.
    #[must_use]
    pub fn read(reader: &Reader<'_>, name: &str) -> Option<Self> {
        let (matcher, object) = Matcher::read_with(reader, &MORE)?;
        let metadata = object.or("metadata", Vec::new(), |r| {
            let items = r.items(1..=16, "metadata")?;
            items.iter().map(MetadataMatch::read).fold(Some(Vec::new()), collect)
        });
        let share = Share::read(reader, &object, xxh64(name.as_bytes(), 1));
        Some(Self { matcher, metadata: metadata?, share: share? })
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
    /// `None` for something wrong, `Some(None)` when the condition is for all requests.
    pub(super) fn read(reader: &Reader<'_>, object: &Object<'_>, purpose: u64) -> Option<Option<Self>> {
        let given = basis_points(reader, object, "percent", "basis_points")?;
        Some(given.map(|basis_points| Self { basis_points, purpose }))
    }

    pub(super) fn holds(self, draw: u64) -> bool {
        below(derive(draw, self.purpose), u64::from(BUCKETS)) < u64::from(self.basis_points)
    }
}

// === impl MetadataMatch ===

impl MetadataMatch {
    fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&["filter", "path", "exact", "invert"])?;
        let filter = object.required("filter", "the name of a filter").and_then(|r| r.text(256));
        let path = object.required("path", "a list of keys").and_then(|r| {
            let items = r.items(1..=8, "keys")?;
            items.iter().map(|item| item.text(256)).fold(Some(Vec::new()), collect)
        });
        let exact = object.or("exact", None, |r| r.text(1024).map(|text| Some(text.to_owned())));
        let invert = object.or("invert", false, Reader::boolean);
        let path = core::iter::once(filter?).chain(path?).map(ToOwned::to_owned).collect();
        Some(Self { path, exact: exact?, invert: invert? })
    }

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
