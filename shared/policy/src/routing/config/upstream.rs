//! Timeouts and retries of a route, as the `x-envoy-*` headers that Envoy's router obeys.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::fields;
use crate::config::Object;
use crate::http::retry::{RETRY_GRPC_ON, RETRY_ON};
use crate::routing::route::Set;

/// Reads the fields `timeouts` and `retry` of a route.
pub(super) fn read(route: &Object<'_>) -> Option<Vec<Set>> {
    let mut all = match route.maybe_inner(&fields::TIMEOUTS)? {
        Some(timeouts) => read_timeouts(&timeouts)?,
        None => Vec::new(),
    };
    if let Some(retry) = route.maybe_inner(&fields::RETRY)? {
        all.extend(read_retry(&retry)?);
    }
    Some(all)
}

fn one(name: &str, value: &str) -> Set {
    (name.into(), value.into())
}

#[inline(never)]
fn read_timeouts(object: &Object<'_>) -> Option<Vec<Set>> {
    let request = object.maybe(&fields::REQUEST_MS)?;
    let per_try = object.maybe(&fields::PER_TRY_TIMEOUT_MS)?;
    let hedge = object.get(&fields::HEDGE)?;
    if let (Some(all @ 1..), Some(one)) = (request, per_try) {
        if one > all {
            let found = format!("{one} ms is above request_ms");
            object.report_at(&fields::PER_TRY_TIMEOUT_MS, found, format!("at most {all} ms"));
            return None;
        }
    }
    let mut set = Vec::new();
    set.extend(request.map(|ms| one("x-envoy-upstream-rq-timeout-ms", &ms.to_string())));
    set.extend(per_try.map(|ms| one("x-envoy-upstream-rq-per-try-timeout-ms", &ms.to_string())));
    set.extend(hedge.then(|| one("x-envoy-hedge-on-per-try-timeout", "true")));
    Some(set)
}

#[inline(never)]
fn read_retry(object: &Object<'_>) -> Option<Vec<Set>> {
    let words = |places: Vec<usize>, words: &[&str]| -> Vec<String> {
        places.into_iter().filter_map(|at| words.get(at)).map(ToString::to_string).collect()
    };
    let lists = [
        ("x-envoy-retry-on", words(object.list(&fields::RETRY_FIELD)?, &RETRY_ON)),
        ("x-envoy-retry-grpc-on", words(object.list(&fields::RETRY_GRPC_FIELD)?, &RETRY_GRPC_ON)),
        (
            "x-envoy-retriable-status-codes",
            object.list(&fields::STATUSES)?.iter().map(ToString::to_string).collect(),
        ),
        ("x-envoy-retriable-header-names", object.list(&fields::RETRIABLE_HEADERS)?),
    ];
    let given = lists.into_iter().filter(|(_, list)| !list.is_empty());
    let mut set: Vec<Set> = given.map(|(name, list)| one(name, &list.join(","))).collect();
    // The first attempt counts here, and does not in Envoy's header.
    let attempts = object.maybe(&fields::ATTEMPTS)?;
    set.extend(attempts.map(|attempts| one("x-envoy-max-retries", &attempts.saturating_sub(1).to_string())));
    Some(set)
}
