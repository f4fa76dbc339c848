//! Addresses: whose counts when there are proxies in between, and whether one is in a range.

pub mod address;
pub mod range;
