//! The modules inside a real Envoy.
//!
//! Each test starts its own Envoy, so tests run in any order and side by side.

mod smoke;
