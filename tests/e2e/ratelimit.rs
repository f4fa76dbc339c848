//! The rate-limit filter: what it counts by, how exactly, and what it tells whom.

mod addresses;
mod counts;
mod keys;
mod limits;
mod metrics;
mod replies;
mod scopes;
