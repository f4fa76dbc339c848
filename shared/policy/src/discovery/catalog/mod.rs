//! What a worker knows of the services.

pub mod source;
pub mod table;
pub mod view;
