//! What a worker knows of the services.

pub mod service_view;
pub mod source;
pub mod table;
