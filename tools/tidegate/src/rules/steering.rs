//! Filters steer by headers; Envoy's routes must obey them.

use std::collections::BTreeSet;

use super::{Finding, Level, Rule};
use crate::filter::Filter;
use crate::find::{Chain, Host, Plugin, Route, To, World};
use crate::tree::Node;

pub(super) static NO_ROUTE: Rule = Rule {
    id: "no-steering-route",
    level: Level::Error,
    help: "add, before all others, a route that needs the header and takes the cluster from it (cluster_header), or \
           one for each value; without it requests go where they went before",
};
pub(super) static ROUTE_BEHIND: Rule = Rule {
    id: "steering-route-behind",
    level: Level::Error,
    help: "put the route that needs the header before those that take every request",
};
pub(super) static FALLBACK_BEHIND: Rule = Rule {
    id: "fallback-behind-endpoints",
    level: Level::Error,
    help: "put the route that takes the cluster from the header before the one of discovered endpoints: the request has \
           both headers by then, and would go to the endpoint that the breaker refused",
};
pub(super) static NO_MIRROR: Rule = Rule {
    id: "no-mirror-route",
    level: Level::Error,
    help: "add request_mirror_policies: [{cluster_header: …}] to the route that takes the cluster from the header",
};
pub(super) static NO_ENDPOINT_ROUTE: Rule = Rule {
    id: "no-endpoint-route",
    level: Level::Error,
    help: "add, before all others, a route that needs the header and leads to a cluster of the type ORIGINAL_DST with \
           use_http_header",
};
pub(super) static ENDPOINT_REMOVED: Rule = Rule {
    id: "endpoint-removed",
    level: Level::Error,
    help: "do not remove this header in a route: Envoy looks it up afterwards",
};
pub(super) static UNGUARDED: Rule = Rule {
    id: "unguarded-original-dst",
    level: Level::Error,
    help: "have the route demand the header (headers: [{name: …, present_match: true}]): without it the cluster sends a \
           request where the connection was going, past `allow`",
};
pub(super) static UNKNOWN_CLUSTER: Rule =
    Rule { id: "unknown-cluster", level: Level::Error, help: "name a cluster of the file, or add it" };

/// A header by which a document steers, and the values that it may take.
struct Steers<'d> {
    header: String,
    values: Vec<(&'d Node, String)>,
}

pub(super) fn check(chain: &Chain, world: &World, findings: &mut Vec<Finding>) {
    if let Some(hosts) = &chain.hosts {
        let owner = chain.plugins.first().or(chain.attempts.first());
        for route in hosts.iter().flatten() {
            if let Some(plugin) = owner {
                check_route(route, plugin, world, findings);
            }
        }
    }
    if chain.host == Host::Bare {
        return;
    }
    for plugin in &chain.plugins {
        let Some(tree) = &plugin.document.tree else { continue };
        for (filter, part) in plugin.filter.parts(tree) {
            check_clusters(filter, &part, plugin, (chain, world), findings);
            match filter {
                Filter::Discovery => {
                    check_endpoints(&part, plugin, (chain, world), findings);
                    check_fallbacks(&part, plugin, chain, findings);
                }
                _ => check_steering(filter, &part, plugin, chain, findings),
            }
        }
    }
}

/// By what a document steers to clusters.
fn steers(filter: Filter, document: &Node) -> Option<Steers<'_>> {
    let header = |way: &[&str]| document.text_at(way).unwrap_or("x-tidegate-cluster").to_ascii_lowercase();
    let named = |node: &'_ Node| node.text().map(str::to_owned);
    // What only observes sets no header.
    let usual = document.text_at(&["mode"]);
    let enforces = |rule: &&Node| rule.text_at(&["mode"]).or(usual) != Some("observe");
    match filter {
        Filter::Routing if document.at(&["headers", "random"]).is_none() => {
            let routes = document.get("routes").map_or(&[][..], Node::items_or_self);
            let variants = routes
                .iter()
                .filter(enforces)
                .filter_map(|route| route.get("variants"))
                .flat_map(Node::items_or_self);
            let clusters = variants.filter_map(|variant| variant.get("cluster"));
            let values = clusters.filter_map(|node| Some((node, named(node)?))).collect();
            Some(Steers { header: header(&["headers", "cluster"]), values })
        }
        Filter::Breaker => {
            let breakers = document.get("breakers").map_or(&[][..], Node::items_or_self);
            let fallbacks = breakers
                .iter()
                .filter(enforces)
                .filter_map(|breaker| breaker.get("fallback"))
                .flat_map(Node::items_or_self);
            let clusters = fallbacks.filter_map(|fallback| fallback.get("cluster"));
            let values = clusters.filter_map(|node| Some((node, named(node)?))).collect();
            Some(Steers { header: header(&["cluster_header"]), values })
        }
        _ => None,
    }
}

fn check_steering(filter: Filter, part: &Node, plugin: &Plugin, chain: &Chain, findings: &mut Vec<Finding>) {
    let (Some(steers), Some(hosts)) = (steers(filter, part), &chain.hosts) else { return };
    let takes = |route: &Route, value: &str| route.takes(&steers.header, Some(value));
    // Where routes match values, that of the route that takes all others needs none.
    let by_value = |value: &str| hosts.iter().flatten().any(|route| takes(route, value));
    let left: BTreeSet<&String> =
        steers.values.iter().map(|(_, value)| value).filter(|value| !by_value(value)).collect();
    let others = steers.values.iter().any(|(_, value)| by_value(value));
    // Consul and Envoy Gateway do not say in these files where the rest goes; one variant alone splits nothing.
    let told = matches!(chain.host, Host::Envoy | Host::Istio);
    let alone = !told && filter == Filter::Routing;
    let usual = left.len() == 1 && (others || alone);
    let unsteered = |route: &&Route| route.needs.iter().all(|need| need.name != steers.header);
    let served =
        |value: &str| !told || hosts.iter().flatten().filter(unsteered).any(|route| route.leads_to(value));
    let forgiven = |value: &String| usual && left.contains(value) && served(value);
    for (node, value) in steers.values.iter().filter(|(_, value)| !forgiven(value)) {
        let mut there = hosts
            .iter()
            .filter_map(|host| host.iter().position(|route| takes(route, value)).map(|at| (host, at)));
        let place = plugin.document.part(&node.span);
        let Some(first) = there.next() else {
            let found = format!("no route takes {} with the value {value:?}", steers.header);
            let expected = "a route with cluster_header, or one that matches the value";
            let finding = Finding::new(&NO_ROUTE, plugin, place, found, expected);
            findings.push(finding.only_warn(chain.open || usual));
            continue;
        };
        for (host, at) in std::iter::once(first).chain(there) {
            check_behind(host, at, &steers.header, (plugin, chain), findings);
        }
    }
    let Some(mirror) = mirrored(filter, part) else { return };
    let header = part.text_at(&["headers", "mirror"]).unwrap_or("x-tidegate-mirror").to_ascii_lowercase();
    if !hosts.iter().flatten().any(|route| route.mirrors.contains(&header)) {
        let place = plugin.document.part(&mirror.span);
        let found = format!("no route copies requests to the cluster in {header}");
        let expected = "request_mirror_policies with this cluster_header";
        findings.push(Finding::new(&NO_MIRROR, plugin, place, found, expected).only_warn(chain.open));
    }
}

fn mirrored(filter: Filter, document: &Node) -> Option<&Node> {
    let routes = document.get("routes").filter(|_| filter == Filter::Routing)?.items_or_self();
    routes.iter().find_map(|route| route.get("mirror"))
}

/// The order of routes of the Gateway API and of routers is not that of their files.
fn check_behind(
    host: &[Route],
    at: usize,
    header: &str,
    (plugin, chain): (&Plugin, &Chain),
    findings: &mut Vec<Finding>,
) {
    let ordered = matches!(chain.host, Host::Envoy | Host::Istio);
    let Some(first) = host.iter().take(at).find(|route| route.everything).filter(|_| ordered) else { return };
    let Some(route) = host.get(at) else { return };
    let found = format!("the route for {header} stands behind one that takes every request");
    let finding = Finding::new(&ROUTE_BEHIND, plugin, route.place.clone(), found, "it before");
    let other = Some((first.place.clone(), "takes every request".to_owned()));
    findings.push(Finding { other, ..finding });
}

fn check_endpoints(
    part: &Node,
    plugin: &Plugin,
    (chain, world): (&Chain, &World),
    findings: &mut Vec<Finding>,
) {
    let steer = part.get("steer");
    let is_host =
        |steer: &Node| steer.text() == Some("override_host") || steer.get("override_host").is_some();
    let (false, Some(hosts)) = (steer.is_some_and(is_host), &chain.hosts) else { return };
    let own = steer.and_then(|steer| steer.text_at(&["original_dst", "header"]));
    let header = own.unwrap_or("x-envoy-original-dst-host").to_ascii_lowercase();
    let leads = |route: &Route| match &route.to {
        To::Clusters(clusters) => clusters.iter().all(|(name, _)| {
            let known = world.clusters.iter().find(|cluster| cluster.name == *name);
            known.is_none_or(|cluster| cluster.endpoint_header.as_deref() == Some(header.as_str()))
        }),
        To::Header(_) | To::Random(_) | To::Other => chain.open,
    };
    let found = hosts.iter().find_map(|host| {
        let at = host
            .iter()
            .position(|route| route.needs.iter().any(|need| need.name == header) && leads(route))?;
        Some((host, at))
    });
    match found {
        Some((host, at)) => check_behind(host, at, &header, (plugin, chain), findings),
        None => {
            let place = plugin.document.part(&part.get("services").unwrap_or(part).span);
            let says =
                format!("no route sends requests with {header} to a cluster that takes endpoints from it");
            let expected = "such a route, before all others";
            findings
                .push(Finding::new(&NO_ENDPOINT_ROUTE, plugin, place, says, expected).only_warn(chain.open));
        }
    }
}

/// Breakers behind discovery whose fallbacks must win over the endpoint that was chosen.
fn check_fallbacks(discovery: &Node, plugin: &Plugin, chain: &Chain, findings: &mut Vec<Finding>) {
    let (Some(hosts), Host::Envoy) = (&chain.hosts, chain.host) else { return };
    let own = discovery.text_at(&["steer", "original_dst", "header"]);
    let endpoint = own.unwrap_or("x-envoy-original-dst-host").to_ascii_lowercase();
    let behind = chain.plugins.iter().skip_while(|other| other.place != plugin.place).skip(1);
    for breaker in behind.filter(|other| other.filter == Filter::Breaker) {
        let Some(tree) = &breaker.document.tree else { continue };
        let Some(steers) = steers(Filter::Breaker, tree) else { continue };
        let Some((node, _)) = steers.values.first() else { continue };
        for host in hosts {
            let endpoints =
                host.iter().position(|route| route.needs.iter().any(|need| need.name == endpoint));
            let fallbacks = host.iter().position(|route| route.takes(&steers.header, None));
            let (Some(first), Some(second)) = (endpoints, fallbacks) else { continue };
            let Some(route) = host.get(second).filter(|_| first < second) else { continue };
            let found = format!("the route for {} stands behind the one for {endpoint}", steers.header);
            let finding = Finding::new(&FALLBACK_BEHIND, breaker, route.place.clone(), found, "it before");
            let other = Some((breaker.document.part(&node.span), "the fallback".to_owned()));
            findings.push(Finding { other, ..finding });
        }
    }
}

/// Routes to clusters that take endpoints from a header.
fn check_route(route: &Route, plugin: &Plugin, world: &World, findings: &mut Vec<Finding>) {
    let To::Clusters(clusters) = &route.to else { return };
    for (name, place) in clusters {
        let cluster = world.clusters.iter().find(|cluster| cluster.name == *name);
        let Some(header) = cluster.and_then(|cluster| cluster.endpoint_header.as_ref()) else { continue };
        if !route.needs.iter().any(|need| need.name == *header) {
            let found = format!("the route to {name:?} does not demand {header}");
            findings.push(Finding::new(&UNGUARDED, plugin, place.clone(), found, "a match on the header"));
        }
        if let Some((_, place)) = route.removes.iter().find(|(removed, _)| removed == header) {
            let found = format!("{header} is removed before Envoy reads it");
            findings.push(Finding::new(&ENDPOINT_REMOVED, plugin, place.clone(), found, "it to stay"));
        }
    }
}

fn check_clusters(
    filter: Filter,
    part: &Node,
    plugin: &Plugin,
    (chain, world): (&Chain, &World),
    findings: &mut Vec<Finding>,
) {
    if !world.clusters_known || chain.host != Host::Envoy {
        return;
    }
    // A value that a route matches may be another name for its cluster.
    let hosts = chain.hosts.as_deref().unwrap_or_default();
    let matched = |name: &str| {
        let needs = hosts.iter().flatten().flat_map(|route| &route.needs);
        needs.clone().any(|need| need.value.as_deref() == Some(name))
    };
    for node in clusters_of(filter, part) {
        let Some(name) = node.text() else { continue };
        if !world.clusters.iter().any(|cluster| cluster.name == name) && !matched(name) {
            let place = plugin.document.part(&node.span);
            let found = format!("there is no cluster {name:?}");
            findings.push(Finding::new(&UNKNOWN_CLUSTER, plugin, place, found, "the name of a cluster"));
        }
    }
}

/// Where a document names clusters.
fn clusters_of(filter: Filter, document: &Node) -> Vec<&Node> {
    let (from, names): (_, &[&str]) = match filter {
        Filter::Breaker => ("breakers", &["cluster", "endpoint"]),
        Filter::Discovery => ("registries", &["cluster"]),
        Filter::Routing => ("routes", &["cluster"]),
        _ => return Vec::new(),
    };
    let mut found = Vec::new();
    if let Some(from) = document.get(from) {
        from.walk(&mut |node| {
            let named = node.fields().iter().filter(|(key, _)| names.contains(&key.text.as_str()));
            found.extend(named.map(|(_, value)| value));
        });
    }
    found
}
