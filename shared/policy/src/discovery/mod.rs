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
//! it was confirmed ([`distrust::shrink`]).

pub mod catalog;
pub mod cells;
pub mod config;
pub mod distrust;
pub mod endpoint;
pub mod json;
pub mod metrics;
pub mod refresh;
pub mod registry;
pub mod request;
pub mod stage;

pub use config::policy::Policy;
pub use endpoint::{Endpoint, Health};
pub use request::service_index::ServiceIndex;
pub use stage::Discovery;
