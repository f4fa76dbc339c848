//! What counts as failed, as the configuration words it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::fields;
use crate::config::{Field, Object};
use crate::http::classify::{Rules, Statuses};

/// Reads the rules.
#[inline(never)]
pub(super) fn read(object: &Object<'_>) -> Option<Rules> {
    let failures = object.list(&fields::FAILURE_STATUSES);
    let throttled = object.list(&fields::THROTTLED_STATUSES);
    let ignored = object.list(&fields::IGNORED_STATUSES);
    let grpc_failures = object.list(&fields::FAILURE_GRPC_STATUSES).map(bits);
    let grpc_throttled = object.list(&fields::THROTTLED_GRPC_STATUSES).map(bits);
    let flags = object.list(&fields::FAILURE_FLAGS);
    let (failures, throttled, ignored) = (failures?, throttled?, ignored?);
    let (grpc_failures, grpc_throttled) = (grpc_failures?, grpc_throttled?);
    let pairs = [
        (&fields::FAILURE_STATUSES, &failures, &fields::THROTTLED_STATUSES, &throttled),
        (&fields::FAILURE_STATUSES, &failures, &fields::IGNORED_STATUSES, &ignored),
        (&fields::THROTTLED_STATUSES, &throttled, &fields::IGNORED_STATUSES, &ignored),
    ];
    let mut sound = true;
    for (field, list, stronger, other) in pairs {
        sound &= apart(object, field, shadowed(list, other), stronger.def().name);
    }
    let both = grpc_failures & grpc_throttled;
    let both = (both != 0).then(|| both.trailing_zeros().to_string());
    sound &= apart(object, &fields::FAILURE_GRPC_STATUSES, both, fields::THROTTLED_GRPC_STATUSES.def().name);
    sound.then_some(())?;
    Some(Rules {
        failures: set(failures),
        throttled: set(throttled),
        ignored: set(ignored),
        grpc_failures,
        grpc_throttled,
        flags: flags?.into_iter().fold(0, |set, flag| set | flag),
    })
}

/// Reports that a status which the document gives in `field` is in the list `stronger`, too, where it
/// has another meaning; whether none is. A default yields: it says nothing against a list that is
/// given.
fn apart<T>(object: &Object<'_>, field: &Field<T>, status: Option<String>, stronger: &str) -> bool {
    let Some(status) = status.filter(|_| object.has(field)) else { return true };
    let found = format!("{status} is in `{stronger}`, too");
    object.report_at(field, found, "each status in one list; one that is given replaces the default");
    false
}

/// The first entry of a list that has no meaning because a stronger list has all of it. A number out of
/// a class is no such entry but an exception.
fn shadowed(list: &[(u32, u32)], stronger: &[(u32, u32)]) -> Option<String> {
    let within = |(first, last): &(u32, u32)| stronger.iter().any(|(from, to)| from <= first && last <= to);
    let (first, last) = list.iter().find(|entry| within(entry))?;
    Some(if first == last { first.to_string() } else { format!("{}xx", first / 100) })
}

fn bits(bits: Vec<u32>) -> u32 {
    bits.into_iter().fold(0, |set, bit| set | bit)
}

fn set(ranges: Vec<(u32, u32)>) -> Statuses {
    let mut set = Statuses::default();
    for (first, last) in ranges {
        set.insert(first, last);
    }
    set
}
