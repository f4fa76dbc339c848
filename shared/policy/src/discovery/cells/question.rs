//! The questions of a configuration, each once.
//!
//! A question is a registry and a query, known by a hash of all that makes its answer. Its cells carry the
//! hash in their names. So two services with the same question share the answer, the answer outlives a new
//! configuration that still asks it, and another question never takes it for its own. A token, a timeout or
//! a cache setting is no part of the question. A scope is: those of whoever asks decide what all get, `allow`
//! among them.

use alloc::vec::Vec;

use crate::discovery::config::policy::{Policy, Source};
use crate::discovery::registry::Query;
use crate::watch::cells::Cells;

/// What is asked of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The registry, as its place in the policy.
    pub registry: usize,
    /// What is asked.
    pub query: Query,
    /// Whether the registry may hold its query until something changes.
    pub waits: bool,
    /// The number of questions of the registry that may not wait, at the first of them; 0 at all others.
    pub polled: usize,
    /// Where workers share who asks, and the answer. They are named by a hash of the question.
    pub cells: Cells,
}

/// All questions of a policy, and which of them each source of each service has; `None` for endpoints
/// that the configuration itself names.
#[must_use]
pub fn all(policy: &Policy) -> (Vec<Question>, Vec<Vec<Option<usize>>>) {
    let mut questions: Vec<Question> = Vec::new();
    let mut of = |source: &Source| {
        let registry = policy.registries.get(source.registry)?;
        let hash = policy.scope.hash(registry.kind.identity(&registry.name, &source.query)?);
        if let Some(at) = questions.iter().position(|known| known.cells.question == hash) {
            return Some(at);
        }
        questions.push(Question {
            registry: source.registry,
            query: source.query.clone(),
            waits: true,
            polled: 0,
            cells: Cells::new("tidegate/d1", hash),
        });
        questions.len().checked_sub(1)
    };
    let services = policy.services.iter();
    let places: Vec<Vec<Option<usize>>> =
        services.map(|service| service.sources.iter().map(&mut of).collect()).collect();
    for (at, registry) in policy.registries.iter().enumerate() {
        if let Some(most) = registry.kind.max_blocking_queries() {
            bound(&mut questions, &places, at, most);
        }
    }
    (questions, places)
}

/// Lets only so many queries of a registry wait: those of the first services, and fallbacks after all others.
fn bound(questions: &mut [Question], places: &[Vec<Option<usize>>], registry: usize, most: usize) {
    let deepest = places.iter().map(Vec::len).max().unwrap_or(0);
    let order = (0..deepest).flat_map(|depth| places.iter().filter_map(move |all| *all.get(depth)?));
    let (mut seen, mut first) = (Vec::new(), None);
    for at in order {
        let Some(question) = questions.get_mut(at).filter(|one| one.registry == registry) else { continue };
        if seen.contains(&at) {
            continue;
        }
        seen.push(at);
        if seen.len() > most {
            question.waits = false;
            first = first.or(Some(at));
        }
    }
    if let Some(first) = first.and_then(|at| questions.get_mut(at)) {
        first.polled = seen.len().saturating_sub(most);
    }
}
