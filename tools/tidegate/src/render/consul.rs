//! Entries of Consul's configuration.

use super::policy::Policy;
use super::{common, pretty, template, with_last_route};

pub(super) fn render(policy: &Policy) -> Result<String, String> {
    if policy.part("discovery").is_some() {
        return Err("discovery: Consul's mesh finds endpoints itself, take the part out".to_owned());
    }
    if policy.mirrors() {
        return Err(
            "routing.routes[].mirror: a service-router cannot copy to the cluster of a header".to_owned()
        );
    }
    let module = policy.gateway.module.as_deref().unwrap_or("/opt/tidegate/tidegate.wasm");
    if module.contains("://") {
        return Err(format!("module {module}: Envoy's sidecar takes a file here"));
    }
    let mut values = common(policy);
    values.extend([
        ("code", format!("{{ Local = {{ Filename = {module:?} }} }}")),
        ("document", pretty(&with_last_route(policy))),
    ]);
    let service = template::filled(include_str!("templates/consul.hcl"), &values);
    Ok(service)
}

/// The entry for the routes behind the filter.
pub(super) fn router(policy: &Policy) -> Result<String, String> {
    let with_rest = Policy { document: with_last_route(policy), ..policy.clone() };
    let mut values = common(&with_rest);
    let header = &values["cluster_header"];
    let steered = with_rest.steered();
    let route = |name: &&str| {
        format!(
            "{{\n  Match {{ HTTP {{ Header = [ {{ Name = {header:?}, Exact = {name:?} }} ] }} }}\n  \
             Destination {{ Service = {name:?}, RequestHeaders {{ Remove = [{header:?}] }} }}\n}}"
        )
    };
    let routes: Vec<String> = steered.iter().filter(|name| **name != policy.default).map(route).collect();
    if routes.is_empty() {
        return Err("no policy sends requests to another service: there is nothing to route".to_owned());
    }
    values.insert("routes", routes.join(",\n"));
    Ok(template::filled(include_str!("templates/router.hcl"), &values))
}
