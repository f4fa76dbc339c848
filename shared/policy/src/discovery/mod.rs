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

pub mod cache;
pub mod endpoint;
pub mod flap;
pub mod json;
pub mod lease;
pub mod registry;
pub mod shrink;
mod sort;

pub use endpoint::{Endpoint, Health};
