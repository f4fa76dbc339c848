//! Asking the registries.

pub mod fetch;
pub mod lead;
pub mod poll;
pub mod way;
