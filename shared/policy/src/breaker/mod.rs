//! Circuit breaking, shared by all workers: closed, open, half-open.
//!
//! ```text
//!  outcome ─► classify ─► delta.rs (one worker's counts) ─┐ flush
//!                                                         ▼
//!  request ─► decide.rs: admit? ◄──────────────► record.rs (state, window)
//! ```
//!
//! Each target has a record: the state of its breaker, and a window of outcomes over time. Workers
//! count in memory and merge their counts ([`worker::delta`]); the merge that fulfils a condition
//! opens the breaker for all workers ([`decide`]). Probes of a half-open breaker are counted
//! permits, and every admitted request carries the *generation* of the state that admitted it, so
//! that a late outcome never moves a newer state. The vectors `breaker_transitions`, `breaker_merge`
//! and `breaker_backoff` are normative. [`overload`] is the arithmetic of the softer form.

mod breakers;
pub mod cells;
pub mod config;
pub mod decide;
mod exchange;
mod live;
pub mod metrics;
mod misroutes;
mod no_endpoint;
mod outcome;
pub mod overload;
pub mod params;
mod reached;
pub mod reply;
pub mod report;
mod request;
pub mod stage;
pub mod state;
pub mod transition;
mod unused;
mod view;
mod waiting;
pub mod worker;

pub use cells::record::Record;
pub use config::Policy;
pub use decide::Admission;
pub use live::Live;
pub use params::BreakerParams;
pub use stage::CircuitBreaker;
pub use state::State;
pub use transition::Reason;
pub use worker::delta::Delta;
