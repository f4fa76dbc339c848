//! What the filter does where it could do several things.

use crate::config::choices;

/// What becomes of a request that no route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMatch {
    /// It is answered with 404, as the Gateway API has it.
    NotFound,
    /// It goes on as it is.
    Pass,
}

/// What becomes of a request when the filter itself fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It goes on as it is.
    Allow,
    /// It is answered with 503.
    Refuse,
}

choices!(NoMatch { "pass" => NoMatch::Pass, "not_found" => NoMatch::NotFound });
choices!(OnFailure { "allow" => OnFailure::Allow, "refuse" => OnFailure::Refuse });
