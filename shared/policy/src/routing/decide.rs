//! Which variant of its route a request goes to.
//!
//! A trusted wish decides before anything else, then the bucket of the identity, and without
//! either a draw by weight. What weights there are at the moment ([`Weights`]) is worked out
//! when a ramp moves and not for each request.

use alloc::vec::Vec;

use super::route::Route;
use super::sticky::{self, BUCKETS};
use super::variant::Target;
use crate::split::{below, derive, Alias};

/// What each variant of a route weighs at the moment.
///
/// ```
/// use tidegate_policy::routing::{ChoiceReason, Policy, Weights};
///
/// let json = br#"{"routes": [{"name": "shop", "variants": [
///     {"name": "stable", "cluster": "v1", "weight": 9},
///     {"name": "canary", "cluster": "v2", "weight": 1}]}]}"#;
/// let policy = Policy::parse(json).unwrap();
/// let route = &policy.routes[0];
/// let weights = Weights::new(route, &[]);
///
/// let choice = weights.choose(route, Some(b"canary"), None, 7);
/// assert_eq!((choice.variant, choice.reason), (1, ChoiceReason::Forced));
/// let drawn = (0..1000_u64).map(|n| weights.choose(route, None, None, n << 54).variant);
/// let canary = drawn.filter(|variant| *variant == 1).count();
/// assert!((70..130).contains(&canary), "{canary} of 1000");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// By variant; together as much as was configured.
    pub weights: Vec<u32>,
    /// The same in buckets, 0 for the baseline.
    buckets: Vec<u32>,
    alias: Option<Alias>,
}

/// The answer for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Choice {
    /// The variant, as its place in the route.
    pub variant: usize,
    /// The bucket of the identity, or one that was drawn.
    pub bucket: u32,
    /// What decided.
    pub reason: ChoiceReason,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChoiceReason {
    /// The dice.
    Drawn,
    /// A trusted caller.
    Forced,
    /// The variant that would have been chosen lets nothing through.
    PassedOver,
    /// Who asked.
    Sticky,
}

/// What a draw is for, so that those of one request do not depend on each other.
const SPLIT: u64 = 3;
const BUCKET: u64 = 4;

// === impl Weights ===

impl Weights {
    /// The weights of a route when its ramps give `ramped`, by variant; a variant without one
    /// has its own. The baseline takes what the others leave of the configured sum.
    #[must_use]
    pub fn new(route: &Route, ramped: &[Option<u32>]) -> Self {
        let mut left = route.total;
        let mut weights = Vec::new();
        for (index, variant) in route.variants.iter().enumerate() {
            let weight = ramped.get(index).copied().flatten().unwrap_or(variant.weight);
            let weight = if index == route.baseline { 0 } else { u64::from(weight).min(left) };
            left = left.saturating_sub(weight);
            weights.push(u32::try_from(weight).unwrap_or(u32::MAX));
        }
        let buckets = weights.iter().map(|weight| sticky::share(*weight, route.total)).collect();
        if let Some(baseline) = weights.get_mut(route.baseline) {
            *baseline = u32::try_from(left).unwrap_or(u32::MAX);
        }
        let alias = Alias::new(&weights);
        Self { weights, buckets, alias }
    }

    /// The variant of `route` that a request gets. `wish` is what a trusted caller asks for, `identity` who asks,
    /// `draw` 64 random bits.
    ///
    /// A wish for what is not there counts as none. Without an identity a sticky route draws,
    /// too.
    pub fn choose(&self, route: &Route, wish: Option<&[u8]>, identity: Option<&[u8]>, draw: u64) -> Choice {
        let drawn = derive(draw, BUCKET);
        let bucket = match (&route.sticky, identity) {
            (Some(sticky), Some(identity)) => Some(sticky::bucket(sticky.key, &sticky.experiment, identity)),
            _ => None,
        };
        let some = || u32::try_from(below(drawn, u64::from(BUCKETS))).unwrap_or(0);
        let named = wish.and_then(|wish| route.variants.iter().position(|v| v.name.as_bytes() == wish));
        if let Some(variant) = named {
            return Choice { variant, bucket: bucket.unwrap_or_else(some), reason: ChoiceReason::Forced };
        }
        if let Some((sticky, bucket)) = route.sticky.as_ref().zip(bucket) {
            let variant = sticky.territories.owner(bucket, &self.buckets).unwrap_or(route.baseline);
            return Choice { variant, bucket, reason: ChoiceReason::Sticky };
        }
        let variant = self.alias.as_ref().map_or(route.baseline, |alias| alias.pick(derive(draw, SPLIT)));
        Choice { variant, bucket: some(), reason: ChoiceReason::Drawn }
    }

    /// The choice of a request whose variant may let nothing through, as `passes` says of each: then the
    /// baseline, or, without it, the heaviest variant that passes and is not on a ramp. The first choice,
    /// if there is none, and if a trusted caller made it.
    ///
    /// Nothing goes where nothing should go at the moment: to what weighs nothing, or is no more than a
    /// status. A ramp gives its variant as much as it was tried with, so it gets no others' requests.
    pub fn pass_over(&self, route: &Route, choice: Choice, passes: &dyn Fn(usize) -> bool) -> Choice {
        if choice.reason == ChoiceReason::Forced || passes(choice.variant) {
            return choice;
        }
        let takes = |at: &usize| {
            let status = |target: &Target| matches!(target, Target::Status(_));
            *at != choice.variant
                && self.weights.get(*at).is_some_and(|weight| *weight > 0)
                && route.variants.get(*at).is_some_and(|variant| !status(&variant.target))
                && passes(*at)
        };
        let ramps = |at: &usize| route.variants.get(*at).is_some_and(|variant| variant.ramp.is_some());
        let others = (0..self.weights.len()).rev().filter(|at| !ramps(at)).filter(takes);
        let heaviest = || others.max_by_key(|at| self.weights.get(*at).copied());
        let other = Some(route.baseline).filter(takes).or_else(heaviest);
        other.map_or(choice, |variant| Choice { variant, reason: ChoiceReason::PassedOver, ..choice })
    }
}
