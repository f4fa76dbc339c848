//! The file that is rendered: policies, and by name what stands behind them.
//!
//! ```yaml
//! services:
//!   checkout: { endpoints: ["10.0.0.5:8080"] }           # Envoy, Envoy Gateway
//!   backup: { host: backup.shop.svc.cluster.local, port: 80 }   # Istio, Envoy Gateway, Envoy by DNS
//! default: checkout
//! gateway: { name: shop, listen: "0.0.0.0:10000" }
//! ratelimit: { limits: [] }
//! breaker: { breakers: [] }
//! ```
//!
//! The policies are the parts of the document of `tidegate.wasm`; in them clusters have the names of
//! services.

use tidegate_policy::http::Placement;

use crate::filter::Filter;
use crate::rules::attempts_needed;
use crate::tree::{Key, Node, Value};

/// A file that is rendered.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What stands behind the policies.
    pub services: Vec<Service>,
    /// The service of requests that no policy sends elsewhere.
    pub default: String,
    /// Where the policies run.
    pub gateway: Gateway,
    /// The document of `tidegate.wasm`.
    pub document: Node,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name, in the policies.
    pub name: String,
    /// Its endpoints: address or host, and port.
    pub endpoints: Vec<(String, u16)>,
    /// Its name in a cluster of Kubernetes, and the port.
    pub host: Option<(String, u16)>,
    /// Its subset of a `DestinationRule`.
    pub subset: String,
}

/// Where the policies run.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// What resources are called.
    pub name: String,
    /// Their namespace.
    pub namespace: String,
    /// The name of the Gateway.
    pub gateway: String,
    /// The labels of its pods.
    pub labels: Vec<(String, String)>,
    /// Where Envoy listens.
    pub listen: (String, u16),
    /// The port in the name of Istio's virtual host: that of the Gateway's server.
    pub vhost_port: u16,
    /// Where its admin endpoint is.
    pub admin: (String, u16),
    /// The module.
    pub module: Option<String>,
}

/// The fields that are no policy.
const OWN: [&str; 3] = ["services", "default", "gateway"];
const PARTS: [&str; 6] = ["$schema", "scope", "ratelimit", "routing", "breaker", "discovery"];

/// Whether a document is such a file.
#[must_use]
pub fn is_one(document: &Node) -> bool {
    let has = |name: &str| document.fields().iter().any(|(key, _)| key.text == name);
    has("default") && document.get("services").is_some_and(|services| !services.fields().is_empty())
}

/// The document of `tidegate.wasm` in such a file.
#[must_use]
pub fn document(file: &Node) -> Node {
    let fields = file.fields().iter().filter(|(key, _)| !OWN.contains(&key.text.as_str()));
    Node { span: file.span.clone(), value: Value::Map(fields.cloned().collect()) }
}

// === impl Policy ===

impl Policy {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong, one a line.
    pub fn read(file: &Node) -> Result<Self, String> {
        let mut wrong = Vec::new();
        let services = file.get("services").map_or(&[][..], Node::fields);
        let services: Vec<Service> = services.iter().map(|field| service(field, &mut wrong)).collect();
        let default = file.text_at(&["default"]).unwrap_or_default().to_owned();
        let is_known = |name: &str| services.iter().any(|service| service.name == name);
        if !is_known(&default) {
            wrong.push(format!("default: found {default:?}, expected the name of a service"));
        }
        let document = document(file);
        for (key, _) in document.fields().iter().filter(|(key, _)| !PARTS.contains(&key.text.as_str())) {
            wrong.push(format!(
                "{}: unknown field, expected one of {}, {}",
                key.text,
                OWN.join(", "),
                PARTS[1..].join(", ")
            ));
        }
        if let Err(error) = Filter::Fused.configure(document.to_json().as_bytes(), Placement::Downstream) {
            wrong.extend(error.lines());
        }
        for node in clusters(&document) {
            let name = node.text().unwrap_or_default();
            if !is_known(name) {
                wrong.push(format!("found cluster {name:?}, expected one of services"));
            }
        }
        let gateway = gateway(file.get("gateway"), &mut wrong);
        if wrong.is_empty() {
            Ok(Self { services, default, gateway, document })
        } else {
            Err(wrong.join("\n"))
        }
    }

    /// A service by name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// A part of the document.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Node> {
        self.document.fields().iter().find(|(key, _)| key.text == name).map(|(_, node)| node)
    }

    /// The services that policies can send requests to, other than by Envoy's own route.
    #[must_use]
    pub fn steered(&self) -> Vec<&str> {
        let variants = list(self.part("routing"), &["routes", "variants"]);
        let fallbacks = list(self.part("breaker"), &["breakers", "fallback"]);
        let named = variants.into_iter().chain(fallbacks).filter_map(|node| node.text_at(&["cluster"]));
        let mut names: Vec<&str> = named.collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether requests are copied.
    #[must_use]
    pub fn mirrors(&self) -> bool {
        list(self.part("routing"), &["routes"]).iter().any(|route| route.get("mirror").is_some())
    }

    /// Whether the filter must stand around attempts, too.
    #[must_use]
    pub fn attempts(&self) -> bool {
        Filter::Fused.parts(&self.document).iter().any(|(filter, part)| attempts_needed(*filter, part))
    }

    /// The header by which endpoints are told to an `ORIGINAL_DST` cluster, if any are.
    #[must_use]
    pub fn endpoint_header(&self) -> Option<String> {
        let discovery = self.part("discovery")?;
        let own = discovery.text_at(&["steer", "original_dst", "header"]);
        Some(own.unwrap_or("x-envoy-original-dst-host").to_owned())
    }
}

/// What is at the end of a way through objects and lists.
fn list<'n>(node: Option<&'n Node>, way: &[&str]) -> Vec<&'n Node> {
    let mut nodes: Vec<&Node> = node.into_iter().collect();
    for name in way {
        nodes = nodes.into_iter().filter_map(|node| node.get(name)).flat_map(Node::items_or_self).collect();
    }
    nodes
}

/// Where a document names clusters.
fn clusters(document: &Node) -> Vec<&Node> {
    let mut found = Vec::new();
    for (part, field) in [("routing", "routes"), ("breaker", "breakers"), ("discovery", "registries")] {
        let Some(from) = document.at(&[part, field]) else { continue };
        let names: &[&str] = if part == "breaker" { &["cluster", "endpoint"] } else { &["cluster"] };
        from.walk(&mut |node| {
            let named = node.fields().iter().filter(|(key, _)| names.contains(&key.text.as_str()));
            found.extend(named.map(|(_, value)| value).filter(|value| value.text().is_some()));
        });
    }
    found
}

/// The names of the clusters in a document.
#[must_use]
pub fn cluster_names(document: &Node) -> Vec<String> {
    let mut names: Vec<String> =
        clusters(document).iter().filter_map(|node| node.text().map(str::to_owned)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The names of the clusters of registries in a document.
#[must_use]
pub fn registry_clusters(document: &Node) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(registries) = document.at(&["discovery", "registries"]) {
        registries.walk(&mut |node| names.extend(node.text_at(&["cluster"]).map(str::to_owned)));
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// The document with another name for each cluster.
#[must_use]
pub fn renamed(document: &Node, name: &dyn Fn(&str) -> String) -> Node {
    let wanted: Vec<*const Node> = clusters(document).into_iter().map(std::ptr::from_ref).collect();
    fn copy(node: &Node, wanted: &[*const Node], name: &dyn Fn(&str) -> String) -> Node {
        let value = match &node.value {
            Value::Text(text) if wanted.contains(&std::ptr::from_ref(node)) => Value::Text(name(text)),
            Value::List(items) => Value::List(items.iter().map(|item| copy(item, wanted, name)).collect()),
            Value::Map(fields) => {
                let field = |(key, node): &(Key, Node)| (key.clone(), copy(node, wanted, name));
                Value::Map(fields.iter().map(field).collect())
            }
            other => other.clone(),
        };
        Node { span: node.span.clone(), value }
    }
    copy(document, &wanted, name)
}

fn service((key, node): &(Key, Node), wrong: &mut Vec<String>) -> Service {
    let name = key.text.clone();
    let endpoints = node.get("endpoints").map_or(&[][..], Node::items_or_self).iter().filter_map(Node::text);
    let mut pairs = Vec::new();
    for text in endpoints {
        match address(text) {
            Some(pair) => pairs.push(pair),
            None => wrong.push(format!("services.{name}.endpoints: found {text:?}, expected host:port")),
        }
    }
    let port = node.get("port").and_then(Node::number).and_then(|port| u16::try_from(port).ok());
    let host = node.text_at(&["host"]).map(|host| (host.to_owned(), port.unwrap_or(80)));
    let subset = node.text_at(&["subset"]).unwrap_or_default().to_owned();
    Service { name, endpoints: pairs, host, subset }
}

fn gateway(node: Option<&Node>, wrong: &mut Vec<String>) -> Gateway {
    let text =
        |name: &str, usual: &str| node.and_then(|node| node.text_at(&[name])).unwrap_or(usual).to_owned();
    let mut at = |name: &str, usual: &str| {
        let text = text(name, usual);
        address(&text).unwrap_or_else(|| {
            wrong.push(format!("gateway.{name}: found {text:?}, expected address:port"));
            (String::new(), 0)
        })
    };
    let (listen, admin) = (at("listen", "127.0.0.1:10000"), at("admin", "127.0.0.1:9901"));
    let labels = node.and_then(|node| node.get("labels")).map_or(&[][..], Node::fields);
    let label = |(key, node): &(Key, Node)| Some((key.text.clone(), node.text()?.to_owned()));
    let mut labels: Vec<(String, String)> = labels.iter().filter_map(label).collect();
    if labels.is_empty() {
        labels.push(("istio".to_owned(), "ingressgateway".to_owned()));
    }
    Gateway {
        name: text("name", "tidegate"),
        namespace: text("namespace", "default"),
        gateway: text("gateway", "gateway"),
        labels,
        vhost_port: if node.is_some_and(|node| node.get("listen").is_some()) { listen.1 } else { 80 },
        listen,
        admin,
        module: node.and_then(|node| node.text_at(&["module"])).map(str::to_owned),
    }
}

/// A host and a port.
#[must_use]
pub fn address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then_some(())?;
    Some((host.to_owned(), port.parse().ok()?))
}
