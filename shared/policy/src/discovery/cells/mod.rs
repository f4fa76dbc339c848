//! What workers share.

pub mod ejection;
pub mod question;
pub mod snapshot;
