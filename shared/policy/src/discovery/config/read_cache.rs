//! Reading how long answers of a registry count.

use crate::config::{Object, Reader};
use crate::discovery::config::policy::Cache;
use crate::discovery::config::switched;
use crate::discovery::distrust::{flap, shrink};
use crate::time::Span;

const FIELDS: [&str; 8] = [
    "ttl_ms",
    "stale_while_revalidate_ms",
    "stale_if_error_ms",
    "serve_forever",
    "negative_ttl_ms",
    "max_bytes",
    "empty_protection",
    "flap_damping",
];
const SHRINK: [&str; 7] =
    ["keep_percent", "min_size", "hold_ms", "empty_hold_ms", "confirmations", "allow_empty", "window_ms"];
const FLAP: [&str; 5] = ["penalty", "suppress", "reuse", "half_life_ms", "max"];
const HOUR: u64 = 3_600_000;
const DAY: u64 = 86_400_000;

// === impl Cache ===

impl Cache {
    /// Reads the field `cache` of a registry.
    #[inline(never)]
    pub(crate) fn read(registry: &Object<'_>) -> Option<Self> {
        let object = registry.inner("cache", &FIELDS)?;
        let ttl_ms = object.natural("ttl_ms", 10_000, 100, DAY, "ms");
        let stale_while_revalidate_ms = object.natural("stale_while_revalidate_ms", 60_000, 0, DAY, "ms");
        let stale_if_error_ms = object.natural("stale_if_error_ms", DAY, 0, DAY.saturating_mul(30), "ms");
        let serve_forever = object.or("serve_forever", false, Reader::boolean);
        let negative_ttl_ms = object.natural("negative_ttl_ms", 5_000, 100, 60_000, "ms");
        let max_bytes = object.count("max_bytes", 4 << 20, 1 << 10, 4 << 20, "bytes");
        let shrink = read_shrink(&object);
        let flap = read_flap(&object);
        Some(Self {
            ttl_ms: ttl_ms?,
            stale_while_revalidate_ms: stale_while_revalidate_ms?,
            stale_if_error_ms: stale_if_error_ms?,
            serve_forever: serve_forever?,
            negative_ttl_ms: negative_ttl_ms?,
            max_bytes: max_bytes?,
            shrink: shrink?,
            flap: flap?,
        })
    }
}

#[inline(never)]
fn read_shrink(cache: &Object<'_>) -> Option<shrink::ShrinkParams> {
    let object = cache.inner("empty_protection", &SHRINK)?;
    let keep_percent = object.count("keep_percent", 50, 0, 100, "%");
    let min_size = object.count("min_size", 4, 1, 5_000, "endpoints");
    let hold_ms = object.natural("hold_ms", 30_000, 0, HOUR, "ms");
    let empty_hold_ms = object.natural("empty_hold_ms", 300_000, 0, DAY, "ms");
    let confirmations = object.count("confirmations", 3, 1, 100, "answers");
    let allow_empty = object.or("allow_empty", false, Reader::boolean);
    let window_ms = object.natural("window_ms", 60_000, 0, HOUR, "ms");
    Some(shrink::ShrinkParams {
        keep_percent: keep_percent?,
        min_size: min_size?,
        hold: Span::from_millis(hold_ms?),
        empty_hold: Span::from_millis(empty_hold_ms?),
        confirmations: confirmations?,
        allow_empty: allow_empty?,
        window: Span::from_millis(window_ms?),
    })
}

/// `false` is for none.
#[inline(never)]
fn read_flap(cache: &Object<'_>) -> Option<Option<flap::FlapParams>> {
    let Some(object) = switched(cache, "flap_damping", &FLAP)? else { return Some(None) };
    let penalty = object.count("penalty", 1_000, 1, 1_000_000, "");
    let suppress = object.count("suppress", 2_000, 1, 1_000_000, "");
    let reuse = object.count("reuse", 750, 1, 1_000_000, "");
    let half_life_ms = object.natural("half_life_ms", 60_000, 1_000, HOUR, "ms");
    let max = object.count("max", 12_000, 1, 1_000_000, "");
    let (suppress, reuse, max) = (suppress?, reuse?, max?);
    if !(reuse < suppress && suppress <= max) {
        let found = alloc::format!("reuse at {reuse}, suppress at {suppress}, at most {max}");
        cache.optional("flap_damping")?.report(alloc::format!("{found}, expected each above the one before"));
        return None;
    }
    Some(Some(flap::FlapParams {
        penalty: penalty?.into(),
        suppress: suppress.into(),
        reuse: reuse.into(),
        most: max.into(),
        half_life: Span::from_millis(half_life_ms?),
    }))
}
