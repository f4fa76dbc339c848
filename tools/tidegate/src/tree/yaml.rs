//! YAML with places.
//!
//! Who reads a file decides what its plain words are: Kubernetes reads `on` and `yes` as YAML 1.1 does, a
//! policy of ours and Envoy's files are read as YAML 1.2.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as Lines, SpannedEventReceiver};

use super::{Key, Node, Span, Syntax, Value};

/// The most values of a file: aliases of aliases can say more in a few lines than there is memory.
const MOST: usize = 2_000_000;

/// How plain words are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A value before its plain words are read.
#[derive(Clone)]
struct Raw {
    span: Span,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    List(Vec<Raw>),
    Map(Vec<(Raw, Raw)>),
    Plain(String),
    Text(String),
}

/// A list or an object that has not ended.
struct Open {
    raw: Raw,
    anchor: usize,
    key: Option<Raw>,
}

/// Builds trees of events.
struct Builder {
    /// Where each character begins.
    bytes: Vec<usize>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Raw>,
    documents: Vec<Raw>,
    count: usize,
}

/// Reads the documents of a file.
///
/// # Errors
/// It is not YAML, or more than can be held.
pub fn parse(text: &str) -> Result<Vec<Node>, Syntax> {
    let bytes = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let (open, anchors, documents) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut builder = Builder { bytes, open, anchors, documents, count: 0 };
    if let Err(error) = Parser::new_from_str(text).load(&mut builder, true) {
        return Err(Syntax { says: error.info().to_owned(), at: builder.byte(error.marker()) });
    }
    if builder.count > MOST {
        return Err(Syntax { says: format!("more than {MOST} values, by aliases"), at: 0 });
    }
    Ok(builder.documents.into_iter().map(read).collect())
}

fn read(document: Raw) -> Node {
    let kubernetes = match &document.kind {
        Kind::Map(fields) => ["apiVersion", "kind"]
            .iter()
            .all(|name| fields.iter().any(|(key, _)| matches!(&key.kind, Kind::Plain(text) if text == name))),
        _ => false,
    };
    node(document, if kubernetes { Version::One } else { Version::Two })
}

fn node(raw: Raw, version: Version) -> Node {
    let value = match raw.kind {
        Kind::List(items) => Value::List(items.into_iter().map(|item| node(item, version)).collect()),
        Kind::Map(fields) => Value::Map(
            fields.into_iter().map(|(name, value)| (key(name, version), node(value, version))).collect(),
        ),
        Kind::Plain(word) => plain(&word, version),
        Kind::Text(text) => Value::Text(text),
    };
    Node { span: raw.span, value }
}

fn key(raw: Raw, version: Version) -> Key {
    let span = raw.span.clone();
    let text = match node(raw, version).value {
        Value::Text(text) | Value::Number(text) => text,
        Value::Bool(value) => value.to_string(),
        Value::Null => "null".to_owned(),
        Value::List(_) | Value::Map(_) => String::new(),
    };
    Key { text, span }
}

fn plain(word: &str, version: Version) -> Value {
    let small = word.to_ascii_lowercase();
    match small.as_str() {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "on" | "yes" | "y" if version == Version::One => Value::Bool(true),
        "off" | "no" | "n" if version == Version::One => Value::Bool(false),
        _ => number(&small, version).map_or_else(|| Value::Text(word.to_owned()), Value::Number),
    }
}

/// A number as JSON writes it.
fn number(word: &str, version: Version) -> Option<String> {
    let digits = word.trim_start_matches(['-', '+']);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let octal = digits.strip_prefix("0o").or_else(|| {
        (version == Version::One && digits.len() > 1).then(|| digits.strip_prefix('0')).flatten()
    });
    let whole = match (digits.strip_prefix("0x"), octal) {
        (Some(hex), _) => u64::from_str_radix(hex, 16).ok(),
        (_, Some(octal)) => u64::from_str_radix(octal, 8).ok(),
        _ => digits.parse().ok(),
    };
    if let Some(whole) = whole {
        return Some(format!("{}{whole}", if word.starts_with('-') { "-" } else { "" }));
    }
    let value: f64 = word.parse().ok().filter(|value: &f64| value.is_finite())?;
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(word).is_ok();
    Some(if is_json { word.to_owned() } else { format!("{value:?}") })
}

// === impl Builder ===

impl Builder {
    fn byte(&self, marker: &Marker) -> usize {
        self.bytes.get(marker.index()).or(self.bytes.last()).copied().unwrap_or(0)
    }

    fn span(&self, lines: &Lines) -> Span {
        self.byte(&lines.start)..self.byte(&lines.end)
    }

    fn begin(&mut self, kind: Kind, anchor: usize, lines: &Lines) {
        let raw = Raw { span: self.span(lines), kind };
        self.open.push(Open { raw, anchor, key: None });
    }

    fn finish(&mut self, lines: &Lines) {
        let Some(mut open) = self.open.pop() else { return };
        open.raw.span.end = open.raw.span.end.max(self.byte(&lines.end));
        // The end of a block stands where the next thing begins.
        let last = match &open.raw.kind {
            Kind::List(items) => items.last().map(|item| item.span.end),
            Kind::Map(fields) => fields.last().map(|(_, value)| value.span.end),
            _ => None,
        };
        if let (Some(last), true) = (last, lines.is_empty()) {
            open.raw.span.end = last;
        }
        self.take(open.raw, open.anchor);
    }

    /// A value is complete.
    fn take(&mut self, raw: Raw, anchor: usize) {
        self.count += 1;
        if self.count > MOST {
            return;
        }
        if anchor > 0 {
            self.anchors.insert(anchor, raw.clone());
        }
        let Some(open) = self.open.last_mut() else { return self.documents.push(raw) };
        match &mut open.raw.kind {
            Kind::List(items) => items.push(raw),
            Kind::Map(fields) => match open.key.take() {
                Some(key) => fields.push((key, raw)),
                None => open.key = Some(raw),
            },
            Kind::Plain(_) | Kind::Text(_) => {}
        }
    }
}

impl Raw {
    fn count(&self) -> usize {
        match &self.kind {
            Kind::List(items) => items.iter().map(Self::count).sum::<usize>() + 1,
            Kind::Map(fields) => fields.iter().map(|(_, value)| value.count() + 1).sum::<usize>() + 1,
            _ => 1,
        }
    }
}

impl<'input> SpannedEventReceiver<'input> for Builder {
    fn on_event(&mut self, event: Event<'input>, lines: Lines) {
        match event {
            Event::Alias(anchor) => {
                let Some(raw) = self.anchors.get(&anchor) else { return };
                self.count = self.count.saturating_add(raw.count());
                if self.count <= MOST {
                    self.take(raw.clone(), 0);
                }
            }
            Event::MappingStart(anchor, _) => self.begin(Kind::Map(Vec::new()), anchor, &lines),
            Event::SequenceStart(anchor, _) => self.begin(Kind::List(Vec::new()), anchor, &lines),
            Event::MappingEnd | Event::SequenceEnd => self.finish(&lines),
            Event::Scalar(text, style, anchor, tag) => {
                let tagged = tag.is_some_and(|tag: Cow<'_, _>| tag.suffix == "str");
                let is_plain = style == ScalarStyle::Plain && !tagged;
                let kind =
                    if is_plain { Kind::Plain(text.into_owned()) } else { Kind::Text(text.into_owned()) };
                self.take(Raw { span: self.span(&lines), kind }, anchor);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        parse(text).unwrap().remove(0)
    }

    #[test]
    fn values_know_where_they_stand() {
        let text = "é: 1\na:\n  - b: |\n      x\n      y\n    c: \"q\"\nd: {e: f}\n";
        let node = one(text);
        let at = |way: &[&str]| &text[node.at(way).unwrap().span.clone()];
        assert_eq!((at(&["é"]), at(&["d", "e"]), at(&["d"])), ("1", "f", "{e: f}"));
        let item = &node.get("a").unwrap().items()[0];
        assert_eq!(&text[item.get("c").unwrap().span.clone()], "\"q\"");
        assert!(text[item.get("b").unwrap().span.clone()].contains("y"));
        assert_eq!(item.text_at(&["b"]), Some("x\ny\n"));
    }

    #[test]
    fn kubernetes_reads_words_as_yaml_1_1_does() {
        let ours = one("on: [no, 010, 0x10, 1e3, .5, 5.0, '7']");
        assert_eq!(ours.to_json(), r#"{"on":["no",10,16,1e3,0.5,5.0,"7"]}"#);
        let theirs = one("apiVersion: v1\nkind: K\non: [no, 010]");
        assert_eq!(theirs.to_json(), r#"{"apiVersion":"v1","kind":"K","true":[false,8]}"#);
    }

    #[test]
    fn aliases_are_what_they_name_and_bombs_are_refused() {
        assert_eq!(one("a: &x {b: 1}\nc: *x").to_json(), r#"{"a":{"b":1},"c":{"b":1}}"#);
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let list = vec![format!("*a{}", n - 1); 10].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{list}]\n"));
        }
        assert!(parse(&bomb).unwrap_err().says.contains("aliases"));
    }
}
