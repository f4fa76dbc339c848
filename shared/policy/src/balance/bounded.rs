//! Consistent hashing with bounded loads (Mirrokni et al., arXiv 1608.01350), as in Envoy.
//!
//! A node may have at most a factor of its part of all requests in flight; a key whose
//! node has more goes elsewhere, along a path that its hash decides, until some come to an end.

/// How many requests a node of `weight` of `total` may have when `active` are in flight in all:
/// `⌈⌈(active + 1) · factor / 100⌉ · weight / total⌉`, at least one.
#[must_use]
pub fn slots(active: u32, factor_percent: u32, weight: u32, total: u64) -> u64 {
    let all = u64::from(active).saturating_add(1).saturating_mul(factor_percent.into()).div_ceil(100);
    let part = all.saturating_mul(weight.into());
    if total == 0 {
        1
    } else {
        part.div_ceil(total).max(1)
    }
}

/// Whether a node with `active` requests has more than its `slots`.
#[must_use]
pub fn overloaded(active: u32, slots: u64) -> bool {
    u64::from(active) > slots
}
