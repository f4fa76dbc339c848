//! Choosing the endpoints of requests, and following their attempts.

pub mod attempt;
pub mod downstream;
pub mod exchange;
pub mod flight;
pub mod handover;
pub mod memory;
pub mod outcome;
pub mod reply;
pub mod service_index;
pub mod ticket;
pub mod unused;
