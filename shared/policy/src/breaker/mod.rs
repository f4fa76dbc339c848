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

pub mod classify;
pub mod decide;
pub mod delta;
pub mod outlier;
pub mod overload;
pub mod record;
pub mod terms;

pub use classify::{Class, Outcome};
pub use decide::{Admission, Reason};
pub use delta::Delta;
pub use record::{Record, State};
pub use terms::Terms;
