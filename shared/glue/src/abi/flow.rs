//! Questions to others, and exchanges that are held back meanwhile.
//!
//! What a call here starts for an exchange (it goes on, it is answered) the host does once the
//! callback has returned. The one thing that may come back at once is the answer to a name.

use core::cell::Cell;
use core::ptr::null;

use tidegate_driver::Status;

use super::{check, raw};

std::thread_local! {
    static RESOLVING: Cell<bool> = const { Cell::new(false) };
}

/// Sends a request to a cluster. `headers` are in the host's encoding. The number of the question.
///
/// # Errors
/// [`super::BAD_ARGUMENT`] when there is no such cluster.
pub fn http_call(cluster: &str, headers: &[u8], body: &[u8], timeout_ms: u32) -> Result<u32, Status> {
    let mut token = 0;
    // SAFETY: each pointer and length are one slice's; `token` outlives the call.
    check(unsafe {
        raw::proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            if body.is_empty() { null() } else { body.as_ptr() },
            body.len(),
            null(),
            0,
            timeout_ms,
            &mut token,
        )
    })?;
    Ok(token)
}

/// Asks the host's resolver for the addresses of a name. The number of the question.
///
/// # Errors
/// The host's status.
pub fn resolve(name: &str) -> Result<u32, Status> {
    let mut token = 0;
    RESOLVING.set(true);
    // SAFETY: pointer and length are one slice's; `token` outlives the call.
    let status = unsafe { raw::envoy_resolve_dns(name.as_ptr(), name.len(), &mut token) };
    RESOLVING.set(false);
    check(status)?;
    Ok(token)
}

/// Whether [`resolve`] has not returned yet. The host answers before it does when it need not ask
/// around: for a name in the file of hosts, or an address.
#[must_use]
pub fn resolving() -> bool {
    RESOLVING.get()
}

/// Makes another context the one that calls are about, until the callback returns.
///
/// # Errors
/// The host's status: it has no such context.
pub fn set_effective_context(context: u32) -> Result<(), Status> {
    // SAFETY: takes no pointers.
    check(unsafe { raw::proxy_set_effective_context(context) })
}

/// Lets go of the current root, for which the module said before that it was not done.
///
/// # Errors
/// The host's status: it waits for no such root.
pub fn done() -> Result<(), Status> {
    // SAFETY: takes no pointers.
    check(unsafe { raw::proxy_done() })
}

/// Has a request that was held back go on. Only for one that was, and once.
///
/// # Errors
/// The host's status.
pub fn continue_request() -> Result<(), Status> {
    const REQUEST: u32 = 0;
    // SAFETY: takes no pointers.
    check(unsafe { raw::proxy_continue_stream(REQUEST) })
}
