//! Reading what Envoy counted.

use std::collections::BTreeMap;

/// One sample of a Prometheus family.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

/// The counters and gauges in the text of `/stats`. Histograms and text values are left out.
pub fn numbers(text: &str) -> BTreeMap<String, u64> {
    lines(text).filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

/// The value of one line in the text of `/stats`, without quotes.
pub fn text_value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    lines(text).find(|(n, _)| *n == name).map(|(_, value)| value.trim_matches('"'))
}

/// The samples of `family` in Prometheus text, in the order given. Empty if it is not there.
pub fn family(text: &str, family: &str) -> Vec<Sample> {
    text.lines().filter_map(|line| sample(line.strip_prefix(family)?)).collect()
}

/// Names in `/stats` may hold `: ` only before the value, so the last one splits.
fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.rsplit_once(": "))
}

/// What follows the family's name: `{labels} value` or ` value`.
fn sample(rest: &str) -> Option<Sample> {
    if let Some(value) = rest.strip_prefix(' ') {
        return Some(Sample { labels: BTreeMap::new(), value: value.trim().parse().ok()? });
    }
    let mut rest = rest.strip_prefix('{')?;
    let mut labels = BTreeMap::new();
    while let Some((name, tail)) = rest.split_once("=\"") {
        let (value, tail) = quoted(tail)?;
        labels.insert(name.to_owned(), value);
        rest = tail.strip_prefix(',').unwrap_or(tail);
    }
    let value = rest.strip_prefix('}')?.trim().parse().ok()?;
    Some(Sample { labels, value })
}

/// A label value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                escaped => escaped,
            }),
            plain => value.push(plain),
        }
    }
    None
}
