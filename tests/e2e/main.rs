//! The modules inside a real Envoy.
//!
//! Each test starts its own Envoy, so tests run in any order and side by side.

mod breaker;
mod cases;
mod config_errors;
mod corpus;
mod discovery;
mod drain;
mod examples;
mod exports;
mod failure;
mod fused;
mod host_contract;
mod hostile;
mod million;
mod ratelimit;
mod reload;
mod routing;
mod servers;
mod setup;
mod smoke;
mod steering;
mod upstreams;
mod waiting;
