//! All policies in one module: limits, routing, breakers and discovery, in this order for requests and
//! in reverse for responses.
//!
//! The document has one object for each policy, each optional, and each as its own filter takes it.
//! What a chain of their filters does in front of a route, this stage does, too: same answers, same
//! headers, same facts, same metrics, same cells. It costs less, since the host enters one module, and
//! is asked for headers, status and time once. Where it does better than a chain,
//! `docs/config/fused.md` says so.
//!
//! This is the only room that knows all policies.

mod exchange;
pub mod fields;
mod guards;
mod misplaced;
mod part;
mod reply;
mod stage;

pub use exchange::{Exchange, Memory};
pub use stage::Fused;
