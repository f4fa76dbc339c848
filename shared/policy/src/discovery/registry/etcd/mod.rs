//! etcd's gateway (`POST /v3/kv/range`): each key below a prefix is one endpoint.
//!
//! A value is `{"addr": "10.0.0.1", "port": 80}` with, if wanted, `weight`, `priority`, `zone`,
//! `health`, `tags` and `metadata`.
//!
//! No document can name it yet: this is the part of a registry that reads answers, held to the published
//! ones by `tests/vectors/discovery_parse.json`.

pub mod base64;

use alloc::string::String;
use alloc::vec::Vec;

use crate::discovery::endpoint::{Endpoint, Health, Names};
use crate::discovery::json::{self, Node, Shape};
use crate::discovery::registry::answer::{body, AnswerError, Entries, Found, Reply};

/// The path of the request.
pub const PATH: &str = "/v3/kv/range";

static PAIR: Shape = Shape::Object(&[("key", &Shape::Leaf), ("value", &Shape::Leaf)]);
static ANSWER: Shape = Shape::Object(&[("code", &Shape::Leaf), ("kvs", &Shape::List(&PAIR))]);
static VALUE: Shape = Shape::Object(&[
    ("addr", &Shape::Leaf),
    ("port", &Shape::Leaf),
    ("weight", &Shape::Leaf),
    ("priority", &Shape::Leaf),
    ("zone", &Shape::Leaf),
    ("health", &Shape::Leaf),
    ("tags", &Shape::List(&Shape::Leaf)),
    ("metadata", &Shape::Map),
]);

/// The body of the request for all keys that begin with `prefix`.
#[must_use]
pub fn request(prefix: &[u8]) -> String {
    let (key, end) = (base64::encode(prefix), base64::encode(&range_end(prefix)));
    alloc::format!(r#"{{"key":"{key}","range_end":"{end}"}}"#)
}

/// The first key behind all that begin with `prefix`; a zero byte when there is none.
fn range_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    alloc::vec![0]
}

/// What the answer says.
///
/// # Errors
/// It says nothing of keys.
pub fn read(reply: &Reply<'_>) -> Result<Found, AnswerError> {
    let answer = body(reply, &ANSWER)?;
    match answer.field("code").natural() {
        None | Some(0) => {}
        Some(code) => return Err(AnswerError::Code(code)),
    }
    let mut names = Names::default();
    let mut entries = Entries::default();
    for pair in answer.field("kvs").items() {
        entries.take(endpoint(pair, &mut names));
    }
    entries.finish()
}

fn endpoint(pair: &Node, names: &mut Names) -> Option<Endpoint> {
    let key = base64::decode(pair.field("key").text()?)?;
    let value = json::read(&base64::decode(pair.field("value").text()?)?, &VALUE).ok()?;
    let address = value.field("addr").text()?.parse().ok()?;
    let endpoint = Endpoint::new(core::str::from_utf8(&key).ok()?, address, value.field("port").port()?)?;
    let endpoint = endpoint.weighing(value.field("weight").natural().unwrap_or(1));
    let endpoint = endpoint.in_zone(value.field("zone").text().unwrap_or_default(), names);
    let endpoint = endpoint.tagged(&mut value.field("tags").items().iter().filter_map(Node::text), names);
    let endpoint = endpoint.labelled(&mut value.field("metadata").pairs(), names);
    let priority = value.field("priority").natural().and_then(|p| u8::try_from(p).ok()).unwrap_or(0);
    let health = value.field("health").text().map_or(Some(Health::Healthy), Health::of)?;
    Some(Endpoint { priority, health, ..endpoint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_behind_its_prefix() {
        let cases: [(&[u8], &[u8]); 4] =
            [(b"/a/", b"/a0"), (b"a\xff", b"b"), (b"\xff\xff", b"\0"), (b"", b"\0")];
        for (prefix, end) in cases {
            assert_eq!(range_end(prefix), end, "{prefix:?}");
        }
    }

    #[test]
    fn one_value_of_another_form_spoils_no_other() {
        let pair = |value: &str| {
            std::format!(r#"{{"key": "YQ==", "value": "{}"}}"#, base64::encode(value.as_bytes()))
        };
        let full = r#"{"addr": "10.0.0.1", "port": "80", "priority": 2, "zone": "z", "health": "draining",
            "tags": ["t"], "metadata": {"k": "v"}}"#;
        let odd = r#"{"addr": "10.0.0.2", "port": 80, "health": "odd"}"#;
        let body = std::format!(r#"{{"kvs": [{}, {}, {}]}}"#, pair(full), pair("[]"), pair(odd));
        let found = read(&Reply { status: 200, header: &|_| None, body: body.as_bytes() }).unwrap();
        assert_eq!((found.endpoints.len(), found.skipped), (1, 2));
        let one = &found.endpoints[0];
        assert_eq!((one.priority, &*one.zone, one.health, one.tags.len()), (2, "z", Health::Draining, 1));
        let error = r#"{"error": "x", "code": 11, "message": "x"}"#;
        let error = read(&Reply { status: 200, header: &|_| None, body: error.as_bytes() });
        assert_eq!(error, Err(AnswerError::Code(11)));
        let empty = read(&Reply { status: 200, header: &|_| None, body: br#"{"header": {}}"# });
        assert_eq!(empty, Ok(Found::default()));
    }
}
