//! Finding the endpoints of a service in a registry.
//!
//! ```text
//!  registry/*.rs ─► json.rs ─► endpoint.rs ─► shrink.rs ─► flap.rs ─► what is served
//!  (path, answer)   by shape   normal form    empty and    damped
//!                                             halved sets
//!  cache.rs ── when to fetch and how long an answer serves     lease.rs ── who fetches
//! ```
//!
//! A registry is believed as little as a client: its answer may be truncated, hostile, filtered
//! by permissions or plainly wrong. Whatever it sends becomes a sorted list of [`Endpoint`]s or a
//! [`Problem`](registry::Problem), and a list that lost most of its endpoints is held back until
//! it was confirmed ([`shrink`]).

pub mod allow;
mod ask;
mod attempt;
pub mod cache;
pub mod config;
pub mod ejection;
pub mod endpoint;
pub mod fetch;
pub mod find;
pub mod flap;
pub mod flight;
pub mod json;
pub mod lead;
pub mod lease;
pub mod metrics;
pub mod outcome;
pub mod policy;
pub mod poll;
pub mod question;
mod read_balance;
mod read_cache;
mod read_registry;
mod read_service;
mod read_source;
mod read_static;
pub mod registry;
pub mod reply;
pub mod shrink;
pub mod snapshot;
pub mod source;
pub mod stage;
pub mod status;
pub mod table;
pub mod view;
pub mod way;

pub use endpoint::{Endpoint, Health};
pub use find::Finder;
pub use policy::Policy;
pub use stage::Discovery;
