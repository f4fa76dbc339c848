//! Finds what is ours in files of any kind: the plugins and their documents, the routes in front of them and
//! the clusters that they name.

mod consul;
mod envoy;
mod gateway;
mod istio;
mod routes;

use tidegate_policy::http::Placement;

use crate::document::Document;
use crate::filter::Filter;
use crate::render::policy;
use crate::source::{File, Place};
use crate::tree::Node;

pub use routes::{Need, Paths, Route, To};

/// All that was found.
#[derive(Debug, Default)]
pub struct World {
    /// Filters that see the same requests.
    pub chains: Vec<Chain>,
    /// Envoy's clusters.
    pub clusters: Vec<Cluster>,
    /// Whether there are no other clusters.
    pub clusters_known: bool,
    /// How many plugins were found.
    pub found: usize,
}

/// Filters that see the same requests, in order, and where these go.
#[derive(Debug)]
pub struct Chain {
    /// Who builds it.
    pub host: Host,
    /// What it is called in messages.
    pub name: String,
    /// The filters around exchanges.
    pub plugins: Vec<Plugin>,
    /// The filters around attempts.
    pub attempts: Vec<Plugin>,
    /// The routes of each virtual host, in order; `None` if they are nowhere in the files.
    pub hosts: Option<Vec<Vec<Route>>>,
    /// Whether there may be other routes and filters than those in the files.
    pub open: bool,
}

/// Who builds a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Nobody: a document of its own.
    Bare,
    /// Consul's mesh.
    Consul,
    /// A file of Envoy's, or one that xDS delivers.
    Envoy,
    /// Envoy Gateway.
    EnvoyGateway,
    /// Istio.
    Istio,
}

/// One filter.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// Which one.
    pub filter: Filter,
    /// Where it runs.
    pub placement: Placement,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// Its machine.
    pub vm: Vm,
    /// What becomes of requests without it.
    pub failure: Failure,
    /// Its priority among plugins, where there is such a thing.
    pub priority: Option<i64>,
    /// Its document.
    pub document: Document,
}

/// What must be the same for two plugins to share memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vm {
    /// The `vm_id`: the cells belong to it.
    pub id: String,
    /// The module.
    pub code: String,
    /// The environment.
    pub env: String,
}

/// What becomes of requests when a filter is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// They are refused until the configuration changes; with where it says so. `None` where nothing
    /// says it.
    Closed(Option<Place>),
    /// They pass.
    Open(Place),
    /// They are refused until there is a new one.
    Reload,
    /// It cannot be chosen.
    Unsettable,
}

/// A cluster of Envoy's.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// The header that it takes endpoints from, of the type `ORIGINAL_DST`.
    pub endpoint_header: Option<String>,
}

/// All that is ours in some files. Each bootstrap is an Envoy of its own; what else there is belongs to the
/// only one, or together.
#[must_use]
pub fn find(files: &[File]) -> Vec<World> {
    let is_bootstrap = |index: &usize| {
        let documents = files.get(*index).map_or(&[][..], |file| &file.documents);
        documents.iter().any(|document| document.get("static_resources").is_some())
    };
    let (bootstraps, others): (Vec<usize>, Vec<usize>) = (0..files.len()).partition(is_bootstrap);
    let mut sets: Vec<Vec<usize>> = bootstraps.into_iter().map(|index| vec![index]).collect();
    match sets.as_mut_slice() {
        [one] => one.extend(others),
        _ => sets.push(others),
    }
    sets.iter().map(|set| find_in(files, set)).collect()
}

fn find_in(files: &[File], set: &[usize]) -> World {
    let mut world = World::default();
    let (mut envoy, mut istio) = (envoy::Scan::new(files), istio::Scan::default());
    let mut gateway = gateway::Scan::default();
    let mut consul = consul::Scan::default();
    for (index, file) in set.iter().filter_map(|index| Some((*index, files.get(*index)?))) {
        for document in file.documents.iter().flat_map(resources) {
            let kind = document.text_at(&["kind"]).unwrap_or_default();
            let group = document.text_at(&["apiVersion"]).unwrap_or_default();
            match kind {
                "WasmPlugin" | "TrafficExtension" | "EnvoyFilter" | "VirtualService" => {
                    istio.take(index, document, files);
                }
                "EnvoyExtensionPolicy" | "EnvoyPatchPolicy" | "HTTPRoute" | "GRPCRoute" => {
                    gateway.take(index, document, files);
                }
                _ if group.starts_with("consul.hashicorp.com") || consul::is_kind(kind) => {
                    consul.take(index, document, files);
                }
                _ if !group.is_empty() => {}
                _ if policy::is_one(document) => {
                    world.chains.push(bare(index, file, &policy::document(document), Filter::Fused));
                }
                _ => match Filter::of_document(document) {
                    Some(filter) => world.chains.push(bare(index, file, document, filter)),
                    None => envoy.take(index, document),
                },
            }
        }
    }
    envoy.finish(&mut world);
    istio.finish(&mut world);
    gateway.finish(&mut world);
    consul.finish(&mut world);
    world.found = world.chains.iter().map(|chain| chain.plugins.len() + chain.attempts.len()).sum();
    world
}

/// The resources of a document: those of a list, as `kubectl get` prints it, or itself.
fn resources(document: &Node) -> Vec<&Node> {
    let kind = document.text_at(&["kind"]).unwrap_or_default();
    match document.get("items").filter(|_| kind.ends_with("List")) {
        Some(items) => items.items().iter().flat_map(resources).collect(),
        None => vec![document],
    }
}

/// A document of its own.
fn bare(index: usize, file: &File, document: &Node, filter: Filter) -> Chain {
    let place = Place { file: index, span: document.span.clone() };
    let plugin = Plugin {
        filter,
        placement: Placement::Downstream,
        name: String::new(),
        place,
        vm: Vm { id: String::new(), code: String::new(), env: String::new() },
        failure: Failure::Unsettable,
        priority: None,
        document: Document::of_object(index, document),
    };
    Chain {
        host: Host::Bare,
        name: file.name.clone(),
        plugins: vec![plugin],
        attempts: Vec::new(),
        hosts: None,
        open: true,
    }
}

/// The filter of a plugin by its module, its names, and at last its document.
fn filter_of(module: &str, names: &[&str], document: &Document) -> Option<Filter> {
    let named = || names.iter().find_map(|name| Filter::of_name(name));
    let told = || document.tree.as_ref().and_then(Filter::of_document);
    Filter::of_module(module).or_else(named).or_else(told)
}
