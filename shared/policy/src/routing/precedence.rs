//! Which route a request takes when several match.
//!
//! By the Gateway API the narrowest match wins, wherever it stands: a whole host before a
//! longer wildcard before none; an exact path before the most characters of one; a method;
//! more headers; more query parameters. What it does not know comes after (cookies, client,
//! `not`, metadata, a percentage), and then the name of the route, so that two routes never
//! tie and the order of the document does not matter. By Istio the first match wins.
//!
//! Rules are sorted once; a request takes the first that holds.

use alloc::vec::Vec;
use core::cmp::Reverse;

use super::rules::{Condition, Facts, Rank};
use crate::http::Request;

/// In which order rules are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they stand in the document, as Istio does.
    FirstMatch,
    /// The narrowest first, as the Gateway API has it.
    GatewayApi,
}

/// Rules in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    conditions: Vec<Condition>,
    entries: Vec<Entry>,
}

/// One match of one route for one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    route: usize,
    host: Option<usize>,
    condition: usize,
}

impl Rules {
    /// The rules of routes, given by name with their conditions; a route without any takes
    /// all requests.
    #[must_use]
    pub fn new(routes: &[(&str, &[Condition])], order: Order) -> Self {
        let any = [Condition::any()];
        let (mut all, mut ranked) = (Vec::new(), Vec::new());
        for (route, (name, conditions)) in routes.iter().enumerate() {
            let conditions = if conditions.is_empty() { &any } else { *conditions };
            for condition in conditions {
                let rank = condition.rank();
                let entry = |host| Entry { route, host, condition: all.len() };
                match order {
                    Order::FirstMatch => ranked.push((key(None, rank, name), entry(None))),
                    Order::GatewayApi => each_host(condition, |host, narrowness| {
                        ranked.push((key(narrowness, rank, name), entry(host)));
                    }),
                }
                all.push(condition.clone());
            }
        }
        let mut sorted: Vec<&(Key<'_>, Entry)> = Vec::new();
        for one in &ranked {
            // Inserted one by one: a sort would add more code to a module than all of this.
            let at = match order {
                Order::FirstMatch => sorted.len(),
                Order::GatewayApi => sorted.partition_point(|(key, _)| *key <= one.0),
            };
            sorted.insert(at, one);
        }
        Self { entries: sorted.into_iter().map(|(_, entry)| *entry).collect(), conditions: all }
    }

    /// The route that a request takes.
    #[must_use]
    pub fn find(&self, request: &impl Request, facts: Facts<'_>) -> Option<usize> {
        let holds = |entry: &&Entry| {
            let condition = self.conditions.get(entry.condition);
            condition.is_some_and(|condition| condition.holds(entry.host, request, facts))
        };
        self.entries.iter().find(holds).map(|entry| entry.route)
    }
}

/// What rules are sorted by: the narrower first, then by name.
type Key<'n> = (Reverse<Option<(bool, usize)>>, Reverse<Rank>, &'n str);

fn key(host: Option<(bool, usize)>, rank: Rank, name: &str) -> Key<'_> {
    (Reverse(host), Reverse(rank), name)
}

fn each_host(condition: &Condition, mut take: impl FnMut(Option<usize>, Option<(bool, usize)>)) {
    let mut none = true;
    for (index, narrowness) in condition.hosts().enumerate() {
        none = false;
        take(Some(index), Some(narrowness));
    }
    if none {
        take(None, None);
    }
}
