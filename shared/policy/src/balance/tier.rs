//! One priority level of a pool: its members, by the standing that they have now.

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::balance::level::Level;
use crate::balance::table::Table;
use crate::balance::{LastResort, View};

/// What one priority level is made of.
#[derive(Debug)]
pub(super) struct Tier {
    pub(super) members: Vec<u32>,
    pub(super) table: Option<Table>,
    /// The local one first, when that is known.
    pub(super) zones: Vec<Rc<str>>,
}

// === impl Tier ===

impl Tier {
    pub(super) fn level(&self, view: &View<'_>) -> Level {
        let count = |len| u32::try_from(len).unwrap_or(u32::MAX);
        let are = |all: &[LastResort]| {
            let is = |index: &&u32| view.last_resort(**index).is_some_and(|why| all.contains(&why));
            count(self.members.iter().filter(is).count())
        };
        Level {
            healthy: count(self.healthy(view).len()),
            degraded: count(self.degraded(view).len()),
            total: count(self.members.len()),
            excluded: are(&[LastResort::Held, LastResort::Draining, LastResort::Dropped]),
            down: are(&[LastResort::Refusing, LastResort::Unhealthy]),
        }
    }

    pub(super) fn healthy(&self, view: &View<'_>) -> Vec<u32> {
        self.members.iter().copied().filter(|index| healthy(view, *index)).collect()
    }

    pub(super) fn degraded(&self, view: &View<'_>) -> Vec<u32> {
        let degraded = |index: &u32| view.usable(*index) && !healthy(view, *index);
        self.members.iter().copied().filter(degraded).collect()
    }

    pub(super) fn with_ejected(&self, view: &View<'_>) -> Vec<u32> {
        let is = |index: &u32| view.last_resort(*index) <= Some(LastResort::Ejected);
        self.members.iter().copied().filter(is).collect()
    }
}

/// Whether a member is in full health.
pub(super) fn healthy(view: &View<'_>, index: u32) -> bool {
    view.member(index).is_some_and(|member| !member.degraded) && view.usable(index)
}

/// Whether a member is in a zone.
pub(super) fn in_zone(view: &View<'_>, index: u32, zone: &Rc<str>) -> bool {
    view.member(index).is_some_and(|member| member.zone == *zone)
}

/// The zones of `members`, the local one first when it is known.
pub(super) fn zones(members: &[u32], view: &View<'_>, local: &str) -> Vec<Rc<str>> {
    let mut zones: Vec<Rc<str>> = Vec::new();
    if !local.is_empty() {
        zones.push(Rc::from(local));
    }
    for member in members.iter().filter_map(|index| view.member(*index)) {
        if !zones.contains(&member.zone) {
            zones.push(Rc::clone(&member.zone));
        }
    }
    zones
}
