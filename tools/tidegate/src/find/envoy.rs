//! Envoy's own files: bootstraps, and resources of xDS.

use tidegate_policy::http::Placement;

use super::{filter_of, routes, Chain, Cluster, Failure, Host, Plugin, Route, Vm, World};
use crate::document::Document;
use crate::source::{File, Place};
use crate::tree::Node;

/// What was found so far.
pub(super) struct Scan<'f> {
    files: &'f [File],
    chains: Vec<Draft<'f>>,
    /// Plugins in no chain: of extension discovery, with the names of their resources.
    pub(super) loose: Vec<(String, Plugin)>,
    /// Filters around attempts that are no router's: a cluster's.
    pub(super) attempts: Vec<Plugin>,
    /// Route configurations by name.
    tables: Vec<(String, usize, &'f Node)>,
    pub(super) clusters: Vec<Cluster>,
    /// Routes that stand alone.
    pub(super) routes: Vec<Route>,
    has_static: bool,
    has_cds: bool,
}

/// A connection manager before what it names is looked up.
struct Draft<'f> {
    file: usize,
    manager: &'f Node,
}

impl<'f> Scan<'f> {
    pub(super) fn new(files: &'f [File]) -> Self {
        Self {
            files,
            chains: Vec::new(),
            loose: Vec::new(),
            attempts: Vec::new(),
            tables: Vec::new(),
            clusters: Vec::new(),
            routes: Vec::new(),
            has_static: false,
            has_cds: false,
        }
    }

    /// Looks through a document.
    pub(super) fn take(&mut self, file: usize, document: &'f Node) {
        self.has_static |= document.at(&["static_resources", "clusters"]).is_some();
        self.has_cds |= document.at(&["dynamic_resources", "cds_config"]).is_some();
        self.scan(file, document, "");
    }

    /// Looks through a value; `name` is that of the nearest thing around it.
    pub(super) fn scan(&mut self, file: usize, node: &'f Node, name: &'f str) {
        let name = node.text_at(&["name"]).unwrap_or(name);
        let is_options = node.is_type("HttpProtocolOptions");
        if node.is_type("Wasm") {
            if let Some(config) = node.get("config") {
                let place = Place { file, span: config.get("name").unwrap_or(config).span.clone() };
                self.loose.extend(plugin(config, &place, self.files).map(|plugin| (name.to_owned(), plugin)));
            }
            return;
        }
        if node.is_type("HttpConnectionManager") || (node.get("http_filters").is_some() && !is_options) {
            self.chains.push(Draft { file, manager: node });
            return;
        }
        for field in ["upstream_http_filters", if is_options { "http_filters" } else { "" }] {
            if let Some(list) = node.get(field).filter(|_| !field.is_empty()) {
                let found = list.items().iter().filter_map(|filter| self.plugin_of(file, filter));
                let found: Vec<Plugin> = found.collect();
                self.attempts.extend(found);
                return;
            }
        }
        if node.is_type("RouteConfiguration") || node.get("virtual_hosts").is_some() {
            self.tables.push((name.to_owned(), file, node));
            return;
        }
        if is_cluster(node) {
            self.clusters.push(cluster(node));
        }
        node.items().iter().for_each(|item| self.scan(file, item, name));
        node.fields().iter().for_each(|(_, value)| self.scan(file, value, name));
    }

    /// The plugin of one of the filters of a list.
    fn plugin_of(&self, file: usize, filter: &Node) -> Option<Plugin> {
        let config = filter.at(&["typed_config", "config"]);
        if let Some(config) =
            config.filter(|_| filter.get("typed_config").is_some_and(|typed| typed.is_type("Wasm")))
        {
            let span = filter.get("name").unwrap_or(filter).span.clone();
            return plugin(config, &Place { file, span }, self.files);
        }
        filter.get("config_discovery")?;
        let name = filter.text_at(&["name"])?;
        self.loose.iter().find(|(known, _)| known == name).map(|(_, plugin)| plugin.clone())
    }

    pub(super) fn finish(mut self, world: &mut World) {
        let mut used: Vec<String> = Vec::new();
        for draft in std::mem::take(&mut self.chains) {
            let chain = self.chain(&draft, &mut used);
            if !chain.plugins.is_empty() || !chain.attempts.is_empty() {
                world.chains.push(chain);
            }
        }
        // Those that no list of the files names.
        let rest = self.loose.into_iter().filter(|(name, _)| !used.contains(name));
        for (name, plugin) in rest {
            let (plugins, attempts) = match plugin.placement {
                Placement::Attempt => (Vec::new(), vec![plugin]),
                Placement::Downstream => (vec![plugin], Vec::new()),
            };
            world.chains.push(Chain { host: Host::Envoy, name, plugins, attempts, hosts: None, open: true });
        }
        world.clusters_known = self.has_static && !self.has_cds;
        world.clusters.extend(self.clusters);
    }

    fn chain(&self, draft: &Draft<'f>, used: &mut Vec<String>) -> Chain {
        let (file, manager) = (draft.file, draft.manager);
        let filters = manager.get("http_filters").map_or(&[][..], Node::items);
        let plugins = filters.iter().filter_map(|filter| self.plugin_of(file, filter)).collect();
        let upstream =
            filters.iter().filter_map(|filter| filter.at(&["typed_config", "upstream_http_filters"]));
        let upstream: Vec<&Node> = upstream.flat_map(Node::items).collect();
        let attempts = upstream.iter().filter_map(|filter| self.plugin_of(file, filter));
        let attempts = attempts.chain(self.attempts.iter().cloned()).collect();
        let listed = filters.iter().chain(upstream).filter(|filter| filter.get("config_discovery").is_some());
        used.extend(listed.filter_map(|filter| filter.text_at(&["name"]).map(str::to_owned)));
        let own = manager.get("route_config").map(|config| routes::hosts(file, config));
        let named = manager.text_at(&["rds", "route_config_name"]);
        let table = named.and_then(|name| self.tables.iter().find(|(known, ..)| known == name));
        let hosts = own.or_else(|| table.map(|(_, file, node)| routes::hosts(*file, node)));
        let name = manager.text_at(&["stat_prefix"]).unwrap_or_default().to_owned();
        Chain { host: Host::Envoy, name, plugins, attempts, open: hosts.is_none(), hosts }
    }
}

/// The plugin of Envoy's filter, if it is one of ours.
pub(super) fn plugin(config: &Node, place: &Place, files: &[File]) -> Option<Plugin> {
    let text = |way: &[&str]| config.text_at(way).unwrap_or_default().to_owned();
    let file = place.file;
    let code = config.at(&["vm_config", "code"]);
    let code_at = |way: &[&str]| code.and_then(|code| code.text_at(way));
    let module = code_at(&["local", "filename"]).or_else(|| code_at(&["remote", "http_uri", "uri"]));
    let document = match config.get("configuration") {
        Some(message) => Document::of_message(file, message, files),
        None => Document::missing(place),
    };
    let (name, root_id) = (text(&["name"]), text(&["root_id"]));
    let filter = filter_of(module.unwrap_or_default(), &[&name, &root_id], &document)?;
    let env = config.at(&["vm_config", "environment_variables"]);
    let vm = Vm {
        id: text(&["vm_config", "vm_id"]),
        code: code.map(Node::to_json).unwrap_or_default(),
        env: env.map(Node::to_json).unwrap_or_default(),
    };
    Some(Plugin {
        filter,
        placement: Placement::of_root_id(root_id.as_bytes()),
        name,
        place: place.clone(),
        vm,
        failure: failure(file, config),
        priority: None,
        document,
    })
}

fn failure(file: usize, config: &Node) -> Failure {
    let place = |node: &Node| Place { file, span: node.span.clone() };
    if let Some(open) = config.get("fail_open").filter(|node| node.is_true()) {
        return Failure::Open(place(open));
    }
    match config.get("failure_policy").map(|node| (node, node.text().unwrap_or_default())) {
        Some((_, "FAIL_RELOAD")) => Failure::Reload,
        Some((node, "FAIL_OPEN")) => Failure::Open(place(node)),
        Some((node, _)) => Failure::Closed(Some(place(node))),
        None => Failure::Closed(None),
    }
}

/// Clusters stand in lists of them and alone, with a type or without.
fn is_cluster(node: &Node) -> bool {
    let has = |name: &str| node.get(name).is_some();
    node.is_type("Cluster")
        || (has("name") && (has("load_assignment") || has("original_dst_lb_config") || has("lb_policy")))
        || (has("name") && has("connect_timeout"))
        || (has("name") && has("eds_cluster_config"))
}

fn cluster(node: &Node) -> Cluster {
    let original = node.text_at(&["type"]) == Some("ORIGINAL_DST");
    let config = node.get("original_dst_lb_config");
    let by_header = config.and_then(|config| config.get("use_http_header")).is_some_and(Node::is_true);
    let header = config.and_then(|config| config.text_at(&["http_header_name"])).map(str::to_ascii_lowercase);
    let usual = || "x-envoy-original-dst-host".to_owned();
    Cluster {
        name: node.text_at(&["name"]).unwrap_or_default().to_owned(),
        endpoint_header: (original && by_header).then(|| header.unwrap_or_else(usual)),
    }
}
