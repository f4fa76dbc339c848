//! What counts as failed, as the configuration words it.

use alloc::vec::Vec;

use super::fields;
use crate::config::Object;
use crate::http::classify::{Rules, Statuses};

/// Reads the rules.
#[inline(never)]
pub(super) fn read(object: &Object<'_>) -> Option<Rules> {
    let statuses = |field| object.list(field).map(set);
    let bits = |bits: Vec<u32>| bits.into_iter().fold(0, |set, bit| set | bit);
    Some(Rules {
        failures: statuses(&fields::FAILURE_STATUSES)?,
        throttled: statuses(&fields::THROTTLED_STATUSES)?,
        ignored: statuses(&fields::IGNORED_STATUSES)?,
        grpc_failures: bits(object.list(&fields::FAILURE_GRPC_STATUSES)?),
        grpc_throttled: bits(object.list(&fields::THROTTLED_GRPC_STATUSES)?),
        flags: object.list(&fields::FAILURE_FLAGS)?.into_iter().fold(0, |set, flag| set | flag),
    })
}

fn set(ranges: Vec<(u32, u32)>) -> Statuses {
    let mut set = Statuses::default();
    for (first, last) in ranges {
        set.insert(first, last);
    }
    set
}
