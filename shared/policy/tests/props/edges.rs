//! Choices among endpoints at their edges: too few, too many, none of the kind.

use std::rc::Rc;

use tidegate_policy::balance::{Algorithm, LastResort, Policy, Pool, ZoneAware};

use crate::balance::{algorithms, Service};

const EVEN: Policy = Policy::new(Algorithm::RoundRobin);

/// Endpoints of a zone each, and how many of 12,000 requests they get from zone `a`.
fn zoned(zones: &[&str], aware: ZoneAware) -> Vec<u64> {
    let mut service = Service::new(&vec![1; zones.len()]);
    service.members.iter_mut().zip(zones).for_each(|(member, zone)| member.zone = (*zone).into());
    let policy = Policy { zone_aware: Some(aware), ..EVEN };
    service.counts(&service.pool_at(policy, "a", 7), 12_000)
}

#[test]
fn zones_do_not_matter_where_they_cannot() {
    let aware = ZoneAware::default;
    let elsewhere = || vec![("b".into(), 3), ("c".into(), 1)];
    #[rustfmt::skip]
    let cases = [
        // name                        zones              rules                                               expected
        ("one is enough",              "aaabbb",          aware(),                                            [4000, 0]),
        ("too few endpoints",          "aabb",            aware(),                                            [3000, 3000]),
        ("few may be enough",          "aabb",            ZoneAware { min_cluster_size: 4, ..aware() },       [6000, 0]),
        ("all in one zone",            "bbbbbb",          aware(),                                            [0, 2000]),
        ("proxies of other zones",     "aaabbb",          ZoneAware { proxies: elsewhere(), ..aware() },      [2000, 2000]),
        ("switched off",               "aaabbb",          ZoneAware { routing_enabled_percent: 0, ..aware() }, [2000, 2000]),
    ];
    for (name, zones, rules, [ours, theirs]) in cases {
        let zones: Vec<&str> = zones.split("").filter(|zone| !zone.is_empty()).collect();
        let expected: Vec<u64> = zones.iter().map(|zone| if *zone == "a" { ours } else { theirs }).collect();
        assert_eq!(zoned(&zones, rules), expected, "{name}");
    }
}

/// Half of the requests stay, the others go anywhere; 3.89 standard deviations.
#[test]
fn zones_matter_for_a_part_of_the_requests() {
    let half = ZoneAware { routing_enabled_percent: 50, ..ZoneAware::default() };
    let counts = zoned(&["a", "a", "a", "b", "b", "b"], half);
    let local: u64 = counts.iter().take(3).sum();
    assert!(local.abs_diff(9000) < 185, "{counts:?}");
}

/// What a level in a panic gets goes to all of it, its part for degraded endpoints, too: 37 % of
/// 40,000 for ten, of whom seven are ejected and two degraded.
#[test]
fn everyone_helps_with_all_that_a_level_in_panic_gets() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::Rendezvous] {
        let mut service = Service::new(&[1; 20]);
        for (n, member) in service.members.iter_mut().enumerate() {
            (member.priority, member.degraded) = ((n / 10) as u8, n == 11 || n == 12);
            if (5..10).contains(&n) || n > 12 {
                service.loads[n].eject();
            }
        }
        let policy = Policy { overprovisioning_factor: 100, ..Policy::new(algorithm) };
        let pool = service.pool(policy);
        assert_eq!(pool.panics(), 1);
        let counts = service.counts(&pool, 40_000);
        assert!(counts[5..10].iter().all(|count| *count == 0), "{counts:?}");
        assert!(counts[10..].iter().all(|count| count.abs_diff(1480) < 148), "{counts:?}");
    }
}

/// Of two others the heavier one mostly goes second, too: 98 of 99.
#[test]
fn runner_ups_are_chosen_by_weight() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::WeightedRandom] {
        let service = Service::new(&[1, 98, 40]);
        let pool = service.pool(Policy::new(algorithm));
        let light = (0..9900).filter(|n| service.pick(&pool, *n, &[2]) == Some(0)).count();
        assert!(light.abs_diff(100) < 40, "{algorithm:?}: {light}");
    }
}

/// 18 under way to three, a part being 7; the one that has none is taken. A walk of 16 steps misses
/// one of the other two once in 650.
#[test]
fn the_least_overloaded_is_next_when_all_are() {
    let hash_balance_factor = Some(100);
    for algorithm in [
        Algorithm::Maglev { table_size: 251, hash_balance_factor },
        Algorithm::RingHash { minimum_ring_size: 1024, hash_balance_factor },
    ] {
        let service = Service::new(&[1; 3]);
        (0..10).for_each(|_| service.loads[0].began());
        (0..8).for_each(|_| service.loads[1].began());
        let pool = service.pool(Policy::new(algorithm));
        let least = (0..500).filter(|n| service.pick(&pool, *n, &[2]) == Some(1)).count();
        assert!(least > 490, "{algorithm:?}: {least}");
    }
}

#[test]
fn a_pool_takes_any_indices_and_weights() {
    let service = Service::new(&[0, 1, 1]);
    let pool = Pool::new(&service.view(), vec![2, 0, 2, 9, 0], &Rc::new(EVEN), "", 1);
    assert_eq!((pool.len(), pool.is_empty()), (2, false));
    assert_eq!(service.counts(&pool, 100), [50, 0, 50]);
    let heavy = Service::new(&[u32::MAX, 65_535]);
    assert_eq!(heavy.counts(&heavy.pool(EVEN), 100), [50, 50]);
}

#[test]
fn nobody_is_picked_of_none_and_one_of_one() {
    for algorithm in algorithms() {
        let (none, one) = (Service::new(&[]), Service::new(&[5]));
        let pool = none.pool(Policy::new(algorithm));
        assert_eq!((none.pick(&pool, 1, &[]), pool.panics()), (None, 0));
        assert!(pool.is_empty());
        let pool = one.pool(Policy::new(algorithm));
        assert_eq!((one.pick(&pool, 1, &[]), one.pick(&pool, 1, &[0])), (Some(0), None));
        // Alone and ejected, it panics: better than nothing.
        one.loads[0].eject();
        pool.refresh(&one.view());
        assert_eq!((one.pick(&pool, 1, &[]), pool.panics()), (Some(0), 1));
        let calm = one.pool(Policy { panic_threshold_percent: 0, ..Policy::new(algorithm) });
        assert_eq!(one.pick(&calm, 1, &[]), None);
    }
}

/// Eight of ten are critical, or held: two with five requests each had more than their tenths, and no key had an
/// endpoint.
#[test]
fn a_bound_is_by_those_that_are_there() {
    let hash_balance_factor = Some(150);
    for algorithm in [
        Algorithm::Maglev { table_size: 2039, hash_balance_factor },
        Algorithm::RingHash { minimum_ring_size: 1024, hash_balance_factor },
    ] {
        let service = Service::new(&[1; 10]);
        service.loads[2..].iter().for_each(|load| load.set_aside(LastResort::Unhealthy));
        let pool = service.pool(Policy::new(algorithm));
        let picks = || (0..500).map(|n| service.pick(&pool, n, &[])).collect::<Vec<_>>();
        let idle = picks();
        service.loads[..2].iter().for_each(|load| (0..5).for_each(|_| load.began()));
        assert_eq!(picks(), idle, "{algorithm:?}");
    }
}

#[test]
fn the_least_of_evils_serves_unless_it_is_forbidden() {
    use LastResort::{Draining, Dropped, Ejected, Held, Refusing, Unhealthy};
    #[rustfmt::skip]
    let cases: [(&[LastResort], Option<u32>, Option<u32>); 6] = [
        // why each is a last resort            which serves   with a threshold of 0
        (&[Held, Draining, Refusing],           Some(1),       Some(1)),
        (&[Refusing, Refusing, Ejected],        Some(2),       None),
        (&[Unhealthy, Held],                    Some(1),       Some(1)),
        (&[Dropped, Unhealthy],                 Some(1),       None),
        (&[Dropped, Dropped],                   None,          None),
        (&[Dropped, Refusing],                  Some(1),       Some(1)),
    ];
    for (all, usual, strict) in cases {
        let service = Service::new(&vec![1; all.len()]);
        service.loads.iter().zip(all).for_each(|(load, why)| load.set_aside(*why));
        for (panic_threshold_percent, expected) in [(50, usual), (0, strict)] {
            let pool = service.pool(Policy { panic_threshold_percent, ..EVEN });
            assert_eq!(service.pick(&pool, 1, &[]), expected, "{all:?} {panic_threshold_percent}");
        }
    }
}

/// A further attempt met one that refused a connection a minute ago as often as any other.
#[test]
fn a_further_pick_is_of_those_that_are_proven_if_there_are_any() {
    for algorithm in algorithms() {
        let service = Service::new(&[1; 40]);
        service.loads[..30].iter().for_each(|load| load.doubt(true));
        let pool = service.pool(Policy::new(algorithm));
        assert!((0..500).all(|n| service.pick(&pool, n, &[39]) >= Some(30)), "{algorithm:?}");
        assert!((0..500).any(|n| service.pick(&pool, n, &[]) < Some(30)), "{algorithm:?}: turns are turns");
        let taken: Vec<u32> = (30..40).collect();
        assert!(
            (0..500).all(|n| service.pick(&pool, n, &taken) < Some(30)),
            "{algorithm:?}: better than none"
        );
    }
}
