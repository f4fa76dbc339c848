//! Consul's mesh: service-defaults and proxy-defaults bring the filters, a service-router the routes.

use tidegate_policy::http::Placement;

use super::{filter_of, Chain, Failure, Host, Need, Plugin, Route, Vm, World};
use crate::document::Document;
use crate::source::{File, Place};
use crate::tree::{Node, Value};

/// What was found so far.
#[derive(Default)]
pub(super) struct Scan {
    chains: Vec<Chain>,
    routes: Vec<Vec<Route>>,
}

/// Whether it is an entry of Consul's that can have to do with us.
pub(super) fn is_kind(kind: &str) -> bool {
    ["proxy-defaults", "service-defaults", "service-router"].contains(&kind)
}

impl Scan {
    pub(super) fn take(&mut self, file: usize, entry: &Node, files: &[File]) {
        // On Kubernetes the fields stand in `spec`, and the name in `metadata`.
        let body = entry.get("spec").unwrap_or(entry);
        let name =
            entry.text_at(&["name"]).or_else(|| entry.text_at(&["metadata", "name"])).unwrap_or_default();
        if body.get("routes").is_some() {
            self.routes.push(routes(file, body));
        }
        let extensions = body.get("EnvoyExtensions").map_or(&[][..], Node::items);
        for listener in ["inbound", "outbound"] {
            let here = |extension: &&Node| {
                let of = extension.text_at(&["Arguments", "ListenerType"]).unwrap_or("inbound");
                of.eq_ignore_ascii_case(listener) && extension.text_at(&["Name"]) == Some("builtin/wasm")
            };
            let plugins = extensions.iter().filter(here).filter_map(|node| plugin(file, node, files));
            let (plugins, name) = (plugins.collect::<Vec<_>>(), format!("{name} {listener}"));
            if !plugins.is_empty() {
                let attempts = Vec::new();
                self.chains.push(Chain {
                    host: Host::Consul,
                    name,
                    plugins,
                    attempts,
                    hosts: None,
                    open: true,
                });
            }
        }
    }

    pub(super) fn finish(self, world: &mut World) {
        for chain in self.chains {
            world.chains.push(Chain { hosts: Some(self.routes.clone()), ..chain });
        }
    }
}

fn plugin(file: usize, extension: &Node, files: &[File]) -> Option<Plugin> {
    let config = extension.at(&["Arguments", "PluginConfig"])?;
    let text = |way: &[&str]| config.text_at(way).unwrap_or_default().to_owned();
    let place = Place { file, span: config.get("Name").unwrap_or(config).span.clone() };
    let document = match config.get("Configuration") {
        Some(node) if node.text().is_some() => Document::of_text(file, node, files),
        Some(node) => Document::misshapen(file, node, "Consul takes no object here"),
        None => Document::missing(&place),
    };
    let (name, root_id) = (text(&["Name"]), text(&["RootID"]));
    let code = config.at(&["VmConfig", "Code"]);
    let module = text(&["VmConfig", "Code", "Local", "Filename"])
        + &text(&["VmConfig", "Code", "Remote", "HttpURI", "URI"]);
    let filter = filter_of(&module, &[&name, &root_id], &document)?;
    let optional = extension.get("Required").filter(|node| node.value == Value::Bool(false));
    let vm_id = text(&["VmConfig", "VmID"]);
    Some(Plugin {
        filter,
        placement: Placement::of_root_id(root_id.as_bytes()),
        name,
        place: place.clone(),
        vm: Vm { id: vm_id, code: code.map(Node::to_json).unwrap_or_default(), env: String::new() },
        failure: match (optional, extension.get("Required")) {
            (Some(node), _) => Failure::Open(Place { file, span: node.span.clone() }),
            // Without the field an extension is optional.
            (None, None) => Failure::Open(place),
            (None, Some(_)) => Failure::Unsettable,
        },
        priority: None,
        document,
    })
}

fn routes(file: usize, body: &Node) -> Vec<Route> {
    let route = |node: &Node| {
        let headers = node.at(&["Match", "HTTP", "Header"]).map_or(&[][..], Node::items_or_self);
        let need = |header: &Node| {
            let name = header.text_at(&["Name"])?.to_ascii_lowercase();
            Some(Need { name, value: header.text_at(&["Exact"]).map(str::to_owned) })
        };
        let removes = node.at(&["Destination", "RequestHeaders", "Remove"]).map_or(&[][..], Node::items);
        let place = |node: &Node| Place { file, span: node.span.clone() };
        let removes =
            removes.iter().filter_map(|node| Some((node.text()?.to_ascii_lowercase(), place(node))));
        Route {
            removes: removes.collect(),
            ..Route::needing(place(node), headers.iter().filter_map(need).collect())
        }
    };
    body.get("routes").map_or(&[][..], Node::items).iter().map(route).collect()
}
