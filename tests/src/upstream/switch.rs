//! What a server does, until a test changes it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::lock;

/// A value that changes at run time, and who waits for its change.
#[derive(Debug)]
pub(crate) struct Switch<A> {
    now: Mutex<(A, Turn)>,
    changed: Condvar,
    held: AtomicUsize,
}

/// Counts the changes.
pub(crate) type Turn = u64;

/// Counts one request as held, while it lives.
pub(crate) struct Held<'a>(&'a AtomicUsize);

// === impl Switch ===

impl<A: Clone> Switch<A> {
    pub(crate) fn new(first: A) -> Self {
        Self { now: Mutex::new((first, 0)), changed: Condvar::new(), held: AtomicUsize::new(0) }
    }

    pub(crate) fn set(&self, next: A) {
        let mut now = lock(&self.now);
        *now = (next, now.1 + 1);
        self.changed.notify_all();
    }

    pub(crate) fn now(&self) -> (A, Turn) {
        lock(&self.now).clone()
    }

    /// Whether it has changed since `turn`, at the latest after `patience`.
    pub(crate) fn changes(&self, turn: Turn, patience: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(lock(&self.now), patience, |now| now.1 == turn);
        waited.is_ok_and(|(now, _)| now.1 != turn)
    }

    pub(crate) fn hold(&self) -> Held<'_> {
        self.held.fetch_add(1, Ordering::SeqCst);
        Held(&self.held)
    }

    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
