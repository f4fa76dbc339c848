//! How often a registry changes what it says: one that does so all the time is not followed all the time.

use crate::time::{Span, Timestamp};

/// Answers within a second that changed something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    count: u32,
    /// When that second began.
    since: Timestamp,
}

/// After this many answers within a second that changed something,
const MANY: u32 = 10;
/// the next query waits this long, so that a registry that changes all the time costs 20 a second at most.
const RESPITE: Span = Span::from_millis(50);

// === impl Changes ===

impl Changes {
    /// Counts an answer; when the next query may follow at the earliest.
    pub fn next_query(&mut self, changed: bool, now: Timestamp) -> Timestamp {
        if now.since(self.since) >= Span::from_secs(1) {
            *self = Self { count: 0, since: now };
        }
        self.count = self.count.saturating_add(u32::from(changed));
        if changed && self.count > MANY {
            now.plus(RESPITE)
        } else {
            now
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_change_of_a_second_has_the_next_query_wait() {
        let mut changes = Changes::default();
        let mut wait = |at_ms, changed| {
            let now = Timestamp::ZERO.plus(Span::from_millis(at_ms));
            changes.next_query(changed, now).since(now).as_millis()
        };
        assert!((0..10).all(|n| wait(5_000 + n, true) == 0));
        assert_eq!([wait(5_011, true), wait(5_012, false), wait(5_013, true)], [50, 0, 50]);
        assert_eq!(wait(6_000, true), 0, "another second");
    }
}
