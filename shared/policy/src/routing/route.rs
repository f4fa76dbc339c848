//! One route: to which requests it applies, and between what it chooses.

use alloc::borrow::Cow;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::cookie::Generated;
use super::identity;
use super::rules::{Condition, Share};
use super::sticky::Territories;
use super::variant::Variant;
use crate::claims::Claim;
use crate::config::Scope;
use crate::hash::sip::SipKey;
use crate::http::Request;
use crate::key::Part;

/// A route and the variants behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its name in headers, metrics and logs.
    pub name: String,
    /// To which requests it applies; to all, when empty.
    pub matches: Vec<Condition>,
    /// How people stick to variants, if they do.
    pub sticky: Option<Sticky>,
    /// The variants, at least one.
    pub variants: Vec<Variant>,
    /// Which of them takes what the others leave.
    pub baseline: usize,
    /// The sum of all configured weights, which no ramp changes; at least 1.
    pub total: u64,
    /// Which requests are mirrored, and where to.
    pub mirror: Option<Mirror>,
    /// Request headers that tell Envoy how to time out and retry.
    pub upstream: Vec<Set>,
    /// Whether it acts.
    pub mode: Mode,
}

/// A request header to set: its name and value.
pub type Set = (Rc<str>, Rc<str>);

/// What a route does about its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Routes them.
    Enforce,
    /// Counts what it would do, and leaves them alone.
    Observe,
}

/// How people stick to variants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// What is hashed with each identity: another name is another throw of the dice.
    pub experiment: String,
    /// The key of the hash, the same on every replica.
    pub key: SipKey,
    /// Where identities are found, the best first.
    pub by: Vec<Part>,
    /// The cookie for those who have none.
    pub generated: Option<Generated>,
    /// Which buckets belong to which variant.
    pub territories: Territories,
}

/// Which requests are mirrored, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The cluster that gets the copies.
    pub cluster: Rc<str>,
    /// Of how many requests; of all, when absent.
    pub(super) share: Option<Share>,
}

// === impl Route ===

impl Route {
    /// The cookie for clients that have no identity, if there is one.
    #[must_use]
    pub fn cookie(&self) -> Option<&Generated> {
        self.sticky.as_ref()?.generated.as_ref()
    }

    /// The names of its ramps, as they stand for their cells.
    pub(super) fn ramps(&self) -> impl Iterator<Item = String> + '_ {
        let ramped = self.variants.iter().filter(|variant| variant.ramp.is_some());
        ramped.map(|variant| format!("{}/{}", self.name, variant.name))
    }

    /// What is meant by these names: the steps of a ramp, and by what it is moved.
    pub(super) fn claims<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = Claim> + 'a {
        let ramps = self.variants.iter().filter_map(|variant| variant.ramp.as_ref());
        self.ramps().zip(ramps).map(|(name, ramp)| {
            let first = ramp.steps.first().map_or(0, |step| step.weight);
            let (steps, interval) = (ramp.steps.len(), ramp.interval_ms);
            let value = format!("{steps} steps from weight {first} to {}, every {interval} ms", ramp.most());
            let tag = (u64::from(ramp.tag()) << 32) | u64::from(ramp.rules());
            Claim { name: format!("ramp {}", scope.quoted(&name)), value, tag }
        })
    }
}

// === impl Sticky ===

impl Sticky {
    /// Who asks: what the sources say, else the cookie that was generated before.
    #[must_use]
    pub fn identity<'r>(&self, request: &'r impl Request) -> Option<Cow<'r, [u8]>> {
        let known = || self.generated.as_ref().and_then(|cookie| cookie.find(request)).map(Cow::Borrowed);
        identity::find(&self.by, request).or_else(known)
    }
}

// === impl Mirror ===

impl Mirror {
    /// Whether the request of this draw is mirrored.
    #[must_use]
    pub fn holds(&self, draw: u64) -> bool {
        self.share.is_none_or(|share| share.holds(draw))
    }
}
