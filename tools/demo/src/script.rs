//! What the services go through, again and again.

use std::time::Duration;

/// Moods and how long they last. Twenty seconds in all, so that `SECONDS=20` shows everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script(&'static [(Mood, Duration)]);

/// How a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It answers 503.
    Fails,
    /// It answers, but only after [`SLOW`].
    Slow,
    Well,
}

/// How long a slow answer takes.
pub(crate) const SLOW: Duration = Duration::from_millis(600);

/// The canary of `catalog`: well until its ramp has had time for all steps.
pub(crate) const CANARY: Script = Script(&[
    (Mood::Well, Duration::from_millis(9_000)),
    (Mood::Fails, Duration::from_millis(5_000)),
    (Mood::Well, Duration::from_millis(6_000)),
]);
pub(crate) const CHECKOUT: Script = Script(&[
    (Mood::Well, Duration::from_millis(4_000)),
    (Mood::Fails, Duration::from_millis(5_000)),
    (Mood::Well, Duration::from_millis(4_000)),
    (Mood::Slow, Duration::from_millis(2_500)),
    (Mood::Well, Duration::from_millis(4_500)),
]);
/// The stable variant of `catalog`.
pub(crate) const STABLE: Script = Script(&[(Mood::Well, Duration::from_millis(20_000))]);

// === impl Script ===

impl Script {
    /// The mood `at` after the start.
    pub(crate) fn at(self, at: Duration) -> Mood {
        self.with_rest(at).0
    }

    /// The mood `at` after the start, and how long it still lasts.
    pub(crate) fn with_rest(self, at: Duration) -> (Mood, Duration) {
        let round: Duration = self.0.iter().map(|(_, lasts)| *lasts).sum();
        let mut into = Duration::from_millis(u64::try_from(at.as_millis() % round.as_millis()).unwrap_or(0));
        for (mood, lasts) in self.0 {
            if into < *lasts {
                return (*mood, *lasts - into);
            }
            into -= *lasts;
        }
        (Mood::Well, Duration::ZERO)
    }

    /// How long the service was in this mood until `at`.
    pub(crate) fn lasted(self, mood: Mood, mut until: Duration) -> Duration {
        let mut sum = Duration::ZERO;
        for (now, lasts) in self.0.iter().cycle() {
            let part = until.min(*lasts);
            if *now == mood {
                sum += part;
            }
            until -= part;
            if until.is_zero() {
                break;
            }
        }
        sum
    }
}

// === impl Mood ===

impl Mood {
    /// All of them.
    pub(crate) const ALL: [Self; Self::COUNT] = [Self::Fails, Self::Slow, Self::Well];
    /// How many there are.
    pub(crate) const COUNT: usize = 3;

    /// What the service does, in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Fails => "fails with 503",
            Self::Slow => "is slow, 600 ms",
            Self::Well => "is well",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moods_come_in_rounds_of_twenty_seconds() {
        #[rustfmt::skip]
        let cases = [
            // script   at (ms)  mood           rest (ms)
            (CHECKOUT,  0,       Mood::Well,    4_000),
            (CHECKOUT,  3_999,   Mood::Well,    1),
            (CHECKOUT,  4_000,   Mood::Fails,   5_000),
            (CHECKOUT,  14_000,  Mood::Slow,    1_500),
            (CHECKOUT,  19_000,  Mood::Well,    1_000),
            (CHECKOUT,  24_500,  Mood::Fails,   4_500),
            (CANARY,    29_000,  Mood::Fails,   5_000),
            (STABLE,    39_999,  Mood::Well,    1),
        ];
        for (script, at, mood, rest) in cases {
            let got = script.with_rest(Duration::from_millis(at));
            assert_eq!(got, (mood, Duration::from_millis(rest)), "{at}");
        }
    }

    #[test]
    fn a_mood_lasted_what_its_parts_did() {
        let lasted = |mood: Mood, ms| CHECKOUT.lasted(mood, Duration::from_millis(ms)).as_millis();
        assert_eq!(
            [0, 4_000, 6_000, 20_000, 24_500].map(|ms| lasted(Mood::Fails, ms)),
            [0, 0, 2_000, 5_000, 5_500]
        );
        assert_eq!([0, 4_000, 14_000, 40_000].map(|ms| lasted(Mood::Slow, ms)), [0, 0, 1_000, 5_000]);
        assert_eq!(lasted(Mood::Well, 20_000), 12_500);
    }

    #[test]
    fn the_words_say_how_slow() {
        assert!(Mood::Slow.words().contains(&format!("{} ms", SLOW.as_millis())));
    }
}
