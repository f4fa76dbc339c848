//! Reading how long answers of a registry count.

use alloc::format;

use crate::config::{Field, Inner, Kind, Object, Switch, Table};
use crate::discovery::config::policy::Cache;
use crate::discovery::distrust::{flap, shrink};
use crate::discovery::registry::Shape;
use crate::time::Span;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 86_400_000;

pub(super) static CACHE: Field<Inner> = Field::object("cache", &TABLE)
    .or_says("`{}`")
    .says("How long answers count, and how they are distrusted. Not with `static`.");
static TTL_MS: Field<u64> = Field::duration("ttl_ms", 100, DAY).or_number(10_000).says(
    "How long an answer is as good as new; the period, 20 % more or less, of registries whose answers \
     have none of their own: of Consul without blocking queries. While an answer is held back it is \
     asked as often, too, and about three times in `hold_ms` at least.",
);
static STALE_WHILE_REVALIDATE_MS: Field<u64> = Field::duration("stale_while_revalidate_ms", 0, DAY)
    .or_number(60_000)
    .says("As much longer than `ttl_ms` it is used in any case.");
static STALE_IF_ERROR_MS: Field<u64> = Field::duration("stale_if_error_ms", 0, 30 * DAY)
    .or_number(DAY)
    .says("As much longer than `ttl_ms` it is used while the registry fails.");
static SERVE_FOREVER: Field<bool> = Field::boolean("serve_forever", false)
    .says("Whether the last answer is used for ever while the registry fails.");
static NEGATIVE_TTL_MS: Field<u64> = Field::duration("negative_ttl_ms", 100, 60_000).or_number(5_000).says(
    "How soon it is asked again for a service that it does not know, as DNS can say. Doubles, up to a \
     minute; of a service that it knew before, up to `max_backoff_ms`.",
);
static MAX_BACKOFF_MS: Field<u64> = Field::duration("max_backoff_ms", 100, 600_000)
    .or_number(5_000)
    .says("The longest pause after a failure. A registry that was restarted is followed as late as that.");
static MAX_BYTES: Field<u32> = Field::integer("max_bytes", 1 << 10, 16 << 20, "bytes")
    .or_number(4 << 20)
    .says("The longest answer. A longer one is a failure. 5,000 instances in Consul with 32 tags each have 16 MB and need \
           16,777,216. Those of all services together may have 1 GiB, see [below](#how-much-answers-may-have).");
static EMPTY_PROTECTION: Field<Inner> =
    Field::object("empty_protection", &SHRINK).or_says("`{}`").says("Sets that shrink too fast to be true.");
static FLAP_DAMPING: Field<Switch> = Field::switch("flap_damping", &Kind::Object(&FLAP))
    .says("Endpoints that come and go. `false`: they may. It is `false` of DNS when it is absent: an answer there may have some of many addresses, and others the next time.");
static TABLE: Table = Table::new(
    "discovery.cache",
    &[
        TTL_MS.def(),
        STALE_WHILE_REVALIDATE_MS.def(),
        STALE_IF_ERROR_MS.def(),
        SERVE_FOREVER.def(),
        NEGATIVE_TTL_MS.def(),
        MAX_BACKOFF_MS.def(),
        MAX_BYTES.def(),
        EMPTY_PROTECTION.def(),
        FLAP_DAMPING.def(),
    ],
);

static KEEP_PERCENT: Field<u32> = Field::percent("keep_percent", 0, 100)
    .or_number(50)
    .says("The part of the endpoints that an answer must have to be believed at once.");
static MIN_SIZE: Field<u32> = Field::integer("min_size", 1, 5_000, "endpoints")
    .or_number(4)
    .says("A service that had fewer may shrink at once, though not to none.");
static HOLD_MS: Field<Span> = Field::duration("hold_ms", 0, HOUR)
    .or_number(30_000)
    .says("How long an answer that has too few must be repeated.");
static EMPTY_HOLD_MS: Field<Span> = Field::duration("empty_hold_ms", 0, DAY)
    .or_number(300_000)
    .says("How long an empty one must be, with `allow_empty`.");
static CONFIRMATIONS: Field<u32> = Field::integer("confirmations", 1, 100, "answers")
    .or_number(3)
    .says("How often, the first one included.");
static ALLOW_EMPTY: Field<bool> = Field::boolean("allow_empty", false)
    .says("Whether an empty answer is ever believed. The first answer is, always.");
static WINDOW_MS: Field<Span> = Field::duration("window_ms", 0, HOUR)
    .or_number(60_000)
    .says("How long a larger set is remembered, so that many small losses count as one.");
static SHRINK: Table = Table::new(
    "discovery.empty_protection",
    &[
        KEEP_PERCENT.def(),
        MIN_SIZE.def(),
        HOLD_MS.def(),
        EMPTY_HOLD_MS.def(),
        CONFIRMATIONS.def(),
        ALLOW_EMPTY.def(),
        WINDOW_MS.def(),
    ],
);

const MOST_PENALTY: u64 = 1_000_000;
static PENALTY: Field<u32> =
    Field::integer("penalty", 1, MOST_PENALTY, "").or_number(1_000).says("What an endpoint gets each time.");
static SUPPRESS: Field<u32> =
    Field::integer("suppress", 1, MOST_PENALTY, "").or_number(2_000).says("From here on it is left out.");
static REUSE: Field<u32> =
    Field::integer("reuse", 1, MOST_PENALTY, "").or_number(750).says("Down to here it stays out.");
static HALF_LIFE_MS: Field<Span> = Field::duration("half_life_ms", 1_000, HOUR)
    .or_number(60_000)
    .says("The time in which a penalty halves.");
static MAX: Field<u32> = Field::integer("max", 1, MOST_PENALTY, "")
    .or_number(12_000)
    .says("The most that adds up: an endpoint is out for four half-lives at most, with the other defaults.");
static FLAP: Table = Table::new(
    "discovery.flap_damping",
    &[PENALTY.def(), SUPPRESS.def(), REUSE.def(), HALF_LIFE_MS.def(), MAX.def()],
);

/// Reads the field `cache` of a registry.
#[inline(never)]
pub(super) fn read(registry: &Object<'_>, shape: Shape) -> Option<Cache> {
    let object = registry.inner(&CACHE)?;
    let is_damped = shape.names_all() || object.has(&FLAP_DAMPING);
    let flap = match object.switch(&FLAP_DAMPING)?.filter(|_| is_damped) {
        Some(flap) => Some(read_flap(&flap)?),
        None => None,
    };
    Some(Cache {
        ttl_ms: object.get(&TTL_MS)?,
        stale_while_revalidate_ms: object.get(&STALE_WHILE_REVALIDATE_MS)?,
        stale_if_error_ms: object.get(&STALE_IF_ERROR_MS)?,
        serve_forever: object.get(&SERVE_FOREVER)?,
        negative_ttl_ms: object.get(&NEGATIVE_TTL_MS)?,
        max_backoff_ms: object.get(&MAX_BACKOFF_MS)?,
        max_bytes: object.get(&MAX_BYTES)?,
        shrink: read_shrink(&object.inner(&EMPTY_PROTECTION)?)?,
        flap,
    })
}

fn read_shrink(object: &Object<'_>) -> Option<shrink::ShrinkParams> {
    Some(shrink::ShrinkParams {
        keep_percent: object.get(&KEEP_PERCENT)?,
        min_size: object.get(&MIN_SIZE)?,
        hold: object.get(&HOLD_MS)?,
        empty_hold: object.get(&EMPTY_HOLD_MS)?,
        confirmations: object.get(&CONFIRMATIONS)?,
        allow_empty: object.get(&ALLOW_EMPTY)?,
        window: object.get(&WINDOW_MS)?,
    })
}

fn read_flap(object: &Object<'_>) -> Option<flap::FlapParams> {
    let (suppress, reuse, max) = (object.get(&SUPPRESS)?, object.get(&REUSE)?, object.get(&MAX)?);
    if !(reuse < suppress && suppress <= max) {
        let found = format!("reuse at {reuse}, suppress at {suppress}, at most {max}");
        object.report(found, "each above the one before");
        return None;
    }
    Some(flap::FlapParams {
        penalty: object.get(&PENALTY)?.into(),
        suppress: suppress.into(),
        reuse: reuse.into(),
        most: max.into(),
        half_life: object.get(&HALF_LIFE_MS)?,
    })
}
