//! Templates: `{{name}}` is a value, `#? name` to `#.` stands only if the value is not empty.

use std::collections::BTreeMap;

/// Values by name.
pub(super) type Values = BTreeMap<&'static str, String>;

/// The template with these values. A value alone in its line has its lines indented as that one.
pub(super) fn filled(template: &str, values: &Values) -> String {
    let mut out = String::new();
    let mut shown = vec![true];
    for line in template.lines() {
        if let Some(name) = line.strip_prefix("#? ") {
            let given = values.get(name.trim()).is_some_and(|value| !value.is_empty());
            shown.push(given && shown.last().copied().unwrap_or(true));
        } else if line == "#." {
            shown.pop();
        } else if shown.last().copied().unwrap_or(true) {
            fill(line, values, &mut out);
        }
    }
    out
}

fn fill(line: &str, values: &Values, out: &mut String) {
    let text = line.trim_start();
    let alone =
        text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).filter(|name| !name.contains('{'));
    if let Some(value) = alone.and_then(|name| values.get(name)) {
        let indent = &line[..line.len() - text.len()];
        for line in value.trim_end().lines() {
            out.push_str(if line.is_empty() { "" } else { indent });
            out.push_str(line);
            out.push('\n');
        }
        return;
    }
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, behind) = behind.split_once("}}").unwrap_or((behind, ""));
        out.push_str(before);
        out.push_str(values.get(name).map_or("", String::as_str));
        rest = behind;
    }
    out.push_str(rest);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_indented_and_an_empty_condition_is_left_out() {
        let values = Values::from([("a", "1\n2".to_owned()), ("b", "x".to_owned()), ("c", String::new())]);
        let template =
            "k:\n  {{a}}\n#? b\nb: {{b}}, {{b}}\n#? c\nno\n#.\n#.\n#? c\nno\n#? b\nno\n#.\n#.\nend\n";
        assert_eq!(filled(template, &values), "k:\n  1\n  2\nb: x, x\nend\n");
    }
}
