//! The host's functions as they are: proxy-wasm ABI 0.2.1 and a few of WASI.
//!
//! Every status is a value here. Buffers that the host hands over were allocated by this
//! module's [`allocate`], so they are owned and freed as vectors.
//!
//! Off wasm32 there is no host: every call answers [`NO_HOST`], so that the rest of
//! the crate can be built and tested natively.

mod flow;
mod raw;

pub use flow::{continue_request, done, http_call, resolve, resolving, set_effective_context};

use core::alloc::Layout;
use core::ptr::{null, null_mut, NonNull};

use tidegate_driver::{Level, Status};

/// The header map of the request.
pub const REQUEST_HEADERS: u32 = 0;
/// The header map of the response.
pub const RESPONSE_HEADERS: u32 = 2;
/// The trailers of the response.
pub const RESPONSE_TRAILERS: u32 = 3;
/// The header map of the answer to an HTTP question.
pub const ANSWER_HEADERS: u32 = 6;
/// The buffer with the body of the answer to an HTTP question.
pub const ANSWER_BODY: u32 = 4;
/// The buffer with what a callback of the host's own brought, such as addresses.
pub const CALL_DATA: u32 = 8;
/// The buffer with the plugin's configuration.
pub const PLUGIN_CONFIGURATION: u32 = 7;
/// A metric that only grows.
pub const COUNTER: u32 = 0;
/// A metric that goes up and down.
pub const GAUGE: u32 = 1;

const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;

/// What was asked for is not there.
pub const NOT_FOUND: Status = Status(1);
/// Something that was named is not there, or not now.
pub const BAD_ARGUMENT: Status = Status(2);
/// A compare-and-swap met another version, or create-if-absent met a value.
pub const CAS_MISMATCH: Status = Status(8);
/// There is no host: not on wasm32.
pub const NO_HOST: Status = Status(u32::MAX);

fn check(status: u32) -> Result<(), Status> {
    if status == 0 {
        Ok(())
    } else {
        Err(Status(status))
    }
}

/// Runs what must run before anything else of the module, and has a panic leave its message and
/// its place in the host's log.
pub fn initialize() {
    #[cfg(target_os = "wasi")]
    // SAFETY: the linker's own function; the host calls us once and before all else, and so do we.
    unsafe {
        raw::__wasm_call_ctors();
    }
    std::panic::set_hook(Box::new(|panic| log(Level::Critical, &panic.to_string())));
}

/// Memory that the host fills and then hands over; null when there is none.
#[must_use]
pub fn allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        // SAFETY: the layout is not empty.
        Ok(layout) if size > 0 => unsafe { std::alloc::alloc(layout) },
        Ok(_) => NonNull::dangling().as_ptr(),
        Err(_) => null_mut(),
    }
}

/// Writes a line to the host's log.
pub fn log(level: Level, line: &str) {
    // SAFETY: pointer and length are one slice's.
    let _ = unsafe { raw::proxy_log(level as u32, line.as_ptr(), line.len()) };
}

/// Nanoseconds of the monotonic clock, or 0 when the host has none.
#[must_use]
pub fn monotonic_nanos() -> u64 {
    nanos(MONOTONIC)
}

/// Nanoseconds since 1970, or 0 when the host does not know.
#[must_use]
pub fn wall_nanos() -> u64 {
    nanos(REALTIME)
}

fn nanos(clock: u32) -> u64 {
    let mut nanos = 0;
    // SAFETY: `nanos` outlives the call and is as large as WASI's timestamp.
    let _ = unsafe { raw::clock_time_get(clock, 1, &mut nanos) };
    nanos
}

/// Fills `bytes` with random bytes.
///
/// # Errors
/// The host's status.
pub fn random(bytes: &mut [u8]) -> Result<(), Status> {
    // SAFETY: pointer and length are one slice's.
    check(unsafe { raw::random_get(bytes.as_mut_ptr(), bytes.len()) })
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

/// The first value of one header.
///
/// # Errors
/// The host's status: there is no such header, or no such map now.
pub fn header(map: u32, name: &str) -> Result<Vec<u8>, Status> {
    owned(|data, size| {
        // SAFETY: pointer and length are one slice's; `data` and `size` outlive the call.
        unsafe { raw::proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, size) }
    })
}

/// Appends a header.
///
/// # Errors
/// The host's status.
pub fn add_header(map: u32, name: &str, value: &str) -> Result<(), Status> {
    // SAFETY: each pointer and length are one slice's.
    check(unsafe {
        raw::proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Puts one value in place of all values of a header, if any.
///
/// # Errors
/// The host's status.
pub fn replace_header(map: u32, name: &str, value: &str) -> Result<(), Status> {
    // SAFETY: each pointer and length are one slice's.
    check(unsafe {
        raw::proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Removes every value of a header.
///
/// # Errors
/// The host's status.
pub fn remove_header(map: u32, name: &str) -> Result<(), Status> {
    // SAFETY: pointer and length are one slice's.
    check(unsafe { raw::proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

/// An attribute; `path` is its segments with a NUL between them.
///
/// # Errors
/// [`NOT_FOUND`] when it has no value now.
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
    check(unsafe { raw::proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// The bytes of a shared cell and their version.
///
/// # Errors
/// [`NOT_FOUND`] when there is no such cell.
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
/// [`CAS_MISMATCH`] when the version is another.
pub fn set_shared_data(cell: &str, bytes: &[u8], version: u32) -> Result<(), Status> {
    // SAFETY: each pointer and length are one slice's.
    check(unsafe {
        raw::proxy_set_shared_data(cell.as_ptr(), cell.len(), bytes.as_ptr(), bytes.len(), version)
    })
}

/// Declares a metric, a [`COUNTER`] or a [`GAUGE`]; its number within this VM.
///
/// # Errors
/// The host's status.
pub fn define_metric(kind: u32, name: &str) -> Result<u32, Status> {
    let mut id = 0;
    // SAFETY: pointer and length are one slice's; `id` outlives the call.
    check(unsafe { raw::proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id) })?;
    Ok(id)
}

/// What a metric stands at, for all workers together.
///
/// # Errors
/// The host's status.
pub fn metric(id: u32) -> Result<u64, Status> {
    let mut value = 0;
    // SAFETY: `value` outlives the call.
    check(unsafe { raw::proxy_get_metric(id, &mut value) })?;
    Ok(value)
}

/// Sets a gauge.
///
/// # Errors
/// The host's status.
pub fn record(gauge: u32, value: u64) -> Result<(), Status> {
    // SAFETY: takes no pointers.
    check(unsafe { raw::proxy_record_metric(gauge, value) })
}

/// Adds to a counter.
///
/// # Errors
/// The host's status.
pub fn increment(counter: u32, n: u64) -> Result<(), Status> {
    // SAFETY: takes no pointers.
    check(unsafe { raw::proxy_increment_metric(counter, i64::try_from(n).unwrap_or(i64::MAX)) })
}

/// Sets the timer of the current root context; 0 stops it.
///
/// # Errors
/// The host's status.
pub fn set_tick_period(millis: u32) -> Result<(), Status> {
    // SAFETY: takes no pointers.
    check(unsafe { raw::proxy_set_tick_period_milliseconds(millis) })
}

/// A buffer of the host, of which at most `most` bytes are read.
///
/// # Errors
/// [`NOT_FOUND`] when it is not there or empty.
pub fn buffer(kind: u32, most: usize) -> Result<Vec<u8>, Status> {
    owned(|data, size| {
        // SAFETY: `data` and `size` outlive the call.
        unsafe { raw::proxy_get_buffer_bytes(kind, 0, most.min(usize::MAX >> 1), data, size) }
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
    check(unsafe {
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
    check(call(&mut data, &mut size))?;
    if data.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the host took exactly `size` bytes from `allocate`, with the layout that a vector
    // of that capacity has, and hands over the only pointer.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_of_the_host_becomes_ours() {
        for size in [0, 1, 70_000] {
            let handed_over = owned(|data, length| {
                let memory = allocate(size);
                // SAFETY: `memory` has `size` bytes, and the pointers are those of two locals.
                unsafe {
                    memory.write_bytes(7, size);
                    data.write(memory);
                    length.write(size);
                }
                0
            });
            assert_eq!(handed_over, Ok(vec![7; size]));
        }
    }

    #[test]
    fn what_cannot_be_allocated_is_null() {
        assert!(allocate(usize::MAX).is_null());
        assert!(allocate(isize::MAX as usize).is_null());
    }
}
