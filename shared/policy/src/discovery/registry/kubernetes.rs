//! Kubernetes' `EndpointSlice`s (`discovery.k8s.io/v1`).
//!
//! A service has several slices, and a pod may be in two of them while they are rearranged, so
//! slices are merged by address and port.
//!
//! No document can name it yet: this is the part of a registry that reads answers, held to the published
//! ones by `tests/vectors/discovery_parse.json`.

use alloc::string::String;

use crate::discovery::endpoint::{Endpoint, Health, Names};
use crate::discovery::json::{Node, Shape};
use crate::discovery::registry::answer::{body, AnswerError, Entries, Found, Reply};
use crate::discovery::registry::path::{encode, parameter};

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its endpoints; those of all pages together are the service's.
    pub found: Found,
    /// What asks for the next page; empty on the last.
    pub next: String,
    /// The version of the list, from which a watch goes on.
    pub version: String,
}

static METADATA: Shape = Shape::Object(&[("resourceVersion", &Shape::Leaf), ("continue", &Shape::Leaf)]);
static CONDITIONS: Shape =
    Shape::Object(&[("ready", &Shape::Leaf), ("serving", &Shape::Leaf), ("terminating", &Shape::Leaf)]);
static ENDPOINT: Shape = Shape::Object(&[
    ("addresses", &Shape::List(&Shape::Leaf)),
    ("conditions", &CONDITIONS),
    ("zone", &Shape::Leaf),
    ("targetRef", &Shape::Object(&[("name", &Shape::Leaf)])),
]);
static SLICE: Shape = Shape::Object(&[
    ("addressType", &Shape::Leaf),
    ("endpoints", &Shape::List(&ENDPOINT)),
    ("ports", &Shape::List(&Shape::Object(&[("name", &Shape::Leaf), ("port", &Shape::Leaf)]))),
]);
static ANSWER: Shape = Shape::Object(&[
    ("kind", &Shape::Leaf),
    ("code", &Shape::Leaf),
    ("metadata", &METADATA),
    ("items", &Shape::List(&SLICE)),
]);

/// The path of the request for the slices of a service; `next` is [`Page::next`] of the page before.
#[must_use]
pub fn path(namespace: &str, service: &str, next: &str) -> String {
    let mut path = String::from("/apis/discovery.k8s.io/v1/namespaces/");
    encode(&mut path, namespace);
    // The slash need not be encoded in a query, and the server's own clients do not.
    path.push_str("/endpointslices?labelSelector=kubernetes.io/service-name%3D");
    encode(&mut path, service);
    if !next.is_empty() {
        parameter(&mut path, "continue", next);
    }
    path
}

/// What the answer says; `port` is the name of the port that is wanted, which a slice with a single
/// port need not have.
///
/// # Errors
/// It says nothing of endpoints.
pub fn read(port: &str, reply: &Reply<'_>) -> Result<Page, AnswerError> {
    let answer = body(reply, &ANSWER)?;
    if answer.field("kind").text() == Some("Status") {
        return Err(AnswerError::Code(answer.field("code").natural().unwrap_or(0)));
    }
    let mut names = Names::default();
    let mut entries = Entries::default();
    for slice in answer.field("items").items() {
        let number = number(slice.field("ports").items(), port);
        // Names would have to be resolved, and Kubernetes itself makes no such slices.
        if slice.field("addressType").text() == Some("FQDN") {
            continue;
        }
        for node in slice.field("endpoints").items() {
            entries.take(number.and_then(|port| endpoint(node, port, &mut names)));
        }
    }
    let text = |name| String::from(answer.field("metadata").field(name).text().unwrap_or_default());
    Ok(Page { found: entries.finish()?, next: text("continue"), version: text("resourceVersion") })
}

fn number(ports: &[Node], wanted: &str) -> Option<u16> {
    let named = ports.iter().find(|port| port.field("name").text() == Some(wanted));
    let only = || match ports {
        [only] if wanted.is_empty() || only.field("name").text().is_none() => Some(only),
        _ => None,
    };
    named.or_else(only)?.field("port").port()
}

fn endpoint(node: &Node, port: u16, names: &mut Names) -> Option<Endpoint> {
    // "Consumers must handle only the first of them."
    let address = node.field("addresses").items().first()?.text()?;
    let id = node.field("targetRef").field("name").text().unwrap_or(address);
    let endpoint = Endpoint::new(id, address.parse().ok()?, port)?;
    let conditions = node.field("conditions");
    let holds = |name, absent| conditions.field(name).truth().unwrap_or(absent);
    let health = if holds("ready", true) {
        Health::Healthy
    } else if holds("serving", true) && holds("terminating", false) {
        Health::Draining
    } else {
        Health::Unhealthy
    };
    let endpoint = endpoint.in_zone(node.field("zone").text().unwrap_or_default(), names);
    Some(Endpoint { health, ..endpoint })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(port: &str, body: &str) -> Result<Page, AnswerError> {
        read(port, &Reply { status: 200, header: &|_| None, body: body.as_bytes() })
    }

    #[test]
    fn a_port_is_chosen_by_name() {
        let body = |ports: &str| {
            std::format!(
                r#"{{"items": [{{"ports": {ports}, "endpoints": [{{"addresses": ["10.0.0.1"]}}]}}]}}"#
            )
        };
        let port =
            |wanted: &str, ports: &str| page(wanted, &body(ports)).map(|p| p.found.endpoints[0].port).ok();
        let two = r#"[{"name": "a", "port": 1}, {"name": "b", "port": 2}]"#;
        #[rustfmt::skip]
        let cases = [
            ("b", two, Some(2)), ("c", two, None), ("", two, None),
            ("b", r#"[{"port": 3}]"#, Some(3)), ("", r#"[{"name": "x", "port": 3}]"#, Some(3)),
            ("b", r#"[{"name": "x", "port": 3}]"#, None), ("b", "null", None), ("b", r#"[{"name": "b"}]"#, None),
        ];
        for (wanted, ports, expected) in cases {
            assert_eq!(port(wanted, ports), expected, "{wanted:?} of {ports}");
        }
    }

    #[test]
    fn a_status_is_an_error_and_a_page_may_have_a_next() {
        let gone = page("", r#"{"kind": "Status", "code": 410}"#);
        assert_eq!(gone, Err(AnswerError::Code(410)));
        let first = page("", r#"{"metadata": {"continue": "a=", "resourceVersion": "7"}}"#).unwrap();
        assert_eq!((&*first.next, &*first.version), ("a=", "7"));
        assert!(path("n", "s", &first.next).ends_with("%3Ds&continue=a%3D"));
    }
}
