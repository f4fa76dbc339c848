//! `tidegate render`: everything around a few policies, for a plain Envoy, Istio, Envoy Gateway or Consul.

mod consul;
mod envoy;
mod gateway;
mod istio;
pub mod policy;
mod stats;
mod template;
mod yaml;

use std::path::Path;

use clap::ValueEnum;

use crate::done::{Done, Outcome};
use crate::options::Render;
use crate::source::{documents, text_of};
use crate::tree::{Node, Value};

pub use policy::Policy;

/// For whom a policy is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// A bootstrap.
    Envoy,
    /// WasmPlugin, EnvoyFilter, VirtualService, and labels for metrics.
    Istio,
    /// EnvoyExtensionPolicy, HTTPRoute, EnvoyPatchPolicy.
    EnvoyGateway,
    /// Entries for service-defaults and a service-router.
    Consul,
}

/// Renders a file.
#[must_use]
pub fn run(options: &Render) -> Done {
    let mut policy = match read(&options.file) {
        Ok(policy) => policy,
        Err(done) => return done,
    };
    if options.module.is_some() {
        policy.gateway.module.clone_from(&options.module);
    }
    let rendered = if options.router { consul::router(&policy) } else { render(&policy, options.target) };
    match rendered {
        Ok(text) => Done::well(text),
        Err(why) => {
            Done { out: String::new(), err: format!("tidegate: {why}\n"), outcome: Outcome::Problems }
        }
    }
}

/// A policy in a file.
///
/// # Errors
/// What to tell of one that cannot be read, or is wrong.
pub fn read(path: &Path) -> Result<Policy, Done> {
    let name = path.display();
    let text = text_of(path).map_err(|error| Done::unread(&format!("{name}: {error}")))?;
    let nodes = documents(path, &text).map_err(|error| Done::unread(&format!("{name}: {}", error.says)))?;
    let Some(node) = nodes.first().filter(|node| policy::is_one(node)) else {
        let says = "no policies with `services` and `default`: see docs/tool.md";
        return Err(Done::unread(&format!("{name}: {says}")));
    };
    Policy::read(node).map_err(|wrong| {
        let err = wrong.lines().map(|line| format!("tidegate: {name}: {line}\n")).collect();
        Done { out: String::new(), err, outcome: Outcome::Problems }
    })
}

/// A policy for a target.
///
/// # Errors
/// It has what the target cannot do, or lacks what it needs.
pub fn render(policy: &Policy, target: Target) -> Result<String, String> {
    match target {
        Target::Consul => consul::render(policy),
        Target::Envoy => envoy::render(policy),
        Target::EnvoyGateway => gateway::render(policy),
        Target::Istio => istio::render(policy),
    }
}

/// What all targets have in common.
fn common(policy: &Policy) -> template::Values {
    let gateway = &policy.gateway;
    let count = match policy.services.len() {
        1 => "one service".to_owned(),
        count => format!("{count} services"),
    };
    let text = |node: Option<&Node>| node.and_then(Node::text).map(str::to_owned);
    let routing = policy.part("routing");
    let own = |name: &str| text(routing.and_then(|part| part.at(&["headers", name])));
    let breaker = || text(policy.part("breaker").and_then(|part| part.get("cluster_header")));
    let cluster_header = own("cluster").or_else(breaker).unwrap_or("x-tidegate-cluster".to_owned());
    let steered = policy.steered();
    template::Values::from([
        ("title", gateway.name.clone()),
        ("count", count),
        ("name", gateway.name.clone()),
        ("namespace", gateway.namespace.clone()),
        ("gateway", gateway.gateway.clone()),
        ("default", policy.default.clone()),
        ("listen_address", gateway.listen.0.clone()),
        ("listen_port", gateway.listen.1.to_string()),
        ("admin_address", gateway.admin.0.clone()),
        ("admin_port", gateway.admin.1.to_string()),
        ("cluster_header", cluster_header),
        ("mirror_header", own("mirror").unwrap_or("x-tidegate-mirror".to_owned())),
        ("steers", if steered.is_empty() { String::new() } else { "yes".to_owned() }),
        ("mirrors", if policy.mirrors() { "yes".to_owned() } else { String::new() }),
        ("attempts", if policy.attempts() { "yes".to_owned() } else { String::new() }),
        ("endpoint_header", policy.endpoint_header().unwrap_or_default()),
        ("discovered", policy.endpoint_header().unwrap_or_default()),
    ])
}

/// The policies with a last route that takes all requests: then filters know every request by the names of
/// services, whatever the control plane calls its clusters.
fn with_last_route(policy: &Policy) -> Node {
    let rest =
        format!(r#"{{"name": "rest", "variants": [{{"name": "only", "cluster": {:?}}}]}}"#, policy.default);
    let rest = crate::tree::json::parse(&rest).unwrap_or_else(|_| policy.document.clone());
    let mut document = policy.document.clone();
    let Value::Map(parts) = &mut document.value else { return document };
    match parts.iter_mut().find(|(key, _)| key.text == "routing") {
        Some((_, routing)) => {
            if let Value::Map(fields) = &mut routing.value {
                for (_, routes) in fields.iter_mut().filter(|(key, _)| key.text == "routes") {
                    let mut list = routes.items_or_self().to_vec();
                    if list.iter().all(|route| route.get("match").is_some()) {
                        list.push(rest.clone());
                    }
                    routes.value = Value::List(list);
                }
            }
        }
        None => {
            let part = format!(r#"{{"routing": {{"routes": [{}]}}}}"#, rest.to_json());
            if let Ok(part) = crate::tree::json::parse(&part) {
                parts.extend(part.fields().iter().cloned());
            }
        }
    }
    document
}

/// A document on several lines.
fn pretty(document: &Node) -> String {
    let mut out = String::new();
    write(document, 0, &mut out);
    out
}

/// Short things stand on one line.
fn write(node: &Node, depth: usize, out: &mut String) {
    let line = spaced(node);
    if line.len() + 2 * depth <= 90 && depth > 1 || (node.items().is_empty() && node.fields().is_empty()) {
        out.push_str(&line);
        return;
    }
    let pad = "  ".repeat(depth + 1);
    let end = "  ".repeat(depth);
    let (open, close) = if node.fields().is_empty() { ('[', ']') } else { ('{', '}') };
    out.push(open);
    let keys = node.fields().iter().map(|(key, node)| (format!("{:?}: ", key.text), node));
    let all: Vec<(String, &Node)> =
        keys.chain(node.items().iter().map(|node| (String::new(), node))).collect();
    for (index, (key, node)) in all.iter().enumerate() {
        out.push_str(if index > 0 { ",\n" } else { "\n" });
        out.push_str(&pad);
        out.push_str(key);
        write(node, depth + 1, out);
    }
    out.push_str(&format!("\n{end}{close}"));
}

/// One line with blanks behind colons and commas.
fn spaced(node: &Node) -> String {
    match &node.value {
        Value::List(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Map(fields) => {
            let field = |(key, node): &(crate::tree::Key, Node)| format!("{:?}: {}", key.text, spaced(node));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        _ => node.to_json(),
    }
}
