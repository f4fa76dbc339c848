//! Choosing the endpoints of requests, and following their attempts.

pub mod ask;
pub mod attempt;
pub mod find;
pub mod flight;
pub mod outcome;
pub mod reply;
