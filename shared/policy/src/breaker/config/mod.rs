//! The configuration of the breaker filter, as users write it.
//!
//! The reference with all fields, bounds and defaults is `docs/config/breaker.md`; a test keeps
//! it and this file from drifting apart.

pub(crate) mod rules;
pub mod soft;
pub mod target;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::breaker::config::soft::Soft;
use crate::breaker::config::target::{Fallback, Target};
use crate::breaker::params::BreakerParams;
use crate::breaker::reply;
use crate::breaker::state::State;
use crate::config::{document, number, unique_name, ConfigError, Object, Reader};
use crate::hash::xxh64::xxh64;
use crate::http::classify::Rules;
use crate::http::matcher::{collect, header_name};
use crate::http::{Matcher, ReplyPolicy};

/// Everything that the filter was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The breakers in the order of the document, and behind them those that fallbacks have of
    /// their own.
    pub breakers: Vec<Breaker>,
    /// The request header that names another cluster to Envoy.
    pub cluster_header: Rc<str>,
    /// What refused clients get.
    pub reply: ReplyPolicy,
    /// What becomes of a request that the filter cannot decide.
    pub on_failure: OnFailure,
}

/// One breaker.
#[derive(Clone, Debug, PartialEq)]
pub struct Breaker {
    /// Its name in metrics, replies and logs.
    pub name: String,
    /// [`number`] of the name, in cells.
    pub number: u32,
    /// What it guards.
    pub target: Target,
    /// For which requests; for all, when empty.
    pub matches: Vec<Matcher>,
    /// When it opens, for how long, and how it is probed.
    pub params: BreakerParams,
    /// What counts as failed.
    pub rules: Rules,
    /// Refuses a share of the requests instead of opening.
    pub soft: Option<Soft>,
    /// What becomes of refused requests, the first that works.
    pub fallback: Vec<Fallback>,
    /// Whether it refuses.
    pub mode: Mode,
    /// Blocks of its table, as a power of two; for targets that show at run time.
    pub block_bits: u32,
    /// Most endpoints that may be out at once, in hundredths of all.
    pub max_ejection_percent: u32,
}

/// What a breaker does about requests that it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Refuses them.
    Enforce,
    /// Counts them and lets them pass.
    Observe,
}

/// What becomes of a request when the filter itself fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It passes.
    Allow,
    /// It is answered with 503.
    Refuse,
}

/// The request header that names another cluster unless configured otherwise.
pub const CLUSTER_HEADER: &str = "x-tidegate-cluster";

/// Most breakers, those of fallbacks among them.
const MAX_BREAKERS: usize = 64;
/// Most targets of all tables together, about 14 MiB of cells.
const MAX_TARGETS: u64 = 65_536;
/// Targets of a block.
const WAYS: u64 = crate::breaker::cells::block::WAYS as u64;
const FIELDS: [&str; 5] = ["breakers", "cluster_header", "reply", "mode", "on_failure"];
const OWN_FIELDS: [&str; 9] =
    ["name", "target", "match", "fallback", "mode", "state", "admission", "table", "max_ejection_percent"];
const PARAMS_FIELDS: [&str; 14] = [
    "failure_rate_percent",
    "slow_rate_percent",
    "slow_call_ms",
    "minimum_calls",
    "window_ms",
    "window_slots",
    "consecutive_failures",
    "half_open_permits",
    "max_half_open_ms",
    "base_open_ms",
    "backoff_multiplier_percent",
    "max_open_ms",
    "jitter_percent",
    "streak_decay_ms",
];
const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];

// === impl Policy ===

impl Policy {
    /// Parses the filter's configuration.
    ///
    /// # Errors
    /// Every problem of the document.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        document(json, Self::read)
    }

    /// Reads the policy of the object at `reader`; `None` after reporting what is wrong with it.
    pub fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&FIELDS)?;
        let refused = reply::default();
        let mode = object.or("mode", Mode::Enforce, |r| r.choice(&MODES));
        let header = object.or("cluster_header", CLUSTER_HEADER.into(), |r| header_name(r).map(Rc::from));
        let reply = object.or("reply", refused.clone(), |r| ReplyPolicy::read(r, &refused, 400..=599));
        let failures = [("allow", OnFailure::Allow), ("refuse", OnFailure::Refuse)];
        let on_failure = object.or("on_failure", OnFailure::Allow, |r| r.choice(&failures));
        let breakers = object.required("breakers", "a list of breakers").and_then(|r| {
            let items = r.items(1..=MAX_BREAKERS, "breakers")?;
            let fields: Vec<&str> =
                OWN_FIELDS.into_iter().chain(PARAMS_FIELDS).chain(rules::FIELDS).collect();
            let breakers = items.iter().enumerate().map(|(index, item)| {
                let earlier = items.get(..index).unwrap_or(&[]);
                Breaker::read(item, &fields, earlier, mode.unwrap_or(Mode::Enforce), &refused)
            });
            let breakers = breakers.fold(Some(Vec::new()), collect)?;
            fits(&r, &breakers).then_some(breakers).and_then(|breakers| resolve(&items, breakers))
        });
        Some(Self { breakers: breakers?, cluster_header: header?, reply: reply?, on_failure: on_failure? })
    }
}

/// Whether all tables together are within bounds.
fn fits(reader: &Reader<'_>, breakers: &[Breaker]) -> bool {
    let total = breakers.iter().fold(0_u64, |sum, breaker| sum.saturating_add(breaker.targets()));
    if total > MAX_TARGETS {
        let most = format!("expected at most {MAX_TARGETS}");
        reader.report(format!("the tables have room for {total} targets together, {most}"));
    }
    total <= MAX_TARGETS
}

/// Gives each fallback cluster its breaker: the one that guards this cluster without conditions,
/// else one of its own, with the parameters of the breaker that falls back.
fn resolve(items: &[Reader<'_>], mut breakers: Vec<Breaker>) -> Option<Vec<Breaker>> {
    for (index, reader) in items.iter().enumerate() {
        let mut fallbacks = breakers.get(index)?.fallback.clone();
        for (place, fallback) in fallbacks.iter_mut().enumerate() {
            let Fallback::Cluster { name, breaker } = fallback else { continue };
            let guards = |other: &Breaker| other.matches.is_empty() && other.target.is_cluster(name);
            *breaker = match breakers.iter().position(guards) {
                Some(found) => found,
                None => {
                    let own = breakers.get(index)?.for_fallback(name, place);
                    if let Some(taken) = breakers.iter().find(|other| other.number == own.number) {
                        let (own, taken) = (&own.name, &taken.name);
                        let right = "another name, or a breaker for the fallback cluster";
                        reader.report(format!("its fallback needs a breaker {own:?}, which clashes with {taken:?}, expected {right}"));
                        return None;
                    }
                    breakers.push(own);
                    breakers.len().saturating_sub(1)
                }
            };
            if *breaker == index {
                reader.report(format!("falls back to its own cluster {name:?}, expected another one"));
                return None;
            }
        }
        breakers.get_mut(index)?.fallback = fallbacks;
    }
    if breakers.len() > MAX_BREAKERS {
        let count = breakers.len();
        items
            .last()?
            .report(format!("{count} breakers with those of fallbacks, expected at most {MAX_BREAKERS}"));
        return None;
    }
    Some(breakers)
}

// === impl Target ===

impl Target {
    fn is_cluster(&self, name: &str) -> bool {
        matches!(self, Self::Cluster(cluster) if cluster == name)
    }
}

// === impl Breaker ===

impl Breaker {
    /// Targets that its table has room for; 0 when its target is known.
    #[must_use]
    pub fn targets(&self) -> u64 {
        if self.target.is_many() {
            WAYS.checked_shl(self.block_bits).unwrap_or(u64::MAX)
        } else {
            0
        }
    }

    /// Whether it guards endpoints, one by one.
    pub(crate) fn guards_endpoints(&self) -> bool {
        matches!(self.target, Target::Endpoint(_))
    }

    /// The breaker of the fallback cluster at `place`, when the configuration has none for it.
    fn for_fallback(&self, cluster: &str, place: usize) -> Self {
        let name = format!("{}-fallback-{}", self.name, place.saturating_add(1));
        Self {
            number: number(&name),
            name,
            target: Target::Cluster(cluster.to_string()),
            matches: Vec::new(),
            fallback: Vec::new(),
            soft: None,
            params: BreakerParams {
                demanded: State::Closed,
                salt: salt(&Target::Cluster(cluster.into()), false),
                ..self.params
            },
            ..self.clone()
        }
    }

    fn read(
        reader: &Reader<'_>,
        fields: &[&str],
        earlier: &[Reader<'_>],
        mode: Mode,
        refused: &ReplyPolicy,
    ) -> Option<Self> {
        let object = reader.object(fields)?;
        let name = object.required("name", "a name").and_then(|r| unique_name(&r, earlier));
        let number = name.as_deref().map_or(0, number);
        let shapes = "an object with `cluster`, `endpoint`, `key` or `route`";
        let target = object.required("target", shapes).and_then(|r| Target::read(&r, number));
        let matches = object.or("match", Vec::new(), Matcher::read_any);
        let fallback = object.or("fallback", Vec::new(), |r| {
            let items = r.items(1..=8, "fallbacks")?;
            items.iter().map(|item| Fallback::read(item, refused)).fold(Some(Vec::new()), collect)
        });
        let mode = object.or("mode", mode, |r| r.choice(&MODES));
        let params = read_params(&object);
        let rules = rules::read(&object);
        let known = params.unwrap_or_default();
        let soft = object.or("admission", None, |r| Soft::read(r, &known).map(Some));
        let keys =
            object.or("table", 1024, |r| r.object(&["keys"])?.natural("keys", 1024, 16, 16_384, "keys"));
        let ejected = object.count("max_ejection_percent", 50, 1, 100, "%");
        let target = target.filter(|target| sound(&object, target))?;
        let params =
            params.map(|params| BreakerParams { salt: salt(&target, object.has("admission")), ..params });
        Some(Self {
            name: name?.to_string(),
            number,
            target,
            matches: matches?,
            params: params?,
            rules: rules?,
            soft: soft?,
            fallback: fallback?,
            mode: mode?,
            block_bits: keys?.div_ceil(WAYS).next_power_of_two().trailing_zeros(),
            max_ejection_percent: ejected?,
        })
    }
}

/// What tells breakers of one name apart: one that guards something else, or by other means, starts
/// anew. Parts of a key are not told apart.
fn salt(target: &Target, soft: bool) -> u64 {
    let (kind, name) = match target {
        Target::Cluster(name) => (1, name.as_str()),
        Target::Endpoint(name) => (2, name.as_str()),
        Target::Key(_) => (3, ""),
        Target::Route(name) => (4, name.as_str()),
    };
    xxh64(name.as_bytes(), kind | (u64::from(soft) << 8))
}

/// Whether what the document says besides the target goes with it.
fn sound(object: &Object<'_>, target: &Target) -> bool {
    let endpoint = matches!(target, Target::Endpoint(_));
    let mut sound = true;
    let mut never = |field: &str, wrong: bool, right: &str| {
        if let (Some(reader), true) = (object.optional(field), wrong) {
            reader.report(format!("does not go with this target, expected {right}"));
            sound = false;
        }
    };
    never("fallback", endpoint, "none: an attempt has its endpoint already");
    never("match", endpoint, "none: every attempt at an endpoint counts");
    never("admission", target.is_many(), "none: a window is kept only of targets that fail");
    never("max_ejection_percent", !endpoint, "it with an endpoint only");
    never("table", !target.is_many(), "it with a key or an endpoint only");
    sound
}

/// Reads when a breaker opens, for how long, and how it is probed.
fn read_params(object: &Object<'_>) -> Option<BreakerParams> {
    let default = BreakerParams::default();
    let (all, day) = (u32::MAX, 86_400_000);
    let failure_rate_percent =
        object.count("failure_rate_percent", default.failure_rate_percent, 1, 100, "%");
    let slow_rate_percent = object.count("slow_rate_percent", default.slow_rate_percent, 1, 100, "%");
    let slow_call_ms = object.natural("slow_call_ms", default.slow_call_ms, 0, day, "ms");
    let minimum_calls =
        object.count("minimum_calls", default.minimum_calls, 1, all.saturating_sub(1), "calls");
    let run = object.count("consecutive_failures", default.consecutive_failures, 0, all, "failures");
    let permits =
        object.count("half_open_permits", default.half_open_permits.into(), 1, u16::MAX.into(), "permits");
    let max_half_open_ms = object.natural("max_half_open_ms", default.max_half_open_ms, 0, day, "ms");
    let backoff_multiplier_percent =
        object.count("backoff_multiplier_percent", default.backoff_multiplier_percent, 100, 1_000, "%");
    let jitter_percent = object.count("jitter_percent", default.jitter_percent, 0, 100, "%");
    let streak_decay_ms = object.natural("streak_decay_ms", default.streak_decay_ms, 0, day, "ms");
    let states = [
        ("auto", State::Closed),
        ("forced_open", State::ForcedOpen),
        ("disabled", State::Disabled),
        ("metrics_only", State::MetricsOnly),
    ];
    let demanded = object.or("state", State::Closed, |r| r.choice(&states));
    let window = read_window(object);
    let open = read_open_times(object);
    let (slots, slot_ms) = window?;
    let (base_open_ms, max_open_ms) = open?;
    Some(BreakerParams {
        failure_rate_percent: failure_rate_percent?,
        slow_rate_percent: slow_rate_percent?,
        slow_call_ms: slow_call_ms?,
        minimum_calls: minimum_calls?,
        slots,
        slot_ms,
        consecutive_failures: run?,
        half_open_permits: u16::try_from(permits?).unwrap_or(u16::MAX),
        max_half_open_ms: max_half_open_ms?,
        base_open_ms,
        backoff_multiplier_percent: backoff_multiplier_percent?,
        max_open_ms,
        jitter_percent: jitter_percent?,
        streak_decay_ms: streak_decay_ms?,
        demanded: demanded?,
        salt: 0,
    })
}

/// Reads the window: how many slots of how many milliseconds. A slot is at least 100 ms long,
/// which is how often workers tell each other what they counted.
fn read_window(object: &Object<'_>) -> Option<(u32, u64)> {
    let slots = object.natural("window_slots", 10, 1, 64, "slots");
    let window_ms = object.natural("window_ms", 10_000, 1_000, 3_600_000, "ms");
    let (slots, window_ms) = (slots?, window_ms?);
    let slot_ms = window_ms.checked_div(slots)?;
    if slot_ms < 100 || slot_ms.saturating_mul(slots) != window_ms {
        let reader = object.optional("window_slots").or_else(|| object.optional("window_ms"))?;
        let right = "slots of the same whole number of ms, at least 100";
        reader
            .report(format!("a window of {window_ms} ms does not fall into {slots} slots, expected {right}"));
        return None;
    }
    Some((u32::try_from(slots).ok()?, slot_ms))
}

/// Reads how long it stays open the first time and at most.
fn read_open_times(object: &Object<'_>) -> Option<(u64, u64)> {
    let day = 86_400_000;
    let base = object.natural("base_open_ms", 5_000, 1, day, "ms");
    let most = object.natural("max_open_ms", 300_000, 1, day, "ms");
    let (base, most) = (base?, most?);
    if base > most {
        let reader = object.optional("max_open_ms").or_else(|| object.optional("base_open_ms"))?;
        reader
            .report(format!("at first {base} ms, at most {most} ms, expected a most of at least {base} ms"));
        return None;
    }
    Some((base, most))
}
