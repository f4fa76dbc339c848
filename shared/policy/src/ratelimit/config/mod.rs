//! The configuration of the rate-limit filter, as users write it.
//!
//! The reference with all fields, bounds and defaults is `docs/config/ratelimit.md`; a test keeps
//! it and this file from drifting apart.

pub mod fields;
mod mode;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::claims::Claim;
use crate::config::{all, document, identity, ConfigError, Field, Object, Reader, Scope};
use crate::gcra::Rate;
use crate::hash::xxh64::xxh64;
use crate::http::{Matcher, ReplyPolicy};
use crate::key::{Key, Layer, Repeated};
use crate::ratelimit::headers::Style;
use crate::ratelimit::lease::LeaseParams;
use crate::ratelimit::state::{self, SLOTS};
use crate::time::Span;

pub use mode::{Mode, OnFailure, OnMissingKey};

/// Everything that the filter was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Where the names of limits belong.
    pub scope: Scope,
    /// What decides which requests the limits apply to, as a hash.
    pub identity: u64,
    /// The limits in the order of the document. One that counts in several IPv6 networks is as many, the
    /// widest first.
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
    /// Its name in metrics, replies and logs; with `-48` or the like for a wider network.
    pub name: String,
    /// [`Scope::number`] of the name, in cells; its lower half, in hashed keys.
    pub number: u32,
    /// To which requests it applies; to all, when empty.
    pub matches: Vec<Matcher>,
    /// What it counts by.
    pub key: Key,
    /// What counts of a part that a request has several times.
    pub repeated: Repeated,
    /// What happens to requests that lack a part of the key.
    pub on_missing_key: OnMissingKey,
    /// Requests in a period, as configured; of a wider network times its multiplier.
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

/// Most keys of all tables together, about 70 MiB of cells.
const MAX_KEYS: u64 = 4 << 20;

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

    /// Makes a policy of a document, or of the part of one that stands here.
    #[must_use]
    pub fn read(reader: &Reader<'_>, has_responses: bool) -> Option<Self> {
        let object = reader.checked(&fields::DOCUMENT)?;
        let headers_on_admitted = object.get(&fields::HEADERS_ON_ADMITTED);
        if headers_on_admitted == Some(true) && !has_responses {
            let found = "this module has no response callback".to_owned();
            object.report_at(&fields::HEADERS_ON_ADMITTED, found, "tidegate-ratelimit-headers.wasm");
        }
        let defaults = Defaults::read(&object);
        let items = object.items(&fields::LIMITS);
        let mut limits = Some(Vec::new());
        for (index, item) in items.iter().enumerate() {
            let earlier = items.get(..index).unwrap_or(&[]);
            let read = item.object().and_then(|object| Limit::read(&object, earlier, &defaults));
            limits = limits.zip(read).map(|(mut limits, read)| {
                limits.extend(read);
                limits
            });
        }
        let limits = limits?;
        (fits(&object, &limits) && apart(&object, &limits)).then_some(())?;
        let decides =
            [fields::LIMIT_NAME.def(), fields::MATCH.def(), fields::KEY.def(), fields::ON_MISSING_KEY.def()];
        Some(Self {
            identity: defaults.scope.hash(identity(&items, &decides)),
            scope: defaults.scope,
            limits,
            headers: object.get(&fields::HEADERS)?,
            headers_on_admitted: headers_on_admitted?,
            log_admitted: object.get(&fields::LOG_ADMITTED)?,
            reply: ReplyPolicy::read(&object.inner(&fields::REPLY)?, &fields::STATUS, &fields::GRPC_STATUS)?,
            on_failure: object.get(&fields::ON_FAILURE)?,
        })
    }
}

/// What limits take from the top of the document.
struct Defaults {
    scope: Scope,
    mode: Mode,
    keys: u64,
    lease_units: u64,
    lease_ttl: Span,
}

impl Defaults {
    /// What was reported is read as something: the limits are still looked at.
    fn read(object: &Object<'_>) -> Self {
        let (leases, table) = (object.inner(&fields::LEASES), object.inner(&fields::TABLE));
        let lease = |field: &Field<u64>| leases.as_ref().and_then(|leases| leases.get(field)).unwrap_or(0);
        Self {
            scope: Scope::read(object).unwrap_or_default(),
            mode: object.get(&fields::MODE).unwrap_or(Mode::Enforce),
            keys: table.and_then(|table| table.get(&fields::KEYS)).unwrap_or(0),
            lease_units: lease(&fields::UNITS),
            lease_ttl: Span::from_millis(lease(&fields::TTL_MS)),
        }
    }
}

/// Whether all tables together are within bounds.
fn fits(object: &Object<'_>, limits: &[Limit]) -> bool {
    let total = limits.iter().fold(0_u64, |sum, limit| sum.saturating_add(limit.keys()));
    if total > MAX_KEYS {
        let found = format!("the tables have room for {total} keys together");
        object.report_at(&fields::LIMITS, found, format!("at most {MAX_KEYS}"));
    }
    total <= MAX_KEYS
}

/// Whether each limit has a number of its own. Those of wider networks come from names that the document
/// does not have.
fn apart(object: &Object<'_>, limits: &[Limit]) -> bool {
    let mut rest = limits;
    while let Some((limit, others)) = rest.split_first() {
        if let Some(other) = others.iter().find(|other| other.number == limit.number) {
            let same = if other.name == limit.name { "name" } else { "number" };
            let found = format!("{:?} has the same {same} as {:?}", other.name, limit.name);
            object.report_at(&fields::LIMITS, found, "another name for one of them");
            return false;
        }
        rest = others;
    }
    true
}

// === impl Limit ===

impl Limit {
    /// Keys that its table has room for.
    #[must_use]
    pub fn keys(&self) -> u64 {
        (SLOTS as u64).checked_shl(self.block_bits).unwrap_or(u64::MAX)
    }

    /// What the policy means by its name: what decides when and where others that have it charge a bucket.
    pub(super) fn claim(&self, scope: &Scope) -> Claim {
        let period = self.period.as_millis();
        let value = format!("{} in {period} ms, burst {}", self.requests, self.rate.burst());
        let key = xxh64(format!("{:?}", self.key).as_bytes(), 0);
        let words = [u64::from(self.tag), u64::from(self.block_bits), key];
        let name = format!("limit {}", scope.quoted(&self.name));
        Claim { name, value, tag: words.iter().fold(0, |seed, word| xxh64(&word.to_le_bytes(), seed)) }
    }

    /// Reads a limit: one for each network in which it counts IPv6 clients.
    fn read(object: &Object<'_>, earlier: &[Reader<'_>], defaults: &Defaults) -> Option<Vec<Self>> {
        let name = defaults.scope.unique_name(object, &fields::LIMIT_NAME, earlier);
        let layers = Layer::read_all(&object.items(&fields::KEY));
        let (requests, burst, cost) = read_units(object)?;
        let limit = |layer: &Layer, name: String| {
            let times = layer.wider.map_or(1, |(_, times)| times);
            let (requests, burst) = (times_at_most(requests, times), times_at_most(burst, times));
            Self::of_layer(object, layer, name, (requests, burst, cost), defaults)
        };
        let (name, layers) = (name?, layers?);
        let named = layers.iter().map(|layer| match layer.wider {
            Some((prefix, _)) => limit(layer, format!("{name}-{prefix}")),
            None => limit(layer, name.clone()),
        });
        all(named)
    }

    fn of_layer(
        object: &Object<'_>,
        layer: &Layer,
        name: String,
        (requests, burst, cost): (u32, u32, u64),
        defaults: &Defaults,
    ) -> Option<Self> {
        let number = defaults.scope.number(&name);
        let rule = u16::try_from(number & 0xffff).unwrap_or(0);
        let key = Key::new(rule, layer.parts.clone());
        let rate = read_rate(object, requests, burst)?;
        let lease = LeaseParams::new(rate, cost, defaults.lease_units, defaults.lease_ttl);
        let table = object.maybe_inner(&fields::LIMIT_TABLE)?;
        let keys = match table {
            Some(table) => table.get(&fields::KEYS)?,
            None => defaults.keys,
        };
        let block_bits = if key.is_constant() { 0 } else { block_bits(keys) };
        Some(Self {
            matches: Matcher::read_any(&object.items(&fields::MATCH))?,
            repeated: object.get(&fields::REPEATED)?,
            on_missing_key: object.get(&fields::ON_MISSING_KEY)?,
            mode: object.maybe(&fields::LIMIT_MODE)?.unwrap_or(defaults.mode),
            tag: state::tag(rate),
            name,
            number,
            key,
            requests,
            period: Span::from_millis(object.get(&fields::PER_MS)?),
            rate,
            cost,
            lease,
            block_bits,
        })
    }
}

/// Reads requests, burst and cost.
fn read_units(object: &Object<'_>) -> Option<(u32, u32, u64)> {
    let requests = object.get(&fields::REQUESTS)?;
    let burst = object.maybe(&fields::BURST)?.unwrap_or(requests);
    let cost = object.get(&fields::COST)?;
    if cost > burst {
        let field = if object.has(&fields::COST) { &fields::COST } else { &fields::BURST };
        let found = format!("a cost of {cost} with a burst of {burst} never passes");
        object.report_at(field, found, format!("1 to {burst}"));
        return None;
    }
    Some((requests, burst, cost.into()))
}

/// The rate of so many requests in the limit's period.
fn read_rate(object: &Object<'_>, requests: u32, burst: u32) -> Option<Rate> {
    let period = Span::from_millis(object.get(&fields::PER_MS)?);
    let rate = Rate::new(NonZeroU32::new(requests)?, period, NonZeroU32::new(burst)?);
    if rate.is_none() {
        let field = if object.has(&fields::BURST) { &fields::BURST } else { &fields::REQUESTS };
        let found = format!("a burst of {burst} would take over 146 years to come back");
        object.report_at(field, found, "a smaller one");
    }
    rate
}

/// So many times as much, at most what a limit can have.
fn times_at_most(units: u32, times: u64) -> u32 {
    u32::try_from(u64::from(units).saturating_mul(times)).unwrap_or(u32::MAX)
}

/// Blocks for `keys` keys, rounded up to a power of two, as its exponent.
fn block_bits(keys: u64) -> u32 {
    keys.div_ceil(SLOTS as u64).next_power_of_two().trailing_zeros()
}
