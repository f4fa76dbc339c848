//! Finding the endpoints of a service in a registry.

pub mod allow;
pub mod config;
pub mod endpoint;
pub mod find;
pub mod flap;
pub mod policy;
mod read_balance;
mod read_cache;
mod read_registry;
mod read_service;
mod read_source;
mod read_static;
pub mod shrink;

pub use endpoint::{Endpoint, Health};
pub use find::Finder;
pub use policy::Policy;
