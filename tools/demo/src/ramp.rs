//! How the canary's ramp went: from its lines in Envoy's log.

use std::time::Duration;

/// The ramp until now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ramp {
    /// What happened to it, in order.
    pub(crate) events: Vec<Event>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// When it was heard of.
    pub(crate) at: Duration,
    pub(crate) kind: Kind,
    /// The weight before and after, and what all variants weigh together.
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) total: u64,
    /// The filter's reason.
    pub(crate) why: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Aborted,
    Advanced,
    /// Not a step: the first weight.
    Began,
    Halted,
    Promoted,
}

// === impl Ramp ===

impl Ramp {
    /// Reads lines of the log that were new `at` after the start.
    pub(crate) fn read(&mut self, at: Duration, log: &str, route: &str) {
        self.events.extend(log.lines().filter_map(|line| Event::parse(at, line, route)));
    }

    /// What happened after the first `known` events.
    pub(crate) fn since(&self, known: usize) -> &[Event] {
        self.events.get(known..).unwrap_or_default()
    }

    /// How it was aborted, if it was.
    pub(crate) fn aborted(&self) -> Option<&Event> {
        self.events.iter().find(|event| event.kind == Kind::Aborted)
    }

    /// When the weights changed last.
    pub(crate) fn moved(&self) -> Duration {
        self.events.iter().rev().find(|event| event.from != event.to).map_or(Duration::ZERO, |event| event.at)
    }

    /// The weights that the canary had, one after the other.
    pub(crate) fn weights(&self) -> Vec<u64> {
        let kept = self.events.iter().filter(|event| event.kind != Kind::Aborted);
        let mut weights: Vec<u64> =
            self.events.iter().take(1).map(|event| event.from).chain(kept.map(|event| event.to)).collect();
        weights.dedup();
        weights
    }
}

// === impl Event ===

impl Event {
    /// From a line such as `… routing: catalog/canary: ramp advanced: the interval went well; weight
    /// 10 -> 25 of 100`.
    fn parse(at: Duration, line: &str, route: &str) -> Option<Self> {
        let (_, event) = line.split_once(&format!("routing: {route}/canary: ramp "))?;
        let (word, event) = event.split_once(": ")?;
        let (why, weights) = event.rsplit_once("; weight ")?;
        let (from, weights) = weights.split_once(" -> ")?;
        let (to, total) = weights.split_once(" of ")?;
        let (from, to, total) = (from.parse().ok()?, to.parse().ok()?, total.trim_end().parse().ok()?);
        let kind = match word {
            "aborted" => Kind::Aborted,
            "advanced" if from == to => Kind::Began,
            "advanced" => Kind::Advanced,
            "halted" => Kind::Halted,
            "promoted" => Kind::Promoted,
            _ => return None,
        };
        Some(Self { at, kind, from, to, total, why: why.to_owned() })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A ramp that begins, takes a step at 4 s, and fails.
    pub(crate) fn ramp() -> Ramp {
        let mut ramp = Ramp::default();
        let lines = [
            (0, "advanced: too few requests to tell; weight 10 -> 10 of 100"),
            (4_250, "advanced: the interval went well; weight 10 -> 25 of 100"),
            (6_000, "halted: too many requests failed; weight 25 -> 25 of 100"),
            (7_000, "aborted: too many requests failed; weight 25 -> 0 of 100"),
        ];
        for (ms, said) in lines {
            let log =
                format!("[9][info][wasm] wasm log routing: catalog/canary: ramp {said}\nanother line\n");
            ramp.read(Duration::from_millis(ms), &log, "catalog");
        }
        ramp
    }

    #[test]
    fn events_are_read_from_the_lines_of_the_filter() {
        let ramp = ramp();
        let events = ramp.events.iter().map(|event| (event.kind, event.from, event.to));
        let expected =
            [(Kind::Began, 10, 10), (Kind::Advanced, 10, 25), (Kind::Halted, 25, 25), (Kind::Aborted, 25, 0)];
        assert_eq!(events.collect::<Vec<_>>(), expected);
        assert_eq!((ramp.events[3].total, &*ramp.events[3].why), (100, "too many requests failed"));
        assert_eq!([0, 3, 4, 5].map(|known| ramp.since(known).len()), [4, 1, 0, 0]);
    }

    #[test]
    fn a_ramp_knows_the_weights_that_it_had() {
        let mut ramp = ramp();
        assert_eq!((ramp.weights(), ramp.aborted()), (vec![10, 25], ramp.events.get(3)));
        assert_eq!(ramp.moved(), Duration::from_secs(7));
        ramp.events.truncate(3);
        assert_eq!(ramp.moved(), Duration::from_millis(4_250));
        ramp.events.truncate(1);
        assert_eq!((ramp.weights(), ramp.aborted()), (vec![10], None));
        assert_eq!(Ramp::default().weights(), [0; 0]);
    }
}
