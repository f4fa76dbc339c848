//! Which share of the requests each endpoint gets. Seeds are fixed; bounds are those that chance
//! exceeds once in 10,000 runs with other ones.

use tidegate_policy::balance::level::{Level, Spread};
use tidegate_policy::balance::zone::{ZoneRouting, Zones};
use tidegate_policy::balance::{Algorithm, Logistic, Policy, SlowStart, ZoneAware};
use tidegate_policy::time::Span;

use crate::balance::Service;
use crate::START;

const MAGLEV: Algorithm = Algorithm::Maglev { table_size: 65_537, hash_balance_factor: None };
const RING: Algorithm = Algorithm::RingHash { minimum_ring_size: 65_536, hash_balance_factor: None };
const LEAST: Algorithm = Algorithm::LeastRequest { choice_count: 2, bias: 1.0 };

/// Chi-squared of counts against shares.
fn chi(counts: &[u64], shares: &[f64]) -> f64 {
    let (all, total) = (counts.iter().sum::<u64>() as f64, shares.iter().sum::<f64>());
    let terms = counts.iter().zip(shares).map(|(count, share)| {
        let expected = all * share / total;
        (*count as f64 - expected).powi(2) / expected
    });
    terms.sum()
}

/// Whether a count is within 3.89 standard deviations of its part.
fn about(count: u64, of: u64, part: f64) -> bool {
    let (count, of) = (count as f64, of as f64);
    (count - of * part).abs() <= 3.89 * (of * part * (1.0 - part)).sqrt() + 1e-9
}

/// 40,000 requests over 8 endpoints, 7 degrees of freedom.
#[test]
fn draws_and_hashes_give_each_endpoint_its_weight() {
    let different = [1, 2, 3, 4, 5, 6, 7, 12];
    #[rustfmt::skip]
    let cases = [
        // algorithm                 weights       shares
        (Algorithm::Random,          different,    [1; 8]),
        (Algorithm::WeightedRandom,  different,    different),
        (Algorithm::WeightedRandom,  [3; 8],       [1; 8]),
        (Algorithm::Rendezvous,      different,    different),
        (Algorithm::Rendezvous,      [3; 8],       [1; 8]),
        (Algorithm::PeakEwma,        different,    different),
        (Algorithm::PeakEwma,        [3; 8],       [1; 8]),
        (LEAST,                      [3; 8],       [1; 8]),
        (MAGLEV,                     different,    different),
        (MAGLEV,                     [3; 8],       [1; 8]),
    ];
    for (algorithm, weights, shares) in cases {
        let service = Service::new(&weights);
        let counts = service.counts(&service.pool(Policy::new(algorithm)), 40_000);
        let chi = chi(&counts, &shares.map(f64::from));
        assert!(chi < 29.9, "{algorithm:?} {weights:?}: {chi} of {counts:?}");
    }
}

/// The arcs of a ring are random themselves: within a tenth with 65,536 entries.
#[test]
fn a_ring_gives_each_endpoint_about_its_weight() {
    let service = Service::new(&[1, 2, 3, 4]);
    let counts = service.counts(&service.pool(Policy::new(RING)), 40_000);
    let near = |(count, weight): (&u64, f64)| (*count as f64 / (4_000.0 * weight) - 1.0).abs() < 0.1;
    assert!(counts.iter().zip([1.0, 2.0, 3.0, 4.0]).all(near), "{counts:?}");
}

/// Whatever the way of taking turns: smooth for few, one after the other for equals, by deadline
/// for many and for least request. Off by one at most over a row of Σw.
#[test]
fn turns_give_each_endpoint_exactly_its_weight() {
    let many: Vec<u32> = (0..1000).map(|n| 1 + n % 13).collect();
    for algorithm in [Algorithm::RoundRobin, LEAST] {
        for weights in [&[5, 1, 1][..], &[2; 7], &[1, 65_535], &[7; 500], &many] {
            if algorithm == LEAST && weights.iter().all(|weight| *weight == weights[0]) {
                continue;
            }
            let service = Service::new(weights);
            let sum = weights.iter().map(|weight| u64::from(*weight)).sum();
            let counts = service.counts(&service.pool(Policy::new(algorithm)), sum);
            for (count, weight) in counts.iter().zip(weights) {
                assert!(count.abs_diff(u64::from(*weight)) <= 1, "{algorithm:?}: {count} of {weight}");
            }
        }
    }
}

/// The first turn of workers that start together is anyone's.
#[test]
fn workers_begin_with_different_endpoints() {
    for (algorithm, weights) in [
        (Algorithm::RoundRobin, &[1, 1, 1][..]),
        (Algorithm::RoundRobin, &[3, 2, 5]),
        (LEAST, &[3, 2, 5]),
        (Algorithm::RoundRobin, &[4; 40]),
    ] {
        let service = Service::new(weights);
        let mut counts = vec![0; weights.len()];
        for seed in 0..10_000 {
            let pool = service.pool_at(Policy::new(algorithm), "", seed);
            counts[service.pick(&pool, 0, &[]).unwrap() as usize] += 1;
        }
        let sum = f64::from(weights.iter().sum::<u32>());
        let right = counts.iter().zip(weights).all(|(count, w)| about(*count, 10_000, f64::from(*w) / sum));
        assert!(right, "{algorithm:?} {weights:?}: {counts:?}");
    }
}

/// A request that is told three endpoints to try in turn takes one turn, not three: with three
/// endpoints every request would begin with the same one otherwise.
#[test]
fn runner_ups_use_up_no_turns() {
    let service = Service::new(&[1, 1, 1]);
    let pool = service.pool(Policy::new(Algorithm::RoundRobin));
    let mut counts = [[0_u64; 3]; 3];
    for n in 0..3000 {
        let mut taken = Vec::new();
        for place in &mut counts {
            let index = service.pick(&pool, n, &taken).unwrap();
            place[index as usize] += 1;
            taken.push(index);
        }
    }
    assert_eq!(service.pick(&pool, 0, &[2, 0, 1]), None);
    assert_eq!(counts[0], [1000; 3]);
    assert!(counts[1..].iter().flatten().all(|count| about(*count, 3000, 1.0 / 3.0)), "{counts:?}");
}

/// Old endpoints and a new one, whose window is 60 s: its share follows its factor.
#[test]
fn a_new_endpoint_gets_its_share_little_by_little() {
    let slow = SlowStart { window: Span::from_secs(60), aggression: 1.0, min_weight_percent: 10 };
    for algorithm in [Algorithm::RoundRobin, LEAST, Algorithm::WeightedRandom] {
        for (age, factor) in [(0, 0.1), (30, 0.5), (60, 1.0)] {
            let mut service = Service::new(&[4, 4, 4, 4]);
            service.members[3].since = START.minus(Span::from_secs(age));
            let policy = Policy { slow_start: Some(slow), ..Policy::new(algorithm) };
            let counts = service.counts(&service.pool(policy), 10_000);
            assert!(
                about(counts[3], 10_000, factor / (3.0 + factor)),
                "{algorithm:?} at {age} s: {counts:?}"
            );
        }
    }
}

/// One that was ejected and comes back is new, while the window goes on without a refresh.
#[test]
fn an_endpoint_that_comes_back_starts_slowly() {
    let slow = SlowStart { window: Span::from_secs(60), aggression: 1.0, min_weight_percent: 10 };
    let mut service = Service::new(&[1; 4]);
    let policy = Policy { slow_start: Some(slow), ..Policy::new(Algorithm::RoundRobin) };
    let pool = service.pool(policy);
    service.loads[0].eject();
    pool.refresh(&service.view());
    assert_eq!(service.counts(&pool, 900), [0, 300, 300, 300]);
    service.loads[0].readmit(service.now);
    pool.refresh(&service.view());
    for (later, factor) in [(0, 0.1), (30, 0.5), (30, 1.0)] {
        service.now = service.now.plus(Span::from_secs(later));
        let counts = service.counts(&pool, 3100);
        assert!(about(counts[0], 3100, factor / (3.0 + factor)), "{factor}: {counts:?}");
    }
}

/// Weights of the algorithm's own: an endpoint that fails half of its requests gets the part that
/// the logistic function says.
#[test]
fn scores_decide_the_shares() {
    let logistic = Logistic { midpoint: 75.0, steepness: 0.1, target: Span::from_millis(100) };
    let service = Service::new(&[1, 1]);
    for n in 0..2000 {
        service.loads[0].ended(START, Some(Span::from_millis(10)), true);
        service.loads[1].ended(START, Some(Span::from_millis(10)), n % 2 == 0);
    }
    let counts = service.counts(&service.pool(Policy::new(Algorithm::Logistic(logistic))), 10_000);
    let (good, bad) = (1.0 / (1.0 + (-2.5_f64).exp()), 1.0 / (1.0 + 2.5_f64.exp()));
    assert!((counts[1] as f64 / 10_000.0 - bad / (good + bad)).abs() < 0.001, "{counts:?}");
}

/// Ten requests under way at a time, each slow endpoint ten times as slow as the others.
#[test]
fn slow_endpoints_are_avoided() {
    for (algorithm, most) in [(Algorithm::PeakEwma, 0.03), (LEAST, 0.12), (Algorithm::RoundRobin, 0.21)] {
        let mut service = Service::new(&[1; 5]);
        let pool = service.pool(Policy::new(algorithm));
        let mut under_way: Vec<(u64, u32, u64)> = Vec::new();
        let mut slow = 0.0;
        for n in 0..5000_u64 {
            service.now = START.plus(Span::from_millis(n));
            under_way.retain(|(until, index, took)| {
                if *until <= n {
                    service.loads[*index as usize].ended(service.now, Some(Span::from_millis(*took)), true);
                }
                *until > n
            });
            let index = service.pick(&pool, n, &[]).unwrap();
            slow += if index == 0 { 1.0 } else { 0.0 };
            service.loads[index as usize].began();
            let took = if index == 0 { 100 } else { 10 };
            under_way.push((n + took, index, took));
        }
        assert!(slow / 5000.0 < most, "{algorithm:?}: {}", slow / 5000.0);
    }
}

/// 1,000 requests under way, all with the same key: nobody has more than 150 % of its part, and
/// without a bound one has all.
#[test]
fn a_hot_key_spreads_when_its_endpoint_is_full() {
    for (hash_balance_factor, most) in [(Some(150), 151), (None, 1000)] {
        for algorithm in [
            Algorithm::Maglev { table_size: 2039, hash_balance_factor },
            Algorithm::RingHash { minimum_ring_size: 1024, hash_balance_factor },
        ] {
            let service = Service::new(&[1; 10]);
            let pool = service.pool(Policy::new(algorithm));
            for _ in 0..1000 {
                service.loads[service.pick(&pool, 0, &[]).unwrap() as usize].began();
            }
            let max = service.loads.iter().map(|load| load.active()).max().unwrap();
            assert!(max <= most && (most == 151 || max == 1000), "{algorithm:?}: {max}");
        }
    }
}

/// Of 50 endpoints one is gone from the registry: its keys move. Of the others none do with
/// rendezvous, nor with a ring that has 21 entries for each as before; few do with Maglev, and with
/// a ring that has 1,338 for each instead of 1,311.
#[test]
fn a_removal_moves_few_other_keys() {
    let small = Algorithm::RingHash { minimum_ring_size: 1024, hash_balance_factor: None };
    for (algorithm, most) in [(Algorithm::Rendezvous, 0), (small, 0), (RING, 250), (MAGLEV, 100)] {
        let mut service = Service::new(&[1; 50]);
        let pool = service.pool(Policy::new(algorithm));
        let before: Vec<u32> = (0..10_000).map(|n| service.pick(&pool, n, &[]).unwrap()).collect();
        service.members.pop();
        let pool = service.pool(Policy::new(algorithm));
        let after = (0..10_000).map(|n| service.pick(&pool, n, &[]).unwrap());
        let moved = before.iter().zip(after).filter(|(before, after)| **before != 49 && *before != after);
        let moved = moved.count();
        assert!(moved <= most, "{algorithm:?}: {moved} of 10,000");
    }
}

/// Envoy's example: 10 proxies and 20 endpoints in three zones.
#[test]
fn zones_get_what_the_arithmetic_says() {
    #[rustfmt::skip]
    let cases = [
        // proxies    endpoints    parts in percent
        ([4, 4, 2],   [5, 10, 5],  [62.5, 25.0, 12.5]),
        ([1, 1, 1],   [5, 5, 5],   [100.0, 0.0, 0.0]),
        ([1, 3, 0],   [0, 4, 4],   [0.0, 0.0, 100.0]),
    ];
    for algorithm in [Algorithm::RoundRobin, LEAST, Algorithm::WeightedRandom] {
        for (proxies, endpoints, parts) in cases {
            let mut service = Service::new(&vec![1; endpoints.iter().sum::<usize>()]);
            let zones = (0..3).flat_map(|zone| std::iter::repeat_n(["a", "b", "c"][zone], endpoints[zone]));
            service.members.iter_mut().zip(zones).for_each(|(member, zone)| member.zone = zone.into());
            let proxies = [("a", proxies[0]), ("b", proxies[1]), ("c", proxies[2])];
            let aware = ZoneAware {
                min_cluster_size: 6,
                routing_enabled_percent: 100,
                proxies: proxies.map(|(zone, count)| (zone.into(), count)).to_vec(),
            };
            let policy = Policy { zone_aware: Some(aware), ..Policy::new(algorithm) };
            let counts = service.counts(&service.pool_at(policy, "a", 7), 20_000);
            for (zone, part) in ["a", "b", "c"].iter().zip(parts) {
                let of = service.members.iter().zip(&counts).filter(|(member, _)| &*member.zone == *zone);
                let count = of.map(|(_, count)| count).sum();
                assert!(about(count, 20_000, part / 100.0), "{algorithm:?} {endpoints:?} {zone}: {count}");
            }
        }
    }
}

/// Zones by weight, X with a quarter of its endpoints left: Envoy says 15 %.
#[test]
fn zones_with_weights_get_what_is_left_of_them() {
    let mut service = Service::new(&[1; 8]);
    service.members.iter_mut().enumerate().for_each(|(n, member)| member.zone = ["x", "y"][n / 4].into());
    service.loads.iter().take(3).for_each(|load| load.eject());
    let policy =
        Policy { zone_weights: vec![("x".into(), 1), ("y".into(), 2)], ..Policy::new(Algorithm::RoundRobin) };
    let counts = service.counts(&service.pool(policy), 20_000);
    assert!(about(counts[3], 20_000, 0.148_936_17), "{counts:?}");
}

/// Levels, ejections and degraded endpoints as in Envoy's tables, of ten endpoints each.
#[test]
fn levels_get_what_the_arithmetic_says() {
    #[rustfmt::skip]
    let cases = [
        // healthy      degraded    parts of the levels, then of the degraded of the first
        ([10, 10],      [0, 0],     [100.0, 0.0, 0.0]),
        ([8, 10],       [0, 0],     [100.0, 0.0, 0.0]),
        ([7, 10],       [0, 0],     [98.0, 2.0, 0.0]),
        ([5, 10],       [0, 0],     [70.0, 30.0, 0.0]),
        ([0, 10],       [0, 0],     [0.0, 100.0, 0.0]),
        ([3, 2],        [7, 0],     [42.0, 28.0, 30.0]),
        // Too few in both: by head count, whoever is ejected.
        ([3, 3],        [0, 0],     [50.0, 50.0, 0.0]),
    ];
    for algorithm in [Algorithm::RoundRobin, LEAST, Algorithm::WeightedRandom, Algorithm::Rendezvous, MAGLEV]
    {
        for (healthy, degraded, parts) in cases {
            let mut service = Service::new(&[1; 20]);
            for (n, member) in service.members.iter_mut().enumerate() {
                let (level, place) = (n / 10, n % 10);
                member.priority = [3, 9][level];
                member.degraded = place >= healthy[level];
                if place >= healthy[level] + degraded[level] {
                    service.loads[n].eject();
                }
            }
            let pool = service.pool(Policy::new(algorithm));
            let counts = service.counts(&pool, 10_000);
            let sum = |level: u8, degraded: bool| -> u64 {
                let of = |member: &tidegate_policy::balance::Member| {
                    member.priority == level && (pool.panics() > 0 || member.degraded == degraded)
                };
                service.members.iter().zip(&counts).filter(|(m, _)| of(m)).map(|(_, count)| count).sum()
            };
            let got = [sum(3, false), sum(9, false), if pool.panics() > 0 { 0 } else { sum(3, true) }];
            let right = got.iter().zip(parts).all(|(got, part)| about(*got, 10_000, part / 100.0));
            assert!(right, "{algorithm:?} {healthy:?} {degraded:?}: {got:?}");
            let eligible = counts.iter().filter(|count| **count > 0).count();
            let panics = pool.panics();
            assert_eq!(panics == 2, healthy == [3, 3], "{panics}");
            assert!(panics == 0 || eligible == 20, "everyone helps in a panic");
        }
    }
}

/// Arithmetic at its ends: no level, no endpoint, no zone.
#[test]
fn nothing_is_a_level_and_a_zone() {
    assert_eq!(Spread::new(&[], 140, 50), Spread::default());
    let none = Spread::new(&[Level::default()], 140, 50);
    assert_eq!((none.loads.healthy, none.total_panic), (vec![100], true));
    let all = Level { healthy: u32::MAX, degraded: u32::MAX, total: u32::MAX, excluded: 0, down: 0 };
    assert_eq!(Spread::new(&[all; 3], u32::MAX, u32::MAX).loads.healthy, [100, 0, 0]);
    assert_eq!(Spread::new(&[Level { excluded: 9, ..all }], 0, 0).normalized, 0);
    let zones = Zones::new(&[], &[]);
    assert_eq!(zones.route, ZoneRouting::Residual { local: 0, cumulative: Vec::new() });
    assert_eq!(zones.route.zone(u64::MAX), 0);
}
