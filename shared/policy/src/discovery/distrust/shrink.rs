//! An answer that suddenly has few endpoints is not served at once.
//!
//! A registry that was restarted, partitioned or upgraded answers with half of the endpoints or
//! with none, and a proxy that believes it makes an outage of it. So a set that is empty or
//! lost more than half of what was served is *held*: its additions are served at once, its removals
//! wait until the same endpoints were fetched [`ShrinkParams::confirmations`] times over
//! [`ShrinkParams::hold`]. Until then they serve as a last resort only ([`Guard::is_missing`]). Half is counted against the most that was served of late, not against the last
//! set, so that many small losses are one large one. Endpoints that really died are taken out of
//! rotation by breakers and ejection long before.
//!
//! An empty set is served only where [`ShrinkParams::allow_empty`] says so.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::discovery::endpoint::{self, Endpoint, Key};
use crate::time::{Span, Timestamp};

/// Which answers are served at once.
///
/// ```
/// use tidegate_policy::discovery::distrust::shrink::{Action, Guard, ShrinkParams};
/// use tidegate_policy::discovery::Endpoint;
/// use tidegate_policy::time::{Span, Timestamp};
///
/// let set = |range: std::ops::Range<u32>| -> Vec<Endpoint> {
///     let address = |n: u32| std::net::IpAddr::V4((0x0a00_0000 + n).into());
///     range.filter_map(|n| Endpoint::new("", address(n), 80)).collect()
/// };
/// let (params, now) = (ShrinkParams::default(), Timestamp::from_nanos(1 << 40));
/// let mut guard = Guard::new(set(1..41));
/// assert_eq!(guard.fetched(&params, now, set(1..3)).action, Action::Hold);
/// assert_eq!(guard.serving().len(), 40, "the missing 38 are kept");
///
/// // The same answer again, and again after `hold`.
/// let _ = guard.fetched(&params, now.plus(Span::from_secs(15)), set(1..3));
/// let third = guard.fetched(&params, now.plus(Span::from_secs(30)), set(1..3));
/// assert_eq!((third.action, guard.serving().len()), (Action::ApplyConfirmed, 2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShrinkParams {
    /// Part of the endpoints that a set must keep to be served at once, 0 to 100 %. Default 50.
    pub keep_percent: u32,
    /// Services that never had as many endpoints of late may shrink to one at once. Default 4.
    pub min_size: u32,
    /// How long a smaller set must be confirmed. Default 30 s.
    pub hold: Span,
    /// How long an empty set must be confirmed. Default 300 s.
    pub empty_hold: Span,
    /// How often it must be fetched for that, at least 1. Default 3.
    pub confirmations: u32,
    /// Whether an empty set is ever served. Default no.
    pub allow_empty: bool,
    /// How long a larger set is remembered. Default 60 s.
    pub window: Span,
}

/// What is served of a service, and what it is compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// The last set that was believed, in normal form.
    believed: Vec<Endpoint>,
    /// The set that is held back, if any.
    held: Option<Held>,
    /// What is served, if it is more than what is believed.
    served: Option<Vec<Endpoint>>,
    /// Those of them that the newest set lacks, sorted.
    missing: Vec<Key>,
    /// Sets that were served before: until when, and how many endpoints. Later ones are smaller.
    before: Vec<(Timestamp, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    keys: u64,
    times: u32,
    since: Timestamp,
}

/// How a fetched set was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What was done with it.
    pub action: Action,
    /// The most endpoints that were served within the window.
    pub reference: usize,
    /// The fewest endpoints with which it is served at once.
    pub floor: usize,
}

/// What was done with a fetched set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is served.
    Apply,
    /// It is served, because it was fetched often enough.
    ApplyConfirmed,
    /// It is served together with the set before.
    Hold,
}

/// Most sets that are remembered; beyond that the smaller ones count as served for longer. One every four
/// seconds fills the default window.
const MAX_BEFORE: usize = 16;

/// Two sets in normal form as one. An endpoint that both have is as `newer` has it.
#[must_use]
pub fn union(older: &[Endpoint], newer: &[Endpoint]) -> Vec<Endpoint> {
    let (mut older, mut newer) = (older.iter().peekable(), newer.iter().peekable());
    let mut both = Vec::new();
    loop {
        let order = match (older.peek(), newer.peek()) {
            (None, None) => return both,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.key().cmp(&b.key()),
        };
        let old = if order.is_le() { older.next() } else { None };
        let new = if order.is_ge() { newer.next() } else { None };
        both.extend(new.or(old).cloned());
    }
}

// === impl Guard ===

impl Guard {
    /// One that begins with a set in normal form, which is believed: the static endpoints, or what
    /// another worker served.
    #[must_use]
    pub fn new(believed: Vec<Endpoint>) -> Self {
        Self { believed, ..Self::default() }
    }

    /// What is to be served, in normal form.
    #[must_use]
    pub fn serving(&self) -> &[Endpoint] {
        self.served.as_ref().unwrap_or(&self.believed)
    }

    /// Whether an endpoint is served although the newest set lacks it.
    #[must_use]
    pub fn is_missing(&self, key: &Key) -> bool {
        self.missing.binary_search(key).is_ok()
    }

    /// How many are served although the newest set lacks them.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Whether a set is held back.
    #[must_use]
    pub const fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Takes a fetched set in normal form.
    pub fn fetched(&mut self, params: &ShrinkParams, now: Timestamp, set: Vec<Endpoint>) -> Judged {
        self.before.retain(|(until, _)| now.since(*until) < params.window);
        let reference = self.before.iter().map(|(_, size)| *size).fold(self.serving().len(), usize::max);
        let percent = usize::try_from(params.keep_percent).unwrap_or(100).min(100);
        let floor = reference.saturating_mul(percent).div_ceil(100);
        let judged = |action| Judged { action, reference, floor };

        let protects = reference >= usize::try_from(params.min_size).unwrap_or(usize::MAX);
        let emptied = set.is_empty() && reference > 0;
        if !(emptied || protects && set.len() < floor) {
            self.remember(now);
            (self.believed, self.served, self.held, self.missing) = (set, None, None, Vec::new());
            return judged(Action::Apply);
        }
        if self.confirmed(params, now, &set) {
            // What was served before no longer counts: it is known to be gone.
            *self = Self::new(set);
            return judged(Action::ApplyConfirmed);
        }
        self.remember(now);
        let served = union(&self.believed, &set);
        let lacks = |endpoint: &&Endpoint| set.binary_search_by_key(&endpoint.key(), Endpoint::key).is_err();
        self.missing = served.iter().filter(lacks).map(Endpoint::key).collect();
        self.served = Some(served);
        judged(Action::Hold)
    }

    /// Counts a set that was held back, and says whether it was confirmed.
    fn confirmed(&mut self, params: &ShrinkParams, now: Timestamp, set: &[Endpoint]) -> bool {
        let keys = endpoint::keys_hash(set);
        let held = match self.held.filter(|held| held.keys == keys) {
            Some(held) => Held { times: held.times.saturating_add(1), ..held },
            None => Held { keys, times: 1, since: now },
        };
        self.held = Some(held);
        let (hold, allowed) =
            if set.is_empty() { (params.empty_hold, params.allow_empty) } else { (params.hold, true) };
        allowed && held.times >= params.confirmations && now.since(held.since) >= hold
    }

    /// Notes how much was served until now.
    fn remember(&mut self, now: Timestamp) {
        let size = self.serving().len();
        self.before.retain(|(_, earlier)| *earlier > size);
        if self.before.len() >= MAX_BEFORE {
            let last = self.before.pop().map_or(size, |(_, size)| size);
            self.before.push((now, last));
        } else {
            self.before.push((now, size));
        }
    }
}

impl Default for ShrinkParams {
    fn default() -> Self {
        Self {
            keep_percent: 50,
            min_size: 4,
            hold: Span::from_secs(30),
            empty_hold: Span::from_secs(300),
            confirmations: 3,
            allow_empty: false,
            window: Span::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    /// Endpoints with these last bytes of their addresses.
    fn set(bytes: impl IntoIterator<Item = u32>) -> Vec<Endpoint> {
        let address = |n: u32| IpAddr::V4((0x0a00_0000 + n).into());
        bytes.into_iter().map(|n| Endpoint::new("", address(n), 80).unwrap()).collect()
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::ZERO.plus(Span::from_secs(1_000 + secs))
    }

    #[test]
    fn an_empty_answer_is_never_served_unless_that_is_allowed() {
        let mut guard = Guard::new(set(1..3));
        for n in 0..100 {
            assert_eq!(guard.fetched(&ShrinkParams::default(), at(n * 100), Vec::new()).action, Action::Hold);
            assert_eq!((guard.serving().len(), guard.is_holding()), (2, true));
        }
        let params = ShrinkParams { allow_empty: true, ..ShrinkParams::default() };
        let judged = guard.fetched(&params, at(10_000), Vec::new());
        assert_eq!((judged.action, guard.serving().len()), (Action::ApplyConfirmed, 0));
        assert_eq!(
            guard.fetched(&params, at(10_001), Vec::new()).action,
            Action::Apply,
            "nothing to protect"
        );
    }

    /// A registry that loses 49 % again and again would otherwise end at nothing.
    #[test]
    fn many_small_losses_are_one_large_one() {
        let mut guard = Guard::new(set(0..100));
        let sizes = [51, 26, 14, 8].map(|n| {
            let _ = guard.fetched(&ShrinkParams::default(), at(u64::from(100 - n)), set(0..n));
            guard.serving().len()
        });
        assert_eq!(sizes, [51, 51, 51, 51]);
        assert_eq!(guard.fetched(&ShrinkParams::default(), at(108), set(0..26)).reference, 100);
        assert_eq!(
            guard.fetched(&ShrinkParams::default(), at(109), set(0..26)).reference,
            51,
            "a minute later"
        );
    }

    #[test]
    fn a_held_set_is_served_with_what_it_adds_and_says() {
        let mut guard = Guard::new(set(0..8));
        let mut fetched = set([3, 20]);
        fetched[0].weight = 9;
        assert_eq!(guard.fetched(&ShrinkParams::default(), at(0), fetched).action, Action::Hold);
        assert_eq!((guard.serving().len(), guard.serving()[3].weight), (9, 9));
        let _ = guard.fetched(&ShrinkParams::default(), at(1), set([21]));
        assert_eq!(guard.serving().len(), 9, "20 is in no set that was believed");
        let another = guard.fetched(&ShrinkParams::default(), at(2), set(0..8));
        assert_eq!((another.action, guard.is_holding(), guard.serving().len()), (Action::Apply, false, 8));
    }

    #[test]
    fn only_the_same_endpoints_confirm() {
        let mut guard = Guard::new(set(0..8));
        let params = ShrinkParams::default();
        let actions = [(0, 1), (20, 1), (40, 2), (60, 1), (80, 1), (89, 1), (90, 1)]
            .map(|(secs, n)| guard.fetched(&params, at(secs), set(0..n)).action);
        assert!(actions[..6].iter().all(|action| *action == Action::Hold), "{actions:?}");
        assert_eq!(actions[6], Action::ApplyConfirmed);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut guard = Guard::new(set(0..4_000));
        let params = ShrinkParams { keep_percent: 1, ..ShrinkParams::default() };
        for n in 0..100 {
            let _ = guard.fetched(&params, at(0), set(0..4_000 - n));
        }
        assert!(guard.before.len() <= MAX_BEFORE);
        assert_eq!(guard.fetched(&params, at(1), set(0..10)).reference, 4_000);
    }
}
