//! How fast queries may follow each other that a server holds until something changes.
//!
//! Such a query is sent again as soon as it is answered. A server that answers at once although
//! nothing changed, because something else did that it counts with it, would make polling as fast as the
//! network out of waiting. So only answers that changed something are free; the others are charged to a
//! bucket of [`crate::gcra`].

use crate::gcra::{Bucket, Decision, Rate};
use crate::time::{Span, Timestamp};

/// The bucket of one chain of queries.
///
/// ```
/// use tidegate_policy::time::{Span, Timestamp};
/// use tidegate_policy::watch::pace::Pace;
///
/// let now = Timestamp::from_nanos(1 << 40);
/// let (pace, first) = Pace::default().next(now, false);
/// let (pace, second) = pace.next(now, false);
/// let (pace, third) = pace.next(now, false);
/// assert_eq!([first, second, third], [now, now, now.plus(Span::from_secs(15))]);
/// assert_eq!(pace.next(now, true).1, now, "a change is followed at once");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace(Bucket);

/// One query that brings nothing this often: no more than polling at the usual periods costs a server,
pub const INTERVAL: Span = Span::from_secs(15);
/// and two of them at once, so that a single stray answer delays nothing.
const CAPACITY: Span = Span::from_secs(30);

// === impl Pace ===

impl Pace {
    /// When the next query may be sent, and the pace after it. `useful` says that the last answer
    /// changed the endpoints: then the next goes out at once and is not counted, so that a deploy is
    /// followed as fast as it happens.
    #[must_use]
    pub fn next(self, now: Timestamp, useful: bool) -> (Self, Timestamp) {
        let Some(rate) = Rate::of(INTERVAL, CAPACITY).filter(|_| !useful) else { return (self, now) };
        let at = match rate.decide(self.0, now, 1) {
            Decision::Admit { next } => return (Self(next), now),
            Decision::Refuse { retry_after } => now.plus(retry_after.unwrap_or(INTERVAL)),
        };
        match rate.decide(self.0, at, 1) {
            Decision::Admit { next } => (Self(next), at),
            Decision::Refuse { .. } => (self, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wake_ups_for_nothing_are_slowed_down() {
        let mut pace = Pace::default();
        let mut now = Timestamp::from_nanos(1 << 40);
        for _ in 0..100 {
            let (next, at) = pace.next(now, true);
            assert_eq!(at, now);
            (pace, now) = (next, at.plus(Span::from_millis(1)));
        }
        let waits = [false, false, false, true].map(|useful| {
            let (next, at) = pace.next(now, useful);
            pace = next;
            at.since(now).floor_secs()
        });
        assert_eq!(waits, [0, 0, 15, 0]);
    }
}
