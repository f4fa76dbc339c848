//! How long a question rests after its answer, so that reading answers takes a tenth of a worker's time at most.
//!
//! A server that holds queries until something changes may change all the time, and a long answer takes its time
//! to be read and shared. So the next query waits for a multiple of what the last answers cost. Where several
//! questions wait like that, each waits that many times longer: together they take no more than one would, and
//! answers that cost little wait little, whatever others cost. What workers pay later, to use what was published, is not
//! counted.

use crate::time::{Span, Timestamp};

/// What the answers to one question cost one worker, and how long it rests.
///
/// ```
/// use tidegate_policy::time::{Span, Timestamp};
/// use tidegate_policy::watch::rest::Rest;
///
/// let (mut rest, mut now) = (Rest::default(), Timestamp::from_nanos(1 << 40));
/// for _ in 0..40 {
///     // Each answer takes 200 ms, and no other question rests.
///     now = now.plus(Span::from_millis(200));
///     rest.took(Span::from_millis(200), 0, now);
///     now = now.plus(rest.wait(now));
/// }
/// now = now.plus(Span::from_millis(200));
/// rest.took(Span::from_millis(200), 0, now);
/// assert_eq!(rest.wait(now).as_millis(), 1_600, "with the 200 ms of the next one nine times as long");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// The average of the last few answers, so that one that was interrupted counts little.
    cost: Span,
    /// Until when it rests for what the answers so far cost.
    until: Timestamp,
}

/// It rests so many times longer than its answers take,
const TIMES: u64 = 9;
/// after what costs as much rest as this: most answers are followed at once.
const FREE: Span = Span::from_secs(1);
/// The longest rest after an answer, for each question that rests.
const LONGEST: Span = Span::from_secs(60);
/// An answer counts for this part of the average.
const PART: u64 = 4;

// === impl Rest ===

impl Rest {
    /// Takes what an answer cost that was read by `now`, while `others` questions of the worker rest.
    pub fn took(&mut self, cost: Span, others: usize, now: Timestamp) {
        let before = if self.cost == Span::ZERO { cost } else { self.cost };
        self.cost = before.minus(before.ceil_part(PART)).plus(cost.ceil_part(PART));
        let questions = u64::try_from(others).unwrap_or(u64::MAX).saturating_add(1);
        let rest = self.cost.times(TIMES).min(LONGEST).times(questions);
        self.until = self.until.max(now).plus(rest).min(now.plus(LONGEST.times(questions)));
    }

    /// Whether it rests, though it may be asked by now.
    #[must_use]
    pub fn rests(&self, now: Timestamp) -> bool {
        self.until > now
    }

    /// How long it has to wait.
    #[must_use]
    pub fn wait(&self, now: Timestamp) -> Span {
        self.until.since(now).minus(FREE)
    }
}
