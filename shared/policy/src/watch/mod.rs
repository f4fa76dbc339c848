//! One worker fetches, all workers read.
//!
//! [`lease`] says which worker asks, [`status`] is the small cell in which all of them see who that is and how it
//! went, [`freshness`] when to ask again and how long an answer serves.

pub mod freshness;
pub mod lease;
pub mod pace;
pub mod status;
