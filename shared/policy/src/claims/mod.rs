//! Who means what by a name: the plugins of one host that use the same names must agree on them.
//!
//! A name of a limit, a breaker, a ramp or a service is an identity, so that a new version of a document
//! keeps its state. Two plugins that mean different things by one name ruin each other's state instead. Each
//! plugin leaves in a shared cell what it means, a *claim* for each name, and reads there what others do.
//!
//! - A plugin is known by its name. A new version of its document replaces what it claimed before, and is no
//!   conflict, though the old version still serves what it began.
//! - Where other plugins have the same document, a host configures one after the other. So a plugin that
//!   meant something else before, or that comes back, is waited for: [`PERIOD_MS`].
//! - A plugin that goes takes its claims along. One whose workers do not show that they live has none after
//!   [`LIFE_MS`]: a host may configure a plugin to try it, and never say that it is gone.
//! - Plugins of one name cannot be told from versions of one plugin, except when a document comes back within
//!   a moment: a host that starts configures each on one thread, then each on the next.

pub mod claim;
mod entry;
pub mod ledger;

pub use claim::{Claim, Claimant};
pub use entry::PERIOD_MS;
pub use ledger::{Ledger, Step, LIFE_MS};
