//! What a breaker, or the filter, does where it could do several things.

use crate::config::choices;

/// What a breaker does about requests that it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Refuses them.
    Enforce,
    /// Counts them and lets them pass.
    Observe,
}

/// What becomes of a request when the filter itself fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It passes.
    Allow,
    /// It is answered with 503.
    Refuse,
}

/// What tells a refused client that a breaker answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalHeaders {
    /// Nothing.
    None,
    /// `x-tidegate-breaker: open`.
    XTidegate,
}

choices!(Mode { "enforce" => Mode::Enforce, "observe" => Mode::Observe });
choices!(OnFailure { "allow" => OnFailure::Allow, "refuse" => OnFailure::Refuse });
choices!(RefusalHeaders { "x_tidegate" => RefusalHeaders::XTidegate, "none" => RefusalHeaders::None });
