//! Stand-in.

/// Rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Least part of a set that a smaller one must have, in percent.
    pub keep_percent: u32,
    /// Sets smaller than this may shrink.
    pub min_size: u32,
    /// How long a smaller set is held.
    pub hold_ms: u64,
    /// How long an empty one is.
    pub empty_hold_ms: u64,
    /// How often it must be confirmed.
    pub confirmations: u32,
    /// Whether a set may become empty.
    pub allow_empty: bool,
    /// How long the largest set counts.
    pub window_ms: u64,
}
