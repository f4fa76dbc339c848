//! Drives a stage through its exchanges, whatever proxy it runs in.
//!
//! A [`Stage`](tidegate_policy::http::Stage) says what should become of an exchange; a proxy has its
//! own functions for it. The driver stands between: it knows the order of the callbacks, which of
//! them a stage must not see, which exchanges wait, and when cells are created. It never decides: no
//! `if` in here depends on a policy's configuration.
//!
//! [`Proxy`] is all that the driver asks of a proxy. A proxy's glue implements it, one call for one
//! call, and hands each callback to a [`Dispatcher`]. The two are compiled together with their
//! stage, so nothing is looked up at run time. A host that takes no callbacks from outside, as the
//! simulator, uses [`Exchange`] alone, and sees effects as data.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

pub mod cells;
pub mod claims;
pub mod dispatch;
pub mod exchange;
#[cfg(test)]
mod fake;
pub mod host;
pub mod message;
pub mod meter;
pub mod proxy;
mod root;
mod spread;

pub use cells::Cells;
pub use claims::Claims;
pub use dispatch::Dispatcher;
pub use exchange::Exchange;
pub use message::Arrival;
pub use proxy::{Action, HeaderMap, Level, Proxy, Status};
