//! Eureka's `/apps`, with what `XStream` makes of lists, numbers and booleans.
//!
//! No document can name it yet: this is the part of a registry that reads answers, held to the published
//! ones by `tests/vectors/discovery_parse.json`.

use alloc::string::String;
use alloc::vec::Vec;

use crate::discovery::endpoint::{Endpoint, Health, Names};
use crate::discovery::json::{Node, Shape};
use crate::discovery::registry::answer::{body, AnswerError, Entries, Found, Reply};
use crate::discovery::registry::path::encode;

/// Instances of an answer, with what became of each since the last full one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apps {
    /// In the order of the answer.
    pub instances: Vec<(Endpoint, Action)>,
    /// Instances without an IP address and a port.
    pub skipped: usize,
    /// What the whole registry holds, as `DOWN_1_UP_2_`; empty in the answer for one application.
    pub hashcode: String,
}

/// What became of an instance. Only a delta has others than [`Action::Added`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is there.
    Added,
    /// It is gone, whatever its status says.
    Deleted,
    /// It is there and changed.
    Modified,
}

/// Headers of the request besides those of any. Without it the answer is XML.
pub const HEADERS: [(&str, &str); 1] = [("accept", "application/json")];

static PORT: Shape = Shape::Object(&[("$", &Shape::Leaf), ("@enabled", &Shape::Leaf)]);
static DATACENTER: Shape = Shape::Object(&[("metadata", &Shape::Map)]);
static INSTANCE: Shape = Shape::Object(&[
    ("instanceId", &Shape::Leaf),
    ("hostName", &Shape::Leaf),
    ("ipAddr", &Shape::Leaf),
    ("status", &Shape::Leaf),
    ("overriddenStatus", &Shape::Leaf),
    ("overriddenstatus", &Shape::Leaf),
    ("port", &PORT),
    ("securePort", &PORT),
    ("metadata", &Shape::Map),
    ("dataCenterInfo", &DATACENTER),
    ("actionType", &Shape::Leaf),
]);
static APPLICATION: Shape = Shape::Object(&[("instance", &Shape::OneOrMore(&INSTANCE))]);
static ANSWER: Shape = Shape::Object(&[
    (
        "applications",
        &Shape::Object(&[("apps__hashcode", &Shape::Leaf), ("application", &Shape::OneOrMore(&APPLICATION))]),
    ),
    ("application", &Shape::OneOrMore(&APPLICATION)),
]);

/// The path for one application; names are in upper case.
#[must_use]
pub fn path(application: &str) -> String {
    let mut path = String::from("/eureka/apps/");
    encode(&mut path, &application.to_ascii_uppercase());
    path
}

/// What the answer says.
///
/// # Errors
/// It says nothing of instances.
pub fn read(reply: &Reply<'_>) -> Result<Apps, AnswerError> {
    let answer = body(reply, &ANSWER)?;
    let all = answer.field("applications");
    let mut apps = Apps {
        instances: Vec::new(),
        skipped: 0,
        hashcode: all.field("apps__hashcode").text().unwrap_or_default().into(),
    };
    let mut names = Names::default();
    let applications = all.field("application").items().iter().chain(answer.field("application").items());
    for instance in applications.flat_map(|application| application.field("instance").items()) {
        match endpoint(instance, &mut names) {
            Some(endpoint) => apps.instances.push((endpoint, action(instance))),
            None => apps.skipped = apps.skipped.saturating_add(1),
        }
    }
    Ok(apps)
}

fn action(instance: &Node) -> Action {
    match instance.field("actionType").text() {
        Some("DELETED") => Action::Deleted,
        Some("MODIFIED") => Action::Modified,
        _ => Action::Added,
    }
}

fn endpoint(instance: &Node, names: &mut Names) -> Option<Endpoint> {
    let address = instance.field("ipAddr").text()?.parse().ok()?;
    let (plain, secure) = (instance.field("port"), instance.field("securePort"));
    let enabled = |port: &Node| port.field("@enabled").truth();
    let use_secure = enabled(secure) == Some(true) && enabled(plain) == Some(false);
    let port = if use_secure { secure } else { plain }.field("$").port()?;
    let id = instance.field("instanceId").text().or_else(|| instance.field("hostName").text());
    let metadata = instance.field("metadata");
    let amazon = instance.field("dataCenterInfo").field("metadata");
    let zone = metadata.entry("zone").or_else(|| amazon.entry("availability-zone"));
    let weight = metadata.entry("weight").and_then(|weight| weight.parse().ok());
    // `@class` is the type of a Java map, not metadata.
    let mut pairs = metadata.pairs().filter(|(key, _)| *key != "@class");
    let endpoint = Endpoint::new(id.unwrap_or_default(), address, port)?.weighing(weight.unwrap_or(1));
    let endpoint = endpoint.in_zone(zone.unwrap_or_default(), names).labelled(&mut pairs, names);
    Some(Endpoint { health: health(instance), ..endpoint })
}

fn health(instance: &Node) -> Health {
    let overridden = [instance.field("overriddenStatus"), instance.field("overriddenstatus")];
    let overridden = overridden.into_iter().filter_map(Node::text).find(|status| *status != "UNKNOWN");
    match overridden.or_else(|| instance.field("status").text()) {
        Some("UP") => Health::Healthy,
        Some("OUT_OF_SERVICE") => Health::Draining,
        _ => Health::Unhealthy,
    }
}

// === impl Apps ===

impl Apps {
    /// The endpoints of a full answer.
    ///
    /// # Errors
    /// There are instances, and none has an IP address and a port.
    pub fn found(self) -> Result<Found, AnswerError> {
        let mut entries = Entries::skipping(self.skipped);
        let there = self.instances.into_iter().filter(|(_, action)| *action != Action::Deleted);
        there.for_each(|(endpoint, _)| entries.take(Some(endpoint)));
        entries.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_counts_and_a_deleted_instance_does_not() {
        let instance = |n: u8, fields: &str| {
            std::format!(r#"{{"ipAddr": "10.0.0.{n}", "port": {{"$": "80"}}, "status": "UP", {fields}}}"#)
        };
        let body = std::format!(
            r#"{{"application": {{"instance": [{}, {}, {}]}}}}"#,
            instance(1, r#""hostName": "h", "overriddenstatus": "OUT_OF_SERVICE""#),
            instance(2, r#""actionType": "DELETED""#),
            instance(
                3,
                r#""overriddenStatus": "UNKNOWN", "metadata": {"@class": "x", "a": "b"}, "dataCenterInfo":
                {"metadata": {"availability-zone": "z"}}"#
            ),
        );
        let apps = read(&Reply { status: 200, header: &|_| None, body: body.as_bytes() }).unwrap();
        let found = apps.found().unwrap();
        let healths: Vec<Health> = found.endpoints.iter().map(|e| e.health).collect();
        assert_eq!(healths, [Health::Draining, Health::Healthy]);
        assert_eq!((&*found.endpoints[0].id, &*found.endpoints[1].zone), ("h", "z"));
        assert_eq!(found.endpoints[1].metadata, [("a".into(), "b".into())]);
    }

    #[test]
    fn no_instances_come_in_many_forms() {
        for body in [
            "{}",
            r#"{"applications": {"application": []}}"#,
            r#"{"applications": {"application": ""}}"#,
            r#"{"applications": {"application": {"instance": []}}}"#,
        ] {
            let apps = read(&Reply { status: 200, header: &|_| None, body: body.as_bytes() }).unwrap();
            assert_eq!(apps.found(), Ok(Found::default()), "{body}");
        }
    }
}
