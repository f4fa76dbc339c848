//! Limits in the module that has nothing else, and in the one of all filters.

use serde_json::Value;
use tidegate_policy::fused::Fused;
use tidegate_policy::http::Stage;
use tidegate_policy::ratelimit::RateLimit;

/// A stage that limits.
pub(crate) trait Limits: Stage {
    /// Its document, of that of limits.
    fn document(limits: &str) -> String;
}

impl Limits for RateLimit {
    fn document(limits: &str) -> String {
        limits.to_owned()
    }
}

impl Limits for Fused {
    fn document(limits: &str) -> String {
        let limits: Value = serde_json::from_str(limits).unwrap();
        serde_json::json!({"ratelimit": limits}).to_string()
    }
}

/// Runs a test, a function of the stage, with both.
macro_rules! in_both {
    ($test:ident) => {
        $test::<tidegate_policy::ratelimit::RateLimit>();
        $test::<tidegate_policy::fused::Fused>();
    };
}

pub(crate) use in_both;
