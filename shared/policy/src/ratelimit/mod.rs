//! Limiting the rate of requests by client, exactly, in bounded memory.
//!
//! ```text
//!             hot.rs ── worker memory: leases and known refusals of busy keys
//!               │ not known
//!               ▼
//!  key ─► table.rs ── a shared cell of 16 keys ─► gcra.rs ─► admit, refuse
//!               ▲                                     │
//!               └────── compare-and-swap ◄── state.rs ┘
//! ```
//!
//! [`stage`] evaluates every limit that applies to a request before it charges any. A
//! cold key is charged by one compare-and-swap; a key that is hot in a worker takes a
//! *lease* of a few units in the same write and spends them from memory ([`lease`]).
//! Unseen keys share a fixed table in which eviction never resets a limit ([`table`]).

mod charge;
pub mod config;
pub mod headers;
pub mod hot;
pub mod lease;
mod local;
pub mod metrics;
pub mod reply;
pub mod stage;
pub mod state;
pub mod table;

pub use config::{Limit, Policy};
pub use stage::{RateLimit, RateLimitWithHeaders};
