//! Envoy's routes, as far as our filters depend on them.

use crate::source::Place;
use crate::tree::{Node, Value};

/// A route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where it stands.
    pub place: Place,
    /// Headers that a request must have.
    pub needs: Vec<Need>,
    /// Its name.
    pub name: String,
    /// Whose requests it takes: the domains of its virtual host; none for all.
    pub domains: Vec<String>,
    /// Which paths it takes.
    pub path: Paths,
    /// Whether it takes every request.
    pub everything: bool,
    /// Where it leads.
    pub to: To,
    /// Request headers that it removes.
    pub removes: Vec<(String, Place)>,
    /// Headers that name clusters for copies.
    pub mirrors: Vec<String>,
    /// What a document may call where it leads, where the control plane names the cluster.
    pub serves: Vec<String>,
}

/// Which paths a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paths {
    /// This one.
    Exact(String),
    /// Those that begin so.
    Prefix(String),
    /// By a rule that only Envoy knows.
    Unknown,
}

/// A header that a request must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Its name in lower case.
    pub name: String,
    /// Its value; `None` for any.
    pub value: Option<String>,
}

/// Where a route leads.
#[derive(Clone, Debug)]
pub enum To {
    /// To clusters by their names.
    Clusters(Vec<(String, Place)>),
    /// To the cluster that a header names.
    Header(String),
    /// To clusters by a number in a header.
    Random(String),
    /// Elsewhere.
    Other,
}

// === impl Route ===

impl Route {
    /// A route of a `RouteConfiguration`.
    #[must_use]
    pub fn of_envoy(file: usize, node: &Node) -> Self {
        let place = |node: &Node| Place { file, span: node.span.clone() };
        let action = node.get("route");
        let matched = node.get("match");
        let fields = matched.map_or(&[][..], |matched| matched.fields());
        let all = |(key, value): &(crate::tree::Key, Node)| match key.text.as_str() {
            "prefix" => value.text() == Some("/"),
            "case_sensitive" | "caseSensitive" => true,
            _ => false,
        };
        let removes = node.get("request_headers_to_remove").map_or(&[][..], Node::items_or_self);
        let mirrors = action.and_then(|action| action.get("request_mirror_policies"));
        let mirrors = mirrors.map_or(&[][..], Node::items);
        let lower = |node: &Node| node.text().map(str::to_ascii_lowercase);
        Self {
            place: place(node),
            needs: matched
                .and_then(|m| m.get("headers"))
                .map_or(&[][..], Node::items)
                .iter()
                .filter_map(need)
                .collect(),
            name: node.text_at(&["name"]).unwrap_or_default().to_owned(),
            domains: Vec::new(),
            path: matched.map_or(Paths::Unknown, paths),
            everything: !fields.is_empty() && fields.iter().all(all),
            to: action.map_or(To::Other, |action| to(file, action)),
            removes: removes.iter().filter_map(|node| Some((lower(node)?, place(node)))).collect(),
            mirrors: mirrors.iter().filter_map(|node| lower(node.get("cluster_header")?)).collect(),
            serves: Vec::new(),
        }
    }

    /// A route that needs these headers and leads where only its own document knows.
    #[must_use]
    pub fn needing(place: Place, needs: Vec<Need>) -> Self {
        let (name, domains, path) = (String::new(), Vec::new(), Paths::Unknown);
        let (everything, to, removes, mirrors, serves) =
            (false, To::Other, Vec::new(), Vec::new(), Vec::new());
        Self { place, needs, name, domains, path, everything, to, removes, mirrors, serves }
    }

    /// Whether it leads to a cluster of this name.
    #[must_use]
    pub fn leads_to(&self, name: &str) -> bool {
        let named = |(cluster, _): &(String, Place)| cluster == name;
        let by_cluster = matches!(&self.to, To::Clusters(clusters) if clusters.iter().any(named));
        by_cluster || self.serves.iter().any(|known| known == name)
    }

    /// Whether it takes requests by this header, with this value or any, and leads where the header says: a
    /// route that needs the header and obeys another one does not.
    #[must_use]
    pub fn takes(&self, header: &str, value: Option<&str>) -> bool {
        let needs =
            |need: &Need| need.name == header && (need.value.is_none() || need.value.as_deref() == value);
        match &self.to {
            To::Header(name) => name == header,
            _ => self.needs.iter().any(needs),
        }
    }
}

/// The virtual hosts of a `RouteConfiguration`.
#[must_use]
pub(super) fn hosts(file: usize, config: &Node) -> Vec<Vec<Route>> {
    let hosts = config.get("virtual_hosts").map_or(&[][..], Node::items);
    let routes = |host: &Node| {
        let domains = host.get("domains").map_or(&[][..], Node::items).iter();
        let domains: Vec<String> = domains.filter_map(|node| node.text().map(str::to_owned)).collect();
        let routes = host.get("routes").map_or(&[][..], Node::items).iter();
        routes.map(|node| Route { domains: domains.clone(), ..Route::of_envoy(file, node) }).collect()
    };
    hosts.iter().map(routes).collect()
}

fn paths(matched: &Node) -> Paths {
    let text = |name: &str| matched.text_at(&[name]).map(str::to_owned);
    let exact = text("path").map(Paths::Exact);
    exact.or_else(|| text("prefix").map(Paths::Prefix)).unwrap_or(Paths::Unknown)
}

fn need(node: &Node) -> Option<Need> {
    let name = node.text_at(&["name"])?.to_ascii_lowercase();
    let absent = node.get("present_match").is_some_and(|present| present.value == Value::Bool(false));
    let loose = ["invert_match", "treat_missing_header_as_empty"];
    if absent || loose.iter().any(|field| node.get(field).is_some_and(Node::is_true)) {
        return None;
    }
    let exact = node.text_at(&["string_match", "exact"]).or_else(|| node.text_at(&["exact_match"]));
    Some(Need { name, value: exact.map(str::to_owned) })
}

fn to(file: usize, action: &Node) -> To {
    let named = |node: &Node| {
        let place = Place { file, span: node.span.clone() };
        node.text().map(|text| (text.to_owned(), place))
    };
    if let Some(header) = action.text_at(&["cluster_header"]) {
        return To::Header(header.to_ascii_lowercase());
    }
    if let Some(weighted) = action.get("weighted_clusters") {
        if let Some(header) = weighted.text_at(&["header_name"]) {
            return To::Random(header.to_ascii_lowercase());
        }
        let clusters = weighted.get("clusters").map_or(&[][..], Node::items);
        return To::Clusters(clusters.iter().filter_map(|node| named(node.get("name")?)).collect());
    }
    action.get("cluster").and_then(named).map_or(To::Other, |cluster| To::Clusters(vec![cluster]))
}
