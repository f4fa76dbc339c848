//! Runs Envoy with Tidegate's modules and looks at what it does.
//!
//! ```text
//!   bootstrap ──config──► envoy ──admin──► admin, stats     what it counted
//!                         ▲   │
//!   client, grpc, load ───┘   └──────────► upstream         what it passed on
//! ```
//!
//! Three rules hold everywhere. Ports come from the kernel and are read back, so tests run side
//! by side. Waiting is always for a condition with a deadline ([`eventually`](fn@eventually)),
//! never for a time. A test that needs something the machine lacks fails with the command that
//! provides it.
//!
//! All of it blocks on plain threads; only [`grpc`] hides a runtime. Like any test, the harness
//! panics on what should not happen, and returns a value for what a test may want to happen.

pub mod admin;
pub mod bootstrap;
pub mod cases;
pub mod client;
pub mod consul;
pub mod coredns;
pub mod corpus;
pub mod envoy;
pub mod eventually;
pub mod func_e;
pub mod gateway;
pub mod grpc;
mod http1;
pub mod image_registry;
pub mod lds;
pub mod load;
pub mod options;
pub mod paths;
mod process;
pub mod registry;
pub mod stats;
pub mod terminal;
pub mod upstream;
pub mod wasm;

pub use bootstrap::Bootstrap;
pub use client::{Call, Client, Request, Response};
pub use consul::Consul;
pub use coredns::CoreDns;
pub use envoy::{Envoy, StartFailure};
pub use eventually::eventually;
pub use func_e::FuncE;
pub use lds::{FileLds, Update};
pub use load::Load;
pub use options::Options;
pub use registry::Registry;
pub use upstream::{Answer, DeadPort, Port, Upstream};
pub use wasm::WasmFilter;
