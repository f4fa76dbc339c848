//! The host's functions as they are: proxy-wasm ABI 0.2.1 and a few of WASI.
//!
//! Every status is a value here. Buffers that the host hands over were allocated by this
//! module's `proxy_on_memory_allocate`, so they are owned and freed as vectors.
//!
//! Off wasm32 there is no host: every call answers [`Status::NO_HOST`], so that the rest of
//! the crate can be built and tested natively.

use core::ptr::{null, null_mut};

/// What a call came to, when not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u32);

/// The header map of the request.
pub const REQUEST_HEADERS: u32 = 0;
/// The header map of the response.
pub const RESPONSE_HEADERS: u32 = 2;
/// The buffer with the plugin's configuration.
pub const PLUGIN_CONFIGURATION: u32 = 7;

const MONOTONIC: u32 = 1;
const COUNTER: u32 = 0;

// === impl Status ===

impl Status {
    /// What was asked for is not there.
    pub const NOT_FOUND: Self = Self(1);
    /// A compare-and-swap met another version, or create-if-absent met a value.
    pub const CAS_MISMATCH: Self = Self(8);
    /// There is no host: not on wasm32.
    pub const NO_HOST: Self = Self(u32::MAX);

    fn check(status: u32) -> Result<(), Self> {
        if status == 0 {
            Ok(())
        } else {
            Err(Self(status))
        }
    }
}

/// Nanoseconds of the monotonic clock, or 0 when the host has none.
#[must_use]
pub fn monotonic_nanos() -> u64 {
    let mut nanos = 0;
    // SAFETY: `nanos` outlives the call and is as large as WASI's timestamp.
    let _ = unsafe { raw::clock_time_get(MONOTONIC, 1, &mut nanos) };
    nanos
}

/// Fills `bytes` with random bytes.
///
/// # Errors
/// The host's status.
pub fn random(bytes: &mut [u8]) -> Result<(), Status> {
    // SAFETY: pointer and length are one slice's.
    Status::check(unsafe { raw::random_get(bytes.as_mut_ptr(), bytes.len()) })
}

/// All headers of a map, in the host's encoding ([`crate::pairs`]).
///
/// # Errors
/// The host's status.
pub fn header_pairs(map: u32) -> Result<Vec<u8>, Status> {
    owned(|data, size| {
        // SAFETY: `data` and `size` outlive the call.
        unsafe { raw::proxy_get_header_map_pairs(map, data, size) }
    })
}

/// Appends a header.
///
/// # Errors
/// The host's status.
pub fn add_header(map: u32, name: &str, value: &str) -> Result<(), Status> {
    // SAFETY: each pointer and length are one slice's.
    Status::check(unsafe {
        raw::proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Removes every value of a header.
///
/// # Errors
/// The host's status.
pub fn remove_header(map: u32, name: &str) -> Result<(), Status> {
    // SAFETY: pointer and length are one slice's.
    Status::check(unsafe { raw::proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

/// An attribute; `path` is its segments with a NUL between them.
///
/// # Errors
/// [`Status::NOT_FOUND`] when it has no value now.
pub fn property(path: &str) -> Result<Vec<u8>, Status> {
    owned(|data, size| {
        // SAFETY: pointer and length are one slice's; `data` and `size` outlive the call.
        unsafe { raw::proxy_get_property(path.as_ptr(), path.len(), data, size) }
    })
}

/// Writes filter state `wasm.<name>`.
///
/// # Errors
/// The host's status.
pub fn set_property(name: &str, value: &[u8]) -> Result<(), Status> {
    // SAFETY: each pointer and length are one slice's.
    Status::check(unsafe { raw::proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// The bytes of a shared cell and their version.
///
/// # Errors
/// [`Status::NOT_FOUND`] when there is no such cell.
pub fn shared_data(cell: &str) -> Result<(Vec<u8>, u32), Status> {
    let mut version = 0;
    let bytes = owned(|data, size| {
        // SAFETY: pointer and length are one slice's; the others outlive the call.
        unsafe { raw::proxy_get_shared_data(cell.as_ptr(), cell.len(), data, size, &mut version) }
    })?;
    Ok((bytes, version))
}

/// Writes a shared cell if its version is still `version`, or if it does not exist.
///
/// # Errors
/// [`Status::CAS_MISMATCH`] when the version is another.
pub fn set_shared_data(cell: &str, bytes: &[u8], version: u32) -> Result<(), Status> {
    // SAFETY: each pointer and length are one slice's.
    Status::check(unsafe {
        raw::proxy_set_shared_data(cell.as_ptr(), cell.len(), bytes.as_ptr(), bytes.len(), version)
    })
}

/// Declares a counter; its number within this VM.
///
/// # Errors
/// The host's status.
pub fn define_counter(name: &str) -> Result<u32, Status> {
    let mut id = 0;
    // SAFETY: pointer and length are one slice's; `id` outlives the call.
    Status::check(unsafe { raw::proxy_define_metric(COUNTER, name.as_ptr(), name.len(), &mut id) })?;
    Ok(id)
}

/// Adds to a counter.
///
/// # Errors
/// The host's status.
pub fn increment(counter: u32, n: u64) -> Result<(), Status> {
    // SAFETY: takes no pointers.
    Status::check(unsafe { raw::proxy_increment_metric(counter, i64::try_from(n).unwrap_or(i64::MAX)) })
}

/// Sets the timer of the current root context; 0 stops it.
///
/// # Errors
/// The host's status.
pub fn set_tick_period(millis: u32) -> Result<(), Status> {
    // SAFETY: takes no pointers.
    Status::check(unsafe { raw::proxy_set_tick_period_milliseconds(millis) })
}

/// A buffer of the host.
///
/// # Errors
/// [`Status::NOT_FOUND`] when it is not there or empty.
pub fn buffer(kind: u32) -> Result<Vec<u8>, Status> {
    owned(|data, size| {
        // SAFETY: `data` and `size` outlive the call.
        unsafe { raw::proxy_get_buffer_bytes(kind, 0, usize::MAX >> 1, data, size) }
    })
}

/// Answers the request here and now. `headers` are in the host's encoding.
///
/// # Errors
/// The host's status.
pub fn send_local_response(
    status: u32,
    details: &str,
    body: &[u8],
    headers: &[u8],
    grpc_status: u32,
) -> Result<(), Status> {
    // SAFETY: each pointer and length are one slice's.
    Status::check(unsafe {
        raw::proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            if body.is_empty() { null() } else { body.as_ptr() },
            body.len(),
            headers.as_ptr(),
            headers.len(),
            i32::try_from(grpc_status).unwrap_or(-1),
        )
    })
}

/// Runs a call that hands over a buffer, and takes ownership of it.
fn owned(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, Status> {
    let mut data = null_mut();
    let mut size = 0;
    Status::check(call(&mut data, &mut size))?;
    if data.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the host allocated exactly `size` bytes by `proxy_on_memory_allocate`, which
    // leaks a boxed slice of that size, and hands over its only pointer.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

#[cfg(target_arch = "wasm32")]
mod raw {
    #[link(wasm_import_module = "env")]
    extern "C" {
        pub(super) fn proxy_add_header_map_value(
            m: u32,
            n: *const u8,
            nl: usize,
            v: *const u8,
            vl: usize,
        ) -> u32;
        pub(super) fn proxy_define_metric(kind: u32, name: *const u8, len: usize, id: *mut u32) -> u32;
        pub(super) fn proxy_get_buffer_bytes(
            k: u32,
            at: usize,
            max: usize,
            d: *mut *mut u8,
            s: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub(super) fn proxy_get_property(
            p: *const u8,
            len: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_shared_data(
            key: *const u8,
            len: usize,
            data: *mut *mut u8,
            size: *mut usize,
            cas: *mut u32,
        ) -> u32;
        pub(super) fn proxy_increment_metric(id: u32, offset: i64) -> u32;
        pub(super) fn proxy_remove_header_map_value(map: u32, name: *const u8, len: usize) -> u32;
        pub(super) fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_len: usize,
            body: *const u8,
            body_len: usize,
            headers: *const u8,
            headers_len: usize,
            grpc_status: i32,
        ) -> u32;
        pub(super) fn proxy_set_property(p: *const u8, pl: usize, v: *const u8, vl: usize) -> u32;
        pub(super) fn proxy_set_shared_data(
            k: *const u8,
            kl: usize,
            v: *const u8,
            vl: usize,
            cas: u32,
        ) -> u32;
        pub(super) fn proxy_set_tick_period_milliseconds(millis: u32) -> u32;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    extern "C" {
        pub(super) fn clock_time_get(id: u32, precision: u64, nanos: *mut u64) -> u32;
        pub(super) fn random_get(bytes: *mut u8, len: usize) -> u32;
    }
}

/// A world without a host.
#[cfg(not(target_arch = "wasm32"))]
#[allow(clippy::too_many_arguments)]
mod raw {
    macro_rules! absent {
        ($($name:ident($($argument:ty),*);)*) => {
            $(pub(super) unsafe fn $name($(_: $argument),*) -> u32 { super::Status::NO_HOST.0 })*
        };
    }

    absent! {
        clock_time_get(u32, u64, *mut u64);
        proxy_add_header_map_value(u32, *const u8, usize, *const u8, usize);
        proxy_define_metric(u32, *const u8, usize, *mut u32);
        proxy_get_buffer_bytes(u32, usize, usize, *mut *mut u8, *mut usize);
        proxy_get_header_map_pairs(u32, *mut *mut u8, *mut usize);
        proxy_get_property(*const u8, usize, *mut *mut u8, *mut usize);
        proxy_get_shared_data(*const u8, usize, *mut *mut u8, *mut usize, *mut u32);
        proxy_increment_metric(u32, i64);
        proxy_remove_header_map_value(u32, *const u8, usize);
        proxy_send_local_response(u32, *const u8, usize, *const u8, usize, *const u8, usize, i32);
        proxy_set_property(*const u8, usize, *const u8, usize);
        proxy_set_shared_data(*const u8, usize, *const u8, usize, u32);
        proxy_set_tick_period_milliseconds(u32);
        random_get(*mut u8, usize);
    }
}
