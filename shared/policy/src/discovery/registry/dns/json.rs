//! DNS over HTTPS as JSON, in the form of Google and Cloudflare (`application/dns-json`).
//!
//! No document can name it. It is kept because `tests/vectors/discovery_parse.json` holds [`Answer`] to it: the same
//! records as texts mean the same endpoints.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::discovery::json::{Node, Shape};
use crate::discovery::registry::answer::{body, AnswerError, Reply};
use crate::discovery::registry::dns::message::{Data, Kind, Message, Record, Service};
use crate::discovery::registry::dns::{Answer, Question};
use crate::discovery::registry::path::parameter;

/// Headers of the request besides those of any.
pub const HEADERS: [(&str, &str); 1] = [("accept", "application/dns-json")];

static RECORD: Shape = Shape::Object(&[
    ("name", &Shape::Leaf),
    ("type", &Shape::Leaf),
    ("TTL", &Shape::Leaf),
    ("data", &Shape::Leaf),
]);
static ANSWER: Shape = Shape::Object(&[
    ("Status", &Shape::Leaf),
    ("TC", &Shape::Leaf),
    ("Question", &Shape::List(&RECORD)),
    ("Answer", &Shape::List(&RECORD)),
    ("Authority", &Shape::List(&RECORD)),
    ("Additional", &Shape::List(&RECORD)),
]);

/// The path of the request, `base` being the server's `/resolve` or `/dns-query`.
#[must_use]
pub fn path(base: &str, question: Question<'_>) -> String {
    let mut path = String::from(base);
    parameter(&mut path, "name", question.name);
    let kind = match question.kind {
        Kind::A => "A",
        Kind::Aaaa => "AAAA",
        Kind::Srv => "SRV",
    };
    parameter(&mut path, "type", kind);
    path
}

/// What the answer says.
///
/// # Errors
/// It says nothing, or answers something else.
pub fn read(question: Question<'_>, reply: &Reply<'_>) -> Result<Answer, AnswerError> {
    let answer = body(reply, &ANSWER)?;
    let asked = |asked: &Node| {
        let same =
            name(asked.field("name")).is_some_and(|there| there.eq_ignore_ascii_case(&plain(question.name)));
        same && asked.field("type").natural() == Some(question.kind as u64)
    };
    let status = answer.field("Status").natural().and_then(|code| u8::try_from(code).ok());
    let status = status.filter(|_| answer.field("Question").items().iter().all(asked));
    let message = Message {
        rcode: status.ok_or(AnswerError::Unusable { entries: 0 })?,
        truncated: answer.field("TC").truth().unwrap_or(false),
        records: ["Answer", "Authority", "Additional"]
            .into_iter()
            .flat_map(|section| answer.field(section).items())
            .filter_map(record)
            .collect::<Vec<_>>(),
    };
    Answer::of(question, &message)
}

fn record(node: &Node) -> Option<Record> {
    let text = node.field("data").text()?;
    let mut words = text.split_ascii_whitespace();
    let data = match node.field("type").natural()? {
        1 | 28 => Data::Address(text.parse().ok()?),
        5 => Data::Alias(plain(text).into()),
        6 => Data::Nothing(words.nth(6)?.parse().ok()?),
        33 => Data::Service(Service {
            priority: words.next()?.parse().ok()?,
            weight: words.next()?.parse().ok()?,
            port: words.next()?.parse().ok()?,
            target: plain(words.next()?).into(),
        }),
        _ => return None,
    };
    let ttl = node.field("TTL").natural().and_then(|ttl| u32::try_from(ttl).ok())?;
    Some(Record { owner: name(node.field("name"))?, ttl, data })
}

fn name(node: &Node) -> Option<Rc<str>> {
    node.text().map(|name| plain(name).into())
}

/// As names are kept: in lower case, without the last dot.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Question<'static> = Question { name: "svc.x", kind: Kind::Srv };

    fn answer(body: &str) -> Result<Answer, AnswerError> {
        read(ASKED, &Reply { status: 200, header: &|_| None, body: body.as_bytes() })
    }

    #[test]
    fn failures_are_told_apart() {
        assert_eq!(answer(r#"{"Status": 2}"#), Err(AnswerError::Rcode(2)));
        assert_eq!(answer(r#"{"Status": 0, "TC": true}"#), Err(AnswerError::Truncated));
        assert_eq!(answer("{}"), Err(AnswerError::Unusable { entries: 0 }));
        let other = r#"{"Status": 0, "Question": [{"name": "svc.y.", "type": 33}]}"#;
        assert_eq!(answer(other), Err(AnswerError::Unusable { entries: 0 }));
        let none = r#"{"Status": 3, "Question": [{"name": "SVC.x.", "type": 33}],
            "Authority": [{"name": "x.", "type": 6, "TTL": 90, "data": "ns. me. 1 2 3 4 30"}]}"#;
        let none = answer(none).unwrap();
        assert_eq!((none.found(1), none.negative_ttl.floor_secs()), (Err(AnswerError::Unknown), 30));
    }
}
