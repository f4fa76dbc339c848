//! What one worker keeps of its breakers, and how it shares it with the others.

pub mod delta;
pub(crate) mod entries;
pub(crate) mod entry;
pub(crate) mod local;
pub(crate) mod settle;
