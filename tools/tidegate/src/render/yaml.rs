//! A document as YAML: short things on one line, everything quoted that some reader could take for
//! something else.

use crate::tree::{Key, Node, Value};

/// Lines up to here are not broken.
const WIDTH: usize = 96;
/// Words that YAML 1.1 takes for true, false or nothing.
const WORDS: [&str; 11] = ["on", "off", "yes", "no", "y", "n", "true", "false", "null", "~", ""];

/// The fields of an object, or the items of a list, line by line.
pub(super) fn yaml(node: &Node) -> String {
    let mut out = String::new();
    block(node, 0, &mut out);
    out
}

fn block(node: &Node, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    for (key, value) in node.fields() {
        out.push_str(&format!("{pad}{}:", text(&key.text)));
        below(value, depth, out);
    }
    for item in node.items() {
        // The first line of an item stands behind its dash.
        let line = flow(item);
        if is_short(item, &line, depth) || item.fields().is_empty() {
            out.push_str(&format!("{pad}- {line}\n"));
        } else {
            let mut inner = String::new();
            block(item, depth + 1, &mut inner);
            let behind = inner.trim_start_matches(' ');
            out.push_str(&format!("{pad}- {behind}"));
        }
    }
}

/// What stands behind the colon of a field, or below it.
fn below(value: &Node, depth: usize, out: &mut String) {
    let line = flow(value);
    let is_empty = value.fields().is_empty() && value.items().is_empty();
    if is_empty || (depth > 0 && is_short(value, &line, depth)) {
        out.push_str(&format!(" {line}\n"));
    } else {
        out.push('\n');
        block(value, depth + 1, out);
    }
}

/// Whether it fits into a line, and is no list of objects, which are read better below each other.
fn is_short(node: &Node, line: &str, depth: usize) -> bool {
    let listed = node.items().iter().any(|item| !item.fields().is_empty()) && node.items().len() > 1;
    !listed && line.len() + 2 * depth <= WIDTH
}

fn flow(node: &Node) -> String {
    match &node.value {
        Value::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Map(fields) => {
            let field = |(key, node): &(Key, Node)| format!("{}: {}", text(&key.text), flow(node));
            format!("{{ {} }}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        Value::Text(value) => text(value),
        _ => node.to_json(),
    }
}

fn text(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let is_plain =
        value.chars().all(plain) && value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    if is_plain && !WORDS.contains(&value.to_ascii_lowercase().as_str()) {
        value.to_owned()
    } else {
        serde_json::Value::from(value).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{json, yaml as reader};

    #[test]
    fn what_is_written_is_read_again_by_every_version_of_yaml() {
        let document = r#"{"on":{"a":["no","10.0.0.0/8:1-65535","x y","7",7,"outbound|80||a.b",true,null,"é\n","1e3","-"]},"limits":[{"name":"per-address","key":["client_address"],"match":{"path":{"prefix":"/a","template":"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}},{"empty":{},"none":[],"deep":[[1,2],[{"a":1},{"b":2}]]}]}"#;
        let node = json::parse(document).unwrap();
        let written = yaml(&node);
        assert_eq!(reader::parse(&written).unwrap()[0].to_json(), document, "{written}");
        let kubernetes = format!("apiVersion: v1\nkind: K\n{written}");
        let read = reader::parse(&kubernetes).unwrap()[0].to_json();
        assert_eq!(read, document.replacen('{', r#"{"apiVersion":"v1","kind":"K","#, 1));
    }
}
