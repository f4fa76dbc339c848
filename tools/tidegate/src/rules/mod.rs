//! What can be wrong: with a document, and with what stands around it.
//!
//! Each rule has a name, a level and a sentence that says what to do. `tests/rules/` has for each a file
//! that breaks it and one that does not.

mod attempts;
mod chain;
mod document;
mod names;
mod steering;

use crate::filter::Filter;
use crate::find::{Plugin, World};
use crate::source::Place;
use crate::tree::Node;

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub id: &'static str,
    /// How bad it is to break it.
    pub level: Level,
    /// What to do.
    pub help: &'static str,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Requests are lost, limits do not hold, or the filter does not load.
    Error,
    /// It may be meant so, or be right in files that were not given.
    Warning,
}

/// A rule that is broken somewhere.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which.
    pub rule: &'static Rule,
    /// How bad it is here: a rule may be broken only as far as the files show.
    pub level: Level,
    /// Where.
    pub place: Place,
    /// Whose plugin it is about.
    pub plugin: String,
    /// The path in the plugin's document; empty for what stands around it.
    pub path: String,
    /// What was found.
    pub found: String,
    /// What would be right.
    pub expected: String,
    /// Another place that it has to do with, and how.
    pub other: Option<(Place, String)>,
}

/// All rules, in the order in which they are looked at.
pub static RULES: [&Rule; 20] = [
    &document::DOCUMENT,
    &document::STRUCT,
    &document::IDLE,
    &chain::FAIL_OPEN,
    &chain::NO_RELOAD,
    &chain::NO_SCHEME,
    &chain::ORDER,
    &chain::PRIORITY,
    &steering::NO_ROUTE,
    &steering::ROUTE_BEHIND,
    &steering::FALLBACK_BEHIND,
    &steering::NO_MIRROR,
    &steering::NO_ENDPOINT_ROUTE,
    &steering::ENDPOINT_REMOVED,
    &steering::UNGUARDED,
    &steering::UNKNOWN_CLUSTER,
    &attempts::MISSING,
    &attempts::ROOT_ID,
    &attempts::OTHER_VM,
    &names::SAME_NAME,
];

/// Whether a document needs the filter around attempts, too.
#[must_use]
pub fn attempts_needed(filter: Filter, document: &Node) -> bool {
    attempts::needs(filter, document).is_some()
}

/// All that is wrong, in the order of the files.
#[must_use]
pub fn check(worlds: &[World]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for world in worlds {
        check_world(world, &mut findings);
    }
    let order = |finding: &Finding| {
        let rule = RULES.iter().position(|rule| rule.id == finding.rule.id);
        (finding.place.file, finding.place.span.start, rule, finding.path.clone())
    };
    findings.sort_by_key(order);
    // One resource may be in several chains, and an alias in several places.
    findings.dedup_by(|one, other| {
        one.rule == other.rule
            && one.place == other.place
            && one.found == other.found
            && one.path == other.path
    });
    findings
}

fn check_world(world: &World, findings: &mut Vec<Finding>) {
    for chain in &world.chains {
        let plugins = chain.plugins.iter().chain(&chain.attempts);
        plugins.for_each(|plugin| document::check(plugin, findings));
        chain::check(chain, findings);
        steering::check(chain, world, findings);
        attempts::check(chain, findings);
    }
    names::check(world, findings);
}

// === impl Finding ===

impl Finding {
    /// A rule that a plugin breaks.
    fn new(rule: &'static Rule, plugin: &Plugin, place: Place, found: String, expected: &str) -> Self {
        Self {
            rule,
            level: rule.level,
            place,
            plugin: plugin.name.clone(),
            path: String::new(),
            found,
            expected: expected.to_owned(),
            other: None,
        }
    }

    /// The same as only a warning, if `so`.
    fn only_warn(mut self, so: bool) -> Self {
        if so {
            self.level = Level::Warning;
        }
        self
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        format!("{path}{}, expected {}", self.found, self.expected)
    }
}

// === impl Level ===

impl Level {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}
