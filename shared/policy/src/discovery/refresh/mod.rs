//! Asking the registries.

pub mod leader;
pub mod query;
pub mod session;
