//! The endpoints of one service as one worker balances over them: made once for each snapshot.

use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use crate::balance::outlier::Runs;
use crate::balance::subset::{self, Labels};
use crate::balance::{self, Ask, Load, Member, Pool};
use crate::discovery::catalog::endpoint_stats::EndpointStats;
use crate::discovery::cells::ejection::Ejection;
use crate::discovery::cells::snapshot::Entry;
use crate::discovery::config::allow::Allow;
use crate::discovery::config::policy::{Subset, SubsetFallback};
use crate::discovery::endpoint::{Endpoint, Health, Key};
use crate::hash::sip::{SipHash13, SipKey};
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
/// let entries = [1, 2].map(|last| Entry { endpoint: endpoint(last), since_ms: 0 });
///
/// let (orders, requests) = (&policy.services[0], ServiceLoad::new(DEFAULT_DECAY));
/// let locality = Locality { zone: "".into(), seed: 1 };
/// let mut stats = |_| EndpointStats::new(&requests);
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
    members: Vec<Member>,
    loads: Vec<Rc<Load>>,
    runs: Vec<Rc<Cell<Runs>>>,
    hashes: Vec<u64>,
    policy: Rc<balance::Policy>,
    locality: Locality,
    own: Subset,
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
        stats: &mut dyn FnMut(Key) -> EndpointStats,
    ) -> Self {
        let mut kept: Vec<(u8, &Entry)> = Vec::new();
        for (rank, entries) in (0_u8..).zip(sources) {
            let allowed = entries.iter().filter(|e| allow.has(e.endpoint.address, e.endpoint.port));
            kept.extend(allowed.map(|entry| (rank, entry)));
        }
        // Sorted by the order in which an endpoint's first source has it.
        sort::sort_by(&mut kept, &|(a, x), (b, y)| (x.endpoint.key(), *a).cmp(&(y.endpoint.key(), *b)));
        kept.dedup_by_key(|(_, entry)| entry.endpoint.key());
        let can = |(_, entry): &(u8, &Entry)| entry.endpoint.health != Health::Draining;
        let all_drain = !kept.iter().any(can);
        kept.retain(|entry| all_drain || can(entry));
        let mut table = Self {
            endpoints: Vec::with_capacity(kept.len()),
            members: Vec::with_capacity(kept.len()),
            loads: Vec::with_capacity(kept.len()),
            runs: Vec::with_capacity(kept.len()),
            hashes: Vec::with_capacity(kept.len()),
            policy: Rc::clone(policy),
            locality,
            own: own.clone(),
            pools: RefCell::default(),
        };
        for (rank, entry) in kept {
            table.add(rank, entry, stats(entry.endpoint.key()));
        }
        table
    }

    fn add(&mut self, rank: u8, entry: &Entry, stats: EndpointStats) {
        let endpoint = &entry.endpoint;
        let text = text_of(endpoint.key());
        self.hashes.push(hash_of(&text));
        self.members.push(Member {
            key: text,
            weight: endpoint.weight,
            zone: Rc::clone(&endpoint.zone),
            priority: rank.saturating_mul(16).saturating_add(endpoint.priority.min(15)),
            degraded: matches!(endpoint.health, Health::Degraded | Health::Draining),
            since: Timestamp::ZERO.plus(Span::from_millis(entry.since_ms)),
        });
        self.loads.push(stats.load);
        self.runs.push(stats.runs);
        self.endpoints.push(endpoint.clone());
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

    /// How many endpoints are healthy and not ejected.
    #[must_use]
    pub fn healthy(&self) -> usize {
        self.loads.iter().filter(|load| !load.ejected()).count()
    }

    /// The address and port of an endpoint, as text.
    #[must_use]
    pub fn text(&self, endpoint: u32) -> Option<&Rc<str>> {
        self.member(endpoint).map(|member| &member.key)
    }

    /// The requests in flight to an endpoint, and how earlier ones went.
    #[must_use]
    pub fn load(&self, endpoint: u32) -> Option<&Rc<Load>> {
        self.loads.get(usize::try_from(endpoint).ok()?)
    }

    /// The consecutive failures of an endpoint.
    #[must_use]
    pub fn runs(&self, endpoint: u32) -> Option<&Cell<Runs>> {
        self.runs.get(usize::try_from(endpoint).ok()?).map(|runs| &**runs)
    }

    /// The hash by which other workers know an endpoint.
    #[must_use]
    pub fn hash(&self, endpoint: u32) -> u64 {
        usize::try_from(endpoint).ok().and_then(|at| self.hashes.get(at)).copied().unwrap_or(0)
    }

    /// Whether there is an endpoint with this hash.
    #[must_use]
    pub fn has(&self, hash: u64) -> bool {
        self.hashes.contains(&hash)
    }

    /// The place of the endpoint with this address and port.
    #[must_use]
    pub fn place(&self, text: &[u8]) -> Option<u32> {
        let key: core::net::SocketAddr = core::str::from_utf8(text).ok()?.parse().ok()?;
        let key = (key.ip().to_canonical(), key.port());
        let at = self.endpoints.binary_search_by_key(&key, Endpoint::key).ok()?;
        u32::try_from(at).ok()
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
        let pool = Pool::new(&self.view(now), which, &self.policy, &self.locality.zone, self.locality.seed);
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

    fn choose(&self, wanted: &Subset) -> Vec<u32> {
        let fallback = match wanted.fallback {
            SubsetFallback::AnyEndpoint => subset::Fallback::AnyEndpoint,
            SubsetFallback::DefaultSubset => subset::Fallback::DefaultSubset(plain(&self.own)),
            SubsetFallback::NoFallback => subset::Fallback::NoFallback,
        };
        let labels: Vec<&dyn Labels> = self.endpoints.iter().map(|e| e as &dyn Labels).collect();
        plain(wanted).choose(&labels, &fallback)
    }

    /// Chooses an endpoint of a pool.
    #[must_use]
    pub fn pick(&self, pool: &Pool, now: Timestamp, ask: &Ask<'_>) -> Option<u32> {
        pool.pick(&self.view(now), ask)
    }

    /// Takes endpoints out of the pools that are unhealthy or ejected at `now`, and takes the others
    /// back. The millisecond at which the next ejection ends, if there is one.
    pub fn settle(&self, ejections: &[Ejection], now: Timestamp) -> Option<u64> {
        let now_ms = now.as_millis();
        let current = || ejections.iter().filter(|ejection| ejection.until_ms > now_ms);
        let mut hashes: Vec<u64> = current().map(|ejection| ejection.endpoint).collect();
        sort::sort(&mut hashes);
        let mut changed = false;
        let all = self.endpoints.iter().zip(&self.loads).zip(&self.hashes);
        for ((endpoint, load), hash) in all {
            let out = endpoint.health == Health::Unhealthy || hashes.binary_search(hash).is_ok();
            changed |= out != load.ejected();
            if out {
                load.eject();
            } else {
                load.readmit(now);
            }
        }
        if changed {
            self.refresh(now);
        }
        current().map(|ejection| ejection.until_ms).min()
    }

    fn refresh(&self, now: Timestamp) {
        let view = self.view(now);
        self.pools.borrow().iter().for_each(|(_, pool)| pool.refresh(&view));
    }

    fn view(&self, now: Timestamp) -> balance::View<'_> {
        balance::View { members: &self.members, loads: &self.loads, now }
    }
}

/// `10.0.0.1:80`, `[2001:db8::1]:80`.
fn text_of((address, port): Key) -> Rc<str> {
    format!("{}", core::net::SocketAddr::new(address, port)).into()
}

/// The hash by which other workers know an endpoint, or a service.
#[must_use]
pub fn hash_of(text: &str) -> u64 {
    let mut sip = SipHash13::new(SipKey::from_bytes(*b"tidegate/d1 rest"));
    sip.write(text.as_bytes());
    sip.finish()
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

    fn value(&self, name: &str) -> Option<&str> {
        let at = self.metadata.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.metadata.get(at).map(|(_, value)| &**value)
    }
}
