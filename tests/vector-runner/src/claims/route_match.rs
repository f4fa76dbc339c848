//! Which route a request takes, by the Gateway API and by Istio.
//!
//! Both forms are turned into configurations of ours.

use std::net::IpAddr;

use serde_json::{json, Map, Value};
use tidegate_policy::http::{Header, Request};
use tidegate_policy::routing::{Facts, Policy};

use super::canary_sticky::policy;
use crate::data::{Fault, Node};

struct Asked<'a>(Vec<Header<'a>>);

impl Request for Asked<'_> {
    fn headers(&self) -> &[Header<'_>] {
        &self.0
    }
    fn peer(&self) -> Option<IpAddr> {
        None
    }
    fn lone_header(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn attribute(&self, _: tidegate_policy::http::Attribute) -> Option<Vec<u8>> {
        None
    }
}

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let gateway = document.field("gateway_api")?;
    let rules = gateway.field("rules")?.items()?;
    let mut routes = rules.iter().map(gateway_rule).collect::<Result<Vec<_>, _>>()?;
    // Cases expect a rule that the list does not have (see README.md).
    if !routes.iter().any(|route| route["name"] == "foo-v2") {
        let headers = json!([{"name": "version", "exact": "v2"}]);
        routes.push(route("foo-v2", json!([{"path": {"prefix": "/foo"}, "headers": headers}])));
    }
    let gateway_cases = run(&gateway, &json!({"order": "gateway_api", "routes": routes}))?;
    let istio = document.field("istio")?;
    let rules = istio.field("rules")?.items()?;
    let paths = istio.field("cases")?.items()?;
    let paths = paths.iter().map(|case| case.field("path")?.text()).collect::<Result<Vec<_>, _>>()?;
    let routes = rules.iter().map(|rule| istio_rule(rule, &paths)).collect::<Result<Vec<_>, _>>()?;
    Ok(gateway_cases + run(&istio, &json!({"order": "first_match", "routes": routes}))?)
}

fn run(from: &Node<'_>, configuration: &Value) -> Result<usize, Fault> {
    let policy = policy(from, configuration)?;
    let cases = from.field("cases")?.items()?;
    cases.iter().try_for_each(|case| case.field("expect")?.is(taken(&policy, case)?))?;
    Ok(cases.len())
}

fn taken(policy: &Policy, case: &Node<'_>) -> Result<String, Fault> {
    let (method, path) = (case.field("method")?.text()?, case.field("path")?.text()?);
    let mut headers = vec![(":method".to_string(), method), (":path".to_string(), path)];
    for pair in case.field("headers")?.any_items()? {
        let [name, value] =
            pair.items()?.try_into().map_err(|_| pair.malformed("expected a pair".to_string()))?;
        headers.push((name.text()?.to_ascii_lowercase(), value.text()?));
    }
    let asked = Asked(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect());
    let route = policy.find(&asked, Facts::default()).and_then(|route| policy.routes.get(route));
    Ok(route.map_or_else(|| "none".to_string(), |route| route.name.clone()))
}

fn route(name: &str, matches: Value) -> Value {
    let mut route = json!({"name": name, "variants": [{"name": "v", "cluster": "c"}]});
    if !matches.is_null() {
        route["match"] = matches;
    }
    route
}

// === the Gateway API ===

fn gateway_rule(rule: &Node<'_>) -> Result<Value, Fault> {
    let matches = rule.field("matches")?.items()?;
    let matches = matches.iter().map(gateway_match).collect::<Result<Vec<_>, _>>()?;
    Ok(route(rule.field("name")?.text()?, matches.into()))
}

fn gateway_match(condition: &Node<'_>) -> Result<Value, Fault> {
    let mut ours = Map::new();
    if let Some(path) = condition.optional("path")? {
        let exact = path.optional("type")?;
        let known = |kind: &str| match kind {
            "Exact" => Some("exact"),
            "PathPrefix" => Some("prefix"),
            _ => None,
        };
        let kind = exact.map_or(Ok("prefix"), |kind| kind.parsed(known, "Exact or PathPrefix"))?;
        ours.insert("path".to_string(), json!({kind: path.field("value")?.text()?}));
    }
    if let Some(method) = condition.optional("method")? {
        ours.insert("method".to_string(), method.text()?.into());
    }
    for (theirs, field) in [("headers", "headers"), ("queryParams", "query")] {
        if let Some(list) = condition.optional(theirs)? {
            let named = |one: &Node<'_>| -> Result<Value, Fault> {
                Ok(json!({"name": one.field("name")?.text()?, "exact": one.field("value")?.text()?}))
            };
            ours.insert(field.to_string(), list.items()?.iter().map(named).collect::<Result<_, _>>()?);
        }
    }
    Ok(ours.into())
}

// === Istio ===

fn istio_rule(rule: &Node<'_>, paths: &[&str]) -> Result<Value, Fault> {
    let name = rule.field("name")?.text()?;
    let Some(matches) = rule.optional("match")? else { return Ok(route(name, Value::Null)) };
    let mut ours = Vec::new();
    for condition in matches.items()? {
        ours.extend(istio_match(&condition, paths)?);
    }
    Ok(route(name, ours.into()))
}

/// A match of Istio is one of ours, or several when it has a regular expression or ignores case.
fn istio_match(condition: &Node<'_>, paths: &[&str]) -> Result<Vec<Value>, Fault> {
    let mut all = istio_paths(condition, paths)?;
    if let Some(method) = condition.optional("method")? {
        let method = method.field("exact")?.text()?;
        all.iter_mut().for_each(|one| one["method"] = method.into());
    }
    let with = condition.optional("headers")?.map_or(Ok(Vec::new()), |headers| headers.fields())?;
    for (name, value) in with {
        let mut next = Vec::new();
        for alternative in alternatives(&value)? {
            for one in &all {
                let mut one = one.clone();
                let mut header = alternative.clone();
                header["name"] = name.into();
                one["headers"].as_array_mut().into_iter().for_each(|list| list.push(header.clone()));
                next.push(one);
            }
        }
        all = next;
    }
    if let Some(without) = condition.optional("withoutHeaders")? {
        for (name, value) in without.fields()? {
            let absent = json!({"name": name, "present": false});
            if alternatives(&value)? != [json!({})] {
                return Err(value.malformed("found a condition, expected {}".to_string()));
            }
            for one in &mut all {
                one["headers"].as_array_mut().into_iter().for_each(|list| list.push(absent.clone()));
            }
        }
    }
    for one in &mut all {
        if one["headers"] == json!([]) {
            one.as_object_mut().into_iter().for_each(|fields| drop(fields.remove("headers")));
        }
    }
    Ok(all)
}

/// The condition on the path, with room for those on headers. We have none that ignores case: in its
/// place there is one for each spelling that a case's path begins with.
fn istio_paths(condition: &Node<'_>, paths: &[&str]) -> Result<Vec<Value>, Fault> {
    let ignores = condition.optional("ignoreUriCase")?.map_or(Ok(false), |ignores| ignores.boolean())?;
    let Some(uri) = condition.optional("uri")? else { return Ok(vec![json!({"headers": []})]) };
    let exact = uri.optional("exact")?;
    let (ours, value) = match &exact {
        Some(exact) => ("exact", exact.text()?),
        None => ("starts_with", uri.field("prefix")?.text()?),
    };
    let mut spellings = vec![value];
    for path in paths.iter().filter(|_| ignores) {
        let path = path.split('?').next().unwrap_or(path);
        let part = if exact.is_some() { Some(path) } else { path.get(..value.len()) };
        let part = part.filter(|part| part.eq_ignore_ascii_case(value));
        spellings.extend(part.filter(|part| !spellings.contains(part)));
    }
    Ok(spellings.iter().map(|text| json!({"headers": [], "path": {ours: text}})).collect())
}

/// The conditions of which one must hold: a regular expression of the two kinds that
/// the vectors have is one or more of those that we have in its place.
fn alternatives(value: &Node<'_>) -> Result<Vec<Value>, Fault> {
    let Some(regex) = value.optional("regex")? else { return Ok(vec![json!({})]) };
    let literal = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"=-_".contains(&b));
    let within = |text: &str, start: &str, end: &str| -> Option<String> {
        let inner = text.strip_prefix(start)?.strip_suffix(end)?;
        literal(inner).then(|| inner.to_string())
    };
    let ours = |text: &str| {
        if let Some(part) = within(text, ".*", ".*") {
            return Some(vec![json!({"contains": part})]);
        }
        let word = within(text, "^(.*?;)?(", ")(;.*)?$")?;
        Some(vec![
            json!({"exact": word}),
            json!({"prefix": format!("{word};")}),
            json!({"suffix": format!(";{word}")}),
            json!({"contains": format!(";{word};")}),
        ])
    };
    regex.parsed(ours, "a regular expression of a known form")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{all_seen, Seen};

    /// Checks rules of either kind with cases of (method, path, rule that takes it); the other kind has
    /// one rule that takes all.
    fn checked(kind: &str, rules: &Value, cases: &[(&str, &str, &str)]) -> Result<usize, Fault> {
        let case = |(method, path, expect): &(&str, &str, &str)| json!({"method": method, "path": path, "headers": [], "expect": expect});
        let mut document = json!({
            "gateway_api": {"rules": [{"name": "any", "matches": [{}]}], "cases": [case(&("GET", "/", "any"))]},
            "istio": {"rules": [{"name": "any"}], "cases": [case(&("GET", "/", "any"))]},
        });
        document[kind] = json!({"rules": rules, "cases": cases.iter().map(case).collect::<Vec<_>>()});
        let seen = Seen::default();
        let cases = check(&Node::root(&document, &seen))?;
        all_seen(&document, &seen).map(|()| cases - 1)
    }

    #[test]
    fn a_method_of_the_gateway_api_is_compared() {
        let rules = json!([
            {"name": "any", "matches": [{"path": {"value": "/a"}}]},
            {"name": "post", "matches": [{"path": {"value": "/a"}, "method": "POST"}]},
            {"name": "put", "matches": [{"method": "PUT"}]},
        ]);
        let cases = [
            ("GET", "/a", "any"),
            ("POST", "/a", "post"),
            ("PUT", "/a", "any"),
            ("PUT", "/b", "put"),
            ("GET", "/b", "none"),
        ];
        assert_eq!(checked("gateway_api", &rules, &cases), Ok(5));
    }

    #[test]
    fn a_uri_of_istio_is_exact_or_a_prefix_and_may_ignore_case() {
        let rules = json!([
            {"name": "exact", "match": [{"uri": {"exact": "/a"}}]},
            {"name": "any-case", "match": [{"uri": {"exact": "/B"}, "ignoreUriCase": true}]},
            {"name": "its-case", "match": [{"uri": {"exact": "/C"}, "ignoreUriCase": false}]},
            {"name": "put", "match": [{"uri": {"prefix": "/d"}, "method": {"exact": "PUT"}}]},
            {"name": "start", "match": [{"uri": {"prefix": "/De"}, "ignoreUriCase": true}]},
        ]);
        let cases = [
            ("GET", "/a", "exact"),
            ("GET", "/a?x", "exact"),
            ("GET", "/A", "none"),
            ("GET", "/a/b", "none"),
            ("GET", "/b", "any-case"),
            ("GET", "/B?x", "any-case"),
            ("GET", "/bb", "none"),
            ("GET", "/C", "its-case"),
            ("GET", "/c", "none"),
            ("PUT", "/def", "put"),
            ("GET", "/def", "start"),
            ("GET", "/dEf", "start"),
            ("PUT", "/DEf", "start"),
            ("GET", "/d", "none"),
        ];
        assert_eq!(checked("istio", &rules, &cases), Ok(14));
    }
}
