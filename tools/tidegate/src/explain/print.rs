//! A story, printed.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use serde_json::{json, Value};

use super::applies::Applies;
use super::story::{Answer, Story, Told};

const BOLD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
/// The most runs that are listed one by one.
const RUNS: usize = 12;
const DIM: Style = Style::new().dimmed();

pub(super) fn text(answers: &[Answer], story: &Story) -> String {
    let mut out = String::new();
    let header = |name: &str| story.request.text(name).unwrap_or_default();
    let peer = story.request.peer.map(|peer| peer.to_string()).unwrap_or_default();
    let (method, path, host) = (header(":method"), header(":path"), header(":authority"));
    _ = writeln!(out, "{BOLD}{method} {path}{BOLD:#} for {host}, from {peer}");
    if let Some(cluster) = &story.assumed {
        _ = writeln!(out, "{DIM}no routes in the file: taken to be for cluster {cluster} (--cluster){DIM:#}");
    }
    for (index, told) in story.told.iter().enumerate() {
        let name = if told.plugin.is_empty() { String::new() } else { format!(" ({})", told.plugin) };
        _ = writeln!(out, "\n{}. {BOLD}{}{BOLD:#}{name}", index + 1, told.filter.word());
        if !told.reached {
            _ = writeln!(out, "   not reached");
            continue;
        }
        told.rules.iter().for_each(|rule| rule_line(&mut out, rule));
        told.facts.iter().for_each(|fact| _ = writeln!(out, "   -> {}", decision(fact)));
        told.changes.iter().for_each(|change| _ = writeln!(out, "   -> {change}"));
    }
    _ = writeln!(out, "\n{}", last(&story.answer));
    story.gives.iter().for_each(|(name, value)| _ = writeln!(out, "   {name}: {value}"));
    if answers.len() > 1 {
        _ = writeln!(out, "\n{BOLD}{} requests{BOLD:#}, the last one as above:", answers.len());
        let lines: Vec<String> = runs(answers).collect();
        let lines = if lines.len() > RUNS { counts(answers) } else { lines };
        lines.iter().for_each(|line| _ = writeln!(out, "   {line}"));
    }
    out
}

fn rule_line(out: &mut String, rule: &Applies) {
    let (style, applies) = match rule.applies {
        Some(true) => (GOOD, "applies"),
        Some(false) => (DIM, "does not apply"),
        None => (DIM, "by what is known elsewhere"),
    };
    _ = write!(out, "   {} {}: {style}{applies}{style:#}", rule.kind, rule.name);
    if !rule.missing.is_empty() {
        _ = write!(out, ", not {}", rule.missing.join(", not "));
    }
    if rule.applies != Some(false) {
        _ = write!(out, "; {}", rule.about);
        let key = rule.key.iter().map(|part| match &part.value {
            Some(value) => format!("{} {value:?}", part.name),
            None => format!("{} (the request has none)", part.name),
        });
        let key = key.collect::<Vec<_>>().join(" and ");
        if !key.is_empty() {
            _ = write!(out, "; by {key}");
        }
    }
    out.push('\n');
}

/// What a filter's word for access logs says.
fn decision((name, word): &(String, String)) -> String {
    let words: Vec<&str> = word.split(' ').collect();
    match (name.as_str(), words.as_slice()) {
        ("tidegate.routing", [to, route, variant, why, bucket]) => {
            format!("route {route}: variant {variant}, to {to}, {}, bucket {bucket}", reason(why))
        }
        ("tidegate.routing", [to, route, variant, why]) => {
            format!("route {route}: variant {variant}, to {to}, {}", reason(why))
        }
        ("tidegate.discovery", [service, endpoint, rest @ ..]) => {
            let next =
                rest.iter().find_map(|word| word.strip_prefix("next=")).filter(|next| !next.is_empty());
            let next = next.map_or(String::new(), |next| format!(", then {next}"));
            format!("service {service}: endpoint {endpoint}{next}")
        }
        _ => match word.split_once(':') {
            Some((what, rule)) => format!("{what} by {rule}"),
            None => word.clone(),
        },
    }
}

fn reason(why: &str) -> String {
    match why {
        "sticky" => "by the bucket of its identity".to_owned(),
        "drawn" => "drawn by weight".to_owned(),
        "forced" => "as it asked for".to_owned(),
        other => other.to_owned(),
    }
}

fn last(answer: &Answer) -> String {
    match answer {
        Answer::Goes { route, cluster, endpoint } => {
            let route = if route.is_empty() { String::new() } else { format!(", by Envoy's route {route}") };
            let to = match (endpoint, cluster.as_str()) {
                (Some(endpoint), "") => format!("endpoint {endpoint}"),
                (Some(endpoint), cluster) => format!("endpoint {endpoint} by cluster {cluster}"),
                (None, "") => "where Envoy's route leads".to_owned(),
                (None, cluster) => format!("cluster {cluster}"),
            };
            format!("{GOOD}It goes to {to}{GOOD:#}{route}.")
        }
        Answer::Held { by } => {
            format!("{BAD}{by} holds it{BAD:#}: the registry of its service has not answered, as none is asked here.")
        }
        Answer::Replied { by, reply } => {
            let mut text = format!("{BAD}{by} answers {}{BAD:#} ({})", reply.status, reply.details);
            reply.headers.iter().for_each(|(name, value)| _ = write!(text, "\n   {name}: {value}"));
            if !reply.body.is_empty() {
                _ = write!(text, "\n   {}", reply.body.trim_end());
            }
            text
        }
    }
}

/// An answer in a few words.
fn short(answer: &Answer) -> String {
    match answer {
        Answer::Goes { cluster, endpoint, .. } => {
            let cluster = if cluster.is_empty() { "Envoy's route" } else { cluster };
            format!("goes to {}", endpoint.as_deref().unwrap_or(cluster))
        }
        Answer::Held { by } => format!("held by {by}"),
        Answer::Replied { reply, .. } => format!("{} {}", reply.status, reply.details),
    }
}

/// How many of each there are.
fn counts(answers: &[Answer]) -> Vec<String> {
    let mut counts = std::collections::BTreeMap::new();
    answers.iter().for_each(|answer| *counts.entry(short(answer)).or_insert(0) += 1);
    counts.into_iter().map(|(answer, count)| format!("{count} of them: {answer}")).collect()
}

/// Answers in a row that are alike, as `1 to 10: …`.
fn runs(answers: &[Answer]) -> impl Iterator<Item = String> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        let first = answers.get(from).map(short)?;
        let count = answers.get(from..)?.iter().take_while(|answer| short(answer) == first).count();
        let (begin, end) = (from + 1, from + count);
        from = end;
        Some(if count == 1 { format!("{begin}: {first}") } else { format!("{begin} to {end}: {first}") })
    })
}

pub(super) fn json(answers: &[Answer], story: &Story) -> String {
    let headers = story.request.headers.iter();
    let headers: Vec<Value> =
        headers.map(|(name, value)| json!([name, String::from_utf8_lossy(value)])).collect();
    let filters: Vec<Value> = story.told.iter().map(filter).collect();
    let all: Vec<Value> = answers.iter().map(answer).collect();
    let whole = json!({
        "request": {"headers": headers, "from": story.request.peer.map(|peer| peer.to_string())},
        "assumed_cluster": story.assumed, "filters": filters,
        "answer": answer(&story.answer), "response_headers": story.gives, "answers": all,
    });
    format!("{whole:#}\n")
}

fn filter(told: &Told) -> Value {
    let rules = told.rules.iter().map(|rule| {
        let key = rule.key.iter().map(|part| json!({"part": part.name, "value": part.value}));
        json!({
            "kind": rule.kind, "name": rule.name, "applies": rule.applies, "missing": rule.missing,
            "about": rule.about, "key": key.collect::<Vec<_>>(),
        })
    });
    let facts: serde_json::Map<String, Value> =
        told.facts.iter().map(|(name, text)| (name.clone(), json!(text))).collect();
    json!({
        "filter": told.filter.word(), "plugin": told.plugin, "reached": told.reached,
        "rules": rules.collect::<Vec<_>>(), "facts": facts, "changes": told.changes,
    })
}

fn answer(answer: &Answer) -> Value {
    match answer {
        Answer::Goes { route, cluster, endpoint } => {
            json!({"kind": "goes", "route": route, "cluster": cluster, "endpoint": endpoint})
        }
        Answer::Held { by } => json!({"kind": "held", "by": by}),
        Answer::Replied { by, reply } => json!({
            "kind": "answered", "by": by, "status": reply.status, "details": reply.details,
            "headers": reply.headers, "body": reply.body,
        }),
    }
}
