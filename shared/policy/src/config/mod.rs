//! From a JSON document to a policy, or to everything that is wrong with it.
//!
//! A platform engineer who is told of one mistake at a time restarts a proxy once for
//! each. So a document is parsed into a plain tree ([`json`]) and then *walked*: each
//! reader reports what it finds wrong, with its path, and goes on ([`read`]). A policy is
//! made only when nothing was reported. (Derived deserializers stop at the first
//! problem; see ADR 0011.)

pub mod json;
pub mod lists;
pub mod name;
pub mod problem;
pub mod read;

pub use name::{distinct_name, number, plain_name, unique_name};
pub use problem::{ConfigError, Path, Problem};
pub use read::{document, Object, Reader};
