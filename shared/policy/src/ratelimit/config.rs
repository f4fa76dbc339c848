//! The configuration of the rate-limit filter, as users write it.
//!
//! The reference with all fields, bounds and defaults is `docs/config/ratelimit.md`; a test keeps
//! it and this file from drifting apart.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use super::headers::Style;
use super::lease::LeaseParams;
use super::reply;
use super::state::{self, SLOTS};
use crate::config::{document, number, unique_name, ConfigError, Object, Reader};
use crate::gcra::Rate;
use crate::http::matcher::collect;
use crate::http::{Matcher, ReplyPolicy};
use crate::key::{Key, Part, Repeated};
use crate::time::Span;

/// Everything that the filter was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The limits in the order of the document.
    pub limits: Vec<Limit>,
    /// How replies and responses tell the client about its limits.
    pub headers: Style,
    /// Whether admitted responses carry these headers too.
    pub headers_on_admitted: bool,
    /// Whether access logs are told of requests that were plainly admitted, too.
    pub log_admitted: bool,
    /// What refused clients get.
    pub reply: ReplyPolicy,
    /// What becomes of a request that the filter cannot decide.
    pub on_failure: OnFailure,
}

/// One limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Its name in metrics, replies and logs.
    pub name: String,
    /// [`number`] of the name, in cells; its lower half, in hashed keys.
    pub number: u32,
    /// To which requests it applies; to all, when empty.
    pub matches: Vec<Matcher>,
    /// What it counts by.
    pub key: Key,
    /// What counts of a part that a request has several times.
    pub repeated: Repeated,
    /// What happens to requests that lack a part of the key.
    pub on_missing_key: OnMissingKey,
    /// Requests in a period, as configured.
    pub requests: u32,
    /// The period, as configured.
    pub period: Span,
    /// How fast and how much at once.
    pub rate: Rate,
    /// [`state::tag`] of the rate.
    pub tag: u32,
    /// Units that one request costs.
    pub cost: u64,
    /// Whether it refuses.
    pub mode: Mode,
    /// Bounds of its leases.
    pub lease: LeaseParams,
    /// Blocks of its table, as a power of two.
    pub block_bits: u32,
}

/// What a limit does about requests beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Refuses them.
    Enforce,
    /// Counts them and lets them pass.
    Observe,
}

/// What happens to a request that lacks a part of a limit's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMissingKey {
    /// It is refused.
    Refuse,
    /// It shares one bucket with all others that lack the same.
    Shared,
    /// The limit does not apply to it.
    Skip,
}

/// What becomes of a request when the filter itself fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It passes.
    Allow,
    /// It is answered with 503.
    Refuse,
}

/// Most limits of one filter.
const MAX_LIMITS: usize = 32;
/// Most keys of all tables together, about 70 MiB of cells.
const MAX_KEYS: u64 = 4 << 20;
const FIELDS: [&str; 9] = [
    "limits",
    "table",
    "leases",
    "headers",
    "headers_on_admitted",
    "log_admitted",
    "reply",
    "mode",
    "on_failure",
];
const LIMIT_FIELDS: [&str; 11] = [
    "name",
    "match",
    "key",
    "requests",
    "per_ms",
    "burst",
    "cost",
    "repeated",
    "on_missing_key",
    "mode",
    "table",
];
const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];

// === impl Policy ===

impl Policy {
    /// Parses the filter's configuration, for a module that can add headers to admitted
    /// responses or for one that cannot.
    ///
    /// # Errors
    /// Every problem of the document.
    pub fn parse(json: &[u8], has_responses: bool) -> Result<Self, ConfigError> {
        document(json, |reader| Self::read(reader, has_responses))
    }

    /// Reads the policy of the object at `reader`; `None` after reporting what is wrong with it.
    pub fn read(reader: &Reader<'_>, has_responses: bool) -> Option<Self> {
        let object = reader.object(&FIELDS)?;
        let defaults = Defaults::read(&object);
        let limits = object.required("limits", "a list of limits").and_then(|r| {
            let items = r.items(1..=MAX_LIMITS, "limits")?;
            let limits = items.iter().enumerate().map(|(index, item)| {
                let earlier = items.get(..index).unwrap_or(&[]);
                Limit::read(item, earlier, defaults.as_ref()?)
            });
            let limits = limits.fold(Some(Vec::new()), collect)?;
            fits(&r, &limits).then_some(limits)
        });
        let styles =
            [("draft11", Style::Draft11), ("draft03_envoy", Style::Draft03Envoy), ("none", Style::None)];
        let headers = object.or("headers", Style::Draft11, |r| r.choice(&styles));
        let headers_on_admitted = object.or("headers_on_admitted", false, |r| {
            let wanted = r.boolean()?;
            if wanted && !has_responses {
                r.report(
                    "this module has no response callback, expected tidegate-ratelimit-headers.wasm"
                        .to_owned(),
                );
            }
            Some(wanted)
        });
        let log_admitted = object.or("log_admitted", false, Reader::boolean);
        let refused = reply::default();
        let reply = object.or("reply", refused.clone(), |r| ReplyPolicy::read(r, &refused, 400..=599));
        let failures = [("allow", OnFailure::Allow), ("refuse", OnFailure::Refuse)];
        let on_failure = object.or("on_failure", OnFailure::Allow, |r| r.choice(&failures));
        Some(Self {
            limits: limits?,
            headers: headers?,
            headers_on_admitted: headers_on_admitted?,
            log_admitted: log_admitted?,
            reply: reply?,
            on_failure: on_failure?,
        })
    }
}

/// What limits take from the top of the document.
struct Defaults {
    mode: Mode,
    keys: u64,
    lease_units: u64,
    lease_ttl: Span,
}

impl Defaults {
    /// `None` values were reported; the limits are still checked with sane ones.
    fn read(object: &Object<'_>) -> Option<Self> {
        let mode = object.or("mode", Mode::Enforce, |r| r.choice(&MODES));
        let keys = object.or("table", 32_768, |r| table_keys(r));
        let leases = object.or("leases", Some((32, 100)), |r| {
            let leases = r.object(&["units", "ttl_ms"])?;
            let units = leases.or("units", 32, |r| r.integer(0..=1024, "units"));
            let ttl_ms = leases.or("ttl_ms", 100, |r| r.integer(1..=10_000, "ms"));
            Some(units.zip(ttl_ms))
        });
        let (lease_units, ttl_ms) = leases.flatten().unwrap_or((32, 100));
        Some(Self {
            mode: mode.unwrap_or(Mode::Enforce),
            keys: keys.unwrap_or(32_768),
            lease_units,
            lease_ttl: Span::from_millis(ttl_ms),
        })
    }
}

/// Reads `{"keys": 32768}`: how many keys a table has room for.
fn table_keys(reader: &Reader<'_>) -> Option<u64> {
    let table = reader.object(&["keys"])?;
    table.or("keys", 32_768, |r| r.integer(16..=1 << 20, "keys"))
}

/// Whether all tables together are within bounds.
fn fits(reader: &Reader<'_>, limits: &[Limit]) -> bool {
    let total = limits.iter().fold(0_u64, |sum, limit| sum.saturating_add(limit.keys()));
    if total > MAX_KEYS {
        reader.report(format!("the tables have room for {total} keys together, expected at most {MAX_KEYS}"));
    }
    total <= MAX_KEYS
}

// === impl Limit ===

impl Limit {
    /// Keys that its table has room for.
    #[must_use]
    pub fn keys(&self) -> u64 {
        (SLOTS as u64).checked_shl(self.block_bits).unwrap_or(u64::MAX)
    }

    fn read(reader: &Reader<'_>, earlier: &[Reader<'_>], defaults: &Defaults) -> Option<Self> {
        let object = reader.object(&LIMIT_FIELDS)?;
        let name = object.required("name", "a name").and_then(|r| unique_name(&r, earlier));
        let matches = object.or("match", Vec::new(), Matcher::read_any);
        let parts = object.required("key", "a list of key parts").and_then(|r| {
            let items = r.items(1..=8, "key parts")?;
            items.iter().map(Part::read).fold(Some(Vec::new()), collect)
        });
        let missing = [
            ("shared", OnMissingKey::Shared),
            ("skip", OnMissingKey::Skip),
            ("refuse", OnMissingKey::Refuse),
        ];
        let repeated = [
            ("each", Repeated::Each),
            ("first", Repeated::First),
            ("last", Repeated::Last),
            ("refuse", Repeated::Refuse),
        ];
        let repeated = object.or("repeated", Repeated::Each, |r| r.choice(&repeated));
        let on_missing_key = object.or("on_missing_key", OnMissingKey::Shared, |r| r.choice(&missing));
        let mode = object.or("mode", defaults.mode, |r| r.choice(&MODES));
        let keys = object.or("table", defaults.keys, table_keys);
        let rate = read_rate(&object);

        let (requests, period, rate, cost) = rate?;
        let name = name?;
        let number = number(&name);
        let rule = u16::try_from(number & 0xffff).unwrap_or(0);
        let key = Key::new(rule, parts?);
        let lease = LeaseParams::new(rate, cost, defaults.lease_units, defaults.lease_ttl);
        let block_bits = if key.is_constant() { 0 } else { block_bits(keys?) };
        Some(Self {
            matches: matches?,
            repeated: repeated?,
            on_missing_key: on_missing_key?,
            mode: mode?,
            tag: state::tag(rate),
            name,
            number,
            key,
            requests,
            period,
            rate,
            cost,
            lease,
            block_bits,
        })
    }
}

/// Reads what makes the rate: the requests, the period, the rate and the cost.
fn read_rate(object: &Object<'_>) -> Option<(u32, Span, Rate, u64)> {
    let counts = 1..=u64::from(u32::MAX);
    let requests = object
        .required("requests", "an integer, 1 to 4294967295 requests")
        .and_then(|r| r.integer(counts.clone(), "requests"));
    let per_ms = object
        .required("per_ms", "an integer, 1 to 86400000 ms")
        .and_then(|r| r.integer(1..=86_400_000, "ms"));
    let burst = object.or("burst", requests, |r| r.integer(counts.clone(), "requests").map(Some)).flatten();
    let cost = object.or("cost", 1, |r| r.integer(counts, "units"));

    let (requests, burst, cost) = (requests?, burst?, cost?);
    if cost > burst {
        let reader = object.optional("cost").or_else(|| object.optional("burst"))?;
        reader
            .report(format!("a cost of {cost} with a burst of {burst} never passes, expected 1 to {burst}"));
        return None;
    }
    let as_count = |n: u64| u32::try_from(n).ok().and_then(NonZeroU32::new);
    let period = Span::from_millis(per_ms?);
    let requests = as_count(requests)?;
    let rate = Rate::new(requests, period, as_count(burst)?);
    if rate.is_none() {
        let reader = object.optional("burst").or_else(|| object.optional("requests"))?;
        reader.report(format!(
            "a burst of {burst} would take over 146 years to come back, expected a smaller one"
        ));
    }
    Some((requests.get(), period, rate?, cost))
}

/// Blocks for `keys` keys, rounded up to a power of two, as its exponent.
fn block_bits(keys: u64) -> u32 {
    keys.div_ceil(SLOTS as u64).next_power_of_two().trailing_zeros()
}
