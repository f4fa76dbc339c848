//! A host for tests of what comes in which order: it notes what it is told, its clock stands where
//! a test put it, and it knows every context but those that a test says are gone.

#![expect(clippy::too_many_arguments, reason = "the host's own signatures")]

use std::cell::{Cell, RefCell};

use super::Status;

std::thread_local! {
    static TOLD: RefCell<String> = const { RefCell::new(String::new()) };
    static NOW: Cell<u64> = const { Cell::new(0) };
    static GONE: Cell<u32> = const { Cell::new(0) };
    static AT_ONCE: Cell<Option<fn(u32)>> = const { Cell::new(None) };
}

/// What the host was told since the last call, and what others [`tell`]ed.
pub(crate) fn told() -> String {
    TOLD.take().trim_end().to_owned()
}

/// Notes a word.
pub(crate) fn tell(word: &str) {
    TOLD.with_borrow_mut(|told| told.push_str(&format!("{word} ")));
}

/// Moves the clock.
pub(crate) fn set_now(nanos: u64) {
    NOW.set(nanos);
}

/// What happens before a question for a name returns, which is given its number.
pub(crate) fn set_at_once(answer: fn(u32)) {
    AT_ONCE.set(Some(answer));
}

/// The one context that the host does not know; 0 for none.
pub(crate) fn set_gone(context: u32) {
    GONE.set(context);
}

fn noted(word: &str) -> u32 {
    tell(word);
    0
}

pub(super) unsafe fn clock_time_get(_: u32, _: u64, nanos: *mut u64) -> u32 {
    // SAFETY: the caller's own variable.
    unsafe { nanos.write(NOW.get()) };
    0
}

pub(super) unsafe fn envoy_resolve_dns(_: *const u8, _: usize, token: *mut u32) -> u32 {
    // SAFETY: the caller's own variable.
    unsafe { token.write(7) };
    if let Some(answer) = AT_ONCE.get() {
        answer(7);
    }
    noted("resolve/7")
}

pub(super) unsafe fn proxy_continue_stream(_: u32) -> u32 {
    noted("continue")
}

pub(super) unsafe fn proxy_done() -> u32 {
    noted("done/0")
}

pub(super) unsafe fn proxy_http_call(
    _: *const u8,
    _: usize,
    _: *const u8,
    _: usize,
    _: *const u8,
    _: usize,
    _: *const u8,
    _: usize,
    timeout_ms: u32,
    _: *mut u32,
) -> u32 {
    tell(&format!("call/{timeout_ms}"));
    Status::BAD_ARGUMENT.0
}

pub(super) unsafe fn proxy_send_local_response(
    status: u32,
    _: *const u8,
    _: usize,
    _: *const u8,
    _: usize,
    _: *const u8,
    _: usize,
    _: i32,
) -> u32 {
    noted(&format!("send/{status}"))
}

pub(super) unsafe fn proxy_set_effective_context(id: u32) -> u32 {
    if GONE.get() == id {
        return Status::BAD_ARGUMENT.0;
    }
    noted(&format!("as/{id}"))
}

pub(super) unsafe fn proxy_set_shared_data(_: *const u8, _: usize, _: *const u8, _: usize, _: u32) -> u32 {
    0
}

pub(super) unsafe fn random_get(_: *mut u8, _: usize) -> u32 {
    0
}

pub(super) unsafe fn proxy_set_tick_period_milliseconds(millis: u32) -> u32 {
    noted(&format!("timer/{millis}"))
}
