//! The rate-limit filter with headers on admitted responses, as a WebAssembly module.
//!
//! What it decides is in [`tidegate_policy::ratelimit`]; how it talks to Envoy is in
//! [`tidegate_glue`]. This file only names the one the other should run.

tidegate_glue::filter!(tidegate_policy::ratelimit::RateLimitWithHeaders);
