//! What the breaker did: from its lines in Envoy's log.

use std::time::Duration;

use tidegate_policy::breaker::State;

use crate::shop::{tick, TICK};

/// The states of the breaker until now.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The latest changes, in order.
    pub(crate) changes: Vec<Change>,
    /// How many there were.
    pub(crate) count: u64,
    /// How many of them were to open.
    pub(crate) opened: u64,
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// When it was heard of.
    pub(crate) at: Duration,
    pub(crate) from: State,
    pub(crate) to: State,
    /// Why, with the numbers.
    pub(crate) why: String,
    /// How long it is open.
    open: Option<Duration>,
}

/// Changes that are remembered: more than a minute has.
const KEPT: usize = 64;

// === impl History ===

impl History {
    /// Reads lines of the log that were new `at` after the start.
    pub(crate) fn read(&mut self, at: Duration, log: &str, name: &str) {
        let changes: Vec<Change> = log.lines().filter_map(|line| Change::parse(at, line, name)).collect();
        self.opened += changes.iter().filter(|change| change.to == State::Open).count() as u64;
        self.count += changes.len() as u64;
        self.changes.extend(changes);
        let old = self.changes.len().saturating_sub(KEPT);
        self.changes.drain(..old);
    }

    /// The changes that came after the first `known`, as far as they are remembered.
    pub(crate) fn since(&self, known: u64) -> &[Change] {
        let new = usize::try_from(self.count.saturating_sub(known)).unwrap_or(usize::MAX);
        &self.changes[self.changes.len().saturating_sub(new)..]
    }

    /// The state now.
    pub(crate) fn state(&self) -> State {
        self.changes.last().map_or(State::Closed, |change| change.to)
    }

    /// How long until the next probe may pass, while it is open.
    pub(crate) fn probe_in(&self, now: Duration) -> Option<Duration> {
        let last = self.changes.last()?;
        Some((last.at + last.open?).saturating_sub(now))
    }

    /// The state in each of the latest `count` ticks, the present one last; `None` before the start.
    /// A tick that had several has the rarest.
    pub(crate) fn latest(&self, now: Duration, count: usize) -> Vec<Option<State>> {
        let now = tick(now);
        (0..count as u64).rev().map(|age| now.checked_sub(age).map(|number| self.during(number))).collect()
    }

    fn during(&self, number: u64) -> State {
        let start = TICK.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
        let within = |change: &&Change| change.at >= start && change.at < start + TICK;
        let before = self.changes.iter().rev().find(|change| change.at < start);
        let first = before.map_or(State::Closed, |change| change.to);
        let states = self.changes.iter().filter(within).map(|change| change.to);
        states.fold(first, |rarest, state| if rarity(state) > rarity(rarest) { state } else { rarest })
    }
}

fn rarity(state: State) -> u8 {
    match state {
        State::HalfOpen => 2,
        State::Open => 1,
        _ => 0,
    }
}

// === impl Change ===

impl Change {
    /// From a line such as `… breaker: checkout: closed -> open (consecutive): 5 consecutive failures;
    /// 5 of 30 calls failed in 2000 ms; open for 1590 ms, 1st consecutive opening`.
    fn parse(at: Duration, line: &str, name: &str) -> Option<Self> {
        let (_, change) = line.split_once(&format!("breaker: {name}: "))?;
        let (states, why) = change.split_once("): ")?;
        let (states, _) = states.split_once(" (")?;
        let (from, to) = states.split_once(" -> ")?;
        let open = why.split_once("; open for ").and_then(|(_, rest)| rest.split_once(" ms"));
        let open = open.and_then(|(ms, _)| ms.parse().ok()).map(Duration::from_millis);
        Some(Self { at, from: state(from)?, to: state(to)?, why: why.to_owned(), open })
    }
}

fn state(word: &str) -> Option<State> {
    [State::Closed, State::HalfOpen, State::Open].into_iter().find(|state| state.word() == word)
}

/// A state in words.
pub(crate) fn words(state: State) -> &'static str {
    match state {
        State::HalfOpen => "half-open",
        state => state.word(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tidegate_policy::breaker::cells::probes::Probes;
    use tidegate_policy::breaker::cells::record::Counts;
    use tidegate_policy::breaker::report::{line, Evidence};
    use tidegate_policy::breaker::{BreakerParams, Reason, Record};

    use super::*;

    /// Opened at 4.25 s for two seconds, and half-open after them.
    pub(crate) fn history() -> History {
        let mut history = History::default();
        let at = Duration::from_millis;
        let open =
            Record { state: State::Open, at_ms: 9_000, streak: 1, ..Record::new(&BreakerParams::default()) };
        history.read(at(4_250), &logged(State::Closed, &open, Reason::Consecutive), "checkout");
        let half_open = Record { state: State::HalfOpen, ..Record::new(&BreakerParams::default()) };
        history.read(at(6_250), &logged(State::Open, &half_open, Reason::WaitedOut), "checkout");
        history
    }

    /// What the filter says, as it stands in the log.
    fn logged(from: State, to: &Record, reason: Reason) -> String {
        let window = Counts { total: 12, failed: 7, slow: 3 };
        let evidence = Evidence { window, run: 5, probes: Probes::default() };
        let said = line("checkout", &BreakerParams::default(), from, to, reason, &evidence, 7_000);
        format!("[2026-01-02 03:04:05.678][9][info][wasm] wasm log breaker: {said}\nanother line\n")
    }

    #[test]
    fn changes_are_read_from_the_lines_of_the_filter() {
        let history = history();
        let [opened, half_open] = &history.changes[..] else { panic!("{history:?}") };
        assert_eq!((opened.from, opened.to), (State::Closed, State::Open));
        assert!(opened.why.starts_with("5 consecutive failures; 7 of 12 calls"), "{}", opened.why);
        assert_eq!((opened.open, half_open.open), (Some(Duration::from_secs(2)), None));
        assert_eq!((history.state(), history.opened), (State::HalfOpen, 1));
        assert_eq!([0, 1, 2, 3].map(|known| history.since(known).len()), [2, 1, 0, 0]);
        let mut other = History::default();
        other.read(
            Duration::ZERO,
            "breaker: checkout-fallback-1: closed -> open (consecutive): so",
            "checkout",
        );
        assert_eq!(other.changes, []);
    }

    #[test]
    fn the_next_probe_is_known_while_it_is_open() {
        let mut history = history();
        let wait =
            |history: &History, ms| history.probe_in(Duration::from_millis(ms)).map(|left| left.as_millis());
        assert_eq!(wait(&history, 6_500), None);
        history.changes.truncate(1);
        assert_eq!([4_250, 5_000, 9_000].map(|ms| wait(&history, ms)), [Some(2_000), Some(1_250), Some(0)]);
    }

    #[test]
    fn a_tick_has_its_rarest_state() {
        let latest = history().latest(Duration::from_millis(6_600), 7);
        let (closed, open, half_open) = (Some(State::Closed), Some(State::Open), Some(State::HalfOpen));
        assert_eq!(latest, [closed, open, open, open, open, half_open, half_open][..].to_vec());
        assert_eq!(History::default().latest(Duration::ZERO, 2), [None, closed]);
    }
}
