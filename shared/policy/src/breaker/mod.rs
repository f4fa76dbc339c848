//! Circuit breaking, shared by all workers: closed, open, half-open.
//!
//! ```text
//!  outcome ─► classify ─► delta.rs (one worker's counts) ─┐ flush
//!                                                         ▼
//!  request ─► decide.rs: admit? ◄──────────────► record.rs (state, window)
//! ```
//!
//! One record a target says in which state its breaker is, with a window of outcomes over
//! time. Workers count in memory and merge what they counted ([`delta`]); whoever's merge
//! fills the condition opens the breaker for all ([`decide`]). Probes of a half-open breaker are
//! counted permits, and every admitted request carries the *generation* of the state that
//! admitted it, so that a late outcome never moves a newer state. Reference 1.6 to 1.9 is
//! normative. [`overload`] and [`outlier`] are the arithmetic of the softer and of the
//! per-endpoint forms.

pub mod asking;
pub mod block;
mod cells;
pub mod classify;
pub mod config;
pub mod decide;
pub mod delta;
mod entries;
mod entry;
mod exchange;
pub mod index;
pub mod metrics;
pub mod outlier;
pub mod overload;
pub mod record;
pub mod reply;
pub mod report;
mod rules;
mod settle;
mod shard;
pub mod soft;
pub mod stage;
pub mod target;
mod telling;
pub mod terms;
pub mod transition;

pub use classify::{Class, Outcome, Rules};
pub use config::Policy;
pub use decide::Admission;
pub use delta::Delta;
pub use record::{Record, State};
pub use stage::CircuitBreaker;
pub use terms::Terms;
pub use transition::Reason;
