//! Policies on one side, proxy-wasm on the other.
//!
//! Glue translates, one call for one call, and never decides: no `if` in here depends on
//! a policy's configuration. A filter crate is one line, [`filter!`]; [`root`] turns a
//! plugin's configuration into a policy, [`exchange`] drives it through each request,
//! [`host`] answers what it asks. [`abi`] is the only place with `unsafe`: the host's
//! functions as they are, with every status a value, because the SDK's own wrappers panic
//! on statuses that a host may well return, and a panic costs a worker its VM.

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

pub mod abi;
pub mod callbacks;
pub mod exchange;
pub mod host;
pub mod message;
pub mod meter;
pub mod pairs;
pub mod root;

#[doc(hidden)]
pub use proxy_wasm;

/// Makes the module's one entry point, for the stage named.
///
/// The names of the callbacks that the stage wants go into a custom section, from which
/// `tidegate-pack` learns what to keep exported.
#[macro_export]
macro_rules! filter {
    ($stage:ty) => {
        $crate::proxy_wasm::main! {{
            $crate::root::install::<$stage>();
        }}

        #[cfg(target_arch = "wasm32")]
        #[used]
        #[link_section = "tidegate.callbacks"]
        static CALLBACKS: [u8; $crate::callbacks::length::<$stage>()] =
            $crate::callbacks::names::<$stage, _>();
    };
}
