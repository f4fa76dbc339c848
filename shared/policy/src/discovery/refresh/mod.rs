//! Asking the registries.

pub mod leader;
pub mod poller;
pub mod query;
pub mod session;
