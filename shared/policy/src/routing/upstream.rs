//! Timeouts and retries of a route, as the `x-envoy-*` headers that Envoy's router obeys.

use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::config::{Object, Reader};
use crate::http::matcher::{collect, header_name};
use crate::http::retry::{RETRY_GRPC_ON, RETRY_ON};

/// A request header to set: its name and value.
pub type Set = (Rc<str>, Rc<str>);

/// The longest timeout: a day.
const MAX_MS: u64 = 86_400_000;

/// Reads the fields `timeouts` and `retry` of a route.
pub(super) fn read(route: &Object<'_>) -> Option<Vec<Set>> {
    let timeouts = route.or("timeouts", Vec::new(), timeouts);
    let retry = route.or("retry", Vec::new(), retry);
    let mut all = timeouts?;
    all.extend(retry?);
    Some(all)
}

fn one(name: &str, value: &str) -> Set {
    (name.into(), value.into())
}

#[inline(never)]
fn timeouts(reader: &Reader<'_>) -> Option<Vec<Set>> {
    let object = reader.object(&["request_ms", "per_try_timeout_ms", "hedge_on_per_try_timeout"])?;
    let ms = |field: &str| object.or(field, None, |r| r.integer(0..=MAX_MS, "ms").map(Some));
    let (request, per_try) = (ms("request_ms"), ms("per_try_timeout_ms"));
    let hedge = object.or("hedge_on_per_try_timeout", false, Reader::boolean);
    let (request, per_try, hedge) = (request?, per_try?, hedge?);
    if let (Some(all @ 1..), Some(one)) = (request, per_try) {
        if one > all {
            let what = alloc::format!("{one} ms for a try do not fit into {all} ms for all");
            object.optional("per_try_timeout_ms")?.report(alloc::format!("{what}, expected at most {all}"));
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
fn retry(reader: &Reader<'_>) -> Option<Vec<Set>> {
    let object = reader.object(&["on", "grpc_on", "attempts", "statuses", "headers"])?;
    let words = |field: &str, known: &[&'static str]| {
        let pairs: Vec<(&str, &'static str)> = known.iter().map(|word| (*word, *word)).collect();
        object.or(field, Vec::new(), |r| {
            let items = r.items(1..=known.len(), "conditions")?;
            items
                .iter()
                .map(|item| item.choice(&pairs).map(ToString::to_string))
                .fold(Some(Vec::new()), collect)
        })
    };
    let (on, grpc_on) = (words("on", &RETRY_ON), words("grpc_on", &RETRY_GRPC_ON));
    // The first attempt counts here, and does not in Envoy's header.
    let retries = object.or("attempts", None, |r| {
        r.integer(2..=11, "attempts").map(|attempts| Some(attempts.saturating_sub(1).to_string()))
    });
    let statuses = object.or("statuses", Vec::new(), |r| {
        let items = r.items(1..=16, "statuses")?;
        let status = |item: &Reader<'_>| item.integer(400..=599, "").map(|status| status.to_string());
        items.iter().map(status).fold(Some(Vec::new()), collect)
    });
    let headers = object.or("headers", Vec::new(), |r| {
        let items = r.items(1..=16, "headers")?;
        items.iter().map(header_name).fold(Some(Vec::new()), collect)
    });
    let (on, grpc_on, retries, statuses, headers) = (on?, grpc_on?, retries?, statuses?, headers?);
    if on.is_empty() && grpc_on.is_empty() {
        reader.report("retries on nothing, expected `on` or `grpc_on`".to_string());
        return None;
    }
    let lists = [
        ("x-envoy-retry-on", on),
        ("x-envoy-retry-grpc-on", grpc_on),
        ("x-envoy-retriable-status-codes", statuses),
        ("x-envoy-retriable-header-names", headers),
    ];
    let mut set: Vec<Set> = Vec::new();
    set.extend(
        lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| one(name, &list.join(","))),
    );
    set.extend(retries.map(|retries| one("x-envoy-max-retries", &retries)));
    Some(set)
}
