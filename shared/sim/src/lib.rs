//! A host without a proxy.
//!
//! [`SimHost`] has a clock that tests move, [`SimStore`] has cells with the real host's
//! rules, the awkward one included, [`SimQuestion`] is what a stage asked and [`SimAnswer`] what a
//! test answers, [`Worker`] drives a stage as a proxy's glue does. [`mod@explore`]
//! runs several workers against one store in every order that their store calls can take.
//! [`contract`] says what any store must do; it runs here and inside Envoy, so the
//! simulator cannot drift from the host. [`fuzz`] has the bodies of the fuzz targets.

#![forbid(unsafe_code)]

pub mod callout;
pub mod chain;
pub mod contract;
pub mod explore;
pub mod fuzz;
pub mod host;
pub mod request;
pub mod response;
pub mod store;
pub mod trap;
pub mod worker;

pub use tidegate_driver::{Claims, Exchange};

pub use callout::{Asked, SimAnswer, SimQuestion, SlowAnswer};
pub use chain::{Of, Passage, SimChain, SimRoute, To};
pub use explore::explore;
pub use host::SimHost;
pub use host::StoreCall;
pub use request::SimRequest;
pub use response::SimResponse;
pub use store::SimStore;
pub use worker::Worker;
