//! Waiting for a condition instead of for a time.

use std::thread;
use std::time::{Duration, Instant};

/// How long to rest between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// What one look says: `bool` for done or not yet, `Option` if there is something to bring back.
pub trait Look {
    /// What [`eventually`] returns.
    type Found;

    /// What was found, if anything was.
    fn found(self) -> Option<Self::Found>;
}

/// Looks until it finds something, and returns that.
///
/// It looks at least once, and once more after the deadline.
///
/// # Panics
///
/// With `what` when there is still nothing after `within`.
pub fn eventually<L: Look>(what: &str, within: Duration, look: impl FnMut() -> L) -> L::Found {
    search(within, look).unwrap_or_else(|| panic!("waited {within:?} in vain for {what}"))
}

/// [`eventually`] for callers with a better answer than a panic.
pub(crate) fn search<L: Look>(within: Duration, mut look: impl FnMut() -> L) -> Option<L::Found> {
    let deadline = Instant::now() + within;
    loop {
        let last = Instant::now() >= deadline;
        let found = look().found();
        if found.is_some() || last {
            return found;
        }
        thread::sleep(PAUSE);
    }
}

// === impl Look ===

impl Look for bool {
    type Found = ();

    fn found(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Look for Option<T> {
    type Found = T;

    fn found(self) -> Option<T> {
        self
    }
}
