//! Who is asking? From the parts of a request to the hash that a policy counts by.
//!
//! [`Part`] names one part, [`Key`] is a list of them, [`address`] knows whose address
//! counts when there are proxies in between, [`range`] whether an address is one of many.

pub mod address;
pub mod extract;
pub mod part;
pub mod range;

pub use extract::{Key, Missing};
pub use part::Part;
