//! The configuration of the breaker filter, as users write it.
//!
//! The reference with all fields, bounds and defaults is `docs/config/breaker.md`; a test keeps
//! it and this file from drifting apart.

pub mod fields;
mod mode;
mod params;
mod rules;
pub mod soft;
mod statuses;
pub mod target;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::breaker::config::soft::Soft;
use crate::breaker::config::target::{Fallback, Target};
use crate::breaker::params::BreakerParams;
use crate::breaker::state::State;
use crate::claims::Claim;
use crate::config::{all, collect, document, ConfigError, Def, Object, Reader, Scope};
use crate::hash::xxh64::xxh64;
use crate::http::classify::Rules;
use crate::http::{reply, Matcher, ReplyPolicy};

pub use fields::CLUSTER_HEADER_NAME as CLUSTER_HEADER;
pub use mode::{Mode, OnFailure, RefusalHeaders};

/// Everything that the filter was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Where the names of breakers belong.
    pub scope: Scope,
    /// The breakers in the order of the document, and behind them those that fallbacks have of
    /// their own.
    pub breakers: Vec<Breaker>,
    /// The request header that names another cluster to Envoy.
    pub cluster_header: Rc<str>,
    /// Whether a refusal says that a breaker answered.
    pub headers: RefusalHeaders,
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
    /// [`Scope::number`] of the name, in cells.
    pub number: u32,
    /// What it guards.
    pub target: Target,
    /// For which requests; for all, when empty.
    pub matches: Vec<Matcher>,
    /// When it opens, for how long, and how it is probed.
    pub params: BreakerParams,
    /// What counts as failed.
    pub rules: Rules,
    /// Whether a throttled call counts as failed for the failure rate, and fails a probe.
    pub count_throttled: bool,
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

/// Most breakers, those of fallbacks among them.
const MAX_BREAKERS: usize = 64;
/// Most targets of all tables together, about 14 MiB of cells.
const MAX_TARGETS: u64 = 65_536;
/// Targets of a block.
const WAYS: u64 = crate::breaker::cells::block::WAYS as u64;

// === impl Policy ===

impl Policy {
    /// Parses the filter's configuration.
    ///
    /// # Errors
    /// Every problem of the document.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        document(json, Self::read)
    }

    /// Makes a policy of a document, or of the part of one that stands here.
    #[must_use]
    pub fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.checked(&fields::DOCUMENT)?;
        let mode = object.get(&fields::MODE).unwrap_or(Mode::Enforce);
        let scope = Scope::read(&object).unwrap_or_default();
        let items = object.items(&fields::BREAKERS);
        let breakers = items.iter().enumerate().map(|(index, item)| {
            let earlier = items.get(..index).unwrap_or(&[]);
            Breaker::read(&item.object()?, earlier, mode, &scope)
        });
        let breakers = breakers.fold(Some(Vec::new()), collect)?;
        fits(&object, &breakers).then_some(())?;
        Some(Self {
            breakers: resolve(&items, breakers, &scope)?,
            scope,
            cluster_header: object.get(&fields::CLUSTER_HEADER)?.into(),
            headers: object.get(&fields::HEADERS)?,
            reply: ReplyPolicy::read(&object.inner(&fields::REPLY)?, &reply::STATUS, &reply::GRPC_STATUS)?,
            on_failure: object.get(&fields::ON_FAILURE)?,
        })
    }
}

/// Whether all tables together are within bounds.
fn fits(object: &Object<'_>, breakers: &[Breaker]) -> bool {
    let total = breakers.iter().fold(0_u64, |sum, breaker| sum.saturating_add(breaker.targets()));
    if total > MAX_TARGETS {
        let found = format!("the tables have room for {total} targets together");
        object.report_at(&fields::BREAKERS, found, format!("at most {MAX_TARGETS}"));
    }
    total <= MAX_TARGETS
}

/// Gives each fallback cluster its breaker: the one that guards this cluster without conditions,
/// else one of its own, with the parameters of the breaker that falls back.
fn resolve(items: &[Reader<'_>], mut breakers: Vec<Breaker>, scope: &Scope) -> Option<Vec<Breaker>> {
    for (index, reader) in items.iter().enumerate() {
        let mut fallbacks = breakers.get(index)?.fallback.clone();
        for (place, fallback) in fallbacks.iter_mut().enumerate() {
            let Fallback::Cluster { name, breaker } = fallback else { continue };
            let guards = |other: &Breaker| other.matches.is_empty() && other.target.is_cluster(name);
            *breaker = match breakers.iter().position(guards) {
                Some(found) => found,
                None => {
                    let own = breakers.get(index)?.for_fallback(name, place, scope);
                    if let Some(taken) = breakers.iter().find(|other| other.number == own.number) {
                        let (own, taken) = (&own.name, &taken.name);
                        let found =
                            format!("its fallback needs a breaker {own:?}, which clashes with {taken:?}");
                        reader.report(found, "another name, or a breaker for the fallback cluster");
                        return None;
                    }
                    breakers.push(own);
                    breakers.len().saturating_sub(1)
                }
            };
            if *breaker == index {
                reader.report(format!("falls back to its own cluster {name:?}"), "another one");
                return None;
            }
        }
        breakers.get_mut(index)?.fallback = fallbacks;
    }
    if breakers.len() > MAX_BREAKERS {
        let found = format!("{} breakers with those of fallbacks", breakers.len());
        items.last()?.report(found, format!("at most {MAX_BREAKERS}"));
        return None;
    }
    Some(breakers)
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

    /// What the policy means by its name: its target, and when it opens and for how long.
    pub(super) fn claim(&self, scope: &Scope) -> Claim {
        let params = &self.params;
        let value = format!(
            "of {}, consecutive_failures {}, failure_rate_percent {}, base_open_ms {}",
            self.target, params.consecutive_failures, params.failure_rate_percent, params.base_open_ms
        );
        let target = xxh64(format!("{:?}", self.target).as_bytes(), 0);
        let words = [u64::from(params.tag()), u64::from(self.block_bits), target];
        let name = format!("breaker {}", scope.quoted(&self.name));
        Claim { name, value, tag: words.iter().fold(0, |seed, word| xxh64(&word.to_le_bytes(), seed)) }
    }

    /// The breaker of the fallback cluster at `place`, when the configuration has none for it.
    fn for_fallback(&self, cluster: &str, place: usize, scope: &Scope) -> Self {
        let name = format!("{}-fallback-{}", self.name, place.saturating_add(1));
        Self {
            number: scope.number(&name),
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

    fn read(object: &Object<'_>, earlier: &[Reader<'_>], mode: Mode, scope: &Scope) -> Option<Self> {
        let name = scope.unique_name(object, &fields::BREAKER_NAME, earlier);
        let number = name.as_deref().map_or(0, |name| scope.number(name));
        let params = params::read(object);
        let target = Target::read(&object.inner(&fields::TARGET)?, number);
        let target = target.filter(|target| sound(object, target));
        let admission = object.maybe_inner(&fields::ADMISSION)?;
        let params = params?;
        let soft = match &admission {
            Some(admission) => Some(Soft::read(admission, &params)?),
            None => None,
        };
        let target = target?;
        let fallback = object.items(&fields::FALLBACK);
        let keys = object.inner(&fields::TABLE)?.get(&fields::KEYS)?;
        Some(Self {
            name: name?,
            number,
            matches: Matcher::read_any(&object.items(&fields::MATCH))?,
            params: BreakerParams { salt: salt(&target, soft.is_some()), ..params },
            target,
            rules: rules::read(object)?,
            count_throttled: object.get(&fields::COUNT_THROTTLED)?,
            soft,
            fallback: all(fallback.iter().map(|item| Fallback::read(&item.object()?)))?,
            mode: object.maybe(&fields::BREAKER_MODE)?.unwrap_or(mode),
            block_bits: keys.div_ceil(WAYS).next_power_of_two().trailing_zeros(),
            max_ejection_percent: object.get(&fields::MAX_EJECTION_PERCENT)?,
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
        Target::Service(name) => (5, name.as_str()),
        Target::Variant(name) => (6, name.as_str()),
    };
    xxh64(name.as_bytes(), kind | (u64::from(soft) << 8))
}

/// Whether what the document says besides the target goes with it.
#[inline(never)]
fn sound(object: &Object<'_>, target: &Target) -> bool {
    let endpoint = matches!(target, Target::Endpoint(_));
    let rules: [(&Def, bool, &'static str); 5] = [
        (fields::FALLBACK.def(), endpoint, "none: an attempt has its endpoint already"),
        (fields::MATCH.def(), endpoint, "none: every attempt at an endpoint counts"),
        (fields::ADMISSION.def(), target.is_many(), "none: a window is kept only of targets that fail"),
        (fields::MAX_EJECTION_PERCENT.def(), !endpoint, "it with an endpoint only"),
        (fields::TABLE.def(), !target.is_many(), "it with a key or an endpoint only"),
    ];
    crate::config::rules::absent(object, &rules, "does not go with this target")
}
