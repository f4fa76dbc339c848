//! Reading how the endpoint of a request is chosen.

use alloc::format;
use alloc::vec::Vec;

use crate::balance::{Algorithm, Logistic, Policy, SlowStart, ZoneAware};
use crate::config::{Object, Reader};
use crate::discovery::config::word_or_object;
use crate::http::matcher::collect;
use crate::key::Part;
use crate::time::Span;

/// How a service chooses.
pub(crate) struct Choice {
    pub(crate) policy: Policy,
    pub(crate) hash_key: Vec<Part>,
    pub(crate) decay: Span,
}

const WORDS: [&str; 9] = [
    "round_robin",
    "random",
    "weighted_random",
    "least_request",
    "peak_ewma",
    "rendezvous",
    "maglev",
    "ring_hash",
    "logistic",
];
const FIELDS: [&[&str]; 9] = [
    &[],
    &[],
    &[],
    &["choice_count", "active_request_bias_percent"],
    &["decay_ms"],
    &["hash_key"],
    &["hash_key", "table_size", "hash_balance_factor"],
    &["hash_key", "minimum_ring_size", "hash_balance_factor"],
    &["midpoint", "steepness_percent", "target_ms"],
];
const HOUR: u64 = 3_600_000;

// === impl Choice ===

impl Choice {
    /// Reads the fields of a service that say how it balances.
    #[inline(never)]
    pub(crate) fn read(service: &Object<'_>) -> Option<Self> {
        let algorithm = match service.optional("balance") {
            Some(reader) => {
                word_or_object(&reader, &WORDS, &FIELDS).and_then(|(word, o)| algorithm(word, &o))
            }
            None => Some((Algorithm::RoundRobin, Vec::new(), Span::from_secs(10))),
        };
        let slow_start = service.or("slow_start", None, |r| slow_start(r).map(Some));
        let zone_aware = service.or("zone_aware", None, |r| zone_aware(r).map(Some));
        let panic = service.count("panic_threshold_percent", 50, 0, 100, "%");
        let overprovisioning = service.count("overprovisioning_percent", 140, 100, 1_000, "%");
        let (algorithm, hash_key, decay) = algorithm?;
        sound(service, algorithm).then_some(())?;
        let policy = Policy {
            algorithm,
            slow_start: slow_start?,
            zone_aware: zone_aware?,
            zone_weights: Vec::new(),
            panic_threshold_percent: panic?,
            overprovisioning_factor: overprovisioning?,
        };
        Some(Self { policy, hash_key, decay })
    }
}

/// Whether the rest goes with the algorithm.
fn sound(service: &Object<'_>, algorithm: Algorithm) -> bool {
    let hashes =
        matches!(algorithm, Algorithm::Maglev { .. } | Algorithm::Rendezvous | Algorithm::RingHash { .. });
    let slow = matches!(
        algorithm,
        Algorithm::LeastRequest { .. } | Algorithm::RoundRobin | Algorithm::WeightedRandom
    );
    let mut sound = true;
    let mut never = |field: &str, wrong: bool, right: &str| {
        if let (Some(reader), true) = (service.optional(field), wrong) {
            reader.report(format!("does not go with this `balance`, expected {right}"));
            sound = false;
        }
    };
    never("slow_start", !slow, "`round_robin`, `least_request` or `weighted_random`");
    never("zone_aware", hashes, "none: a key has one endpoint");
    sound
}

/// The algorithm of a word and what its object says; by what it hashes, and how soon it forgets.
fn algorithm(word: &str, object: &Object<'_>) -> Option<(Algorithm, Vec<Part>, Span)> {
    let key = match word {
        "rendezvous" | "maglev" | "ring_hash" => object.or("hash_key", usual_key(), hash_key),
        _ => Some(Vec::new()),
    };
    let mut decay = Some(10_000);
    let algorithm = match word {
        "round_robin" => Some(Algorithm::RoundRobin),
        "random" => Some(Algorithm::Random),
        "weighted_random" => Some(Algorithm::WeightedRandom),
        "least_request" => least_request(object),
        "peak_ewma" => {
            decay = object.natural("decay_ms", 10_000, 100, HOUR, "ms");
            Some(Algorithm::PeakEwma)
        }
        "rendezvous" => Some(Algorithm::Rendezvous),
        "maglev" => {
            let (size, factor) = (object.or("table_size", 65_537, table_size), balance_factor(object, 150));
            size.zip(factor).map(|(table_size, hash_balance_factor)| Algorithm::Maglev {
                table_size,
                hash_balance_factor,
            })
        }
        "ring_hash" => {
            let size = object.count("minimum_ring_size", 1_024, 1, 131_072, "entries");
            size.zip(balance_factor(object, 0)).map(|(minimum_ring_size, hash_balance_factor)| {
                Algorithm::RingHash { minimum_ring_size, hash_balance_factor }
            })
        }
        _ => logistic(object).map(Algorithm::Logistic),
    };
    Some((algorithm?, key?, Span::from_millis(decay?)))
}

fn usual_key() -> Vec<Part> {
    alloc::vec![Part::ClientAddress { trusted_hops: 0, peer_appended: false, ipv6_prefix: 64 }]
}

/// One part or a list of them.
fn hash_key(reader: &Reader<'_>) -> Option<Vec<Part>> {
    if !reader.is_array() {
        return Part::read(reader).map(|part| alloc::vec![part]);
    }
    let items = reader.items(1..=8, "key parts")?;
    items.iter().map(Part::read).fold(Some(Vec::new()), collect)
}

fn least_request(object: &Object<'_>) -> Option<Algorithm> {
    let choice_count = object.count("choice_count", 2, 2, 10, "endpoints");
    let bias = object.count("active_request_bias_percent", 100, 0, 1_000, "%");
    Some(Algorithm::LeastRequest { choice_count: choice_count?, bias: part(bias?) })
}

fn logistic(object: &Object<'_>) -> Option<Logistic> {
    let midpoint = object.count("midpoint", 80, 0, 100, "");
    let steepness = object.count("steepness_percent", 20, 1, 1_000, "%");
    let target_ms = object.natural("target_ms", 100, 1, HOUR, "ms");
    Some(Logistic {
        midpoint: f64::from(midpoint?),
        steepness: part(steepness?),
        target: Span::from_millis(target_ms?),
    })
}

/// A number given in percent: no field is a fraction.
fn part(percent: u32) -> f64 {
    f64::from(percent) / 100.0
}

fn table_size(reader: &Reader<'_>) -> Option<u32> {
    let size = reader.integer(101..=655_373, "slots")?;
    let divides = |by: u64| size.checked_rem(by) == Some(0);
    // Every number up to the largest has a divisor below 810, unless it is prime.
    if (2..810).any(|by| by < size && divides(by)) {
        reader.report(format!("{size} is not a prime number, expected one such as 65537"));
        return None;
    }
    u32::try_from(size).ok()
}

/// How many requests an endpoint may have, in percent of its part; 0 for any number.
fn balance_factor(object: &Object<'_>, usual: u32) -> Option<Option<u32>> {
    let factor = object.count("hash_balance_factor", usual, 0, 10_000, "%")?;
    if let (1..100, Some(reader)) = (factor, object.optional("hash_balance_factor")) {
        reader.report(format!("{factor} % is out of range, expected 0 or 100 to 10000 %"));
        return None;
    }
    Some((factor > 0).then_some(factor))
}

fn slow_start(reader: &Reader<'_>) -> Option<SlowStart> {
    let object = reader.object(&["window_ms", "aggression_percent", "min_weight_percent"])?;
    let window = object.required("window_ms", "an integer, 1 to 3600000 ms");
    let window = window.and_then(|r| r.integer(1..=HOUR, "ms"));
    let aggression = object.count("aggression_percent", 100, 1, 10_000, "%");
    let least = object.count("min_weight_percent", 10, 0, 100, "%");
    let (window, aggression) = (Span::from_millis(window?), part(aggression?));
    Some(SlowStart { window, aggression, min_weight_percent: least? })
}

fn zone_aware(reader: &Reader<'_>) -> Option<ZoneAware> {
    let object = reader.object(&["min_cluster_size", "routing_enabled_percent"])?;
    let least = object.count("min_cluster_size", 6, 1, 5_000, "endpoints");
    let enabled = object.count("routing_enabled_percent", 100, 0, 100, "%");
    Some(ZoneAware { min_cluster_size: least?, routing_enabled_percent: enabled?, proxies: Vec::new() })
}
