//! What each filter makes of its configuration, or says about it.
//!
//! `tests/schema/main.rs` of the end-to-end tests runs the same, and holds every document that is parsed
//! here against the JSON Schema of the filter.

mod breaker;
mod discovery;
mod ratelimit;
mod routing;
mod scope;

use tidegate_policy::config::ConfigError;

/// A document of `filter`, and what is wrong with it.
fn hold(_filter: &str, _json: &str, _error: Option<&ConfigError>) {}
