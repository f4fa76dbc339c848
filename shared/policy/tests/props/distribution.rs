//! Shares that come of hashes and draws. Seeds are fixed; bounds are those that chance exceeds
//! once in 10,000 runs with other ones.

use std::collections::BTreeMap;

use tidegate_policy::hash::sip::SipKey;
use tidegate_policy::hash::xxh64::xxh64;
use tidegate_policy::routing::sticky::bucket;
use tidegate_policy::routing::{ChoiceReason, Policy, Weights};
use tidegate_policy::split::RoundRobin;

/// 3.89 standard deviations: two-sided, once in 10,000.
const SIGMAS: f64 = 3.89;

/// Chi-squared over 100 equal groups of buckets, 100,000 people: 99 degrees of freedom.
#[test]
fn people_spread_evenly_over_the_buckets() {
    let key = SipKey::from_bytes([1; 16]);
    let mut groups: BTreeMap<u32, f64> = BTreeMap::new();
    for user in 0..100_000 {
        *groups.entry(bucket(key, "experiment", format!("user-{user}").as_bytes()) / 100).or_default() += 1.0;
    }
    let chi: f64 = (0..100).map(|g| (groups.get(&g).copied().unwrap_or(0.0) - 1000.0).powi(2) / 1000.0).sum();
    assert!(chi < 161.3, "chi-squared is {chi}");
}

/// 10,000 requests at 90/10, each with a draw of its own.
#[test]
fn draws_split_by_weight() {
    let json = r#"{"routes": [{"name": "r", "variants": [
        {"name": "a", "cluster": "a", "weight": 90}, {"name": "b", "cluster": "b", "weight": 10}]}]}"#;
    let policy = Policy::parse(json.as_bytes()).unwrap();
    let route = &policy.routes[0];
    let weights = Weights::new(route, &[]);
    let choices: Vec<_> =
        (0..10_000_u64).map(|n| weights.choose(route, None, None, xxh64(&n.to_le_bytes(), 0))).collect();
    assert!(choices.iter().all(|choice| choice.reason == ChoiceReason::Drawn));
    let seen = choices.iter().filter(|choice| choice.variant == 1).count() as f64;
    let most = SIGMAS * (10_000.0_f64 * 0.1 * 0.9).sqrt();
    assert!((seen - 1000.0).abs() < most, "{seen} of 10,000 for 10 %, more than {most} off");
}

/// The first pick of workers that start together: each variant has its share of them, so that
/// they do not all begin with the heaviest.
#[test]
fn workers_start_in_different_phases() {
    let first =
        |worker: u64| RoundRobin::anywhere(&[60, 30, 10], xxh64(&worker.to_le_bytes(), 1)).pick().unwrap();
    let mut counts = [0.0_f64; 3];
    (0..10_000).for_each(|worker| counts[first(worker)] += 1.0);
    for (count, share) in counts.iter().zip([0.6, 0.3, 0.1]) {
        let most = SIGMAS * (10_000.0_f64 * share * (1.0 - share)).sqrt();
        assert!((count - 10_000.0 * share).abs() < most, "{counts:?}");
    }
}
