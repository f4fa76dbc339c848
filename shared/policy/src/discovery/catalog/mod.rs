//! What a worker knows of the services: their endpoints, which of them are ejected, what was counted.

pub mod ejections;
pub mod endpoint_stats;
pub mod retry_budget;
pub mod service_view;
pub mod source;
pub mod spenders;
pub mod table;
pub mod unavailable;
