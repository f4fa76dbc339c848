//! The endpoints of one service as one worker balances over them: made once for each snapshot.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::balance::subset::{self, Labels};
use crate::balance::{self, Ask, LastResort, Load, Member, Pool, Turns};
use crate::discovery::catalog::endpoint_stats::{key_of, EndpointStats};
use crate::discovery::cells::ejection::Ejection;
use crate::discovery::cells::snapshot::{Doubt, Entry};
use crate::discovery::config::allow::Allow;
use crate::discovery::config::policy::{Subset, SubsetFallback};
use crate::discovery::endpoint::{Endpoint, Health, Key};
use crate::sort;
use crate::time::{Span, Timestamp};

/// The endpoints of one service.
///
/// ```
/// use tidegate_policy::balance::{Ask, ServiceLoad, DEFAULT_DECAY};
/// use tidegate_policy::discovery::catalog::endpoint_stats::EndpointStats;
/// use tidegate_policy::discovery::catalog::table::{Locality, Table};
/// use tidegate_policy::discovery::cells::snapshot::Entry;
/// use tidegate_policy::discovery::{Endpoint, Policy};
/// use tidegate_policy::time::Timestamp;
///
/// let json = br#"{
///     "registries": {"main": {"consul": {"cluster": "consul"}}},
///     "services": [{"name": "orders", "registry": "main"}],
///     "allow": ["10.0.0.0/8:8080"]
/// }"#;
/// let policy = Policy::parse(json).unwrap();
/// let endpoint = |last| Endpoint::new("", [10, 0, 0, last].into(), 8080).unwrap();
/// let entries = [1, 2].map(|last| Entry::new(endpoint(last), 0));
///
/// let (orders, requests) = (&policy.services[0], ServiceLoad::new(DEFAULT_DECAY));
/// let locality = Locality { zone: "".into(), seed: 1 };
/// let mut stats = |key| EndpointStats::new(key, &requests);
/// let table =
///     Table::new(&[&entries], &policy.allow, &orders.balance, &orders.subset, locality, &mut stats);
///
/// let (pool, ask) = (table.own_pool(Timestamp::ZERO), Ask { draw: 7, hash: None, taken: &[] });
/// let first = table.pick(&pool, Timestamp::ZERO, &ask).unwrap();
/// let second = table.pick(&pool, Timestamp::ZERO, &Ask { taken: &[first], ..ask }).unwrap();
/// assert_ne!(table.text(first), table.text(second), "a retry goes to another endpoint");
/// ```
#[derive(Debug)]
pub struct Table {
    endpoints: Vec<Endpoint>,
    doubts: Vec<Option<Doubt>>,
    members: Vec<Member>,
    loads: Vec<Rc<Load>>,
    stats: Vec<Rc<EndpointStats>>,
    /// The hash of each, and whether it is only kept; sorted.
    by_hash: Vec<(u64, bool)>,
    policy: Rc<balance::Policy>,
    locality: Locality,
    own: Subset,
    /// Whose turn it was last in the table before.
    turns: Turns,
    pools: RefCell<Vec<(Subset, Rc<Pool>)>>,
}

/// Where a worker is, for zone-aware balancing.
#[derive(Clone, Debug)]
pub struct Locality {
    /// Its zone; empty when unknown.
    pub zone: Rc<str>,
    /// A random number that differs from worker to worker, so that their turns do not coincide.
    pub seed: u64,
}

/// Most subsets whose pools are kept ready: the variants of a service that is being rolled out, several
/// times over. A seventeenth is built again when it is needed.
const MAX_POOLS: usize = 16;

// === impl Table ===

impl Table {
    /// A table of the entries of all sources. Those of a later source take requests as far as those of
    /// the earlier ones lack healthy endpoints. Endpoints that `allow` does not have are left out; one
    /// that two sources have belongs to the first. `stats` has what the worker remembers of an endpoint.
    #[must_use]
    pub fn new(
        sources: &[&[Entry]],
        allow: &Allow,
        policy: &Rc<balance::Policy>,
        own: &Subset,
        locality: Locality,
        stats: &mut dyn FnMut(Key) -> Rc<EndpointStats>,
    ) -> Self {
        let mut kept: Vec<(u8, &Entry)> = Vec::new();
        for (rank, entries) in (0_u8..).zip(sources) {
            let allowed = entries.iter().filter(|e| allow.has(e.endpoint.address, e.endpoint.port));
            kept.extend(allowed.map(|entry| (rank, entry)));
        }
        // An endpoint is of the first source that has it, or of the first that still names it.
        let order =
            |(rank, entry): &(u8, &Entry)| (entry.endpoint.key(), entry.doubt == Some(Doubt::Held), *rank);
        sort::sort_by(&mut kept, &|a, b| order(a).cmp(&order(b)));
        kept.dedup_by_key(|(_, entry)| entry.endpoint.key());
        let mut table = Self {
            endpoints: Vec::with_capacity(kept.len()),
            members: Vec::with_capacity(kept.len()),
            doubts: Vec::with_capacity(kept.len()),
            loads: Vec::with_capacity(kept.len()),
            stats: Vec::with_capacity(kept.len()),
            by_hash: Vec::new(),
            policy: Rc::clone(policy),
            locality,
            own: own.clone(),
            turns: Turns::default(),
            pools: RefCell::default(),
        };
        for (rank, entry) in kept {
            table.add(rank, entry, stats(entry.endpoint.key()));
        }
        let all = table.stats.iter().zip(&table.doubts);
        table.by_hash = all.map(|(stats, doubt)| (stats.hash, *doubt == Some(Doubt::Held))).collect();
        sort::sort(&mut table.by_hash);
        table
    }

    fn add(&mut self, rank: u8, entry: &Entry, stats: Rc<EndpointStats>) {
        let endpoint = &entry.endpoint;
        self.members.push(Member {
            key: Rc::clone(&stats.text),
            weight: endpoint.weight,
            zone: Rc::clone(&endpoint.zone),
            priority: rank.saturating_mul(16).saturating_add(endpoint.priority.min(15)),
            degraded: endpoint.health == Health::Degraded,
            since: Timestamp::ZERO.plus(Span::from_millis(entry.since_ms)),
        });
        self.loads.push(Rc::clone(&stats.load));
        self.stats.push(stats);
        self.doubts.push(entry.doubt);
        self.endpoints.push(endpoint.clone());
    }

    /// Takes over whose turn it was in the table that this one replaces. To be called before the first pick.
    #[must_use]
    pub fn following(self, before: &Self, now: Timestamp) -> Self {
        let turns = before.own_pool(now).turns(&before.view(now));
        Self { turns, ..self }
    }

    /// How many endpoints there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many endpoints are no last resort.
    #[must_use]
    pub fn healthy(&self) -> usize {
        self.loads.iter().filter(|load| load.last_resort().is_none()).count()
    }

    /// The address and port of an endpoint, as text.
    #[must_use]
    pub fn text(&self, endpoint: u32) -> Option<&Rc<str>> {
        self.member(endpoint).map(|member| &member.key)
    }

    /// What is remembered of an endpoint.
    #[must_use]
    pub fn stats(&self, endpoint: u32) -> Option<&Rc<EndpointStats>> {
        self.stats.get(usize::try_from(endpoint).ok()?)
    }

    /// What is remembered of all endpoints, sorted by their keys.
    #[must_use]
    pub fn all_stats(&self) -> &[Rc<EndpointStats>] {
        &self.stats
    }

    /// Whether there is an endpoint with this hash.
    #[must_use]
    pub fn has(&self, hash: u64) -> bool {
        self.hashed(hash).is_some()
    }

    /// Whether the registry's newest answer lacks the endpoint with this hash, which is kept all the same.
    #[must_use]
    pub fn holds(&self, hash: u64) -> bool {
        self.hashed(hash) == Some(true)
    }

    /// Whether the endpoint with this hash is only kept; `None` when there is none. It is asked of each entry
    /// of a cell that has thousands.
    fn hashed(&self, hash: u64) -> Option<bool> {
        let at = self.by_hash.binary_search_by_key(&hash, |(own, _)| *own).ok()?;
        self.by_hash.get(at).map(|(_, is_held)| *is_held)
    }

    /// The place of the endpoint with this address and port.
    #[must_use]
    pub fn place(&self, key: Key) -> Option<u32> {
        let at = self.endpoints.binary_search_by_key(&key, Endpoint::key).ok()?;
        u32::try_from(at).ok()
    }

    /// The place of the endpoint with this address and port in text.
    #[must_use]
    pub fn place_of(&self, text: &[u8]) -> Option<u32> {
        self.place(key_of(core::str::from_utf8(text).ok()?)?)
    }

    fn member(&self, endpoint: u32) -> Option<&Member> {
        self.members.get(usize::try_from(endpoint).ok()?)
    }

    /// The pool of a subset, which is made when it is first wanted.
    #[must_use]
    pub fn pool(&self, wanted: &Subset, now: Timestamp) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        if let Some((_, pool)) = pools.iter().find(|(known, _)| known == wanted) {
            return Rc::clone(pool);
        }
        let which = self.choose(wanted);
        let (view, locality) = (self.view(now), &self.locality);
        let none = Turns::default();
        let turns = if *wanted == self.own { &self.turns } else { &none };
        let pool = Pool::after(turns, &view, which, &self.policy, &locality.zone, locality.seed);
        let pool = Rc::new(pool);
        if pools.len() >= MAX_POOLS {
            // The service's own is the first and stays.
            pools.remove(1);
        }
        pools.push((wanted.clone(), Rc::clone(&pool)));
        pool
    }

    /// The pool of the service's own subset, which most requests want: no subsets are compared.
    #[must_use]
    pub fn own_pool(&self, now: Timestamp) -> Rc<Pool> {
        let known = self.pools.borrow().first().map(|(_, pool)| Rc::clone(pool));
        known.unwrap_or_else(|| self.pool(&self.own, now))
    }

    /// The pool of a subset, or of the service's own.
    #[must_use]
    pub fn pool_of(&self, wanted: Option<&Subset>, now: Timestamp) -> Rc<Pool> {
        wanted.map_or_else(|| self.own_pool(now), |wanted| self.pool(wanted, now))
    }

    fn choose(&self, wanted: &Subset) -> Vec<u32> {
        let fallback = match wanted.fallback {
            SubsetFallback::AnyEndpoint => subset::Fallback::AnyEndpoint,
            SubsetFallback::DefaultSubset => subset::Fallback::DefaultSubset(plain(&self.own)),
            SubsetFallback::NoFallback => subset::Fallback::NoFallback,
        };
        let labels: Vec<&dyn Labels> = self.endpoints.iter().map(|e| e as &dyn Labels).collect();
        let wanted = plain(wanted);
        let chosen = wanted.choose(&labels, &fallback);
        if matches!(fallback, subset::Fallback::NoFallback) || chosen.iter().any(|at| self.is_named(*at)) {
            return chosen;
        }
        // A subset that is only kept or critical is as an empty one: its fallback is better.
        let (places, labels): (Vec<u32>, Vec<&dyn Labels>) =
            (0..).zip(labels).filter(|(at, _)| self.is_named(*at)).unzip();
        let named = wanted.choose(&labels, &fallback).into_iter();
        let named: Vec<u32> = named.filter_map(|at| places.get(usize::try_from(at).ok()?).copied()).collect();
        if named.is_empty() {
            chosen
        } else {
            named
        }
    }

    /// Whether the registry's newest answer names an endpoint, in a health in which it may get requests.
    fn is_named(&self, endpoint: u32) -> bool {
        let at = usize::try_from(endpoint).unwrap_or(usize::MAX);
        let health = self.endpoints.get(at).map(|endpoint| endpoint.health);
        self.doubts.get(at) != Some(&Some(Doubt::Held))
            && matches!(health, Some(Health::Healthy | Health::Degraded))
    }

    /// Chooses an endpoint of a pool.
    #[must_use]
    pub fn pick(&self, pool: &Pool, now: Timestamp, ask: &Ask<'_>) -> Option<u32> {
        pool.pick(&self.view(now), ask)
    }

    /// Works out which endpoints are last resorts at `now`, by what the registry says and by `ejections`,
    /// and tells the pools. The millisecond at which the next ejection ends, if there is one.
    pub fn settle(&self, ejections: &[Ejection], now: Timestamp) -> Option<u64> {
        let now_ms = now.as_millis();
        let mut known: Vec<(u64, Option<bool>, bool)> = ejections
            .iter()
            .map(|one| {
                let refuses = one.next_end_ms(now_ms).map(|_| one.refuses(now_ms));
                (one.endpoint, refuses, one.refused_lately(now_ms))
            })
            .collect();
        sort::sort(&mut known);
        let mut changed = false;
        let all = self.endpoints.iter().zip(&self.doubts).zip(&self.stats);
        for ((endpoint, doubt), stats) in all {
            let at = known.binary_search_by(|(hash, ..)| hash.cmp(&stats.hash)).ok();
            let of = at.and_then(|at| known.get(at));
            let refuses = of.and_then(|(_, refuses, _)| *refuses);
            stats.load.doubt(of.is_some_and(|(.., lately)| *lately));
            let why = last_resort(endpoint.health, *doubt, refuses);
            changed |= why != stats.load.last_resort();
            match why {
                Some(why) => stats.load.set_aside(why),
                None => stats.load.readmit(now),
            }
        }
        if changed {
            self.refresh(now);
        }
        ejections.iter().filter_map(|ejection| ejection.next_end_ms(now_ms)).min()
    }

    fn refresh(&self, now: Timestamp) {
        let view = self.view(now);
        self.pools.borrow().iter().for_each(|(_, pool)| pool.refresh(&view));
    }

    fn view(&self, now: Timestamp) -> balance::View<'_> {
        balance::View { members: &self.members, loads: &self.loads, now }
    }
}

/// Why an endpoint is a last resort, if it is. `refuses`: of one that is ejected or refuses connections,
/// whether it does the latter.
fn last_resort(health: Health, doubt: Option<Doubt>, refuses: Option<bool>) -> Option<LastResort> {
    match (health, doubt, refuses) {
        (_, Some(Doubt::Held), Some(true)) => Some(LastResort::Dropped),
        (Health::Unhealthy, ..) | (_, Some(Doubt::Held), Some(false)) => Some(LastResort::Unhealthy),
        (.., Some(true)) => Some(LastResort::Refusing),
        (_, Some(Doubt::Held), None) => Some(LastResort::Held),
        (Health::Draining, ..) => Some(LastResort::Draining),
        (_, Some(Doubt::Damped), _) | (.., Some(false)) => Some(LastResort::Ejected),
        _ => None,
    }
}

fn plain(subset: &Subset) -> subset::Subset {
    subset::Subset {
        tags: subset.tags.iter().map(|tag| tag.as_str().into()).collect(),
        metadata: subset.metadata.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect(),
    }
}

impl Labels for Endpoint {
    fn has_tag(&self, tag: &str) -> bool {
        self.tags.binary_search_by(|known| (**known).cmp(tag)).is_ok()
    }

    fn has_value(&self, name: &str, value: &str) -> bool {
        let is = |(known, own): &(Rc<str>, Rc<str>)| (&**known, &**own).cmp(&(name, value));
        self.metadata.binary_search_by(is).is_ok()
    }
}
