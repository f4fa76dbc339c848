//! How long queries may be held where something between us and the server ends them first.
//!
//! A proxy in between has a time-out of its own, often shorter than a query may wait. A query that it ends
//! says nothing of the server, so the next one asks for an answer at once. When that comes, the server is
//! well, and queries are held for half of the time after which they were cut; when it does not, that is a
//! failure like any other. Now and then the full wait is tried again.

use crate::time::{Span, Timestamp};

/// What is known of the time after which queries are cut.
///
/// ```
/// use tidegate_policy::time::{Span, Timestamp};
/// use tidegate_policy::watch::wait::{Cut, WaitLimit};
///
/// let (now, wait) = (Timestamp::from_nanos(1 << 40), Span::from_secs(55));
/// let mut limit = WaitLimit::default();
/// assert_eq!(limit.of(wait, now), Some(wait));
/// limit.learn(Cut { after: Span::from_secs(2), asked: now, certain: true }, now);
/// assert_eq!(limit.of(wait, now), Some(Span::from_secs(1)));
/// assert_eq!(limit.of(wait, now.plus(Span::from_secs(600))), Some(wait), "it may be gone");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitLimit {
    /// After how long queries are cut, and when that was last seen.
    cut: Option<(Span, Timestamp)>,
    /// When a query was last cut by what may have been another event.
    suspected: Option<Timestamp>,
}

/// A query that was ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// After how long.
    pub after: Span,
    /// When it was sent.
    pub asked: Timestamp,
    /// Whether its answer says that a time-out ended it. A connection that was closed may be a server that
    /// was restarted.
    pub certain: bool,
}

/// After this time the full wait is tried again.
const FORGET: Span = Span::from_secs(600);
/// The shortest time that is worth waiting; below it queries are not held.
const SHORTEST: Span = Span::from_millis(500);
/// An error this soon is no time-out.
const SOON: Span = Span::from_millis(100);

// === impl WaitLimit ===

impl WaitLimit {
    /// How long the next query may be held, `wait` at most; `None` when it is cut too soon for that.
    #[must_use]
    pub fn of(&self, wait: Span, now: Timestamp) -> Option<Span> {
        let Some(after) = self.known(now) else { return Some(wait) };
        // Whole tenths of a second.
        let half = Span::from_millis((after.as_millis() / 200).saturating_mul(100));
        (half >= SHORTEST).then_some(half.min(wait))
    }

    /// Takes a cut after which the server answered; whether queries are cut as it seems, and that is new.
    /// One event may end several queries: what is not certain has to happen twice.
    pub fn learn(&mut self, cut: Cut, now: Timestamp) -> bool {
        let again = |at: Timestamp| cut.asked >= at && now.since(at) < FORGET;
        let certain = cut.certain || self.suspected.is_some_and(again);
        if !cut.certain {
            self.suspected = Some(now);
        }
        if !certain {
            return false;
        }
        let known = self.known(now);
        self.cut = Some((known.map_or(cut.after, |known| known.min(cut.after)), now));
        known.is_none()
    }

    fn known(&self, now: Timestamp) -> Option<Span> {
        self.cut.filter(|(_, at)| now.since(*at) < FORGET).map(|(after, _)| after)
    }
}

// === impl Cut ===

impl Cut {
    /// The cut of a query that was sent at `asked`, could be held for `held`, and failed at `now`; `None` when
    /// that is a failure and no cut.
    #[must_use]
    pub fn of(asked: Timestamp, held: Option<Span>, certain: bool, now: Timestamp) -> Option<Self> {
        let after = now.since(asked);
        (after >= SOON && after < held?).then_some(Self { after, asked, certain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Span = Span::from_secs(55);

    fn at(ms: u64) -> Timestamp {
        Timestamp::ZERO.plus(Span::from_millis(ms))
    }

    fn cut(asked: u64, after: u64, certain: bool) -> Cut {
        Cut { after: Span::from_millis(after), asked: at(asked), certain }
    }

    #[test]
    fn queries_are_held_for_half_of_the_time_after_which_they_are_cut() {
        #[rustfmt::skip]
        let cases = [
            // cut after  held for
            (30_000,      Some(15_000)),
            (2_015,       Some(1_000)),
            (1_000,       Some(500)),
            (999,         None),
            (300_000,     Some(55_000)),
        ];
        for (after, expected) in cases {
            let mut limit = WaitLimit::default();
            assert!(limit.learn(cut(0, after, true), at(after)), "{after}");
            assert_eq!(limit.of(WAIT, at(after)).map(Span::as_millis), expected, "{after}");
        }
    }

    /// A server that was restarted ends all queries at one time, each after another.
    #[test]
    fn a_closed_connection_counts_the_second_time_only() {
        let mut limit = WaitLimit::default();
        assert!(!limit.learn(cut(0, 9_000, false), at(9_000)));
        assert!(!limit.learn(cut(3_000, 6_000, false), at(9_000)), "sent before");
        assert_eq!(limit.of(WAIT, at(9_001)), Some(WAIT));
        assert!(limit.learn(cut(9_001, 9_000, false), at(18_001)));
        assert_eq!(limit.of(WAIT, at(18_001)), Some(Span::from_millis(4_500)));
        assert!(!limit.learn(cut(18_001, 3_000, false), at(21_001)), "known already, and shorter now");
        assert_eq!(limit.of(WAIT, at(21_001)), Some(Span::from_millis(1_500)));
        assert_eq!(limit.of(WAIT, at(621_001)), Some(WAIT));
    }

    #[test]
    fn an_error_at_once_or_after_the_wait_is_no_cut() {
        let of = |held, now| Cut::of(at(0), held, true, at(now)).is_some();
        assert_eq!([99, 100, 54_999, 55_000].map(|now| of(Some(WAIT), now)), [false, true, true, false]);
        assert!(!of(None, 2_000), "it was not held");
    }
}
