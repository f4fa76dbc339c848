//! All policies as one WebAssembly module.
//!
//! What it decides is in [`tidegate_policy::fused`]; how it talks to Envoy is in
//! [`tidegate_glue`]. This file only names the one the other should run.

tidegate_glue::filter!(tidegate_policy::fused::Fused);
