//! What Tidegate decides: policies as pure functions, without a proxy.
//!
//! ```text
//!  request ─► key ─► decide ◄─► state (bytes)        stage ─► Verdict, Edits
//!             who    what to    what we              asks the host: load a cell,
//!             asks?  do         remember             decide, write back, answer
//! ```
//!
//! What decides is a function from values to values: time, randomness and hashes are
//! arguments. A few files load and write what it decides on (`tests/layering/rooms.rs` lists them). [`host`] says what a stage may ask of its host, [`http`]
//! what it sees of an exchange and what it may answer, [`config`] how a JSON document
//! becomes a policy or a list of all that is wrong with it, [`key`] how a request
//! becomes the identity that a limit counts by. [`ratelimit`] is the first policy;
//! [`breaker`], [`routing`] and [`discovery`] are others, and [`balance`] chooses among endpoints.
//! [`fused`] is all of them in a row.
//!
//! The crate is `no_std`, so that a stray clock, lock or random call does not compile,
//! and total: whatever a request, a peer or a shared cell contains is answered with a
//! value, never with a panic, because a panic costs a worker its whole VM.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod balance;
pub mod breaker;
pub mod bytes;
pub mod claims;
pub mod config;
pub mod discovery;
pub mod draws;
pub mod fused;
pub mod gcra;
pub mod hash;
pub mod host;
pub mod http;
pub mod key;
pub mod net;
pub mod ratelimit;
pub mod routing;
pub mod scoped;
pub mod secret;
pub mod sort;
pub mod split;
pub mod time;
pub mod usage;
pub mod watch;
