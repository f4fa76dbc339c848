//! The variants of a route: where they are, what they weigh, how they ramp.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::judge::Demands;
use super::ramp::{Ramp, Step};
use super::read::basis_points;
use crate::config::{distinct_name, Object, Reader};
use crate::http::matcher::collect;

/// One variant of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name in headers, metrics and logs.
    pub name: Rc<str>,
    /// Where it is.
    pub target: Target,
    /// Its part of the sum of all weights.
    pub weight: u32,
    /// The most that it may ever weigh: the size of its territory.
    pub max_weight: Option<u32>,
    /// How its weight changes.
    pub ramp: Option<Ramp>,
    /// Whether it was named the one that takes what the others leave.
    pub baseline: bool,
}

/// Where requests of a variant go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a cluster of Envoy.
    Cluster(Rc<str>),
    /// To a discovered service, perhaps only to some of its endpoints.
    Service {
        /// Its name in the registry.
        name: String,
        /// A tag that its endpoints must have.
        tag: Option<String>,
        /// Metadata that its endpoints must have.
        metadata: Vec<(String, String)>,
    },
    /// Nowhere: they are answered with this status, as a backend that is not there is
    /// answered with 500 by the Gateway API.
    Status(u32),
}

/// Largest weight, as in the Gateway API.
pub const MAX_WEIGHT: u64 = 1_000_000;
/// Shortest interval of a ramp: it is judged a quarter of a second after its end, with what workers
/// told ten times a second, and before the one after the next takes its place.
const MIN_INTERVAL_MS: u64 = 500;
/// Longest step of a ramp, 30 days.
const MAX_HOLD_MS: u64 = 30 * 86_400_000;
const FIELDS: [&str; 8] =
    ["name", "cluster", "service", "status", "weight", "max_weight", "ramp", "baseline"];
const ABORT: [&str; 8] = [
    "breaker",
    "min_success_percent",
    "min_success_basis_points",
    "tolerance_basis_points",
    "max_p99_ms",
    "p99_percent",
    "min_samples",
    "max_failed",
];

// === impl Variant ===

impl Variant {
    pub(super) fn read(reader: &Reader<'_>, earlier: &[Reader<'_>]) -> Option<Self> {
        let object = reader.object(&FIELDS)?;
        let name = object.required("name", "a name").and_then(|r| distinct_name(&r, earlier));
        let target = Target::read(reader, &object);
        let weight = object.or("weight", Some(1), |r| weight(r).map(Some));
        let max_weight = object.or("max_weight", None, |r| weight_of(r, 1).map(Some));
        let ramp = object.or("ramp", None, |r| read_ramp(r).map(Some));
        let baseline = object.or("baseline", false, Reader::boolean);
        let (weight, max_weight, ramp, baseline) = (weight??, max_weight?, ramp?, baseline?);
        if baseline && (ramp.is_some() || max_weight.is_some()) {
            reader
                .report("the baseline takes what is left, expected no `ramp` and no `max_weight`".to_owned());
            return None;
        }
        Some(Self { name: name?.into(), target: target?, weight, max_weight, ramp, baseline })
    }

    /// The most that it is configured to weigh at any time.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.ramp.as_ref().map_or(self.weight, |ramp| ramp.most().max(self.weight))
    }
}

fn weight(reader: &Reader<'_>) -> Option<u32> {
    weight_of(reader, 0)
}

#[inline(never)]
fn weight_of(reader: &Reader<'_>, least: u64) -> Option<u32> {
    reader.integer(least..=MAX_WEIGHT, "").and_then(|n| u32::try_from(n).ok())
}

/// A name without spaces, which stand between words where the choice is handed on.
fn word(reader: &Reader<'_>) -> Option<String> {
    let text = reader.header_text(256)?;
    if text.contains(' ') {
        reader.report(format!("{text:?} has spaces, expected a name without"));
        return None;
    }
    Some(text)
}

/// A tag, or the value of metadata under `key`: it is handed on between `;`, with `=` after the key.
#[inline(never)]
fn part(reader: &Reader<'_>, key: &str) -> Option<String> {
    let text = word(reader)?;
    if text.contains(';') || key.bytes().any(|b| matches!(b, b';' | b'=') || !b.is_ascii_graphic()) {
        let right = "expected visible ASCII without `;`, and no `=` in a key";
        reader.report(format!("{key:?} with {text:?} cannot be handed on, {right}"));
        return None;
    }
    Some(text)
}

// === impl Target ===

impl Target {
    fn read(reader: &Reader<'_>, object: &Object<'_>) -> Option<Self> {
        let cluster = object.optional("cluster").map(|r| word(&r).map(|name| Self::Cluster(name.into())));
        let service = object.optional("service").map(|r| Self::service(&r));
        let status = object.optional("status").map(|r| {
            r.integer(400..=599, "").and_then(|status| u32::try_from(status).ok()).map(Self::Status)
        });
        let mut given = [cluster, service, status].into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(one), None) => one,
            (None, _) => {
                reader
                    .report("has no destination, expected one of `cluster`, `service`, `status`".to_owned());
                None
            }
            _ => {
                let several = "found several of `cluster`, `service`, `status`";
                reader.report(format!("{several}, expected only one of them"));
                None
            }
        }
    }

    #[inline(never)]
    fn service(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&["name", "tag", "metadata"])?;
        let name = object.required("name", "the name of a service").and_then(|r| word(&r));
        let tag = object.or("tag", None, |r| part(r, "").map(Some));
        let metadata = object.or("metadata", Vec::new(), |r| {
            let entries = r.entries(16)?;
            let pair = |(key, value): (&str, Reader<'_>)| Some((key.to_owned(), part(&value, key)?));
            entries.into_iter().map(pair).fold(Some(Vec::new()), collect)
        });
        Some(Self::Service { name: name?, tag: tag?, metadata: metadata? })
    }
}

#[inline(never)]
fn read_ramp(reader: &Reader<'_>) -> Option<Ramp> {
    let object = reader.object(&["steps", "interval_ms", "start_ms", "paused", "abort"])?;
    let steps = object.required("steps", "a list of steps").and_then(|r| {
        let items = r.items(1..=64, "steps")?;
        items.iter().map(read_step).fold(Some(Vec::new()), collect)
    });
    let interval_ms = object.natural("interval_ms", 10_000, MIN_INTERVAL_MS, 3_600_000, "ms");
    let start_ms = object.or("start_ms", None, |r| r.integer(1..=1 << 53, "ms").map(Some));
    let paused = object.or("paused", false, Reader::boolean);
    let abort = object.or("abort", Some((Demands::default(), 3, None)), |r| read_abort(r).map(Some));
    let (demands, max_failed, breaker) = abort??;
    Some(Ramp {
        steps: steps?,
        interval_ms: interval_ms?,
        start_ms: start_ms?,
        paused: paused?,
        demands,
        max_failed,
        breaker,
    })
}

#[inline(never)]
fn read_step(reader: &Reader<'_>) -> Option<Step> {
    let object = reader.object(&["weight", "hold_ms"])?;
    let weight = object.required("weight", "an integer, 0 to 1000000").and_then(|r| weight(&r));
    let hold_ms = object.required("hold_ms", "an integer, 100 to 2592000000 ms");
    let hold_ms = hold_ms.and_then(|r| r.integer(100..=MAX_HOLD_MS, "ms"));
    Some(Step { weight: weight?, hold_ms: hold_ms? })
}

#[inline(never)]
fn read_abort(reader: &Reader<'_>) -> Option<(Demands, u32, Option<String>)> {
    let object = reader.object(&ABORT)?;
    let usual = Demands::default();
    let success = basis_points(reader, &object, "min_success_percent", "min_success_basis_points");
    let tolerance_basis_points =
        object.count("tolerance_basis_points", usual.tolerance_basis_points, 0, 10_000, "basis points");
    let max_p99_ms = object.natural("max_p99_ms", usual.max_p99_ms, 0, 3_600_000, "ms");
    let p99_percent = object.count("p99_percent", usual.p99_percent, 100, 10_000, "%");
    let min_samples = object.natural("min_samples", usual.min_samples, 1, 1_000_000_000, "requests");
    let breaker = object.or("breaker", None, |r| distinct_name(r, &[]).map(Some));
    let max_failed = object.count("max_failed", 3, 1, 1000, "intervals");
    let demands = Demands {
        min_success_basis_points: success?.unwrap_or(usual.min_success_basis_points),
        tolerance_basis_points: tolerance_basis_points?,
        max_p99_ms: max_p99_ms?,
        p99_percent: p99_percent?,
        min_samples: min_samples?,
    };
    Some((demands, max_failed?, breaker?))
}
