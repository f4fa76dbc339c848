//! Finding the endpoints of a service in a registry, and choosing one for each request.
//!
//! ```text
//!  registry/ ─► refresh/ ─► distrust/ ─► cells/ ─► catalog/ ─► request/
//!  queries,     one worker  answers that what all  what each   which endpoint,
//!  answers      queries for shrink too   workers   worker      and how its
//!               all         fast, flap   share     knows       attempts went
//! ```
//!
//! A registry is trusted as little as a client: its answer may be truncated, hostile, filtered by
//! permissions or plainly wrong. Any answer becomes a sorted list of [`Endpoint`]s or an
//! [`AnswerError`](registry::AnswerError), and a list that lost most of its endpoints is held back until it is
//! confirmed ([`distrust::shrink`]).

pub mod catalog;
pub mod cells;
pub mod config;
pub mod distrust;
pub mod endpoint;
pub mod health;
pub mod json;
pub mod metrics;
pub mod refresh;
pub mod registry;
pub mod request;
pub mod stage;

pub use config::policy::Policy;
pub use endpoint::{Endpoint, Health};
pub use request::service_index::ServiceIndex;
pub use stage::Discovery;
