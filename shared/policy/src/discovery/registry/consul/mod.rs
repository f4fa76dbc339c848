//! Consul's health endpoint with blocking queries (`/v1/health/service/:service`).
//!
//! A query with the *index* of the last answer is held by the server until something changed or
//! `wait` has passed ([`index`]). Answers carry instances with their checks ([`read`]).
//!
//! Consul answers with `[]` where a token lacks permission, and says so in a header only
//! (1.11 and later). Such an answer is [`AnswerError::Filtered`], never an empty service.

pub mod config;
pub mod index;
pub mod protocol;
pub mod query;

use alloc::string::String;

use crate::discovery::endpoint::{Endpoint, Health, Names};
use crate::discovery::json::{Node, Shape};
use crate::discovery::registry::answer::{body, AnswerError, Entries, Found, Reply};

pub use config::{Consul, ServiceQuery};
pub use index::{next, Next, Step};
pub use query::{Consistency, Query};

/// How many queries that are not held one worker may have in flight. Consul accepts 200 connections from an
/// address (`limits.http_max_conns_per_client`), for all workers of all proxies there.
pub const MAX_IN_FLIGHT: usize = 6;
/// What Consul answers to a connection above its limit, and to a query above its rate.
pub(super) const TOO_MANY: u16 = 429;
pub(super) const ADVICE: &str = "Consul takes no more connections from this address: lower \
    `max_blocking_queries`, or raise Consul's `limits.http_max_conns_per_client`";

static NODE: Shape =
    Shape::Object(&[("Node", &Shape::Leaf), ("Address", &Shape::Leaf), ("Meta", &Shape::Map)]);
static SERVICE: Shape = Shape::Object(&[
    ("ID", &Shape::Leaf),
    ("Tags", &Shape::List(&Shape::Leaf)),
    ("Address", &Shape::Leaf),
    ("Meta", &Shape::Map),
    ("Port", &Shape::Leaf),
    ("Weights", &Shape::Object(&[("Passing", &Shape::Leaf), ("Warning", &Shape::Leaf)])),
]);
static CHECK: Shape = Shape::Object(&[("CheckID", &Shape::Leaf), ("Status", &Shape::Leaf)]);
static ENTRY: Shape =
    Shape::Object(&[("Node", &NODE), ("Service", &SERVICE), ("Checks", &Shape::List(&CHECK))]);
static ANSWER: Shape = Shape::List(&ENTRY);

/// The endpoints that the answer has.
///
/// ```
/// use tidegate_policy::discovery::registry::consul::{read, Query};
/// use tidegate_policy::discovery::registry::Reply;
///
/// let body = br#"[{"Node": {"Node": "n1", "Address": "10.0.0.1"},
///                  "Service": {"ID": "pay-1", "Port": 8080},
///                  "Checks": [{"CheckID": "c", "Status": "warning"}]}]"#;
/// let found = read(&Query::new("pay"), &Reply { status: 200, header: &|_| None, body })?;
/// assert_eq!((&*found.endpoints[0].id, found.endpoints[0].health.word()), ("n1/pay-1", "degraded"));
/// # Ok::<(), tidegate_policy::discovery::registry::AnswerError>(())
/// ```
///
/// # Errors
/// The answer is none of Consul's, or must not be believed.
pub fn read(query: &Query, reply: &Reply<'_>) -> Result<Found, AnswerError> {
    if (reply.header)("x-consul-results-filtered-by-acls").is_some_and(|v| v.eq_ignore_ascii_case(b"true")) {
        return Err(AnswerError::Filtered);
    }
    let answer = body(reply, &ANSWER)?;
    // A server without the others answers a stale query with what it has. Streamed answers say so always.
    let is = |name: &str, value: &[u8]| (reply.header)(name).is_some_and(|v| v == value);
    let leaderless = is("x-consul-knownleader", b"false") && !is("x-consul-query-backend", b"streaming");
    if answer.items().is_empty() && leaderless {
        return Err(AnswerError::Leaderless);
    }
    let mut names = Names::default();
    let mut entries = Entries::default();
    for entry in answer.items().iter().filter(|entry| has_tags(entry, &query.tags)) {
        entries.take(endpoint(entry, &query.zone, &mut names));
    }
    entries.finish()
}

fn has_tags(entry: &Node, tags: &[String]) -> bool {
    let there = entry.field("Service").field("Tags").items();
    tags.iter().all(|tag| there.iter().any(|node| node.text() == Some(tag)))
}

fn endpoint(entry: &Node, zone: &str, names: &mut Names) -> Option<Endpoint> {
    let (node, service) = (entry.field("Node"), entry.field("Service"));
    let address = service.field("Address").text().or_else(|| node.field("Address").text())?;
    let health = health(entry.field("Checks").items());
    let weights = service.field("Weights");
    let weight = weights.field(if health == Health::Degraded { "Warning" } else { "Passing" }).natural();
    // As in Consul's own integration of Envoy: a weight of 0 says that it should get nothing.
    let health = if weight == Some(0) { health.max(Health::Unhealthy) } else { health };
    let zone = service.field("Meta").entry(zone).or_else(|| node.field("Meta").entry(zone));
    // A service's id is unique on its node only.
    let mut id = String::from(node.field("Node").text().unwrap_or_default());
    id.push('/');
    id.push_str(service.field("ID").text().unwrap_or_default());
    let endpoint = Endpoint::new(&id, address.parse().ok()?, service.field("Port").port()?)?;
    let endpoint = endpoint.weighing(weight.unwrap_or(1));
    let endpoint = endpoint.in_zone(zone.unwrap_or_default(), names);
    let endpoint = endpoint.tagged(&mut service.field("Tags").items().iter().filter_map(Node::text), names);
    let endpoint = endpoint.labelled(&mut service.field("Meta").pairs(), names);
    Some(Endpoint { health, ..endpoint })
}

/// As Consul's own `AggregatedStatus`; a status that it does not know is critical.
fn health(checks: &[Node]) -> Health {
    let of = |check: &Node| {
        let id = check.field("CheckID").text().unwrap_or_default();
        let maintenance = id == "_node_maintenance" || id.starts_with("_service_maintenance:");
        match check.field("Status").text() {
            _ if maintenance => (true, Health::Unhealthy),
            Some("passing") => (false, Health::Healthy),
            Some("warning") => (false, Health::Degraded),
            _ => (false, Health::Unhealthy),
        }
    };
    if checks.iter().any(|check| of(check).0) {
        return Health::Draining;
    }
    checks.iter().map(|check| of(check).1).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn answer(body: &str, headers: &[(&str, &str)]) -> Result<Found, AnswerError> {
        answer_with(&Query::new("pay"), body, headers)
    }

    fn answer_with(query: &Query, body: &str, headers: &[(&str, &str)]) -> Result<Found, AnswerError> {
        let header = |name: &str| {
            headers.iter().find(|(there, _)| *there == name).map(|(_, value)| value.as_bytes().to_vec())
        };
        read(query, &Reply { status: 200, header: &header, body: body.as_bytes() })
    }

    #[test]
    fn what_the_token_may_not_see_is_not_an_empty_service() {
        assert_eq!(
            answer("[]", &[("x-consul-results-filtered-by-acls", "true")]),
            Err(AnswerError::Filtered)
        );
        assert_eq!(answer("[]", &[("x-consul-results-filtered-by-acls", "false")]), Ok(Found::default()));
        assert_eq!(answer("[]", &[("x-consul-knownleader", "false")]), Err(AnswerError::Leaderless));
        let streamed = [("x-consul-knownleader", "false"), ("x-consul-query-backend", "streaming")];
        assert_eq!(answer("[]", &streamed), Ok(Found::default()));
    }

    /// It got a third of the requests beside one healthy instance.
    #[test]
    fn an_instance_without_weight_gets_nothing() {
        let entry = |status: &str, weights: &str| {
            let body = std::format!(
                r#"[{{"Service": {{"Address": "10.0.0.1", "Port": 80, "Weights": {weights}}}, "Checks": [{{"Status": "{status}"}}]}}]"#
            );
            let one = answer(&body, &[]).unwrap().endpoints.remove(0);
            (one.health.word(), one.weight)
        };
        let weights = r#"{"Passing": 10, "Warning": 0}"#;
        assert_eq!(entry("passing", weights), ("healthy", 10));
        assert_eq!(entry("warning", weights), ("unhealthy", 1));
        assert_eq!(entry("warning", r#"{"Passing": 0, "Warning": 3}"#), ("degraded", 3));
        assert_eq!(entry("passing", r#"{"Passing": 0, "Warning": 3}"#), ("unhealthy", 1));
        assert_eq!(entry("warning", "{}"), ("degraded", 1));
    }

    #[test]
    fn only_addresses_count_and_none_of_many_is_a_problem() {
        let named =
            r#"{"Node": {"Node": "n", "Address": "host.example"}, "Service": {"ID": "s", "Port": 80}}"#;
        let sound = r#"{"Node": {"Node": "n", "Address": "10.0.0.1"}, "Service": {"ID": "s", "Port": 80}}"#;
        let portless = r#"{"Node": {"Address": "10.0.0.1"}, "Service": {"ID": "s", "Port": 0}}"#;
        let found = answer(&std::format!("[{named}, {sound}, {portless}]"), &[]).unwrap();
        assert_eq!((found.endpoints.len(), found.skipped), (1, 2));
        assert_eq!(found.endpoints[0].health, Health::Healthy, "no checks");
        let all = answer(&std::format!("[{named}, {portless}, null]"), &[]);
        assert_eq!(all, Err(AnswerError::Unusable { entries: 3 }));
    }

    #[test]
    fn tags_are_asked_of_every_entry_and_a_service_knows_its_zone_better_than_its_node() {
        let entry = |address: &str, tags: &str| {
            std::format!(
                r#"{{"Node": {{"Meta": {{"zone": "n"}}}}, "Service": {{"ID": "s", "Port": 80, "Address": "{address}",
                "Tags": {tags}, "Meta": {{"zone": "s"}}}}, "Checks": [{{"CheckID": "c", "Status": "odd"}}]}}"#
            )
        };
        let body =
            std::format!("[{}, {}]", entry("10.0.0.1", r#"["b", "a"]"#), entry("10.0.0.2", r#"["a"]"#));
        let query = Query { tags: std::vec!["a".into(), "b".into()], ..Query::new("pay") };
        let found = answer_with(&query, &body, &[]).unwrap();
        assert_eq!((found.endpoints.len(), found.skipped), (1, 0));
        let one = &found.endpoints[0];
        assert_eq!(
            (one.address.to_string(), &*one.zone, one.health),
            ("10.0.0.1".into(), "s", Health::Unhealthy)
        );
    }
}
