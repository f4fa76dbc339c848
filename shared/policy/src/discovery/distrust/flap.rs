//! Endpoints that come and go are left out until they have calmed down.
//!
//! Each time that an endpoint goes down it gets a penalty that decays with a half-life; above one
//! mark it is *damped*, below a lower one it is free again: the route-flap damping of RFC 2439,
//! with endpoints for routes. At least half of a set is always left.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::discovery::endpoint::{Endpoint, Health, Key};
use crate::sort;
use crate::time::{Span, Timestamp};

/// When an endpoint is damped, and for how long.
///
/// ```
/// use tidegate_policy::discovery::distrust::flap::{Flap, FlapParams};
/// use tidegate_policy::time::{Span, Timestamp};
///
/// let (params, start) = (FlapParams::default(), Timestamp::from_nanos(1 << 40));
/// let mut flap = Flap::new(start);
/// for second in 0..6 {
///     flap = flap.seen(&params, start.plus(Span::from_secs(second)), second % 2 == 1);
/// }
/// assert!(flap.is_damped(), "it went down three times");
/// let later = start.plus(Span::from_secs(300));
/// assert!(!flap.seen(&params, later, true).is_damped());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlapParams {
    /// The penalty of going down once. Default 1,000.
    pub penalty: f64,
    /// An endpoint is damped from this penalty on. Default 2,000.
    pub suppress: f64,
    /// It stays damped down to this penalty. Default 750.
    pub reuse: f64,
    /// The highest penalty; with the other defaults an endpoint is free after four half-lives.
    /// Default 12,000.
    pub most: f64,
    /// Time in which a penalty halves. Default 60 s.
    pub half_life: Span,
}

/// What is remembered of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flap {
    penalty: f64,
    at: Timestamp,
    up: bool,
    damped: bool,
}

/// What is remembered of a service's endpoints.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flaps {
    /// Sorted by key.
    flaps: Vec<(Key, Flap)>,
}

/// Most endpoints that are remembered, a few times as many as a set has.
const MAX_FLAPS: usize = 2 * crate::discovery::endpoint::MAX_ENDPOINTS;

// === impl Flap ===

impl Flap {
    /// An endpoint that is seen for the first time, and is up.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self { penalty: 0.0, at: now, up: true, damped: false }
    }

    /// Whether it is damped.
    #[must_use]
    pub const fn is_damped(&self) -> bool {
        self.damped
    }

    /// The penalty as of the last look.
    #[must_use]
    pub const fn penalty(&self) -> f64 {
        self.penalty
    }

    /// After it was seen up or down. The clock may step back, which costs decay.
    #[must_use]
    pub fn seen(self, params: &FlapParams, now: Timestamp, up: bool) -> Self {
        let fell = if self.up && !up { params.penalty } else { 0.0 };
        let penalty = (self.decayed(params, now) + fell).min(params.most);
        let damped = if self.damped { penalty > params.reuse } else { penalty >= params.suppress };
        Self { penalty, at: now.max(self.at), up, damped }
    }

    fn decayed(&self, params: &FlapParams, now: Timestamp) -> f64 {
        let half_life = params.half_life.as_nanos().max(1) as f64;
        self.penalty * libm::exp2(-(now.since(self.at).as_nanos() as f64) / half_life)
    }

    /// Whether it can be forgotten (RFC 2439, section 4.8.2: at half of the mark for reuse).
    fn is_calm(&self, params: &FlapParams) -> bool {
        !self.damped && self.penalty < params.reuse / 2.0
    }
}

// === impl Flaps ===

impl Flaps {
    /// Takes the set that was fetched, in normal form, and says which of its endpoints to leave out:
    /// the most restless of those that are damped, up to half of those that are up. Sorted.
    pub fn seen(&mut self, params: &FlapParams, now: Timestamp, set: &[Endpoint]) -> Vec<Key> {
        let mut set = set.iter().map(|endpoint| (endpoint.key(), is_up(endpoint))).peekable();
        let mut there = core::mem::take(&mut self.flaps).into_iter().peekable();
        let mut up = 0_usize;
        loop {
            let order = match (there.peek(), set.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((known, _)), Some((key, _))) => known.cmp(key),
            };
            let known = if order.is_le() { there.next() } else { None };
            let seen = if order.is_ge() { set.next() } else { None };
            let is_up = seen.is_some_and(|(_, up)| up);
            up = up.saturating_add(usize::from(is_up));
            let Some(key) = seen.map(|(key, _)| key).or(known.map(|(key, _)| key)) else { break };
            let flap = match known {
                Some((_, flap)) => flap.seen(params, now, is_up),
                None => Flap { up: is_up, ..Flap::new(now) },
            };
            // One that is there is remembered, so that its first fall is known as one.
            if seen.is_some() || !flap.is_calm(params) {
                self.flaps.push((key, flap));
            }
        }
        if self.flaps.len() > MAX_FLAPS {
            // Those that are gone, and were not damped, first; then all that are gone.
            self.flaps.retain(|(_, flap)| flap.up || flap.damped);
        }
        if self.flaps.len() > MAX_FLAPS {
            self.flaps.retain(|(_, flap)| flap.up);
        }
        self.left_out(up / 2)
    }

    /// What is remembered of an endpoint.
    #[must_use]
    pub fn of(&self, key: &Key) -> Option<&Flap> {
        let at = self.flaps.binary_search_by(|(there, _)| there.cmp(key)).ok()?;
        self.flaps.get(at).map(|(_, flap)| flap)
    }

    fn left_out(&self, most: usize) -> Vec<Key> {
        let mut damped: Vec<&(Key, Flap)> =
            self.flaps.iter().filter(|(_, flap)| flap.damped && flap.up).collect();
        // By key where penalties are equal, so that all workers agree.
        sort::sort_by(&mut damped, &|(a, x), (b, y)| y.penalty.total_cmp(&x.penalty).then_with(|| a.cmp(b)));
        let mut out: Vec<Key> = damped.into_iter().take(most).map(|(key, _)| *key).collect();
        sort::sort(&mut out);
        out
    }
}

fn is_up(endpoint: &Endpoint) -> bool {
    matches!(endpoint.health, Health::Healthy | Health::Degraded)
}

impl Default for FlapParams {
    fn default() -> Self {
        Self {
            penalty: 1_000.0,
            suppress: 2_000.0,
            reuse: 750.0,
            most: 12_000.0,
            half_life: Span::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn set(bytes: &[u8]) -> Vec<Endpoint> {
        let of = |n: &u8| Endpoint::new("", IpAddr::from([10, 0, 0, *n]), 80).unwrap();
        bytes.iter().map(of).collect()
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::ZERO.plus(Span::from_secs(secs))
    }

    /// Takes `others` and, every other second, those of `flapping`.
    fn flapped(others: &[u8], flapping: &[u8]) -> (Flaps, Vec<Key>) {
        let mut flaps = Flaps::default();
        let all = [flapping, others].concat();
        let mut out = Vec::new();
        for n in 0..9 {
            out = flaps.seen(&FlapParams::default(), at(n), &set(if n % 2 == 0 { &all } else { others }));
        }
        (flaps, out)
    }

    #[test]
    fn an_endpoint_that_comes_and_goes_is_left_out_until_it_calms_down() {
        let (mut flaps, out) = flapped(&[5, 6, 7], &[1]);
        let all = set(&[1, 5, 6, 7]);
        assert_eq!(out, [all[0].key()]);
        assert!(flaps.of(&out[0]).unwrap().is_damped());
        assert_eq!(flaps.seen(&FlapParams::default(), at(100), &all).len(), 1);
        assert_eq!(flaps.seen(&FlapParams::default(), at(200), &all), []);
    }

    #[test]
    fn half_of_a_set_is_always_left() {
        assert_eq!(flapped(&[5], &[1, 2]).1.len(), 1);
        assert_eq!(flapped(&[], &[1, 2, 3]).1.len(), 1);
        assert_eq!(flapped(&[], &[1]).1, []);
        assert_eq!(flapped(&[5, 6, 7], &[1, 2, 3]).1.len(), 3);
    }

    #[test]
    fn an_endpoint_that_is_gone_and_calm_is_forgotten() {
        let (mut flaps, _) = flapped(&[5, 6], &[1, 2]);
        let _ = flaps.seen(&FlapParams::default(), at(100), &set(&[5]));
        assert_eq!(flaps.flaps.len(), 4, "falling is remembered for a while");
        let _ = flaps.seen(&FlapParams::default(), at(1_000), &set(&[5]));
        assert_eq!(flaps.flaps.len(), 1);
    }

    #[test]
    fn an_endpoint_that_turns_unhealthy_falls_as_one_that_is_gone() {
        let mut flaps = Flaps::default();
        let mut all = set(&[1, 2]);
        for n in 0..6 {
            all[0].health = if n % 2 == 0 { Health::Degraded } else { Health::Draining };
            let out = flaps.seen(&FlapParams::default(), at(n), &all);
            assert_eq!(out, [], "one that is down is not left out as well");
        }
        assert!(flaps.of(&all[0].key()).unwrap().is_damped());
        assert_eq!(flaps.of(&all[1].key()).unwrap().penalty(), 0.0);
    }
}
