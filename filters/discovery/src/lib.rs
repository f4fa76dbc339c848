//! The discovery filter as a WebAssembly module.
//!
//! What it decides is in [`tidegate_policy::discovery`]; how it talks to Envoy is in
//! [`tidegate_glue`]. This file only names the one the other should run.

tidegate_glue::filter!(tidegate_policy::discovery::Discovery);
