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
            cells: Cells::new("tidegate/d1", hash),
        });
        questions.len().checked_sub(1)
    };
    let services = policy.services.iter();
    let places = services.map(|service| service.sources.iter().map(&mut of).collect()).collect();
    (questions, places)
}
