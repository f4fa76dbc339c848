//! What one worker keeps of its breakers, and how it shares that with the other workers.
//!
//! `local` is the entry: one breaker as this worker sees it. It is either `single` (one target, one
//! record) or `keyed` (many targets, a table). Both count outcomes in a [`delta`] and keep the head
//! of each record that they read, so that a closed breaker costs no store call.

pub(crate) mod context;
pub mod delta;
pub(crate) mod entries;
pub(crate) mod entry;
mod keyed;
pub(crate) mod local;
mod single;
