//! Members that are equals, and whose turn it is among them.

use alloc::vec::Vec;
use core::cell::Cell;

use crate::balance::deadlines::Deadlines;
use crate::balance::weight::sides;
use crate::balance::{Algorithm, Ask, LastResort, Policy, View};
use crate::split::{below, derive, Alias, RoundRobin};

/// Members of one level that are equals: in the same health, perhaps in the same zone.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    members: Vec<u32>,
    /// What they weigh together.
    weight: u64,
    turn: Turn,
}

/// How a group takes turns.
#[derive(Clone, Debug, Default)]
enum Turn {
    /// By draw, all alike.
    #[default]
    Any,
    /// By deadlines.
    Deal(Deadlines),
    /// One after the other, all alike.
    Rotate(usize),
    /// Smoothly by weight.
    Smooth(RoundRobin),
    /// By draw and weight.
    Weighted(Alias),
}

/// One pick: what it may look at, and what it looked at.
#[derive(Clone, Copy)]
pub(super) struct Pick<'a> {
    pub(super) view: View<'a>,
    pub(super) ask: Ask<'a>,
    pub(super) policy: &'a Policy,
    /// The last of the last resorts that it may have, if any: that of a panic, say.
    pub(super) last: Option<LastResort>,
    /// Whether it may have none that refused a connection not long ago.
    pub(super) proven: bool,
    /// Counts the members looked at.
    pub(super) looks: &'a Cell<u64>,
}

/// More members with different weights than this take turns by deadline: smooth turns cost
/// a look at everyone.
const MOST_SMOOTH: usize = 32;

/// So many draws for a member that its slow start lets pass.
const DRAWS: u64 = 8;

/// Most members that are compared.
const MOST_CHOICES: u32 = 16;

/// So many members that were ejected since the last refresh are passed over.
const STALE: usize = 8;

/// Purposes of draws.
const FIRST: u64 = 0x10;
const OTHER: u64 = 0x40;
const START: u64 = 0x80;

// === impl Pick ===

impl Pick<'_> {
    /// Whether the member may be picked.
    pub(super) fn fits(&self, index: u32) -> bool {
        self.looks.set(self.looks.get().wrapping_add(1));
        let Some(load) = self.view.load(index) else { return false };
        load.last_resort() <= self.last
            && !(self.proven && load.refused_lately())
            && !self.ask.taken.contains(&index)
    }

    /// Whether the slow start of a member lets it have this draw.
    fn lets_in(&self, index: u32, draw: u64) -> bool {
        if self.policy.warm_at(&self.view, index) <= self.view.now {
            return true;
        }
        let point = below(derive(self.ask.draw, START.wrapping_add(draw)), 1 << 32);
        // Both are small enough to be exact.
        (point as f64) < self.policy.warmth(&self.view, index) * 4_294_967_296.0
    }

    /// The better one of two.
    fn better(&self, first: u32, second: u32) -> u32 {
        let (view, policy) = (&self.view, self.policy);
        self.looks.set(self.looks.get().wrapping_add(2));
        let keep = match policy.algorithm {
            Algorithm::LeastRequest { .. } => {
                let side = |index| (view.active(index), view.weight(index));
                let (ours, theirs) = sides(side(first), side(second));
                ours <= theirs
            }
            Algorithm::PeakEwma => {
                let cost = |index| view.load(index).map_or(0.0, |load| load.cost(view.now));
                cost(first) <= cost(second)
            }
            _ => true,
        };
        if keep {
            first
        } else {
            second
        }
    }
}

// === impl Group ===

impl Group {
    /// A group somewhere in its turns, where `seed` says.
    pub(super) fn new(members: Vec<u32>, policy: &Policy, view: &View<'_>, seed: u64) -> Self {
        let weights = || members.iter().map(|index| view.weight(*index));
        let equal = weights().all(|weight| Some(weight) == weights().next());
        let warm = members.iter().all(|index| policy.warm_at(view, *index) <= view.now);
        let deal = || {
            let weights: Vec<u64> = members.iter().map(|index| policy.turn_weight(view, *index)).collect();
            Turn::Deal(Deadlines::anywhere(&weights, seed))
        };
        let weighted = || {
            let weights: Vec<u32> = weights().collect();
            Alias::new(&weights).map_or(Turn::Any, Turn::Weighted)
        };
        let turn = match policy.algorithm {
            _ if members.len() < 2 => Turn::Any,
            Algorithm::LeastRequest { .. } if equal && warm => Turn::Any,
            Algorithm::LeastRequest { .. } | Algorithm::Logistic(_) => deal(),
            Algorithm::RoundRobin if equal && warm => {
                Turn::Rotate(usize::try_from(below(seed, members.len() as u64)).unwrap_or(0))
            }
            Algorithm::RoundRobin if warm && members.len() <= MOST_SMOOTH => {
                let weights: Vec<u32> = weights().collect();
                Turn::Smooth(RoundRobin::anywhere(&weights, seed))
            }
            Algorithm::RoundRobin => deal(),
            Algorithm::PeakEwma if !equal => weighted(),
            // With equal weights, too: a slow start may begin and is looked at in each pick.
            Algorithm::WeightedRandom => weighted(),
            _ => Turn::Any,
        };
        let weight = weights().fold(0_u64, |sum, weight| sum.saturating_add(weight.into()));
        Self { weight, turn, members }
    }

    /// What its members weigh together.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// The member that had the last turn, where turns go one after the other.
    pub(super) fn last_turn(&self) -> Option<u32> {
        match self.turn {
            Turn::Rotate(last) => self.members.get(last).copied(),
            _ => None,
        }
    }

    /// Goes on behind the member that had the last turn at this level, which need not be here any more.
    pub(super) fn go_on<'t>(&mut self, view: &View<'_>, last: &dyn Fn(u8) -> Option<&'t str>) {
        let first = self.members.first().and_then(|index| view.member(*index));
        let Some(last) = first.and_then(|member| last(member.priority)) else { return };
        if let Turn::Rotate(at) = &mut self.turn {
            let key = |index: &u32| view.member(*index).map_or("", |member| &*member.key);
            // Sorted by key.
            let behind = self.members.partition_point(|index| key(index) <= last);
            *at = behind.checked_sub(1).unwrap_or(self.members.len().saturating_sub(1));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Picks for a request, which uses up a turn; for one that has some already without.
    pub(super) fn pick(&mut self, pick: &Pick<'_>) -> Option<u32> {
        if pick.policy.algorithm.hashes() || !pick.ask.taken.is_empty() {
            return self.another(pick);
        }
        let place = match &mut self.turn {
            Turn::Any => return self.drawn(pick),
            Turn::Deal(deadlines) => {
                let (_, place) = deadlines.first()?;
                let index = *self.members.get(place as usize)?;
                deadlines.advance(pick.policy.turn_weight(&pick.view, index));
                place as usize
            }
            Turn::Rotate(last) => {
                *last = last.saturating_add(1).checked_rem(self.members.len()).unwrap_or(0);
                *last
            }
            Turn::Smooth(robin) => {
                pick.looks.set(pick.looks.get().wrapping_add(self.members.len() as u64));
                robin.pick()?
            }
            Turn::Weighted(alias) => {
                if pick.policy.algorithm == Algorithm::PeakEwma {
                    return self.drawn(pick);
                }
                let members = &self.members;
                let mut draws = (0..DRAWS).map(|draw| {
                    let place = alias.pick(derive(pick.ask.draw, FIRST.wrapping_add(draw)));
                    (place, members.get(place).is_none_or(|index| pick.lets_in(*index, draw)))
                });
                let last = draws.next()?;
                if last.1 {
                    last.0
                } else {
                    draws.find(|(_, warm)| *warm).unwrap_or(last).0
                }
            }
        };
        self.fitting(pick, place, None)
    }

    /// The best of some that are drawn.
    fn drawn(&self, pick: &Pick<'_>) -> Option<u32> {
        let choices = match pick.policy.algorithm {
            Algorithm::LeastRequest { choice_count, .. } => choice_count.clamp(1, MOST_CHOICES),
            Algorithm::PeakEwma => 2,
            _ => 1,
        };
        let (first, n) = (self.candidate(pick, FIRST), self.members.len());
        let mut best = self.fitting(pick, first, None)?;
        let others = n.saturating_sub(1) as u64;
        for choice in 1..u64::from(choices).min(n as u64) {
            let draw = derive(pick.ask.draw, FIRST.wrapping_add(choice));
            let place = match &self.turn {
                Turn::Weighted(alias) => alias.pick(draw),
                // Not the first one again.
                _ => usize::try_from(below(draw, others))
                    .ok()
                    .and_then(|step| first.saturating_add(1).saturating_add(step).checked_rem(n))
                    .unwrap_or(0),
            };
            if let Some(other) = self.fitting(pick, place, Some(best)) {
                best = pick.better(best, other);
            }
        }
        Some(best)
    }

    /// For a request that has some members already: the better of two others, or by weight one of
    /// them.
    fn another(&self, pick: &Pick<'_>) -> Option<u32> {
        let first = self.fitting(pick, self.candidate(pick, OTHER), None)?;
        let Some(second) = self.fitting(pick, self.candidate(pick, OTHER.wrapping_add(1)), Some(first))
        else {
            return Some(first);
        };
        if matches!(pick.policy.algorithm, Algorithm::LeastRequest { .. } | Algorithm::PeakEwma) {
            return Some(pick.better(first, second));
        }
        if matches!(pick.policy.algorithm, Algorithm::Random) {
            return Some(first);
        }
        let weight = |index| pick.policy.turn_weight(&pick.view, index);
        let (ours, theirs) = (weight(first), weight(second));
        let point = below(derive(pick.ask.draw, OTHER.wrapping_add(2)), ours.saturating_add(theirs));
        Some(if point < ours { first } else { second })
    }

    /// A place that is drawn for a purpose.
    fn candidate(&self, pick: &Pick<'_>, purpose: u64) -> usize {
        let draw = derive(pick.ask.draw, purpose);
        match &self.turn {
            Turn::Weighted(alias) => alias.pick(draw),
            _ => usize::try_from(below(draw, self.members.len() as u64)).unwrap_or(0),
        }
    }

    /// The member at `place`, or the next one that fits and is not `except`. Each other one on the
    /// way is taken, or was ejected since the last refresh, so there are not many, but for those that are
    /// not proven.
    fn fitting(&self, pick: &Pick<'_>, place: usize, except: Option<u32>) -> Option<u32> {
        let most = if pick.proven { usize::MAX } else { pick.ask.taken.len().saturating_add(STALE) };
        let at = |step: usize| {
            let place = place.saturating_add(step).checked_rem(self.members.len())?;
            self.members.get(place).copied()
        };
        (0..self.members.len().min(most))
            .filter_map(at)
            .find(|index| Some(*index) != except && pick.fits(*index))
    }
}
