//! What became of many requests: by answer, by variant and endpoint, by who was limited, over time. Bounded,
//! whatever comes.

use std::collections::BTreeMap;

use tidegate_policy::time::Span;

use crate::engine::{Passing, Stop};
use crate::explain::part;
use crate::filter::Filter;
use crate::find::Chain;
use crate::tree::Node;

/// Counts of one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Went on.
    pub passed: u64,
    /// Refused by a limit.
    pub limited: u64,
    /// Answered or held by another filter.
    pub answered: u64,
}

/// What became of many requests.
pub struct Tally {
    total: u64,
    /// By what became of them.
    pub outcomes: BTreeMap<String, u64>,
    /// By variant.
    pub variants: BTreeMap<String, u64>,
    /// By endpoint.
    pub endpoints: BTreeMap<String, u64>,
    /// By cluster.
    pub clusters: BTreeMap<String, u64>,
    /// Of whom each limit refused how many, and of how many that it saw.
    pub limited: BTreeMap<(String, String), u64>,
    /// What of these found no room.
    pub others: u64,
    /// The keys of limits, by their names.
    keys: BTreeMap<String, Vec<Node>>,
    /// Over time.
    pub series: Series,
    /// The filters' own metrics.
    pub metrics: Vec<(String, u64)>,
    /// The filters' log.
    pub notes: Vec<String>,
}

/// Counts of stretches of the same length, at most [`STRETCHES`] of them.
#[derive(Debug)]
pub struct Series {
    /// How long each is, in milliseconds.
    pub width_ms: u64,
    /// The counts.
    pub counts: Vec<Counts>,
}

const STRETCHES: usize = 2_048;
/// The most names that are told apart in a table.
const NAMES: usize = 50_000;

// === impl Tally ===

impl Tally {
    /// Nothing yet, of the filters of a chain.
    #[must_use]
    pub fn new(chain: &Chain) -> Self {
        let trees =
            chain.plugins.iter().filter_map(|plugin| Some((plugin.filter, plugin.document.tree.as_ref()?)));
        let parts = trees.flat_map(|(filter, tree)| filter.parts(tree));
        let limits = parts.flat_map(|(_, part)| {
            part.get("limits").map(|limits| limits.items_or_self().to_vec()).unwrap_or_default()
        });
        let key = |limit: Node| {
            let key = limit.get("key")?.items_or_self().to_vec();
            Some((limit.text_at(&["name"])?.to_owned(), key))
        };
        Self {
            total: 0,
            outcomes: BTreeMap::new(),
            variants: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            clusters: BTreeMap::new(),
            limited: BTreeMap::new(),
            others: 0,
            keys: limits.filter_map(key).collect(),
            series: Series { width_ms: 10, counts: Vec::new() },
            metrics: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// How many there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Counts a request as the filters left it.
    pub(super) fn add(&mut self, at: Span, went: &Passing, stopped: Option<&(Filter, Stop)>) {
        self.total += 1;
        let counts = self.series.at(at.as_millis());
        match stopped {
            None => counts.passed += 1,
            Some((_, Stop::Answered(reply))) if reply.details.starts_with("tidegate_ratelimit_refused") => {
                counts.limited += 1;
            }
            Some(_) => counts.answered += 1,
        }
        let outcome = match stopped {
            None => passed(went),
            Some((filter, Stop::Held)) => format!("held by {}", filter.word()),
            Some((_, Stop::Answered(reply))) => format!("{} {}", reply.status, reply.details),
        };
        count(&mut self.outcomes, outcome);
        if let Some(label) = went.fact("tidegate.routing") {
            let mut words = label.split(' ').skip(1);
            if let (Some(route), Some(variant)) = (words.next(), words.next()) {
                count(&mut self.variants, format!("{route}/{variant}"));
            }
        }
        if stopped.is_none() {
            if let Some(endpoint) = went.text("x-envoy-original-dst-host") {
                let service = went.fact("tidegate.discovery").and_then(|fact| fact.split(' ').next());
                count(&mut self.endpoints, format!("{} {endpoint}", service.unwrap_or_default()));
            } else if !went.cluster.is_empty() {
                count(&mut self.clusters, went.cluster.clone());
            }
        }
        if let Some(limit) = went.fact("tidegate.ratelimit").and_then(|fact| fact.strip_prefix("refused:")) {
            let who = self.who(limit, went);
            let place = (limit.to_owned(), who);
            if self.limited.len() < NAMES || self.limited.contains_key(&place) {
                *self.limited.entry(place).or_default() += 1;
            } else {
                self.others += 1;
            }
        }
    }

    /// By what a limit knew a request.
    fn who(&self, limit: &str, went: &Passing) -> String {
        // A wider network has a limit of its own: `name-48`.
        let named = self.keys.get(limit).or_else(|| self.keys.get(limit.rsplit_once('-')?.0));
        let seen = went.seen();
        let parts = named.into_iter().flatten().map(|node| {
            let part = part(node, &seen);
            part.value.unwrap_or_else(|| format!("no {}", part.name))
        });
        parts.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn closed(self, metrics: Vec<(String, u64)>, notes: Vec<String>) -> Self {
        Self { metrics, notes, ..self }
    }
}

/// A request that went on, and what a filter made of it.
fn passed(went: &Passing) -> String {
    let special = |name: &str| {
        let word = went.fact(name)?;
        word.contains(':').then(|| format!("passed, {word}"))
    };
    special("tidegate.breaker")
        .or_else(|| special("tidegate.ratelimit"))
        .unwrap_or_else(|| "passed".to_owned())
}

fn count(table: &mut BTreeMap<String, u64>, name: String) {
    if table.len() < NAMES || table.contains_key(&name) {
        *table.entry(name).or_default() += 1;
    }
}

// === impl Series ===

impl Series {
    /// The counts of a time. Where it is behind the last stretch that there is room for, all become longer.
    fn at(&mut self, ms: u64) -> &mut Counts {
        while ms / self.width_ms >= STRETCHES as u64 {
            self.width_ms *= 2;
            let pairs = self
                .counts
                .chunks(2)
                .map(|pair| pair.iter().fold(Counts::default(), |sum, one| sum.plus(*one)));
            self.counts = pairs.collect();
        }
        let index = usize::try_from(ms / self.width_ms).unwrap_or(0);
        if self.counts.len() <= index {
            self.counts.resize(index + 1, Counts::default());
        }
        &mut self.counts[index]
    }

    /// The counts in so many stretches at most, and how long one is in milliseconds.
    #[must_use]
    pub fn in_columns(&self, most: usize) -> (u64, Vec<Counts>) {
        let each = self.counts.len().div_ceil(most.max(1)).max(1);
        let sums = self
            .counts
            .chunks(each)
            .map(|part| part.iter().fold(Counts::default(), |sum, one| sum.plus(*one)));
        (self.width_ms * each as u64, sums.collect())
    }
}

// === impl Counts ===

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            limited: self.limited + other.limited,
            answered: self.answered + other.answered,
        }
    }

    /// All of them.
    #[must_use]
    pub fn sum(self) -> u64 {
        self.passed + self.limited + self.answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_stays_small_and_loses_nothing() {
        let mut series = Series { width_ms: 10, counts: Vec::new() };
        for ms in (0..3_600_000).step_by(100) {
            series.at(ms).passed += 1;
        }
        assert!(series.counts.len() <= STRETCHES);
        let (width, columns) = series.in_columns(60);
        assert!(columns.len() <= 60);
        assert_eq!(columns.iter().map(|counts| counts.sum()).sum::<u64>(), 36_000);
        assert!(width * columns.len() as u64 >= 3_600_000);
    }
}
