//! What one client sent and got, in total and second by second.

use std::time::Duration;

use crate::ring::Ring;

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Admitted,
    /// With the seconds of `Retry-After`, if there were any.
    Refused(Option<u64>),
    /// No answer, or one that says that a server failed.
    Unanswered,
}

/// The answers of one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Second {
    pub(crate) admitted: u64,
    pub(crate) refused: u64,
}

/// The count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) total: Second,
    pub(crate) unanswered: u64,
    /// The last `Retry-After`.
    pub(crate) wait: Option<u64>,
    /// The latest seconds.
    seconds: Ring<Second, 64>,
}

// === impl Tally ===

impl Tally {
    /// Seconds that a rate is the mean of: carol's period.
    const MEAN: u64 = 4;

    /// Counts an answer that came `at` after the start.
    pub(crate) fn record(&mut self, at: Duration, outcome: Outcome) {
        let one = match outcome {
            Outcome::Admitted => Second { admitted: 1, refused: 0 },
            Outcome::Refused(wait) => {
                self.wait = wait.or(self.wait);
                Second { admitted: 0, refused: 1 }
            }
            Outcome::Unanswered => {
                self.unanswered += 1;
                return;
            }
        };
        self.total = self.total.plus(one);
        let second = self.seconds.entry(at.as_secs());
        *second = second.plus(one);
    }

    /// Requests so far.
    pub(crate) fn sent(&self) -> u64 {
        self.total.admitted + self.total.refused + self.unanswered
    }

    /// The answers in the second with this number.
    pub(crate) fn second(&self, number: u64) -> Second {
        self.seconds.at(number)
    }

    /// The latest `count` seconds, the present one last; `None` before the start.
    pub(crate) fn latest(&self, now: Duration, count: usize) -> Vec<Option<Second>> {
        self.seconds.latest(now.as_secs(), count)
    }

    /// Admitted and refused in a second, in the mean of the latest whole ones.
    pub(crate) fn per_second(&self, now: Duration) -> (f64, f64) {
        let now = now.as_secs();
        let whole = if now == 0 { 0..1 } else { now.saturating_sub(Self::MEAN)..now };
        let mean = |sum: u64| sum as f64 / (whole.end - whole.start) as f64;
        let sum = whole.clone().fold(Second::default(), |sum, number| sum.plus(self.second(number)));
        (mean(sum.admitted), mean(sum.refused))
    }
}

// === impl Second ===

impl Second {
    fn plus(self, other: Self) -> Self {
        Self { admitted: self.admitted + other.admitted, refused: self.refused + other.refused }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_seconds_but_no_totals() {
        let mut tally = Tally::default();
        let at = Duration::from_millis;
        tally.record(at(0), Outcome::Admitted);
        tally.record(at(900), Outcome::Refused(Some(3)));
        tally.record(at(64_000), Outcome::Refused(None));
        tally.record(at(65_500), Outcome::Admitted);
        tally.record(at(65_500), Outcome::Unanswered);
        assert_eq!((tally.sent(), tally.total, tally.wait), (5, Second { admitted: 2, refused: 2 }, Some(3)));
        let seconds = [0, 64, 65, 66].map(|number| tally.second(number));
        let expected = [(0, 0), (0, 1), (1, 0), (0, 0)];
        assert_eq!(seconds, expected.map(|(admitted, refused)| Second { admitted, refused }));
        assert_eq!(tally.latest(at(65_999), 2), [Some(seconds[1]), Some(seconds[2])]);
        assert_eq!(Tally::default().latest(at(500), 2), [None, Some(Second::default())]);
    }

    #[test]
    fn rate_is_the_mean_of_whole_seconds() {
        let mut tally = Tally::default();
        for ms in [100, 200, 1_100, 1_200, 1_300, 1_400, 2_000] {
            tally.record(Duration::from_millis(ms), Outcome::Admitted);
        }
        let rates = [500, 1_500, 2_500, 10_000].map(|ms| tally.per_second(Duration::from_millis(ms)).0);
        assert_eq!(rates, [2.0, 2.0, 3.0, 0.0]);
    }
}
