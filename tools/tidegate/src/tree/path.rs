//! From a path of a problem, such as `limits[2].per_ms`, back to the value that it names.

use super::{Key, Node, Span};

/// A step of a path.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Item(usize),
}

/// Where the thing stands that a path names, or what is nearest to it. `twice` for the last of several
/// fields of one name.
#[must_use]
pub fn locate(document: &Node, path: &str, whole_key: bool) -> Span {
    let (mut node, mut key): (&Node, Option<&Key>) = (document, None);
    for step in steps(path) {
        let next = match &step {
            Step::Field(name) => {
                let same = |(key, _): &&(Key, Node)| key.text == *name || begins(&key.text, name);
                node.fields().iter().rev().find(same).map(|(key, node)| (Some(key), node))
            }
            Step::Item(index) => {
                // One value stands for a list of it.
                let alone = (*index == 0 && node.items().is_empty()).then_some(node);
                node.items().get(*index).or(alone).map(|node| (None, node))
            }
        };
        let Some((its, below)) = next else { break };
        (node, key) = (below, its);
    }
    let is_short = node.items().is_empty() && node.fields().is_empty();
    match key {
        Some(key) if whole_key || !is_short => key.span.clone(),
        _ => node.span.clone(),
    }
}

/// A name that a message cut.
fn begins(name: &str, cut: &str) -> bool {
    cut.strip_suffix('…').is_some_and(|begin| name.starts_with(begin))
}

fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = if path == "configuration" { "" } else { path };
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if let Some(inside) = rest.strip_prefix("[\"") {
            let (name, behind) = inside.split_once("\"").unwrap_or((inside, ""));
            let (cut, behind) = behind.split_once(']').unwrap_or((behind, ""));
            steps.push(Step::Field(format!("{name}{cut}")));
            rest = behind;
        } else if let Some(inside) = rest.strip_prefix('[') {
            let (index, behind) = inside.split_once(']').unwrap_or((inside, ""));
            steps.push(Step::Item(index.parse().unwrap_or(usize::MAX)));
            rest = behind;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            steps.push(Step::Field(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    #[test]
    fn a_path_leads_to_its_value() {
        let text = r#"{"a": [{"b c": 7, "d": {"e": 1}}], "a": 5, "m": "GET"}"#;
        let node = json::parse(text).unwrap();
        let at = |path| &text[locate(&node, path, false)];
        assert_eq!(at("a"), "5");
        assert_eq!(at("m[0]"), r#""GET""#);
        assert_eq!(at("configuration"), text);
        let node = json::parse(r#"{"a": [{"b c": 7, "d": {"e": 1}}]}"#).unwrap();
        assert_eq!(locate(&node, r#"a[0]["b c"]"#, false), 15..16);
        assert_eq!(locate(&node, "a[0].d.missing", false), 18..21);
        assert_eq!(locate(&node, "a[0].d", true), 18..21);
    }
}
