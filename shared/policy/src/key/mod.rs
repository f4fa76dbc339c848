//! Who is asking? From the parts of a request to the hash that a policy counts by.
//!
//! [`Part`] names one part, [`Key`] is a list of them.

pub mod extract;
pub mod part;
pub mod repeated;

pub use extract::{Hashes, Key, Missing, Unkeyed};
pub use part::{Layer, Part};
pub use repeated::Repeated;
