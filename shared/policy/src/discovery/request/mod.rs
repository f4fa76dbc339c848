//! Choosing the endpoints of requests, and following their attempts.

pub mod attempt;
pub mod downstream;
pub mod flight;
pub mod outcome;
pub mod reply;
pub mod service_index;
