//! Which part of an answer is not served at once.

pub mod flap;
pub mod shrink;
