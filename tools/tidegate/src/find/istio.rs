//! Istio: WasmPlugin and TrafficExtension bring the filters, EnvoyFilter the routes and clusters.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::http::Placement;

use super::{envoy, filter_of, Chain, Cluster, Failure, Host, Need, Plugin, Route, Vm, World};
use crate::document::Document;
use crate::source::{File, Place};
use crate::tree::{Key, Node};

/// What was found so far, by what the resources are for.
#[derive(Default)]
pub(super) struct Scan {
    groups: BTreeMap<Whom, Group>,
    /// Routes of each virtual service, which are for gateways that we do not look up.
    services: Vec<Vec<Route>>,
    clusters: Vec<Cluster>,
}

/// What resources are for: a namespace, and what a workload of it must have, in any order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Whom {
    namespace: String,
    has: BTreeSet<String>,
}

#[derive(Clone, Default)]
struct Group {
    plugins: Vec<(i64, Plugin)>,
    attempts: Vec<Plugin>,
    routes: Vec<Route>,
}

/// Phases come one after the other, whatever the priorities.
const PHASES: [&str; 4] = ["AUTHN", "AUTHZ", "STATS", "UNSPECIFIED_PHASE"];

/// The namespace whose resources are for workloads of all others, too, as Istio is installed.
const ROOT: &str = "istio-system";

impl Scan {
    pub(super) fn take(&mut self, file: usize, resource: &Node, files: &[File]) {
        let Some(spec) = resource.get("spec") else { return };
        match resource.text_at(&["kind"]) {
            Some("EnvoyFilter") => self.envoy_filter(file, resource, spec, files),
            Some("VirtualService") => self.virtual_service(file, spec),
            _ => self.plugin(file, resource, spec, files),
        }
    }

    /// What resources are for that see the same requests.
    fn group(&mut self, resource: &Node, spec: &Node) -> &mut Group {
        let namespace = resource.text_at(&["metadata", "namespace"]).unwrap_or("default");
        let labels =
            spec.at(&["selector", "matchLabels"]).or_else(|| spec.at(&["workloadSelector", "labels"]));
        let label = |(key, value): &(Key, Node)| format!("{}={}", key.text, value.text().unwrap_or_default());
        let mut has: BTreeSet<String> = labels.map_or(&[][..], Node::fields).iter().map(label).collect();
        has.extend(spec.get("targetRefs").map(Node::to_json));
        self.groups.entry(Whom { namespace: namespace.to_owned(), has }).or_default()
    }

    /// The groups, each with what is for more workloads than its own: without a selector for all of the
    /// namespace.
    fn whole_groups(&self) -> Vec<(String, Group)> {
        let whole = |(whom, own): (&Whom, &Group)| {
            let mut group = own.clone();
            let wider = self.groups.iter().filter(|(other, _)| {
                [whom.namespace.as_str(), ROOT].contains(&other.namespace.as_str())
                    && other.has.is_subset(&whom.has)
                    && *other != whom
            });
            for (_, other) in wider {
                group.plugins.extend(other.plugins.iter().cloned());
                group.attempts.extend(other.attempts.iter().cloned());
                group.routes.extend(other.routes.iter().cloned());
            }
            let has: Vec<&str> = whom.has.iter().map(String::as_str).collect();
            (format!("{} {}", whom.namespace, has.join(",")), group)
        };
        self.groups.iter().map(whole).collect()
    }

    fn plugin(&mut self, file: usize, resource: &Node, spec: &Node, files: &[File]) {
        let wasm = spec.get("wasm").unwrap_or(spec);
        let name = resource.at(&["metadata", "name"]);
        let place = Place { file, span: name.unwrap_or(resource).span.clone() };
        let text = |way: &[&str]| wasm.text_at(way).unwrap_or_default().to_owned();
        let document = match wasm.get("pluginConfig") {
            Some(config) if config.text().is_some() => Document::of_text(file, config, files),
            Some(config) => Document::of_object(file, config),
            None => Document::missing(&place),
        };
        let (url, root_id) = (text(&["url"]), text(&["pluginName"]));
        let name = name.and_then(Node::text).unwrap_or_default();
        let Some(filter) = filter_of(&url, &[&root_id, name], &document) else { return };
        let namespace = resource.text_at(&["metadata", "namespace"]).unwrap_or("default");
        let full = format!("{namespace}.{name}");
        // The agent, which fetches what is not a file, takes the resource's version out of the environment.
        let is_file = !["http://", "https://", "oci://"].iter().any(|scheme| url.starts_with(scheme));
        let env = if is_file { format!("the resource version of {full}") } else { String::new() };
        let vm = Vm { id: String::new(), code: url, env };
        let phase = spec.text_at(&["phase"]).unwrap_or("UNSPECIFIED_PHASE");
        let phase = PHASES.iter().position(|known| *known == phase).unwrap_or(PHASES.len());
        let plugin = Plugin {
            filter,
            placement: Placement::of_root_id(root_id.as_bytes()),
            name: full,
            place,
            vm,
            failure: failure(file, wasm),
            priority: spec.get("priority").and_then(Node::number),
            document,
        };
        let phase = i64::try_from(phase).unwrap_or(i64::MAX);
        self.group(resource, spec).plugins.push((phase, plugin));
    }

    fn envoy_filter(&mut self, file: usize, resource: &Node, spec: &Node, files: &[File]) {
        let mut scan = envoy::Scan::new(files);
        for patch in spec.get("configPatches").map_or(&[][..], Node::items) {
            let Some(value) = patch.at(&["patch", "value"]) else { continue };
            if patch.text_at(&["applyTo"]) == Some("HTTP_ROUTE") {
                let route = Route::of_envoy(file, value);
                // Those that come first are put there last.
                let first = patch.text_at(&["patch", "operation"]) == Some("INSERT_FIRST");
                scan.routes.insert(if first { 0 } else { scan.routes.len() }, route);
            } else {
                scan.scan(file, value, "");
            }
        }
        let envoy::Scan { mut loose, attempts, clusters, routes, .. } = scan;
        // What the router's list names is around attempts, whatever its root id is.
        loose.retain(|(_, plugin)| attempts.iter().all(|other| other.place != plugin.place));
        self.clusters.extend(clusters);
        let group = self.group(resource, spec);
        group.routes.splice(0..0, routes);
        group.attempts.extend(attempts);
        for (_, plugin) in loose {
            match plugin.placement {
                Placement::Attempt => group.attempts.push(plugin),
                Placement::Downstream => group.plugins.push((i64::MAX, plugin)),
            }
        }
    }

    /// The first route that matches wins, so all are kept, in order.
    fn virtual_service(&mut self, file: usize, spec: &Node) {
        let domains = spec.get("hosts").map_or(&[][..], Node::items).iter();
        let domains: Vec<String> = domains.filter_map(|node| node.text().map(str::to_owned)).collect();
        let mut routes = Vec::new();
        for node in spec.get("http").map_or(&[][..], Node::items) {
            let place = || Place { file, span: node.span.clone() };
            let served = node.get("route").map_or(&[][..], Node::items).iter();
            let serves: Vec<String> = served.flat_map(served_names).collect();
            let route = |needs, everything| Route {
                domains: domains.clone(),
                everything,
                serves: serves.clone(),
                ..Route::needing(place(), needs)
            };
            let matches = node.get("match").map_or(&[][..], Node::items);
            if matches.is_empty() {
                routes.push(route(Vec::new(), true));
            }
            routes.extend(matches.iter().map(|matched| route(needs(matched), takes_all(matched))));
        }
        if !routes.is_empty() {
            self.services.push(routes);
        }
    }

    pub(super) fn finish(self, world: &mut World) {
        let groups = self.whole_groups();
        world.clusters.extend(self.clusters);
        for (name, mut group) in groups {
            if group.plugins.is_empty() && group.attempts.is_empty() {
                continue;
            }
            // The highest priority first; without any, by name.
            group.plugins.sort_by(|(phase, one), (other_phase, other)| {
                let priority = |plugin: &Plugin| -plugin.priority.unwrap_or(0);
                (phase, priority(one), &one.name).cmp(&(other_phase, priority(other), &other.name))
            });
            // Those of an EnvoyFilter come before those of every virtual service.
            let behind = |routes: &Vec<Route>| {
                let domains = routes.first().map_or(Vec::new(), |route| route.domains.clone());
                let patched = group.routes.iter();
                let patched = patched.map(|route| Route { domains: domains.clone(), ..route.clone() });
                patched.chain(routes.iter().cloned()).collect()
            };
            let mut hosts: Vec<Vec<Route>> = self.services.iter().map(behind).collect();
            if hosts.is_empty() {
                hosts.push(group.routes);
            }
            world.chains.push(Chain {
                host: Host::Istio,
                name,
                plugins: group.plugins.into_iter().map(|(_, plugin)| plugin).collect(),
                attempts: group.attempts,
                hosts: Some(hosts),
                open: true,
            });
        }
    }
}

/// The headers that a match of a virtual service demands.
fn needs(matched: &Node) -> Vec<Need> {
    let need = |(key, value): &(Key, Node)| Need {
        name: key.text.to_ascii_lowercase(),
        value: value.text_at(&["exact"]).map(str::to_owned),
    };
    matched.get("headers").map_or(&[][..], Node::fields).iter().map(need).collect()
}

/// Whether a match of a virtual service holds for every request.
fn takes_all(matched: &Node) -> bool {
    let all = |(key, value): &(Key, Node)| match key.text.as_str() {
        "uri" => value.text_at(&["prefix"]) == Some("/"),
        "name" | "ignoreUriCase" => true,
        _ => false,
    };
    matched.fields().iter().all(all)
}

/// What documents may call a destination: its host, the first name of it, its subset, both, or istiod's name.
fn served_names(route: &Node) -> Vec<String> {
    let text = |name: &str| route.text_at(&["destination", name]).unwrap_or_default();
    let (host, subset) = (text("host"), text("subset"));
    let short = host.split('.').next().unwrap_or_default();
    let port = route.at(&["destination", "port", "number"]).and_then(Node::number).unwrap_or(80);
    let full = format!("outbound|{port}|{subset}|{host}");
    if subset.is_empty() {
        vec![host.to_owned(), short.to_owned(), full]
    } else {
        vec![subset.to_owned(), format!("{short}-{subset}"), full]
    }
}

fn failure(file: usize, wasm: &Node) -> Failure {
    let strategy = wasm.get("failStrategy");
    let place = |node: &Node| Place { file, span: node.span.clone() };
    match strategy.map(|node| (node, node.text().unwrap_or_default())) {
        Some((_, "FAIL_RELOAD")) => Failure::Reload,
        Some((node, "FAIL_OPEN")) => Failure::Open(place(node)),
        Some((node, _)) => Failure::Closed(Some(place(node))),
        None => Failure::Closed(None),
    }
}
