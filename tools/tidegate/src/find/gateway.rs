//! Envoy Gateway: EnvoyExtensionPolicy brings the filters, HTTPRoute the routes, EnvoyPatchPolicy the rest.

use tidegate_policy::http::Placement;

use super::{envoy, filter_of, Chain, Cluster, Failure, Host, Need, Plugin, Route, Vm, World};
use crate::document::Document;
use crate::source::{File, Place};
use crate::tree::Node;

/// What was found so far.
#[derive(Default)]
pub(super) struct Scan {
    policies: Vec<Policy>,
    /// Routes by the name of their resource.
    routes: Vec<(String, Vec<Route>)>,
    attempts: Vec<Plugin>,
    clusters: Vec<Cluster>,
}

struct Policy {
    name: String,
    /// The kinds and names that it is for.
    targets: Vec<(String, String)>,
    plugins: Vec<Plugin>,
}

impl Scan {
    pub(super) fn take(&mut self, file: usize, resource: &Node, files: &[File]) {
        let Some(spec) = resource.get("spec") else { return };
        let namespace = resource.text_at(&["metadata", "namespace"]).unwrap_or("default");
        let name = resource.text_at(&["metadata", "name"]).unwrap_or_default();
        match resource.text_at(&["kind"]) {
            Some("EnvoyExtensionPolicy") => {
                let list = spec.get("wasm").map_or(&[][..], Node::items);
                let plugin =
                    |(index, wasm)| plugin(file, wasm, &format!("/{namespace}/{name}/wasm/{index}"), files);
                let plugins = list.iter().enumerate().filter_map(plugin).collect();
                let (name, targets) = (format!("{namespace}/{name}"), targets(spec));
                self.policies.push(Policy { name, targets, plugins });
            }
            Some("EnvoyPatchPolicy") => self.patches(file, spec, files),
            _ => self.routes.push((name.to_owned(), rules(file, spec))),
        }
    }

    fn patches(&mut self, file: usize, spec: &Node, files: &[File]) {
        let mut scan = envoy::Scan::new(files);
        for patch in spec.get("jsonPatches").map_or(&[][..], Node::items) {
            if let Some(value) = patch.at(&["operation", "value"]) {
                scan.scan(file, value, "");
            }
        }
        self.clusters.extend(scan.clusters);
        let around = |plugin: &Plugin| plugin.placement == Placement::Attempt;
        self.attempts.extend(scan.loose.into_iter().map(|(_, plugin)| plugin).filter(around));
        self.attempts.extend(scan.attempts);
    }

    pub(super) fn finish(self, world: &mut World) {
        world.clusters.extend(self.clusters);
        for policy in self.policies.into_iter().filter(|policy| !policy.plugins.is_empty()) {
            let gateway = policy.targets.iter().any(|(kind, _)| kind == "Gateway");
            let is_for = |name: &str| gateway || policy.targets.iter().any(|(_, target)| target == name);
            let hosts = self.routes.iter().filter(|(name, _)| is_for(name)).map(|(_, routes)| routes.clone());
            let here = |plugin: &&Plugin| policy.plugins.iter().any(|own| plugin.filter.is_of(own.filter));
            let attempts = self.attempts.iter().filter(here).cloned().collect();
            world.chains.push(Chain {
                host: Host::EnvoyGateway,
                name: policy.name,
                attempts,
                hosts: Some(hosts.collect()),
                open: true,
                plugins: policy.plugins,
            });
        }
    }
}

fn plugin(file: usize, wasm: &Node, vm_id: &str, files: &[File]) -> Option<Plugin> {
    let place = Place { file, span: wasm.get("name").unwrap_or(wasm).span.clone() };
    let document = match wasm.get("config") {
        Some(config) if config.text().is_some() => Document::of_text(file, config, files),
        Some(config) => Document::of_object(file, config),
        None => Document::missing(&place),
    };
    let module = wasm.text_at(&["code", "http", "url"]).or_else(|| wasm.text_at(&["code", "image", "url"]));
    let name = wasm.text_at(&["name"]).unwrap_or_default();
    let root_id = wasm.text_at(&["rootID"]).unwrap_or_default();
    let filter = filter_of(module.unwrap_or_default(), &[name, root_id], &document)?;
    let open = wasm.get("failOpen").filter(|open| open.is_true());
    Some(Plugin {
        filter,
        placement: Placement::of_root_id(root_id.as_bytes()),
        name: name.to_owned(),
        place,
        // Envoy Gateway serves the module itself, so where it is from says nothing.
        vm: Vm { id: vm_id.to_owned(), code: String::new(), env: String::new() },
        failure: open
            .map_or(Failure::Unsettable, |node| Failure::Open(Place { file, span: node.span.clone() })),
        priority: None,
        document,
    })
}

fn targets(spec: &Node) -> Vec<(String, String)> {
    let list = spec.get("targetRefs").or_else(|| spec.get("targetRef")).map_or(&[][..], Node::items_or_self);
    let text = |node: &Node, name: &str| node.text_at(&[name]).unwrap_or_default().to_owned();
    list.iter().map(|target| (text(target, "kind"), text(target, "name"))).collect()
}

/// The rules of an HTTPRoute. Which comes first is not their order.
fn rules(file: usize, spec: &Node) -> Vec<Route> {
    let matches = spec.get("rules").map_or(&[][..], Node::items).iter().flat_map(|rule| {
        let removed = rule.get("filters").map_or(&[][..], Node::items).iter();
        let removed = removed.filter_map(|filter| filter.at(&["requestHeaderModifier", "remove"]));
        let removed: Vec<&Node> = removed.flat_map(Node::items).collect();
        rule.get("matches").map_or(&[][..], Node::items).iter().map(move |node| (node, removed.clone()))
    });
    let route = |(node, removed): (&Node, Vec<&Node>)| {
        let need = |header: &Node| {
            let exact = header.text_at(&["type"]).is_none_or(|kind| kind == "Exact");
            let value = header.text_at(&["value"]).filter(|_| exact).map(str::to_owned);
            Some(Need { name: header.text_at(&["name"])?.to_ascii_lowercase(), value })
        };
        let needs = node.get("headers").map_or(&[][..], Node::items).iter().filter_map(need).collect();
        let place = |node: &Node| Place { file, span: node.span.clone() };
        let removes =
            removed.iter().filter_map(|node| Some((node.text()?.to_ascii_lowercase(), place(node))));
        Route { removes: removes.collect(), ..Route::needing(place(node), needs) }
    };
    matches.map(route).collect()
}
