//! What of an answer is not believed at once.

pub mod flap;
pub mod shrink;
