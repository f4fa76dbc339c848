//! HCL with places, for Consul's configuration entries.
//!
//! Consul reads the first version of HCL, in which an object may have blocks (`Match { … }`); the parser
//! reads the second, in which it may have only attributes. A blank before such a brace becomes `=`.

use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Body, Structure};
use hcl_edit::template::{Element, Template};

use super::{Key, Node, Span, Syntax, Value};

/// Reads a file: an object of its attributes.
///
/// # Errors
/// It is not HCL.
pub fn parse(text: &str) -> Result<Node, Syntax> {
    match hcl_edit::parser::parse_body(&second(text)) {
        Ok(parsed) => Ok(Node { span: 0..text.len(), value: Value::Map(body(&parsed)) }),
        Err(error) => {
            Err(Syntax { says: error.message().to_owned(), at: error.location().offset().min(text.len()) })
        }
    }
}

/// The text with `=` before the braces of blocks.
fn second(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let (mut at, mut word_end) = (0, None);
    while let Some(&byte) = bytes.get(at) {
        let rest = &text.as_bytes()[at..];
        if let Some(length) = skipped(rest) {
            at += length;
            word_end = None;
            continue;
        }
        match byte {
            b'{' => {
                if let Some(blank) = word_end.filter(|end| *end < at) {
                    bytes[blank] = b'=';
                }
                word_end = None;
            }
            b' ' | b'\t' => {}
            _ if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' => word_end = Some(at + 1),
            _ => word_end = None,
        }
        at += 1;
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// How long the text, comment or heredoc is that begins here.
fn skipped(rest: &[u8]) -> Option<usize> {
    let until = |end: &[u8], from: usize| {
        let found = rest.get(from..)?.windows(end.len()).position(|part| part == end)?;
        Some(from + found + end.len())
    };
    match rest {
        [b'"', ..] => {
            let mut at = 1;
            while let Some(byte) = rest.get(at) {
                match byte {
                    b'\\' => at += 2,
                    b'"' => return Some(at + 1),
                    _ => at += 1,
                }
            }
            Some(rest.len())
        }
        [b'#', ..] | [b'/', b'/', ..] => Some(until(b"\n", 1).unwrap_or(rest.len())),
        [b'/', b'*', ..] => Some(until(b"*/", 2).unwrap_or(rest.len())),
        [b'<', b'<', ..] => {
            let line = until(b"\n", 2)?;
            let word = rest.get(2..line - 1)?.trim_ascii();
            let word = word.strip_prefix(b"-").unwrap_or(word);
            let mut at = line;
            for text in rest.get(line..)?.split_inclusive(|b| *b == b'\n') {
                at += text.len();
                if text.trim_ascii() == word {
                    return Some(at);
                }
            }
            Some(rest.len())
        }
        _ => None,
    }
}

fn body(body: &Body) -> Vec<(Key, Node)> {
    let field = |structure: &Structure| match structure {
        Structure::Attribute(attribute) => {
            let key = Key { text: attribute.key.to_string(), span: span(&attribute.key) };
            (key, expression(&attribute.value))
        }
        Structure::Block(block) => {
            let key = Key { text: block.ident.to_string(), span: span(&block.ident) };
            (key, Node { span: span(block), value: Value::Map(self::body(&block.body)) })
        }
    };
    body.iter().map(field).collect()
}

fn expression(expr: &Expression) -> Node {
    let value = match expr {
        Expression::Array(array) => Value::List(array.iter().map(expression).collect()),
        Expression::Bool(value) => Value::Bool(*value.value()),
        Expression::HeredocTemplate(heredoc) => Value::Text(literal(&heredoc.template)),
        Expression::Null(_) => Value::Null,
        Expression::Number(number) => Value::Number(number.value().to_string()),
        Expression::Object(object) => {
            let field = |(key, value): (&ObjectKey, &hcl_edit::expr::ObjectValue)| {
                (object_key(key), expression(value.expr()))
            };
            Value::Map(object.iter().map(field).collect())
        }
        Expression::String(text) => Value::Text(text.value().clone()),
        _ => Value::Null,
    };
    Node { span: span(expr), value }
}

fn object_key(key: &ObjectKey) -> Key {
    match key {
        ObjectKey::Ident(ident) => Key { text: ident.to_string(), span: span(ident) },
        ObjectKey::Expression(expr) => {
            Key { text: expr.as_str().unwrap_or_default().to_owned(), span: span(expr) }
        }
    }
}

fn literal(template: &Template) -> String {
    let text = |element: &Element| match element {
        Element::Literal(text) => text.value().clone(),
        _ => String::new(),
    };
    template.iter().map(text).collect()
}

fn span(of: &impl hcl_edit::Span) -> Span {
    of.span().unwrap_or(0..0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entries_of_consul_are_read() {
        let text = r#"
Kind = "service-router" # a { brace
Config { protocol = "http" }
Routes = [
  {
    Match { HTTP { Header = [ { Name = "x", Exact = "api {v2}" } ] } }
    Destination { Service = "api-v2", Weight = 3 }
  }
]
Json = <<JSON
{"a": {"b": 1}}
JSON
"#;
        let node = parse(text).unwrap();
        assert_eq!(node.text_at(&["Config", "protocol"]), Some("http"));
        let route = &node.get("routes").unwrap().items()[0];
        let header = &route.at(&["match", "http", "header"]).unwrap().items()[0];
        let exact = header.get("Exact").unwrap();
        assert_eq!((exact.text(), &text[exact.span.clone()]), (Some("api {v2}"), "\"api {v2}\""));
        assert_eq!(route.at(&["destination", "weight"]).unwrap().number(), Some(3));
        assert_eq!(node.text_at(&["json"]), Some("{\"a\": {\"b\": 1}}\n"));
    }
}
