//! Who is asking? From the parts of a request to the hash that a policy counts by.
//!
//! [`Part`] names one part, [`Key`] is a list of them, [`address`] knows whose address
//! counts when there are proxies in between.

pub mod address;
pub mod extract;
pub mod part;

pub use extract::{Key, Missing};
pub use part::Part;
