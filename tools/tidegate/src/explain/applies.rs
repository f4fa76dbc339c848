//! Which rules of a document apply to a request, and which of their conditions do not hold.
//!
//! Each field of a `match` is read by the filter's own parser, alone, and asked whether it holds.

use tidegate_policy::config::document;
use tidegate_policy::http::matcher::Matcher;
use tidegate_policy::http::RequestExt;

use crate::engine::{Passing, Seen};
use crate::filter::Filter;
use crate::tree::Node;

/// A rule: a limit, a breaker, a route, a service.
#[derive(Clone, Debug)]
pub struct Applies {
    /// What it is.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Whether it applies; `None` when it depends on more than the request.
    pub applies: Option<bool>,
    /// The conditions of its matches that do not hold.
    pub missing: Vec<String>,
    /// What it is about: its numbers, its target.
    pub about: String,
    /// By what it counts, with the request's values.
    pub key: Vec<Part>,
}

/// A part of a key.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// The request's value; `None` when it has none.
    pub value: Option<String>,
}

/// What was chosen for a request, of which breakers have their targets.
pub struct Chosen {
    cluster: String,
    route: String,
    /// Of discovery, or by routing.
    services: Vec<String>,
    variant: String,
}

/// The rules of a filter's document.
#[must_use]
pub fn of_document(filter: Filter, document: &Node, request: &Seen<'_>, chosen: &Chosen) -> Vec<Applies> {
    let (list, kind) = match filter {
        Filter::Breaker => ("breakers", "breaker"),
        Filter::Discovery => ("services", "service"),
        Filter::Routing => ("routes", "route"),
        _ => ("limits", "limit"),
    };
    let rules = document.get(list).map_or(&[][..], Node::items_or_self);
    let held = |rule: &Node| {
        let applies = of_rule(kind, rule, request);
        match rule.get("target").filter(|_| filter == Filter::Breaker) {
            Some(target) if applies.applies == Some(true) => chosen.aimed(target, applies),
            _ => applies,
        }
    };
    rules.iter().map(held).collect()
}

// === impl Chosen ===

impl Chosen {
    /// What was chosen for a request that came as `before` to a filter and left it as `after`.
    #[must_use]
    pub fn of(before: &Passing, after: &Passing) -> Self {
        let words = |name: &str| -> Vec<String> {
            after.fact(name).unwrap_or_default().split(' ').map(str::to_owned).collect()
        };
        let (routing, discovery) = (words("tidegate.routing"), words("tidegate.discovery"));
        let word = |list: &[String], at: usize| list.get(at).cloned().unwrap_or_default();
        let place = word(&routing, 0);
        let steered = !place.is_empty() && place != "-";
        let of_routing = place.split(';').next().unwrap_or_default().to_owned();
        Self {
            cluster: if steered { place } else { before.cluster.clone() },
            route: before.route.clone(),
            services: vec![of_routing, word(&discovery, 0)],
            variant: format!("{}/{}", word(&routing, 1), word(&routing, 2)),
        }
    }

    /// Whether a breaker with this target sees the request.
    fn aimed(&self, target: &Node, mut rule: Applies) -> Applies {
        let Some((key, value)) = target.fields().first() else { return rule };
        let wanted = value.text().unwrap_or_default();
        let (applies, own) = match key.text.as_str() {
            "cluster" => (self.cluster == wanted, format!("its cluster is {:?}", self.cluster)),
            "route" => (self.route == wanted, format!("its route is {:?}", self.route)),
            "service" => {
                (self.services.iter().any(|own| own == wanted), "it is for another service".to_owned())
            }
            "variant" => (self.variant == wanted, format!("its variant is {:?}", self.variant)),
            "endpoint" => {
                rule.applies = None;
                return rule;
            }
            _ => return rule,
        };
        if !applies {
            rule.applies = Some(false);
            rule.missing = vec![format!("{}: {own}", rule.about)];
        }
        rule
    }
}

fn of_rule(kind: &'static str, rule: &Node, request: &Seen<'_>) -> Applies {
    let matches = rule.get("match").map_or(&[][..], Node::items_or_self);
    let all: Vec<Vec<(String, Option<bool>)>> = matches.iter().map(|one| conditions(one, request)).collect();
    let of_one = |conditions: &Vec<(String, Option<bool>)>| {
        let some_fail = conditions.iter().any(|(_, holds)| *holds == Some(false));
        let unknown = conditions.iter().any(|(_, holds)| holds.is_none());
        if some_fail {
            Some(false)
        } else if unknown {
            None
        } else {
            Some(true)
        }
    };
    let each: Vec<Option<bool>> = all.iter().map(of_one).collect();
    // Without a match a limit applies to all, and a service to what routing chose.
    let applies = match kind {
        _ if each.contains(&Some(true)) => Some(true),
        _ if each.contains(&None) => None,
        "service" if each.is_empty() => None,
        _ => Some(each.is_empty()),
    };
    let failing = all.into_iter().flatten().filter(|(_, holds)| *holds == Some(false));
    let missing = if applies == Some(false) { failing.map(|(text, _)| text).collect() } else { Vec::new() };
    let key = rule.get("key").or_else(|| rule.at(&["target", "key"])).map_or(&[][..], Node::items_or_self);
    Applies {
        kind,
        name: rule.text_at(&["name"]).unwrap_or_default().to_owned(),
        applies,
        missing,
        about: about(kind, rule),
        key: key.iter().map(|part| self::part(part, request)).collect(),
    }
}

/// Each field of a match, and whether it holds.
fn conditions(one: &Node, request: &Seen<'_>) -> Vec<(String, Option<bool>)> {
    let field = |(key, value): &(crate::tree::Key, Node)| {
        let text = format!("{} {}", key.text, value.to_json());
        let json = format!("{{{:?}:{}}}", key.text, value.to_json());
        // What routes have besides: it depends on a draw, or on other filters.
        if ["metadata", "percent", "basis_points"].contains(&key.text.as_str()) {
            return (text, None);
        }
        let matcher = document(json.as_bytes(), |reader| Matcher::read(&reader.object()?));
        (text, matcher.ok().map(|matcher| matcher.holds(request)))
    };
    one.fields().iter().map(field).collect()
}

/// The numbers or the target of a rule.
fn about(kind: &str, rule: &Node) -> String {
    let shown = |name: &str| {
        rule.get(name)
            .map(|node| node.text().map_or_else(|| node.to_json(), str::to_owned))
            .unwrap_or_default()
    };
    match kind {
        "limit" => {
            let per = shown("per_ms");
            let unit = if per.ends_with(|c: char| c.is_ascii_digit()) { " ms" } else { "" };
            let burst =
                rule.get("burst").map_or(String::new(), |burst| format!(", burst {}", burst.to_json()));
            format!("{} in {per}{unit}{burst}", shown("requests"))
        }
        "breaker" => {
            let target = rule.get("target").map_or(&[][..], Node::fields);
            let target = target.iter().map(|(key, value)| match value.text() {
                Some(text) => format!("of {} {text}", key.text),
                None => format!("of each {}", key.text),
            });
            target.collect::<Vec<_>>().join(" ")
        }
        "route" => {
            let variants = rule.get("variants").map_or(&[][..], Node::items_or_self).iter().map(|variant| {
                let weight = variant.get("weight").map_or("1".to_owned(), Node::to_json);
                format!("{} {weight}", variant.text_at(&["name"]).unwrap_or_default())
            });
            variants.collect::<Vec<_>>().join(", ")
        }
        _ => format!("in registry {}", shown("registry")),
    }
}

/// A part of a key, with the request's value.
#[must_use]
pub fn part(part: &Node, request: &Seen<'_>) -> Part {
    let (name, value) = match (part.text(), part.fields().first()) {
        (Some(word), _) => (word.to_owned(), None),
        (None, Some((key, value))) => (key.text.clone(), Some(value)),
        (None, None) => return Part { name: String::new(), value: None },
    };
    let asked = value.and_then(|value| {
        value.text().map_or_else(|| value.number().map(|n| n.to_string()), |t| Some(t.to_owned()))
    });
    let found = value_of(&name, asked.as_deref().unwrap_or_default(), request);
    let name = asked.filter(|_| name != "constant").map_or(name.clone(), |asked| format!("{name} {asked}"));
    Part { name, value: found }
}

fn value_of(part: &str, asked: &str, request: &Seen<'_>) -> Option<String> {
    use tidegate_policy::http::Request;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match part {
        "client_address" => request.peer().map(|address| address.to_string()),
        "constant" => Some(asked.to_owned()),
        "cookie" => request.cookies(asked).next().map(text),
        "header" => request.header(&asked.to_ascii_lowercase()).map(text),
        "host" => {
            let authority = text(request.authority()).to_ascii_lowercase();
            Some(authority.split(':').next().unwrap_or_default().to_owned())
        }
        "method" => request.header(":method").map(text),
        "path_segment" => {
            let index: usize = asked.parse().ok()?;
            text(request.path()).split('/').nth(index + 1).map(str::to_owned)
        }
        "query_parameter" => {
            let target = text(request.header(":path")?);
            let query = target.split('#').next()?.split_once('?')?.1.to_owned();
            let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            pairs.clone().find(|(name, _)| *name == asked).map(|(_, value)| value.to_owned())
        }
        _ => None,
    }
}
