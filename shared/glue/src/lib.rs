//! Policies on one side, proxy-wasm on the other.
//!
//! Glue translates, one call for one call, and never decides: no `if` in here depends on
//! a policy's configuration. A filter crate is one line, [`filter!`]: it hands every callback of the
//! host to the [`Dispatcher`] of `tidegate-driver`, which drives the stage through its exchanges.
//! [`envoy`] is what the driver asks of its proxy, answered by Envoy.
//!
//! There is no SDK in between. Its calls panic on statuses that a host may well return, and a panic
//! costs a worker its VM; and it makes every request pay for what most filters never use. [`abi`] is
//! the only place with `unsafe`: the host's functions as they are, with every status a value.

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
pub mod envoy;
pub mod pairs;

pub use tidegate_driver::{Action, Arrival, Dispatcher};

/// Makes a module of the stage named: everything that the host looks for in one.
///
/// The names of the callbacks that the stage wants go into a custom section, from which
/// `tidegate-pack` learns what to keep exported.
#[macro_export]
macro_rules! filter {
    ($stage:ty) => {
        const _: () = {
            use $crate::envoy::Envoy;
            use $crate::{abi, Action, Arrival, Dispatcher};

            ::std::thread_local! {
                static CONTEXTS: Dispatcher<$stage, Envoy> = const { Dispatcher::new(Envoy) };
            }

            #[no_mangle]
            extern "C" fn proxy_abi_version_0_2_1() {}

            #[no_mangle]
            extern "C" fn _initialize() {
                abi::initialize();
            }

            #[no_mangle]
            extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
                abi::allocate(size)
            }

            #[no_mangle]
            extern "C" fn proxy_on_vm_start(_root: u32, _size: usize) -> bool {
                true
            }

            #[no_mangle]
            extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
                CONTEXTS.with(|contexts| contexts.context_created(context, parent));
            }

            #[no_mangle]
            extern "C" fn proxy_on_configure(root: u32, _size: usize) -> bool {
                CONTEXTS.with(|contexts| contexts.configured(root))
            }

            #[no_mangle]
            extern "C" fn proxy_on_tick(root: u32) {
                CONTEXTS.with(|contexts| contexts.ticked(root));
            }

            #[no_mangle]
            extern "C" fn proxy_on_request_headers(context: u32, _count: usize, end: u32) -> Action {
                CONTEXTS.with(|contexts| contexts.request_headers(context, end != 0))
            }

            #[no_mangle]
            extern "C" fn proxy_on_request_body(context: u32, _size: usize, end: u32) -> Action {
                CONTEXTS.with(|contexts| contexts.request_continues(context, end != 0))
            }

            #[no_mangle]
            extern "C" fn proxy_on_request_trailers(context: u32, _count: usize) -> Action {
                CONTEXTS.with(|contexts| contexts.request_continues(context, true))
            }

            #[no_mangle]
            extern "C" fn proxy_on_response_headers(context: u32, _count: usize, end: u32) -> Action {
                CONTEXTS.with(|contexts| contexts.response_headers(context, end != 0))
            }

            #[no_mangle]
            extern "C" fn proxy_on_response_body(context: u32, _size: usize, end: u32) -> Action {
                CONTEXTS.with(|contexts| contexts.response_body(context, end != 0))
            }

            #[no_mangle]
            extern "C" fn proxy_on_response_trailers(context: u32, _count: usize) -> Action {
                CONTEXTS.with(|contexts| contexts.response_trailers(context))
            }

            #[no_mangle]
            extern "C" fn proxy_on_http_call_response(
                root: u32,
                token: u32,
                headers: usize,
                size: usize,
                _trailers: usize,
            ) {
                CONTEXTS.with(|contexts| contexts.answered(root, Arrival::http(token, headers, size)));
            }

            #[no_mangle]
            extern "C" fn envoy_on_resolve_dns(root: u32, token: u32, size: usize) {
                CONTEXTS.with(|contexts| contexts.answered(root, Arrival::name(token, size)));
            }

            #[no_mangle]
            extern "C" fn proxy_on_done(context: u32) -> bool {
                CONTEXTS.with(|contexts| contexts.is_done(context))
            }

            #[no_mangle]
            extern "C" fn proxy_on_delete(context: u32) {
                CONTEXTS.with(|contexts| contexts.deleted(context));
            }
        };

        #[cfg(target_arch = "wasm32")]
        #[used]
        #[link_section = "tidegate.callbacks"]
        static CALLBACKS: [u8; $crate::callbacks::length::<$stage>()] =
            $crate::callbacks::names::<$stage, _>();
    };
}
