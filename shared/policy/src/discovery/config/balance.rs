//! Reading how the endpoint of a request is chosen.

use alloc::format;
use alloc::vec::Vec;

use crate::balance::{Algorithm, Logistic, Policy, SlowStart, ZoneAware};
use crate::config::{rules, Field, Group, Inner, Items, Kind, Object, Table};
use crate::key::part::{Part, PARTS};
use crate::time::Span;

/// How a service chooses.
pub(super) struct Choice {
    pub(super) policy: Policy,
    pub(super) hash_key: Vec<Part>,
    pub(super) decay: Span,
}

const HOUR: u64 = 3_600_000;
const WORDS: &[&str] = &[
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

pub(super) static BALANCE: Field<Items> =
    Field::of("balance", Kind::Object(&TABLE)).or_says("`round_robin`").says("How an endpoint is chosen.");
static ROUND_ROBIN: Field<Inner> =
    Field::object("round_robin", &NO_FIELDS).says("One after the other, by weight.");
static RANDOM: Field<Inner> = Field::object("random", &NO_FIELDS).says("Anyone, whatever the weights.");
static WEIGHTED_RANDOM: Field<Inner> =
    Field::object("weighted_random", &NO_FIELDS).says("Anyone, by weight.");
static LEAST_REQUEST: Field<Inner> = Field::object("least_request", &LEAST_REQUEST_TABLE)
    .says("Of some at random, the one with the fewest requests in flight.");
static PEAK_EWMA: Field<Inner> = Field::object("peak_ewma", &PEAK_EWMA_TABLE)
    .says("Of two at random, the one with the lower latency times requests in flight.");
static RENDEZVOUS: Field<Inner> = Field::object("rendezvous", &RENDEZVOUS_TABLE)
    .says("By hash, each endpoint with a score. For up to 64 endpoints.");
static MAGLEV: Field<Inner> = Field::object("maglev", &MAGLEV_TABLE).says("By hash, from a table.");
static RING_HASH: Field<Inner> =
    Field::object("ring_hash", &RING_HASH_TABLE).says("By hash, from a ring as Envoy's.");
static LOGISTIC: Field<Inner> =
    Field::object("logistic", &LOGISTIC_TABLE).says("In turns, by weight and recent health.");
static NO_FIELDS: Table = Table::new("nothing", &[]);
static TABLE: Table = Table::new(
    "discovery.balance",
    &[
        ROUND_ROBIN.def(),
        RANDOM.def(),
        WEIGHTED_RANDOM.def(),
        LEAST_REQUEST.def(),
        PEAK_EWMA.def(),
        RENDEZVOUS.def(),
        MAGLEV.def(),
        RING_HASH.def(),
        LOGISTIC.def(),
    ],
)
.groups(&[Group::one_of(WORDS, "chooses by nothing")])
.words(WORDS);

static CHOICE_COUNT: Field<u32> =
    Field::integer("choice_count", 2, 10, "endpoints").or_number(2).says("How many are compared.");
static BIAS_PERCENT: Field<u32> =
    Field::percent("active_request_bias_percent", 0, 1_000).or_number(100).says(
        "With unequal weights, or in a slow start, turns go by weight / (requests in flight + 1)^bias, as \
     Envoy's `active_request_bias`: 100 is 1.",
    );
static LEAST_REQUEST_TABLE: Table =
    Table::new("discovery.least_request", &[CHOICE_COUNT.def(), BIAS_PERCENT.def()]);

static DECAY_MS: Field<Span> = Field::duration("decay_ms", 100, HOUR)
    .or_number(10_000)
    .says("How soon latencies are forgotten: the time in which all but 1/e of one is.");
static PEAK_EWMA_TABLE: Table = Table::new("discovery.peak_ewma", &[DECAY_MS.def()]);

static HASH_KEY: Field<Items> = Field::of("hash_key", PARTS)
    .or_says("`client_address`")
    .says("By what requests are told apart. One that lacks a part goes to anyone.");
static RENDEZVOUS_TABLE: Table = Table::new("discovery.rendezvous", &[HASH_KEY.def()]);

static TABLE_SIZE: Field<u32> = Field::integer("table_size", 101, 655_373, "slots").or_number(65_537).says(
    "Slots of the table, a prime number; two bytes each, in each worker. A hundred times the \
     endpoints keep shares within 1 %.",
);
static BALANCE_FACTOR: Field<u32> = Field::percent("hash_balance_factor", 0, 10_000).or_number(0).says(
    "Requests that an endpoint may have in flight, in percent of its part; more go to the next, and leave \
     the endpoint of their key. 0 for any number: a key keeps its endpoint.",
);
static MAGLEV_TABLE: Table =
    Table::new("discovery.maglev", &[HASH_KEY.def(), TABLE_SIZE.def(), BALANCE_FACTOR.def()]);

static MINIMUM_RING_SIZE: Field<u32> = Field::integer("minimum_ring_size", 1, 131_072, "entries")
    .or_number(1_024)
    .says("The least entries of the ring.");
static RING_HASH_TABLE: Table =
    Table::new("discovery.ring_hash", &[HASH_KEY.def(), MINIMUM_RING_SIZE.def(), BALANCE_FACTOR.def()]);

static MIDPOINT: Field<u32> = Field::integer("midpoint", 0, 100, "")
    .or_number(80)
    .says("The health at which an endpoint has half of its weight.");
static STEEPNESS_PERCENT: Field<u32> = Field::percent("steepness_percent", 1, 1_000).or_number(20).says(
    "How sharply the weight falls around it, in hundredths: with 20, it falls from 90 to 10 % within \
     22 points of health.",
);
static TARGET_MS: Field<Span> = Field::duration("target_ms", 1, HOUR)
    .or_number(100)
    .says("The mean latency up to which an endpoint loses nothing.");
static LOGISTIC_TABLE: Table =
    Table::new("discovery.logistic", &[MIDPOINT.def(), STEEPNESS_PERCENT.def(), TARGET_MS.def()]);

pub(super) static SLOW_START: Field<Inner> =
    Field::object("slow_start", &SLOW_START_TABLE).or_says("none").says(
        "How new endpoints get their share. With `round_robin`, `least_request` and `weighted_random` \
     only.",
    );
static WINDOW_MS: Field<Span> = Field::duration("window_ms", 1, HOUR).required().says("How long it takes.");
static AGGRESSION_PERCENT: Field<u32> = Field::percent("aggression_percent", 1, 10_000)
    .or_number(100)
    .says("How the share grows: 100 is evenly, more is faster at first.");
static MIN_WEIGHT_PERCENT: Field<u32> =
    Field::percent("min_weight_percent", 0, 100).or_number(10).says("The share to begin with.");
static SLOW_START_TABLE: Table = Table::new(
    "discovery.slow_start",
    &[WINDOW_MS.def(), AGGRESSION_PERCENT.def(), MIN_WEIGHT_PERCENT.def()],
);

pub(super) static ZONE_AWARE: Field<Inner> =
    Field::object("zone_aware", &ZONE_AWARE_TABLE).or_says("none").says(
        "Whether the own zone comes first. Not with `rendezvous`, `maglev` and `ring_hash`: a key has one \
     endpoint.",
    );
static MIN_CLUSTER_SIZE: Field<u32> = Field::integer("min_cluster_size", 1, 5_000, "endpoints")
    .or_number(6)
    .says("With fewer healthy endpoints zones do not matter.");
static ROUTING_ENABLED_PERCENT: Field<u32> = Field::percent("routing_enabled_percent", 0, 100)
    .or_number(100)
    .says("The part of the requests for which zones matter.");
static ZONE_AWARE_TABLE: Table =
    Table::new("discovery.zone_aware", &[MIN_CLUSTER_SIZE.def(), ROUTING_ENABLED_PERCENT.def()]);

pub(super) static PANIC_THRESHOLD_PERCENT: Field<u32> =
    Field::percent("panic_threshold_percent", 0, 100).or_number(50).says(
        "When a smaller part of a level's endpoints is not ejected, and the levels together cannot take \
     all, it uses the ejected ones, too, but none that its registry or a refused connection speaks \
     against. 0: neither ejected nor critical ones ever get a request.",
    );
pub(super) static OVERPROVISIONING_PERCENT: Field<u32> =
    Field::percent("overprovisioning_percent", 100, 1_000).or_number(140).says(
        "What the healthy part of a level can take: with 140, a level of which 72 % are healthy takes \
     all.",
    );

// === impl Choice ===

impl Choice {
    /// Reads the fields of a service that say how it balances.
    #[inline(never)]
    pub(super) fn read(service: &Object<'_>) -> Option<Self> {
        let (algorithm, hash_key, decay) = match service.reader(&BALANCE) {
            Some(reader) => {
                let (word, object) = reader.tagged(&TABLE)?;
                algorithm(word, &object)?
            }
            None => (Algorithm::RoundRobin, Vec::new(), Span::from_secs(10)),
        };
        sound(service, algorithm).then_some(())?;
        let slow_start = match service.maybe_inner(&SLOW_START)? {
            Some(object) => Some(SlowStart {
                window: object.get(&WINDOW_MS)?,
                aggression: part(object.get(&AGGRESSION_PERCENT)?),
                min_weight_percent: object.get(&MIN_WEIGHT_PERCENT)?,
            }),
            None => None,
        };
        let zone_aware = match service.maybe_inner(&ZONE_AWARE)? {
            Some(object) => Some(ZoneAware {
                min_cluster_size: object.get(&MIN_CLUSTER_SIZE)?,
                routing_enabled_percent: object.get(&ROUTING_ENABLED_PERCENT)?,
                proxies: Vec::new(),
            }),
            None => None,
        };
        let policy = Policy {
            algorithm,
            slow_start,
            zone_aware,
            zone_weights: Vec::new(),
            panic_threshold_percent: service.get(&PANIC_THRESHOLD_PERCENT)?,
            overprovisioning_factor: service.get(&OVERPROVISIONING_PERCENT)?,
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
    let rules = [
        (SLOW_START.def(), !slow, "`round_robin`, `least_request` or `weighted_random`"),
        (ZONE_AWARE.def(), hashes, "none: a key has one endpoint"),
    ];
    rules::absent(service, &rules, "does not go with this `balance`")
}

/// The algorithm of a word and what its object says; by what it hashes, and how soon it forgets.
fn algorithm(word: &str, object: &Object<'_>) -> Option<(Algorithm, Vec<Part>, Span)> {
    let (mut decay, mut key) = (Span::from_secs(10), Vec::new());
    let algorithm = match word {
        "round_robin" => Algorithm::RoundRobin,
        "random" => Algorithm::Random,
        "weighted_random" => Algorithm::WeightedRandom,
        "least_request" => {
            let object = object.inner(&LEAST_REQUEST)?;
            Algorithm::LeastRequest {
                choice_count: object.get(&CHOICE_COUNT)?,
                bias: part(object.get(&BIAS_PERCENT)?),
            }
        }
        "peak_ewma" => {
            decay = object.inner(&PEAK_EWMA)?.get(&DECAY_MS)?;
            Algorithm::PeakEwma
        }
        "rendezvous" => {
            key = hash_key(&object.inner(&RENDEZVOUS)?)?;
            Algorithm::Rendezvous
        }
        "maglev" => {
            let object = object.inner(&MAGLEV)?;
            let size = table_size(&object);
            let hash_balance_factor = balance_factor(&object)?;
            key = hash_key(&object)?;
            Algorithm::Maglev { table_size: size?, hash_balance_factor }
        }
        "ring_hash" => {
            let object = object.inner(&RING_HASH)?;
            key = hash_key(&object)?;
            let hash_balance_factor = balance_factor(&object)?;
            Algorithm::RingHash { minimum_ring_size: object.get(&MINIMUM_RING_SIZE)?, hash_balance_factor }
        }
        _ => {
            let object = object.inner(&LOGISTIC)?;
            Algorithm::Logistic(Logistic {
                midpoint: f64::from(object.get(&MIDPOINT)?),
                steepness: part(object.get(&STEEPNESS_PERCENT)?),
                target: object.get(&TARGET_MS)?,
            })
        }
    };
    Some((algorithm, key, decay))
}

/// By what it hashes; by the client's address when nothing is said.
fn hash_key(object: &Object<'_>) -> Option<Vec<Part>> {
    if !object.has(&HASH_KEY) {
        let client = Part::ClientAddress { trusted_hops: 0, peer_appended: false, ipv6_prefix: 64 };
        return Some(alloc::vec![client]);
    }
    Part::read_all(&object.items(&HASH_KEY))
}

/// A number given in percent: no field is a fraction.
fn part(percent: u32) -> f64 {
    f64::from(percent) / 100.0
}

fn table_size(object: &Object<'_>) -> Option<u32> {
    let size = object.get(&TABLE_SIZE)?;
    let divides = |by: u32| size.checked_rem(by) == Some(0);
    // Every number up to the largest has a divisor below 810, unless it is prime.
    if (2..810).any(|by| by < size && divides(by)) {
        object.report_at(&TABLE_SIZE, format!("{size} is not a prime number"), "one such as 65537");
        return None;
    }
    Some(size)
}

/// How many requests an endpoint may have, in percent of its part; 0 for any number.
fn balance_factor(object: &Object<'_>) -> Option<Option<u32>> {
    let factor = object.get(&BALANCE_FACTOR)?;
    if (1..100).contains(&factor) {
        object.report_at(&BALANCE_FACTOR, format!("{factor} % is out of range"), "0 or 100 to 10000 %");
        return None;
    }
    Some((factor > 0).then_some(factor))
}
