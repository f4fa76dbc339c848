//! Reading services.

use alloc::borrow::ToOwned;
use alloc::rc::Rc;
use alloc::vec::Vec;

use super::fields;
use super::source::{self, Registries};
use crate::config::{distinct_name, rules, Object, Reader};
use crate::discovery::config::balance::Choice;
use crate::discovery::config::policy::{EjectionParams, Retry, Service, Subset, SubsetFallback};
use crate::http::retry::{RetryHeaders, RETRY_ON};
use crate::http::Matcher;
use crate::key::Key;
use crate::time::Span;

/// Reads a service whose name none of the `earlier` ones has.
#[inline(never)]
pub(super) fn read(
    object: &Object<'_>,
    earlier: &[Reader<'_>],
    registries: Registries<'_, '_>,
) -> Option<Service> {
    let name = distinct_name(object, &fields::SERVICE_NAME, earlier);
    let sources = source::all(object, name.as_deref().unwrap_or("none"), registries);
    let choice = Choice::read(object);
    let subset = object.inner(&fields::SUBSET).and_then(|subset| Subset::read(&subset));
    let retry = object.inner(&fields::RETRY).and_then(|retry| Retry::read(&retry));
    let ejection = match object.switch(&fields::OUTLIER_DETECTION)? {
        Some(ejection) => EjectionParams::read(&ejection).map(Some),
        None => Some(None),
    };
    let Choice { policy, hash_key, decay } = choice?;
    let (attempts, retry) = (object.get(&fields::ATTEMPTS)?, retry?);
    let policy_hashes = policy.algorithm.hashes();
    Some(Service {
        name: name?.into(),
        matches: Matcher::read_any(&object.items(&fields::MATCH))?,
        sources: sources?,
        balance: Rc::new(policy),
        decay,
        hash_key: policy_hashes.then(|| Key::new(0, hash_key)),
        subset: subset?,
        retry_headers: RetryHeaders::new(attempts, &retry.on, retry.per_try_timeout_ms),
        attempts,
        retry,
        ejection: ejection?,
        hold_ms: object.get(&fields::HOLD_MS)?,
    })
}

// === impl Subset ===

impl Subset {
    fn read(object: &Object<'_>) -> Option<Self> {
        let tags = object.list(&fields::SUBSET_TAGS)?;
        let metadata = object.pairs(&fields::SUBSET_METADATA)?;
        let fallback = object.get(&fields::SUBSET_FALLBACK)?;
        if fallback == SubsetFallback::DefaultSubset && tags.is_empty() && metadata.is_empty() {
            object.report("the default subset is empty".to_owned(), "`tags` or `metadata`");
            return None;
        }
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Some(Self { tags, metadata: metadata.into_iter().map(owned).collect(), fallback })
    }
}

// === impl Retry ===

impl Retry {
    #[inline(never)]
    fn read(object: &Object<'_>) -> Option<Self> {
        let methods = object.list(&fields::METHODS)?;
        let on: Vec<&str> =
            object.list(&fields::ON)?.into_iter().filter_map(|at| RETRY_ON.get(at).copied()).collect();
        let budget = object.inner(&fields::BUDGET)?;
        Some(Self {
            methods: methods.into_iter().map(str::to_ascii_uppercase).collect(),
            safe: Matcher::read_any(&object.items(&fields::SAFE))?,
            on: on.join(",").into(),
            per_try_timeout_ms: object.get(&fields::PER_TRY_TIMEOUT_MS)?,
            budget_percent: budget.get(&fields::BUDGET_PERCENT)?,
            min_concurrency: budget.get(&fields::MIN_RETRY_CONCURRENCY)?,
        })
    }
}

// === impl EjectionParams ===

impl EjectionParams {
    /// All of them as numbers, to be compared.
    #[must_use]
    pub fn words(&self) -> [u64; 7] {
        [
            self.consecutive_5xx.into(),
            self.consecutive_gateway_failure.into(),
            self.base_ejection_time_ms,
            self.max_ejection_time_ms,
            self.max_ejection_percent.into(),
            self.always_eject_one.into(),
            self.patience.map_or(0, |patience| patience.as_millis().max(1)),
        ]
    }

    #[inline(never)]
    fn read(object: &Object<'_>) -> Option<Self> {
        let (base, longest) =
            rules::ordered(object, &fields::BASE_EJECTION_TIME_MS, &fields::MAX_EJECTION_TIME_MS)?;
        Some(Self {
            consecutive_5xx: object.get(&fields::CONSECUTIVE_5XX)?,
            consecutive_gateway_failure: object.get(&fields::CONSECUTIVE_GATEWAY_FAILURE)?,
            base_ejection_time_ms: base,
            max_ejection_time_ms: longest,
            max_ejection_percent: object.get(&fields::MAX_EJECTION_PERCENT)?,
            always_eject_one: object.get(&fields::ALWAYS_EJECT_ONE)?,
            patience: Some(object.get(&fields::PATIENCE_MS)?).filter(|ms| *ms > 0).map(Span::from_millis),
        })
    }
}
