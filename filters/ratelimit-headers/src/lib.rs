//! The rate-limit filter with headers on admitted responses, as a WebAssembly module.
//!
//! What it decides is in [`tidegate_policy::ratelimit`]; how it talks to Envoy is in
//! [`tidegate_glue`]. This file only names the one the other should run.

#![expect(missing_docs, reason = "proxy_wasm::main! exports a function")]

tidegate_glue::filter!(tidegate_policy::ratelimit::RateLimitWithHeaders);
