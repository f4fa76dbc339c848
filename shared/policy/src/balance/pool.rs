//! A set of endpoints to pick from.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use crate::balance::group::{Group, Pick};
use crate::balance::level::{Health, Level, Spread};
use crate::balance::table::Table;
use crate::balance::tier::{healthy, in_zone, zones, Tier};
use crate::balance::zone::{effective, ZoneRouting, Zones};
use crate::balance::{Ask, LastResort, Policy, View};
use crate::sort;
use crate::split::{below, derive};

/// The members of a service, or a subset of them, ready to be picked from.
///
/// ```
/// use std::rc::Rc;
/// use tidegate_policy::balance::{
///     Algorithm, Ask, Load, Member, Policy, Pool, ServiceLoad, View, DEFAULT_DECAY,
/// };
/// use tidegate_policy::time::Timestamp;
///
/// let member = |key: &str| Member {
///     key: key.into(),
///     weight: 1,
///     zone: "".into(),
///     priority: 0,
///     degraded: false,
///     since: Timestamp::ZERO,
/// };
/// let members = [member("10.0.0.1:80"), member("10.0.0.2:80")];
/// let service = ServiceLoad::new(DEFAULT_DECAY);
/// let loads = [Load::new(&service), Load::new(&service)];
/// let view = View { members: &members, loads: &loads, now: Timestamp::ZERO };
/// let policy = Rc::new(Policy::new(Algorithm::RoundRobin));
/// let pool = Pool::new(&view, vec![0, 1], &policy, "", 7);
///
/// let ask = Ask { draw: 0, hash: None, taken: &[] };
/// let first = pool.pick(&view, &ask).unwrap();
/// assert_ne!(pool.pick(&view, &ask), Some(first), "turns");
/// loads[0].eject();
/// pool.refresh(&view);
/// assert_eq!(pool.pick(&view, &ask), Some(1));
/// ```
#[derive(Debug)]
pub struct Pool {
    policy: Rc<Policy>,
    local_zone: Rc<str>,
    levels: Vec<Tier>,
    seed: Cell<u64>,
    plan: RefCell<Plan>,
    looks: Cell<u64>,
}

/// Whose turn it was last at each level, where members take turns one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns(Vec<(u8, Rc<str>)>);

/// What depends on who is ejected.
#[derive(Debug, Default)]
struct Plan {
    spread: Spread,
    stages: Vec<Stage>,
    /// Members that get requests only when no stage has any: the least of evils, of the first level that has
    /// such members.
    last_resort: Option<(LastResort, Group)>,
}

/// One level of a plan. In a panic all its members are `healthy`.
#[derive(Debug, Default)]
struct Stage {
    panic: bool,
    healthy: Group,
    degraded: Group,
    /// Where zones matter: how, and the healthy members of each.
    zones: Option<(ZoneRouting, Vec<Group>)>,
}

/// Purposes of draws.
const LEVEL: u64 = 1;
const ROUTING: u64 = 2;
const ZONE: u64 = 3;
const LAST_RESORT: u64 = 1 << 32;

// === impl Pool ===

impl Pool {
    /// A pool of the members `which`, indices of `view`. What is random
    /// about its beginning follows from `seed`, which should differ from worker to worker; tables
    /// of hashes do not depend on it. `local_zone` is empty when it is not known.
    ///
    /// Sorts the members and builds a table for consistent hashing: milliseconds for thousands.
    #[must_use]
    pub fn new(view: &View<'_>, which: Vec<u32>, policy: &Rc<Policy>, local_zone: &str, seed: u64) -> Self {
        Self::after(&Turns::default(), view, which, policy, local_zone, seed)
    }

    /// The same, where another pool of the service had these turns last: one after the other goes on from
    /// there, so that a service that changes all the time is even, too.
    #[must_use]
    pub fn after(
        turns: &Turns,
        view: &View<'_>,
        which: Vec<u32>,
        policy: &Rc<Policy>,
        local_zone: &str,
        seed: u64,
    ) -> Self {
        let mut which = which;
        let place = |index: &u32| view.member(*index).map(|member| (member.priority, &*member.key));
        which.retain(|index| view.member(*index).is_some());
        sort::sort_by(&mut which, &|a, b| place(a).cmp(&place(b)).then(a.cmp(b)));
        which.dedup();
        let same = |a: &u32, b: &u32| place(a).map(|p| p.0) == place(b).map(|p| p.0);
        let tier = |members: &[u32]| Tier {
            members: members.to_vec(),
            table: Table::new(members, &policy.algorithm, view),
            zones: zones(members, view, local_zone),
        };
        let pool = Self {
            policy: Rc::clone(policy),
            local_zone: Rc::from(local_zone),
            levels: which.chunk_by(same).map(tier).collect(),
            seed: Cell::new(seed),
            plan: RefCell::default(),
            looks: Cell::default(),
        };
        pool.plan(turns, view);
        pool
    }

    /// Whose turn it was last.
    #[must_use]
    pub fn turns(&self, view: &View<'_>) -> Turns {
        let Ok(plan) = self.plan.try_borrow() else { return Turns::default() };
        let last = |stage: &Stage| {
            let member = view.member(stage.healthy.last_turn()?)?;
            Some((member.priority, Rc::clone(&member.key)))
        };
        Turns(plan.stages.iter().filter_map(last).collect())
    }

    /// Takes up who is ejected now. To be called whenever that changed: until then a member
    /// that was just ejected is passed over, and one that was taken back waits. Once a slow start is over it
    /// makes turns cheaper, no more. Looks at every member.
    pub fn refresh(&self, view: &View<'_>) {
        self.plan(&self.turns(view), view);
    }

    fn plan(&self, turns: &Turns, view: &View<'_>) {
        let seed = derive(self.seed.get(), 0);
        self.seed.set(seed);
        let levels: Vec<Level> = self.levels.iter().map(|tier| tier.level(view)).collect();
        let policy = &*self.policy;
        let spread = Spread::new(&levels, policy.overprovisioning_factor, policy.panic_threshold_percent);
        let stage = |(rank, tier): (usize, &Tier)| {
            let panic = spread.panic.get(rank).copied().unwrap_or(false);
            let mut stage = self.stage(rank, tier, panic, view, derive(seed, rank as u64));
            stage.healthy.go_on(view, &|priority| turns.of(priority));
            stage
        };
        let stages = self.levels.iter().enumerate().map(stage).collect();
        let last_resort = self.last_resort(view, seed);
        // It is borrowed only while a pick runs.
        if let Ok(mut plan) = self.plan.try_borrow_mut() {
            *plan = Plan { spread, stages, last_resort };
        }
    }

    /// The least of evils. One that is forbidden is not made good for by a greater one.
    fn last_resort(&self, view: &View<'_>, seed: u64) -> Option<(LastResort, Group)> {
        let all = self.levels.iter().flat_map(|tier| &tier.members);
        let least = all.filter_map(|index| view.last_resort(*index)).min();
        let why = least.filter(|why| why.is_allowed(self.policy.panic_threshold_percent))?;
        let of = |tier: &Tier| -> Vec<u32> {
            let is = |index: &u32| view.last_resort(*index) == Some(why);
            tier.members.iter().copied().filter(is).collect()
        };
        let members = self.levels.iter().map(of).find(|members| !members.is_empty())?;
        Some((
            why,
            Group::new(members, &self.policy, view, derive(seed, LAST_RESORT.wrapping_add(why as u64))),
        ))
    }

    /// The member for a request, as an index of `view`: never one that is taken. A last resort only when
    /// no other exists, taken or not, and then by the order of [`LastResort`]; a level in a panic uses its
    /// ejected members as others. Where some are taken, first among those that have proven themselves since they
    /// last refused a connection. `None` when all that are good enough are taken.
    #[must_use]
    pub fn pick(&self, view: &View<'_>, ask: &Ask<'_>) -> Option<u32> {
        let proven = if ask.taken.is_empty() { None } else { self.pick_any(view, ask, true) };
        proven.or_else(|| self.pick_any(view, ask, false))
    }

    fn pick_any(&self, view: &View<'_>, ask: &Ask<'_>, proven: bool) -> Option<u32> {
        let hash = self.policy.algorithm.hashes().then(|| ask.hash.unwrap_or(ask.draw));
        let draw = hash.unwrap_or(ask.draw);
        let mut plan = self.plan.try_borrow_mut().ok()?;
        let plan = &mut *plan;
        // As Envoy, so that a key keeps its level.
        let percent =
            hash.map_or_else(|| below(derive(draw, LEVEL), 100), |hash| hash.checked_rem(100).unwrap_or(0));
        let (rank, health) = plan.spread.loads.at(u32::try_from(percent).unwrap_or(0));
        let mut pick = Pick {
            view: *view,
            ask: Ask { draw, ..*ask },
            policy: &self.policy,
            last: None,
            proven,
            looks: &self.looks,
        };
        let first = (rank, health);
        let others =
            (0..plan.stages.len()).flat_map(|rank| [(rank, Health::Healthy), (rank, Health::Degraded)]);
        for (rank, health) in core::iter::once(first).chain(others.filter(|other| *other != first)) {
            let (Some(stage), Some(tier)) = (plan.stages.get_mut(rank), self.levels.get(rank)) else {
                continue;
            };
            pick.last = stage.panic.then_some(LastResort::Ejected);
            let found = match (hash, &tier.table) {
                (Some(hash), Some(table)) => stage.aim(&pick, table, hash, health),
                _ => stage.pick(&pick, health, self.zoned(draw)),
            };
            if found.is_some() {
                return found;
            }
        }
        let (why, group) = plan.last_resort.as_mut()?;
        if plan.stages.iter().any(Stage::has_members) {
            return None;
        }
        pick.last = Some(*why);
        group.pick(&pick)
    }

    /// How many members there are, ejected or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.levels.iter().fold(0, |sum, tier| sum.saturating_add(tier.members.len()))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// How many levels balance over all of their members, ejected or not, because too few are left.
    #[must_use]
    pub fn panics(&self) -> usize {
        let count = |plan: &Plan| plan.stages.iter().filter(|stage| stage.panic).count();
        self.plan.try_borrow().map_or(0, |plan| count(&plan))
    }

    /// How many members all picks together looked at: what bounds their cost.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.looks.get()
    }

    /// Whether zones matter for a request with this draw.
    fn zoned(&self, draw: u64) -> bool {
        if !self.policy.zone_weights.is_empty() {
            return true;
        }
        let percent = self.policy.zone_aware.as_ref().map_or(0, |aware| aware.routing_enabled_percent);
        below(derive(draw, ROUTING), 100) < u64::from(percent)
    }

    fn stage(&self, rank: usize, tier: &Tier, panic: bool, view: &View<'_>, seed: u64) -> Stage {
        let group = |members, purpose| Group::new(members, &self.policy, view, derive(seed, purpose));
        if panic {
            return Stage { panic, healthy: group(tier.with_ejected(view), 0), ..Stage::default() };
        }
        let healthy = tier.healthy(view);
        let route = self.route(rank, tier, &healthy, view);
        let zones = route.map(|route| {
            let of = |zone: &Rc<str>| {
                healthy.iter().copied().filter(|index| in_zone(view, *index, zone)).collect()
            };
            let groups = (2..).zip(&tier.zones).map(|(purpose, zone)| group(of(zone), purpose));
            (route, groups.collect())
        });
        Stage { panic, healthy: group(healthy, 0), degraded: group(tier.degraded(view), 1), zones }
    }

    /// How traffic spreads over the zones of a level; `None` when they do not matter.
    fn route(&self, rank: usize, tier: &Tier, healthy: &[u32], view: &View<'_>) -> Option<ZoneRouting> {
        if self.policy.algorithm.hashes() || tier.zones.len() < 2 {
            return None;
        }
        let count =
            |members: &[u32], zone| members.iter().filter(|index| in_zone(view, **index, zone)).count();
        let count = |members: &[u32], zone| u32::try_from(count(members, zone)).unwrap_or(u32::MAX);
        let weights = &self.policy.zone_weights;
        if !weights.is_empty() {
            let weight = |zone: &Rc<str>| weights.iter().find(|(known, _)| known == zone).map_or(0, |w| w.1);
            let factor = self.policy.overprovisioning_factor;
            return ZoneRouting::weighted(tier.zones.iter().map(|zone| {
                effective(weight(zone), count(healthy, zone), count(&tier.members, zone), factor)
            }));
        }
        let aware = self.policy.zone_aware.as_ref().filter(|_| rank == 0 && !self.local_zone.is_empty())?;
        if healthy.len() < aware.min_cluster_size as usize {
            return None;
        }
        let listed =
            |zone: &Rc<str>| aware.proxies.iter().find(|(known, _)| known == zone).map_or(0, |p| p.1);
        let proxies: Vec<u32> =
            tier.zones.iter().map(|zone| if aware.proxies.is_empty() { 1 } else { listed(zone) }).collect();
        // Nobody here: then the list is wrong.
        proxies.first().filter(|ours| **ours > 0)?;
        let endpoints: Vec<u32> = tier.zones.iter().map(|zone| count(healthy, zone)).collect();
        Some(Zones::new(&proxies, &endpoints).route)
    }
}

// === impl Turns ===

impl Turns {
    fn of(&self, priority: u8) -> Option<&str> {
        self.0.iter().find(|(level, _)| *level == priority).map(|(_, key)| &**key)
    }
}

// === impl Stage ===

impl Stage {
    fn has_members(&self) -> bool {
        self.healthy.len() > 0 || self.degraded.len() > 0
    }

    fn pick(&mut self, pick: &Pick<'_>, health: Health, zoned: bool) -> Option<u32> {
        if health == Health::Degraded && !self.panic {
            return self.degraded.pick(pick);
        }
        if let Some((route, groups)) = self.zones.as_mut().filter(|_| zoned) {
            let zone = route.zone(derive(pick.ask.draw, ZONE));
            if let Some(found) = groups.get_mut(zone).and_then(|group| group.pick(pick)) {
                return Some(found);
            }
        }
        self.healthy.pick(pick)
    }

    fn aim(&mut self, pick: &Pick<'_>, table: &Table, hash: u64, health: Health) -> Option<u32> {
        let (panic, want) = (self.panic, self.panic || health == Health::Healthy);
        let ours = |index: u32| panic || healthy(&pick.view, index) == want;
        let group = if want { &mut self.healthy } else { &mut self.degraded };
        if group.len() == 0 {
            return None;
        }
        // A walk that met no member: few of many are left.
        table.aim(pick, hash, group.weight(), &ours).or_else(|| group.pick(pick))
    }
}
