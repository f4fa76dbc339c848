//! Weighted routing: which variant of a service a request goes to.
//!
//! ```text
//!  request ─► precedence.rs ─► route ─► force.rs ── a trusted caller names the variant
//!             (rules.rs)                  │ else
//!                                         ▼
//!                         identity.rs ─► sticky.rs ── bucket ─► territory ─► variant
//!                        (cookie.rs)      │
//!                                         │ without stickiness
//!                                         ▼
//!                                       split.rs ── by weight
//!
//!  judge.rs ─► ramp.rs ── the weights that [`decide`] goes by, step by step
//! ```
//!
//! Everything is a function of the policy, the request and a draw; the one thing that is
//! remembered is where each ramp is ([`ramp::State`]), forty bytes that all workers share.

mod arrival;
pub mod config;
pub mod cookie;
pub mod decide;
pub mod exchange;
pub mod force;
pub mod identity;
pub mod judge;
mod local;
pub mod metrics;
mod outcome;
pub mod precedence;
pub mod ramp;
pub mod reply;
pub mod route;
pub mod rules;
pub mod stage;
pub mod sticky;
pub mod tally;
mod unused;
pub mod variant;

pub use config::Policy;
pub use decide::{Choice, ChoiceReason, Weights};
pub use ramp::Ramp;
pub use route::Route;
pub use rules::Facts;
pub use stage::Routing;
pub use variant::{Target, Variant};
