//! Consul's health endpoint with blocking queries (`/v1/health/service/:service`).
//!
//! A query with the *index* of the last answer is held by the server until something changed or
//! `wait` has passed; the rules for the index are those of Consul's "Blocking queries" page, with
//! one more: an index that moves without our endpoints having changed is charged to [`Pace`], so
//! that a busy catalogue cannot turn waiting into polling as fast as the network goes.
//!
//! Consul answers with `[]` where a token lacks permission, and says so in a header only
//! (1.11 and later). Such an answer is [`Problem::Filtered`], never an empty service.

use alloc::string::String;
use alloc::vec::Vec;

use crate::discovery::endpoint::{Endpoint, Health, Names};
use crate::discovery::json::{Node, Shape};
use crate::discovery::registry::{body, encode, parameter, Entries, Found, Problem, Reply};
use crate::gcra::{Bucket, Decision, Rate};
use crate::time::{Span, Timestamp};

/// What is asked of Consul.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The service.
    pub service: String,
    /// Its datacenter; that of the agent when absent.
    pub datacenter: Option<String>,
    /// Its namespace (Consul Enterprise).
    pub namespace: Option<String>,
    /// Its admin partition (Consul Enterprise).
    pub partition: Option<String>,
    /// An expression of Consul's own language that entries must fulfil.
    pub filter: Option<String>,
    /// Sort by round trip from this node, `_agent` for the agent's. It only matters where an answer
    /// is cut, and costs the server its streaming back end.
    pub near: Option<String>,
    /// Tags that an endpoint must all have.
    pub tags: Vec<String>,
    /// Which servers may answer.
    pub consistency: Consistency,
    /// Whether endpoints without passing checks are left out by the server.
    pub passing: bool,
    /// Key of the service's or else the node's metadata that says the zone.
    pub zone: String,
    /// How long the server may hold the query: at most [`MAX_WAIT`].
    pub wait: Span,
    /// Sent as `X-Consul-Token`.
    pub token: Option<String>,
}

/// Which servers may answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// A leader that has confirmed to be one.
    Consistent,
    /// The leader.
    #[default]
    Default,
    /// Any server, whatever it has missed.
    Stale,
}

/// The index to wait with next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// The index; 0 asks without waiting.
    pub index: u64,
    /// What became of it.
    pub step: Step,
}

/// What became of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The server lost its state, or is another: begin anew.
    Backward,
    /// Something changed, though maybe not this service.
    Forward,
    /// There is none: the server cannot hold queries, or a proxy dropped it.
    Missing,
    /// The wait is over and nothing changed.
    Same,
    /// 0 would not wait: 1 does.
    Zero,
}

/// How fast queries may follow each other when nothing comes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace(Bucket);

/// Longest that Consul holds a query.
pub const MAX_WAIT: Span = Span::from_secs(600);
/// What the network and the server may take beyond the wait.
const SLACK: Span = Span::from_secs(5);
/// One query this often,
const INTERVAL: Span = Span::from_secs(15);
/// and two of them at once.
const CAPACITY: Span = Span::from_secs(30);

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

/// What the answer says of the endpoints.
///
/// # Errors
/// The answer says nothing of them.
pub fn read(query: &Query, reply: &Reply<'_>) -> Result<Found, Problem> {
    if (reply.header)("x-consul-results-filtered-by-acls").is_some_and(|v| v.eq_ignore_ascii_case(b"true")) {
        return Err(Problem::Filtered);
    }
    let answer = body(reply, &ANSWER)?;
    // A server without the others answers a stale query with what it has. Streamed answers say so always.
    let is = |name: &str, value: &[u8]| (reply.header)(name).is_some_and(|v| v == value);
    let leaderless = is("x-consul-knownleader", b"false") && !is("x-consul-query-backend", b"streaming");
    if answer.items().is_empty() && leaderless {
        return Err(Problem::Leaderless);
    }
    let mut names = Names::default();
    let mut entries = Entries::default();
    for entry in answer.items().iter().filter(|entry| has_tags(entry, &query.tags)) {
        entries.take(endpoint(entry, &query.zone, &mut names));
    }
    entries.finish()
}

/// The index of an answer; `None` when it has none.
#[must_use]
pub fn index(reply: &Reply<'_>) -> Option<u64> {
    core::str::from_utf8(&(reply.header)("x-consul-index")?).ok()?.parse().ok()
}

/// The index to wait with after one that came with `answered`.
#[must_use]
pub fn next(previous: u64, answered: Option<u64>) -> Next {
    let next = |index, step| Next { index, step };
    match answered {
        None => next(0, Step::Missing),
        // Consul counts from 1, and a server that says 0 still waits for more than 1.
        Some(0) if previous == 1 => next(1, Step::Same),
        Some(0) if previous == 0 => next(1, Step::Zero),
        Some(index) if index < previous => next(0, Step::Backward),
        Some(index) if index == previous => next(index, Step::Same),
        Some(index) => next(index, Step::Forward),
    }
}

/// How long to wait for an answer: the server adds up to a sixteenth to `wait`, so that not all
/// clients come back at once.
#[must_use]
pub fn timeout(wait: Span) -> Span {
    let wait = wait.min(MAX_WAIT);
    wait.plus(wait.ceil_part(16)).plus(SLACK)
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
    let weight = weights.field(if health == Health::Degraded { "Warning" } else { "Passing" });
    let zone = service.field("Meta").entry(zone).or_else(|| node.field("Meta").entry(zone));
    // A service's id is unique on its node only.
    let mut id = String::from(node.field("Node").text().unwrap_or_default());
    id.push('/');
    id.push_str(service.field("ID").text().unwrap_or_default());
    let endpoint = Endpoint::new(&id, address.parse().ok()?, service.field("Port").port()?)?;
    let endpoint = endpoint.weighing(weight.natural().unwrap_or(1));
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

// === impl Query ===

impl Query {
    /// All that is to know of `service`.
    #[must_use]
    pub fn new(service: &str) -> Self {
        Self {
            service: service.into(),
            datacenter: None,
            namespace: None,
            partition: None,
            filter: None,
            near: None,
            tags: Vec::new(),
            consistency: Consistency::Default,
            passing: false,
            zone: "zone".into(),
            wait: Span::from_secs(55),
            token: None,
        }
    }

    /// The path of the request that waits for more than `index`; 0 does not wait.
    #[must_use]
    pub fn path(&self, index: u64) -> String {
        let mut path = String::from("/v1/health/service/");
        encode(&mut path, &self.service);
        let named = [
            ("dc", &self.datacenter),
            ("ns", &self.namespace),
            ("partition", &self.partition),
            ("filter", &self.filter),
            ("near", &self.near),
        ];
        for (name, value) in named {
            value.iter().for_each(|value| parameter(&mut path, name, value));
        }
        self.tags.iter().for_each(|tag| parameter(&mut path, "tag", tag));
        let flags = [
            ("passing", self.passing),
            ("stale", self.consistency == Consistency::Stale),
            ("consistent", self.consistency == Consistency::Consistent),
        ];
        for (name, _) in flags.into_iter().filter(|(_, set)| *set) {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(name);
        }
        if index > 0 {
            parameter(&mut path, "index", &alloc::format!("{index}"));
            let wait = self.wait.min(MAX_WAIT);
            let (secs, millis) = (wait.floor_secs(), wait.as_millis());
            let whole = secs.saturating_mul(1000) == millis;
            let wait = if whole { alloc::format!("{secs}s") } else { alloc::format!("{millis}ms") };
            parameter(&mut path, "wait", &wait);
        }
        path
    }

    /// The headers of the request besides those of any.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.token.iter().map(|token| ("x-consul-token", token.as_str()))
    }
}

// === impl Pace ===

impl Pace {
    /// When the next query may be sent, and the pace after it. `useful` says that the last answer
    /// changed the endpoints: then the next goes out at once and is not counted, so that a deploy is
    /// followed as fast as it happens.
    #[must_use]
    pub fn next(self, now: Timestamp, useful: bool) -> (Self, Timestamp) {
        let Some(rate) = Rate::of(INTERVAL, CAPACITY).filter(|_| !useful) else { return (self, now) };
        let at = match rate.decide(self.0, now, 1) {
            Decision::Admit { next } => return (Self(next), now),
            Decision::Refuse { retry_after } => now.plus(retry_after.unwrap_or(INTERVAL)),
        };
        match rate.decide(self.0, at, 1) {
            Decision::Admit { next } => (Self(next), at),
            Decision::Refuse { .. } => (self, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn answer(body: &str, headers: &[(&str, &str)]) -> Result<Found, Problem> {
        answer_with(&Query::new("pay"), body, headers)
    }

    fn answer_with(query: &Query, body: &str, headers: &[(&str, &str)]) -> Result<Found, Problem> {
        let header = |name: &str| {
            headers.iter().find(|(there, _)| *there == name).map(|(_, value)| value.as_bytes().to_vec())
        };
        read(query, &Reply { status: 200, header: &header, body: body.as_bytes() })
    }

    #[test]
    fn the_path_says_what_is_asked() {
        let mut query = Query::new("a/b");
        assert_eq!(query.path(0), "/v1/health/service/a%2Fb");
        query.datacenter = Some("dc2".into());
        query.filter = Some("Service.Meta.v == \"1\"".into());
        query.tags = std::vec!["x&y".into(), "z".into()];
        query.consistency = Consistency::Stale;
        query.passing = true;
        query.wait = Span::from_millis(1500);
        assert_eq!(
            query.path(7),
            "/v1/health/service/a%2Fb?dc=dc2&filter=Service.Meta.v%20%3D%3D%20%221%22&tag=x%26y&tag=z\
             &passing&stale&index=7&wait=1500ms"
        );
        assert_eq!(query.headers().count(), 0);
        query.token = Some("secret".into());
        assert_eq!(query.headers().collect::<Vec<_>>(), [("x-consul-token", "secret")]);
    }

    #[test]
    fn what_the_token_may_not_see_is_not_an_empty_service() {
        assert_eq!(answer("[]", &[("x-consul-results-filtered-by-acls", "true")]), Err(Problem::Filtered));
        assert_eq!(answer("[]", &[("x-consul-results-filtered-by-acls", "false")]), Ok(Found::default()));
        assert_eq!(answer("[]", &[("x-consul-knownleader", "false")]), Err(Problem::Leaderless));
        let streamed = [("x-consul-knownleader", "false"), ("x-consul-query-backend", "streaming")];
        assert_eq!(answer("[]", &streamed), Ok(Found::default()));
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
        assert_eq!(all, Err(Problem::Unusable { entries: 3 }));
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

    #[test]
    fn a_server_that_keeps_saying_zero_is_waited_for() {
        let zero = next(0, Some(0));
        assert_eq!(zero, Next { index: 1, step: Step::Zero });
        assert_eq!(next(zero.index, Some(0)), Next { index: 1, step: Step::Same });
        assert_eq!(next(9, Some(0)), Next { index: 0, step: Step::Backward });
    }

    #[test]
    fn only_wake_ups_for_nothing_are_slowed_down() {
        let mut pace = Pace::default();
        let mut now = Timestamp::from_nanos(1 << 40);
        for _ in 0..100 {
            let (next, at) = pace.next(now, true);
            assert_eq!(at, now);
            (pace, now) = (next, at.plus(Span::from_millis(1)));
        }
        let waits = [false, false, false, true].map(|useful| {
            let (next, at) = pace.next(now, useful);
            pace = next;
            at.since(now).floor_secs()
        });
        assert_eq!(waits, [0, 0, 15, 0]);
    }

    #[test]
    fn a_client_waits_longer_than_the_server() {
        assert_eq!(timeout(Span::from_secs(160)), Span::from_secs(175));
        assert_eq!(timeout(Span::from_secs(6000)).as_millis(), 642_500);
    }
}
