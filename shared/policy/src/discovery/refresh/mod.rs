//! Asking the registries.

pub mod changes;
pub mod leader;
pub mod poller;
pub mod query;
pub mod registry_state;
pub mod session;
pub mod slots;
