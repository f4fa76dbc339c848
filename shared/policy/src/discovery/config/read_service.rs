//! Reading services.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::config::lists::{pairs, texts};
use crate::config::{distinct_name, Object, Reader};
use crate::discovery::config::policy::{EjectionParams, Retry, Service, Subset, SubsetFallback};
use crate::discovery::config::read_balance::Choice;
use crate::discovery::config::read_source::{self, Registries};
use crate::discovery::config::switched;
use crate::discovery::registry;
use crate::http::matcher::collect;
use crate::http::retry::{RetryHeaders, RETRY_ON};
use crate::http::Matcher;
use crate::key::Key;
use crate::time::Span;

/// The fields before and after those by which a registry is asked.
const FIRST: [&str; 3] = ["name", "registry", "match"];
const FURTHER: [&str; 11] = [
    "fallback",
    "balance",
    "slow_start",
    "zone_aware",
    "panic_threshold_percent",
    "overprovisioning_percent",
    "subset",
    "attempts",
    "retry",
    "outlier_detection",
    "hold_ms",
];
const RETRY: [&str; 5] = ["methods", "safe", "on", "per_try_timeout_ms", "budget"];
const EJECTION: [&str; 7] = [
    "consecutive_5xx",
    "consecutive_gateway_failure",
    "base_ejection_time_ms",
    "max_ejection_time_ms",
    "max_ejection_percent",
    "always_eject_one_endpoint",
    "patience_ms",
];
/// Idempotent by RFC 9110, section 9.2.2.
const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];
/// Failures that no application gives.
const USUAL_ON: [&str; 4] = ["connect-failure", "refused-stream", "reset", "gateway-error"];
const DAY: u64 = 86_400_000;

// === impl Service ===

impl Service {
    #[inline(never)]
    pub(crate) fn read(
        reader: &Reader<'_>,
        earlier: &[Reader<'_>],
        registries: Registries<'_, '_>,
    ) -> Option<Self> {
        let object = reader.object(&[&FIRST[..], &registry::FIELDS[..], &FURTHER[..]].concat())?;
        let name = object.required("name", "a name").and_then(|r| distinct_name(&r, earlier));
        let matches = object.or("match", Vec::new(), Matcher::read_any);
        let sources = read_source::all(&object, name.as_deref().unwrap_or("none"), registries);
        let choice = Choice::read(&object);
        let subset = object.or("subset", Subset::default(), Subset::read);
        let attempts = object.count("attempts", 1, 1, 10, "attempts");
        let retry = Retry::read(&object);
        let ejection = EjectionParams::read(&object);
        let hold_ms = object.natural("hold_ms", 2_000, 0, 30_000, "ms");
        let Choice { policy, hash_key, decay } = choice?;
        let (attempts, retry) = (attempts?, retry?);
        let policy_hashes = policy.algorithm.hashes();
        Some(Self {
            name: name?.into(),
            matches: matches?,
            sources: sources?,
            balance: Rc::new(policy),
            decay,
            hash_key: policy_hashes.then(|| Key::new(0, hash_key)),
            subset: subset?,
            retry_headers: RetryHeaders::new(attempts, &retry.on, retry.per_try_timeout_ms),
            attempts,
            retry,
            ejection: ejection?,
            hold_ms: hold_ms?,
        })
    }
}

// === impl Subset ===

impl Subset {
    fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&["tags", "metadata", "fallback"])?;
        let tags = object.or("tags", Vec::new(), |r| texts(r, 16, "tags"));
        let metadata = object.or("metadata", Vec::new(), pairs);
        let fallbacks = [
            ("no_fallback", SubsetFallback::NoFallback),
            ("any_endpoint", SubsetFallback::AnyEndpoint),
            ("default_subset", SubsetFallback::DefaultSubset),
        ];
        let fallback = object.or("fallback", SubsetFallback::NoFallback, |r| r.choice(&fallbacks));
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let tags: Vec<String> = tags?.into_iter().map(ToOwned::to_owned).collect();
        let metadata: Vec<(String, String)> = metadata?.into_iter().map(owned).collect();
        let fallback = fallback?;
        if fallback == SubsetFallback::DefaultSubset && tags.is_empty() && metadata.is_empty() {
            reader.report("the default subset is empty, expected `tags` or `metadata`".to_owned());
            return None;
        }
        Some(Self { tags, metadata, fallback })
    }
}

// === impl Retry ===

impl Retry {
    #[inline(never)]
    fn read(service: &Object<'_>) -> Option<Self> {
        let object = service.inner("retry", &RETRY)?;
        let usual = IDEMPOTENT.map(ToOwned::to_owned).to_vec();
        let methods = object.or("methods", usual, |r| {
            let methods = texts(r, 16, "methods")?;
            Some(methods.into_iter().map(str::to_ascii_uppercase).collect())
        });
        let safe = object.or("safe", Vec::new(), Matcher::read_any);
        let on = object.or("on", USUAL_ON.to_vec(), |r| {
            let words = RETRY_ON.map(|word| (word, word));
            let items = r.items(1..=RETRY_ON.len(), "conditions")?;
            items.iter().map(|item| item.choice(&words)).fold(Some(Vec::new()), collect)
        });
        let per_try_timeout_ms = object.natural("per_try_timeout_ms", 0, 0, DAY, "ms");
        let budget = object.inner("budget", &["budget_percent", "min_retry_concurrency"]);
        let budget = budget.and_then(|object| {
            let percent = object.count("budget_percent", 20, 0, 100, "%");
            let least = object.count("min_retry_concurrency", 3, 0, 1_000, "attempts");
            percent.zip(least)
        });
        let (budget_percent, min_concurrency) = budget?;
        Some(Self {
            methods: methods?,
            safe: safe?,
            on: on?.join(",").into(),
            per_try_timeout_ms: per_try_timeout_ms?,
            budget_percent,
            min_concurrency,
        })
    }
}

// === impl EjectionParams ===

impl EjectionParams {
    #[inline(never)]
    fn read(service: &Object<'_>) -> Option<Option<Self>> {
        let Some(object) = switched(service, "outlier_detection", &EJECTION)? else { return Some(None) };
        let most = 1_000_000;
        let failures = object.count("consecutive_5xx", 5, 0, most, "failures");
        let gateway = object.count("consecutive_gateway_failure", 5, 0, most, "failures");
        let base = object.natural("base_ejection_time_ms", 30_000, 1, DAY, "ms");
        let longest = object.natural("max_ejection_time_ms", 300_000, 1, DAY, "ms");
        let percent = object.count("max_ejection_percent", 50, 0, 100, "%");
        let one = object.or("always_eject_one_endpoint", true, Reader::boolean);
        let patience = object.natural("patience_ms", 0, 0, DAY, "ms");
        let (base, longest) = (base?, longest?);
        if base > longest {
            let reader = object.optional("max_ejection_time_ms");
            let reader = reader.or_else(|| object.optional("base_ejection_time_ms"))?;
            let right = format!("expected a most of at least {base} ms");
            reader.report(format!("at first {base} ms, at most {longest} ms, {right}"));
            return None;
        }
        Some(Some(Self {
            consecutive_5xx: failures?,
            consecutive_gateway_failure: gateway?,
            base_ejection_time_ms: base,
            max_ejection_time_ms: longest,
            max_ejection_percent: percent?,
            always_eject_one: one?,
            patience: Some(patience?).filter(|ms| *ms > 0).map(Span::from_millis),
        }))
    }
}
