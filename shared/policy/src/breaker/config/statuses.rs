//! Statuses and flags, as the configuration words them.

use crate::config::{Raw, Value};
use crate::http::classify::FLAGS;

/// Statuses with the same first digit.
pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// The names of the response flags.
pub(super) const FLAG_NAMES: [&str; FLAGS.len()] = names();

/// A status or a class of them, read as the first and the last.
pub(super) enum StatusRange {}
/// A gRPC status, read as a bit.
pub(super) enum GrpcStatus {}
/// A response flag, read as a bit.
pub(super) enum Flag {}

#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated when compiled")]
const fn names() -> [&'static str; FLAGS.len()] {
    let mut names = [""; FLAGS.len()];
    let mut at = 0;
    while at < FLAGS.len() {
        names[at] = FLAGS[at].0;
        at += 1;
    }
    names
}

impl Value for StatusRange {
    type Of<'a> = (u32, u32);

    fn of(raw: Raw<'_>) -> Option<(u32, u32)> {
        let (first, more) = match raw {
            Raw::Number(status) => (status, 0),
            Raw::Word(class) => ((class as u64).saturating_add(1).saturating_mul(100), 99),
            _ => return None,
        };
        let first = u32::try_from(first).ok()?;
        Some((first, first.saturating_add(more)))
    }
}

impl Value for GrpcStatus {
    type Of<'a> = u32;

    fn of(raw: Raw<'_>) -> Option<u32> {
        1_u32.checked_shl(u32::of(raw)?)
    }
}

impl Value for Flag {
    type Of<'a> = u64;

    fn of(raw: Raw<'_>) -> Option<u64> {
        match raw {
            Raw::Word(at) => FLAGS.get(at).map(|(_, bit)| *bit),
            _ => None,
        }
    }
}
