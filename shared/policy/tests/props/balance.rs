//! Who gets a request among many endpoints: never the wrong ones, and at a bounded cost.

use std::rc::Rc;

use proptest::prelude::*;
use tidegate_policy::balance::{
    Algorithm, Ask, Load, Logistic, Member, Policy, Pool, ServiceLoad, SlowStart, View, ZoneAware,
    DEFAULT_DECAY,
};
use tidegate_policy::hash::xxh64::xxh64;
use tidegate_policy::time::{Span, Timestamp};

use crate::{cases, START};

/// Endpoints of a service and what a worker knows of them.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) members: Vec<Member>,
    pub(crate) loads: Vec<Rc<Load>>,
    pub(crate) now: Timestamp,
}

impl Service {
    /// Endpoints of these weights in one level and no zone, long since healthy.
    pub(crate) fn new(weights: &[u32]) -> Self {
        let service = ServiceLoad::new(DEFAULT_DECAY);
        let member = |(index, weight): (usize, &u32)| Member {
            key: format!("10.0.{}.{}:80", index / 256, index % 256).into(),
            weight: *weight,
            zone: "".into(),
            priority: 0,
            degraded: false,
            since: Timestamp::ZERO,
        };
        Self {
            members: weights.iter().enumerate().map(member).collect(),
            loads: weights.iter().map(|_| Load::new(&service)).collect(),
            now: START,
        }
    }

    pub(crate) fn view(&self) -> View<'_> {
        View { members: &self.members, loads: &self.loads, now: self.now }
    }

    pub(crate) fn pool(&self, policy: Policy) -> Pool {
        self.pool_at(policy, "", 7)
    }

    pub(crate) fn pool_at(&self, policy: Policy, zone: &str, seed: u64) -> Pool {
        let which = (0..).zip(&self.members).map(|(index, _)| index).collect();
        Pool::new(&self.view(), which, &Rc::new(policy), zone, seed)
    }

    /// The pick for the `n`th request, which has a key of its own.
    pub(crate) fn pick(&self, pool: &Pool, n: u64, taken: &[u32]) -> Option<u32> {
        let draw = xxh64(&n.to_le_bytes(), 99);
        pool.pick(&self.view(), &Ask { draw, hash: Some(xxh64(&n.to_le_bytes(), 0)), taken })
    }

    /// How many of so many requests each endpoint gets; none is under way with another.
    pub(crate) fn counts(&self, pool: &Pool, requests: u64) -> Vec<u64> {
        let mut counts = vec![0; self.members.len()];
        for n in 0..requests {
            counts[self.pick(pool, n, &[]).unwrap() as usize] += 1;
        }
        counts
    }
}

pub(crate) fn algorithms() -> Vec<Algorithm> {
    vec![
        Algorithm::LeastRequest { choice_count: 2, bias: 1.0 },
        Algorithm::Logistic(Logistic { midpoint: 70.0, steepness: 0.1, target: Span::from_millis(100) }),
        Algorithm::Maglev { table_size: 2039, hash_balance_factor: None },
        Algorithm::Maglev { table_size: 2039, hash_balance_factor: Some(125) },
        Algorithm::PeakEwma,
        Algorithm::Random,
        Algorithm::Rendezvous,
        Algorithm::RingHash { minimum_ring_size: 1024, hash_balance_factor: None },
        Algorithm::RingHash { minimum_ring_size: 1024, hash_balance_factor: Some(150) },
        Algorithm::RoundRobin,
        Algorithm::WeightedRandom,
    ]
}

fn policies() -> impl Strategy<Value = Policy> {
    let slow = SlowStart { window: Span::from_secs(60), aggression: 1.0, min_weight_percent: 10 };
    let zones = ZoneAware {
        min_cluster_size: 3,
        routing_enabled_percent: 100,
        proxies: vec![("a".into(), 2), ("b".into(), 1)],
    };
    (prop::sample::select(algorithms()), any::<bool>(), 0..3_u8, 0..=100_u32).prop_map(
        move |(algorithm, slow_start, zoned, panic_threshold_percent)| Policy {
            slow_start: slow_start.then_some(slow),
            zone_aware: (zoned == 1).then(|| zones.clone()),
            zone_weights: if zoned == 2 { vec![("a".into(), 3), ("b".into(), 1)] } else { Vec::new() },
            panic_threshold_percent,
            ..Policy::new(algorithm)
        },
    )
}

/// Endpoints of all kinds: levels, zones, degraded, new, ejected.
fn services() -> impl Strategy<Value = Service> {
    let endpoint = (
        1..=65_535_u32,
        0..3_u8,
        0..3_usize,
        prop::bool::weighted(0.2),
        0..90_u64,
        prop::bool::weighted(0.4),
    );
    prop::collection::vec(endpoint, 0..50).prop_map(|endpoints| {
        let mut service = Service::new(&endpoints.iter().map(|endpoint| endpoint.0).collect::<Vec<_>>());
        for (index, (_, priority, zone, degraded, age, ejected)) in endpoints.into_iter().enumerate() {
            let member = &mut service.members[index];
            (member.priority, member.degraded) = (priority, degraded);
            member.zone = ["", "a", "b"][zone].into();
            member.since = START.minus(Span::from_secs(age));
            if ejected {
                service.loads[index].eject();
            }
        }
        service
    })
}

/// The priorities that panic, worked out from scratch.
fn panics(service: &Service, policy: &Policy) -> Vec<u8> {
    let mut priorities: Vec<u8> = service.members.iter().map(|member| member.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    let available = |priority: u8, degraded: bool| {
        let of = service.members.iter().zip(&service.loads);
        of.filter(|(m, l)| m.priority == priority && m.degraded == degraded && !l.ejected()).count() as u32
    };
    let total = |priority| service.members.iter().filter(|member| member.priority == priority).count() as u32;
    let part = |count: u32, priority| (140 * count / total(priority)).min(100);
    let health = |p: &u8| part(available(*p, false), *p) + part(available(*p, true), *p);
    if priorities.iter().map(health).sum::<u32>() >= 100 {
        return Vec::new();
    }
    let few = |p: &u8| {
        (available(*p, false) + available(*p, true)) * 100 < total(*p) * policy.panic_threshold_percent
    };
    priorities.into_iter().filter(few).collect()
}

proptest! {
    #![proptest_config(cases(300))]

    /// Whatever there is: nobody is picked who is taken, or ejected while nobody panics; and
    /// somebody is, as long as there is anybody left.
    #[test]
    fn only_those_are_picked_who_may_be(
        service in services(),
        policy in policies(),
        requests in prop::collection::vec(any::<u64>(), 1..20),
    ) {
        let panics = panics(&service, &policy);
        let pool = service.pool_at(policy, "a", 7);
        prop_assert_eq!(pool.panics(), panics.len());
        let left = service.loads.iter().filter(|load| !load.ejected()).count();
        for n in requests {
            let mut taken = Vec::new();
            while let Some(index) = service.pick(&pool, n, &taken) {
                prop_assert!(!taken.contains(&index), "{index} twice, {taken:?}");
                let (member, load) = (&service.members[index as usize], &service.loads[index as usize]);
                prop_assert!(panics.contains(&member.priority) || !load.ejected(), "{index} is ejected");
                taken.push(index);
            }
            prop_assert!(taken.len() >= left, "{} of {left}", taken.len());
        }
    }

    /// An ejection between two refreshes counts at once, a return from the next refresh on.
    #[test]
    fn an_ejection_counts_at_once(
        service in services(),
        policy in policies(),
        ejected in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        requests in prop::collection::vec(any::<u64>(), 1..20),
    ) {
        prop_assume!(!service.members.is_empty());
        let pool = service.pool(Policy { panic_threshold_percent: 0, ..policy });
        ejected.iter().for_each(|index| index.get(&service.loads).eject());
        for n in requests {
            if let Some(index) = service.pick(&pool, n, &[]) {
                prop_assert!(!service.loads[index as usize].ejected());
            }
        }
    }

    /// An endpoint that is ejected takes only its own keys along, and
    /// gets just these back.
    #[test]
    fn an_ejection_moves_only_the_keys_of_the_ejected(
        weights in prop::collection::vec(1..100_u32, 2..40),
        one: prop::sample::Index,
        algorithm in prop::sample::select(algorithms()),
    ) {
        prop_assume!(algorithm.hashes());
        let service = Service::new(&weights);
        let pool = service.pool(Policy { panic_threshold_percent: 0, ..Policy::new(algorithm) });
        let picks = || (0..300).map(|n| service.pick(&pool, n, &[]).unwrap()).collect::<Vec<_>>();
        let (before, gone) = (picks(), one.index(weights.len()));
        service.loads[gone].eject();
        pool.refresh(&service.view());
        for (before, after) in before.iter().zip(picks()) {
            prop_assert!(after as usize != gone && (*before == after || *before as usize == gone));
        }
        service.loads[gone].readmit(service.now);
        pool.refresh(&service.view());
        prop_assert_eq!(before, picks());
    }

    /// The order in which a registry lists endpoints does not matter, nor a worker's seed: all
    /// proxies send a key to the same endpoint.
    #[test]
    fn all_proxies_agree_on_a_key(
        weights in prop::collection::vec(1..100_u32, 1..30),
        order in Just((0..30_u32).collect::<Vec<_>>()).prop_shuffle(),
        seed: u64,
    ) {
        let service = Service::new(&weights);
        let which: Vec<u32> = order.into_iter().filter(|index| (*index as usize) < weights.len()).collect();
        for algorithm in algorithms().into_iter().filter(Algorithm::hashes) {
            let policy = Policy::new(algorithm);
            let other = Pool::new(&service.view(), which.clone(), &Rc::new(policy.clone()), "z", seed);
            let pool = service.pool(policy);
            for n in 0..50 {
                prop_assert_eq!(service.pick(&pool, n, &[]), service.pick(&other, n, &[]));
            }
        }
    }
}

/// With 3, 40 or 1,000 endpoints, whatever their weights: at most this many are looked at for
/// a pick on average. Rendezvous is meant for few.
#[test]
fn a_pick_costs_the_same_for_three_and_for_a_thousand() {
    for algorithm in algorithms().into_iter().filter(|algorithm| *algorithm != Algorithm::Rendezvous) {
        for (n, ejected) in [(3, 0), (40, 0), (1000, 0), (1000, 300)] {
            for different in [false, true] {
                let weights: Vec<u32> = (0..n).map(|n| if different { 1 + n % 7 } else { 1 }).collect();
                let service = Service::new(&weights);
                service.loads.iter().take(ejected).for_each(|load| load.eject());
                let pool = service.pool(Policy::new(algorithm));
                let _ = service.counts(&pool, 1000);
                let looks = pool.looks() as f64 / 1000.0;
                assert!(looks < 8.0, "{algorithm:?}: {looks} of {n}");
                let taken: Vec<u32> = service.pick(&pool, 5, &[]).into_iter().collect();
                (0..1000).for_each(|n| assert_ne!(service.pick(&pool, n, &taken), taken.first().copied()));
                let looks = pool.looks() as f64 / 2000.0;
                assert!(looks < 8.0, "{algorithm:?}: {looks} of {n} for runner-ups");
            }
        }
    }
}
