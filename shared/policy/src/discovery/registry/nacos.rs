//! Nacos' instance lists: v1 is bare, v2 wraps it in `data`, in v3 `data` is the list.
//!
//! No document can name it yet: this is the part of a registry that reads answers, held to the published
//! ones by `tests/vectors/discovery_parse.json`.

use alloc::string::String;

use crate::discovery::endpoint::{Endpoint, Health, Names, MAX_WEIGHT};
use crate::discovery::json::{Node, Shape};
use crate::discovery::registry::answer::{body, AnswerError, Entries, Found, Reply};
use crate::discovery::registry::path::parameter;

/// Which of the three interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `/nacos/v1/ns`.
    One,
    /// `/nacos/v2/ns`.
    Two,
    /// `/nacos/v3/client/ns`.
    Three,
}

/// The server's number for success.
const SUCCESS: u64 = 0;

static HOST: Shape = Shape::Object(&[
    ("instanceId", &Shape::Leaf),
    ("ip", &Shape::Leaf),
    ("port", &Shape::Leaf),
    ("weight", &Shape::Leaf),
    ("healthy", &Shape::Leaf),
    ("enabled", &Shape::Leaf),
    ("clusterName", &Shape::Leaf),
    ("metadata", &Shape::Map),
    // What `data` has in v2, so that one shape does for both.
    ("hosts", &Shape::List(&INNER)),
]);
static INNER: Shape = Shape::Object(&[
    ("instanceId", &Shape::Leaf),
    ("ip", &Shape::Leaf),
    ("port", &Shape::Leaf),
    ("weight", &Shape::Leaf),
    ("healthy", &Shape::Leaf),
    ("enabled", &Shape::Leaf),
    ("clusterName", &Shape::Leaf),
    ("metadata", &Shape::Map),
]);
static ANSWER: Shape = Shape::Object(&[
    ("code", &Shape::Leaf),
    ("hosts", &Shape::List(&INNER)),
    ("data", &Shape::OneOrMore(&HOST)),
]);

/// The path of the request.
#[must_use]
pub fn path(version: Version, service: &str) -> String {
    let base = match version {
        Version::One => "/nacos/v1/ns",
        Version::Two => "/nacos/v2/ns",
        Version::Three => "/nacos/v3/client/ns",
    };
    let mut path = String::from(base);
    path.push_str("/instance/list");
    parameter(&mut path, "serviceName", service);
    if version == Version::One {
        parameter(&mut path, "healthyOnly", "false");
    }
    path
}

/// What the answer says.
///
/// # Errors
/// It says nothing of instances.
pub fn read(reply: &Reply<'_>) -> Result<Found, AnswerError> {
    let answer = body(reply, &ANSWER)?;
    match answer.field("code").natural() {
        None | Some(SUCCESS) => {}
        Some(code) => return Err(AnswerError::Code(code)),
    }
    let mut names = Names::default();
    let mut entries = Entries::default();
    for host in answer.field("hosts").items() {
        entries.take(endpoint(host, &mut names));
    }
    for item in answer.field("data").items() {
        let wraps = matches!(item.field("hosts"), Node::List(_));
        for host in if wraps { item.field("hosts").items() } else { core::slice::from_ref(item) } {
            entries.take(endpoint(host, &mut names));
        }
    }
    entries.finish()
}

fn endpoint(host: &Node, names: &mut Names) -> Option<Endpoint> {
    let address = host.field("ip").text()?.parse().ok()?;
    let endpoint = Endpoint::new(
        host.field("instanceId").text().unwrap_or_default(),
        address,
        host.field("port").port()?,
    )?;
    let weight = hundredths(host.field("weight"));
    let health = if host.field("healthy").truth() == Some(false) {
        Health::Unhealthy
    } else if weight == 0 || host.field("enabled").truth() == Some(false) {
        Health::Draining
    } else {
        Health::Healthy
    };
    let endpoint =
        endpoint.weighing(weight).in_zone(host.field("clusterName").text().unwrap_or_default(), names);
    let endpoint = endpoint.labelled(&mut host.field("metadata").pairs(), names);
    Some(Endpoint { health, ..endpoint })
}

/// A weight in hundredths, to the nearest; Nacos' own default where there is none.
fn hundredths(weight: &Node) -> u64 {
    match weight {
        Node::Natural(whole) => whole.saturating_mul(100),
        // Casts saturate, and what is no number is 0.
        Node::Fraction(weight) => libm::round((weight * 100.0).clamp(0.0, f64::from(MAX_WEIGHT))) as u64,
        Node::Negative(_) => 0,
        _ => 100,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn found(body: &str) -> Result<Found, AnswerError> {
        read(&Reply { status: 200, header: &|_| None, body: body.as_bytes() })
    }

    #[test]
    fn the_third_version_lists_without_wrapping() {
        let body = r#"{"code": 0, "data": [{"ip": "10.0.0.1", "port": 80}, {"ip": "10.0.0.2", "port": 80}]}"#;
        assert_eq!(found(body).unwrap().endpoints.len(), 2);
        assert_eq!(found(r#"{"code": 0, "data": []}"#), Ok(Found::default()));
        assert_eq!(found(r#"{"code": 20404}"#), Err(AnswerError::Code(20_404)));
        assert_eq!(path(Version::Three, "a b"), "/nacos/v3/client/ns/instance/list?serviceName=a%20b");
    }

    #[test]
    fn weights_are_hundredths_and_none_drains() {
        let of = |weight: &str| {
            let body = std::format!(r#"{{"hosts": [{{"ip": "10.0.0.1", "port": 80, "weight": {weight}}}]}}"#);
            let found = found(&body).unwrap();
            found.endpoints.into_iter().map(|e| (e.weight, e.health)).collect::<Vec<_>>()
        };
        #[rustfmt::skip]
        let cases = [
            ("1", 100, Health::Healthy), ("2.5", 250, Health::Healthy), ("0.004", 1, Health::Draining),
            ("0.005", 1, Health::Healthy), ("0", 1, Health::Draining), ("-1.5", 1, Health::Draining),
            ("-1", 1, Health::Draining), ("1e300", MAX_WEIGHT, Health::Healthy), ("null", 100, Health::Healthy),
        ];
        for (weight, expected, health) in cases {
            assert_eq!(of(weight), [(expected, health)], "{weight}");
        }
    }
}
