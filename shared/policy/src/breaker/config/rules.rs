//! What counts as failed, as the configuration words it.

use alloc::vec::Vec;

use crate::config::{Object, Reader};
use crate::http::classify::{Rules, Statuses, FLAGS};
use crate::http::matcher::collect;

/// The fields of a breaker that make its rules.
pub(crate) const FIELDS: [&str; 6] = [
    "failure_statuses",
    "throttled_statuses",
    "ignored_statuses",
    "failure_grpc_statuses",
    "throttled_grpc_statuses",
    "failure_flags",
];

/// Reads the rules; fields that are absent are as in [`Rules::default`].
pub(crate) fn read(object: &Object<'_>) -> Option<Rules> {
    let default = Rules::default();
    let failures = object.or("failure_statuses", default.failures, statuses);
    let throttled = object.or("throttled_statuses", default.throttled, statuses);
    let ignored = object.or("ignored_statuses", default.ignored, statuses);
    let grpc_failures = object.or("failure_grpc_statuses", default.grpc_failures, grpc_statuses);
    let grpc_throttled = object.or("throttled_grpc_statuses", default.grpc_throttled, grpc_statuses);
    let flags = object.or("failure_flags", default.flags, flags);
    Some(Rules {
        failures: failures?,
        throttled: throttled?,
        ignored: ignored?,
        grpc_failures: grpc_failures?,
        grpc_throttled: grpc_throttled?,
        flags: flags?,
    })
}

/// A list of statuses and of classes such as `"5xx"`.
fn statuses(reader: &Reader<'_>) -> Option<Statuses> {
    let classes = [("1xx", 100_u32), ("2xx", 200), ("3xx", 300), ("4xx", 400), ("5xx", 500)];
    let mut set = Statuses::default();
    let mut sound = true;
    for item in reader.items(0..=64, "statuses")? {
        let range = if item.is_text() {
            item.choice(&classes).map(|first| (first, first.saturating_add(99)))
        } else {
            item.integer(100..=599, "").and_then(|n| u32::try_from(n).ok()).map(|status| (status, status))
        };
        match range {
            Some((first, last)) => set.insert(first, last),
            None => sound = false,
        }
    }
    sound.then_some(set)
}

fn grpc_statuses(reader: &Reader<'_>) -> Option<u32> {
    let bit =
        |item: &Reader<'_>| item.integer(1..=16, "").and_then(|n| 1_u32.checked_shl(u32::try_from(n).ok()?));
    let items = reader.items(0..=16, "gRPC statuses")?;
    let bits = items.iter().map(bit).fold(Some(Vec::new()), collect)?;
    Some(bits.into_iter().fold(0, |set, bit| set | bit))
}

fn flags(reader: &Reader<'_>) -> Option<u64> {
    let items = reader.items(0..=FLAGS.len(), "response flags")?;
    let flags = items.iter().map(|item| item.choice(&FLAGS)).fold(Some(Vec::new()), collect)?;
    Some(flags.into_iter().fold(0, |set, flag| set | flag))
}
