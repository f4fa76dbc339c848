//! What a limit, or the filter, does where it could do several things.

use crate::config::choices;

/// What a limit does about requests beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Refuses them.
    Enforce,
    /// Counts them and lets them pass.
    Observe,
}

/// What happens to a request that lacks a part of a limit's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMissingKey {
    /// It is refused.
    Refuse,
    /// It shares one bucket with all others that lack the same.
    Shared,
    /// The limit does not apply to it.
    Skip,
}

/// What becomes of a request when the filter itself fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It passes.
    Allow,
    /// It is answered with 503.
    Refuse,
}

choices!(Mode { "enforce" => Mode::Enforce, "observe" => Mode::Observe });
choices!(OnMissingKey {
    "shared" => OnMissingKey::Shared,
    "skip" => OnMissingKey::Skip,
    "refuse" => OnMissingKey::Refuse,
});
choices!(OnFailure { "allow" => OnFailure::Allow, "refuse" => OnFailure::Refuse });
