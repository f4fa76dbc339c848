//! One request through the filters of a chain.

use tidegate_policy::http::{Edit, Reply};
use tidegate_sim::SimResponse;

use super::applies::{of_document, Applies, Chosen};
use crate::engine::{Engine, Passing, Router, Stop};
use crate::filter::Filter;
use crate::find::{Chain, Plugin};

/// What became of a request.
pub struct Story {
    /// The request as it came.
    pub request: Passing,
    /// What each filter did.
    pub told: Vec<Told>,
    /// What became of it.
    pub answer: Answer,
    /// Headers that the client gets from filters.
    pub gives: Vec<(String, String)>,
    /// The cluster that was assumed for want of routes.
    pub assumed: Option<String>,
}

/// What a filter did.
pub struct Told {
    /// Which.
    pub filter: Filter,
    /// Its name.
    pub plugin: String,
    /// Its rules.
    pub rules: Vec<Applies>,
    /// What it told, by the names of filter states.
    pub facts: Vec<(String, String)>,
    /// Request headers that it set or removed.
    pub changes: Vec<String>,
    /// Whether the request got so far.
    pub reached: bool,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A filter answered it.
    Replied {
        /// Which.
        by: String,
        /// With what.
        reply: Reply,
    },
    /// A filter waits for a registry.
    Held {
        /// Which.
        by: String,
    },
    /// It goes on.
    Goes {
        /// Envoy's route, by name.
        route: String,
        /// To this cluster.
        cluster: String,
        /// To this endpoint of a discovered service.
        endpoint: Option<String>,
    },
}

/// Sends a request; the upstream answers with a status.
#[must_use]
pub(super) fn of(
    chain: &Chain,
    engine: &Engine,
    router: &Router<'_>,
    request: &Passing,
    status: u32,
) -> Story {
    let mut passing = request.clone();
    router.choose(&mut passing);
    let (mut told, mut attending, mut stopped) = (Vec::new(), Vec::new(), None);
    for (link, plugin) in engine.links.iter().zip(around(chain)) {
        let before = passing.clone();
        let begun = if stopped.is_none() { Some(link.begin(&mut passing)) } else { None };
        let mut one = rules_of(plugin, &before, &passing);
        if let Some((stop, edits, waiting)) = begun {
            one.reached = true;
            one.changes = edits.iter().filter_map(change).collect();
            let new = passing.facts.iter().filter(|fact| !before.facts.contains(fact));
            one.facts = new.filter(|(name, _)| name != "tidegate.steering").cloned().collect();
            attending.push(waiting);
            stopped = stop.map(|stop| (plugin.filter.word().to_owned(), stop));
        }
        told.push(one);
    }
    let answer = match stopped {
        Some((by, Stop::Answered(reply))) => Answer::Replied { by, reply },
        Some((by, Stop::Held)) => Answer::Held { by },
        None => {
            router.choose(&mut passing);
            let (route, cluster) = (passing.route.clone(), passing.cluster.clone());
            Answer::Goes { route, cluster, endpoint: endpoint(&passing) }
        }
    };
    let response = match &answer {
        Answer::Replied { reply, .. } => SimResponse::local(reply.status, &reply.details, 0),
        Answer::Held { .. } => SimResponse::none(),
        Answer::Goes { .. } => SimResponse::upstream(status),
    };
    let response = passing.told(response);
    let edits = attending.into_iter().rev().flat_map(|waiting| waiting.end(&response));
    let gives = edits.filter_map(given).collect();
    Story { request: request.clone(), told, answer, gives, assumed: None }
}

fn around(chain: &Chain) -> impl Iterator<Item = &Plugin> {
    use tidegate_policy::http::Placement;
    chain.plugins.iter().filter(|plugin| plugin.placement == Placement::Downstream)
}

/// The rules of a filter for a request as it came to it; `after` knows what filters chose.
fn rules_of(plugin: &Plugin, before: &Passing, after: &Passing) -> Told {
    let parts = plugin.document.tree.iter().flat_map(|tree| plugin.filter.parts(tree));
    let seen = before.seen();
    let target = Chosen::of(before, after);
    let rules = parts.flat_map(|(filter, part)| of_document(filter, &part, &seen, &target)).collect();
    let (facts, changes) = (Vec::new(), Vec::new());
    Told { filter: plugin.filter, plugin: plugin.name.clone(), rules, facts, changes, reached: false }
}

fn endpoint(passing: &Passing) -> Option<String> {
    passing.text("x-envoy-original-dst-host").or_else(|| passing.text("x-tidegate-endpoints"))
}

fn change(edit: &Edit) -> Option<String> {
    match edit {
        Edit::AddRequestHeader(name, value) | Edit::SetRequestHeader(name, value) => {
            Some(format!("sets {name}: {value}"))
        }
        Edit::DropRequestHeader(name) | Edit::RemoveRequestHeader(name) => Some(format!("removes {name}")),
        _ => None,
    }
}

fn given(edit: Edit) -> Option<(String, String)> {
    match edit {
        Edit::AddResponseHeader(name, value) | Edit::SetResponseHeader(name, value) => Some((name, value)),
        _ => None,
    }
}
