//! A bootstrap of Envoy's.

use std::net::IpAddr;

use super::policy::{Policy, Service};
use super::{common, pretty, stats, template};

pub(super) fn render(policy: &Policy) -> Result<String, String> {
    let clusters = policy.services.iter().map(cluster).collect::<Result<Vec<_>, _>>()?;
    let module = policy.gateway.module.as_deref().unwrap_or("dist/tidegate.wasm");
    if module.contains("://") {
        return Err(format!("module {module}: a plain Envoy takes a file here"));
    }
    let mut values = common(policy);
    values.extend([
        ("clusters", clusters.join("\n")),
        ("code", format!("{{ local: {{ filename: {module} }} }}")),
        ("document", pretty(&policy.document)),
        ("facts", stats::facts(policy)),
        ("stats_tags", stats::yaml(policy)),
    ]);
    Ok(template::filled(include_str!("templates/envoy.yaml"), &values))
}

/// A service as a cluster: an item of a list.
pub(super) fn cluster(service: &Service) -> Result<String, String> {
    let name = &service.name;
    let from_host = service.host.iter().cloned();
    let endpoints: Vec<(String, u16)> =
        if service.endpoints.is_empty() { from_host.collect() } else { service.endpoints.clone() };
    if endpoints.is_empty() {
        return Err(format!("services.{name}: needs `endpoints`, or a `host`, for Envoy"));
    }
    // Names are looked up again and again.
    let fixed = endpoints.iter().all(|(host, _)| host.parse::<IpAddr>().is_ok());
    let kind = if fixed { "STATIC" } else { "STRICT_DNS" };
    let endpoint = |(host, port): &(String, u16)| {
        format!("          - endpoint: {{ address: {{ socket_address: {{ address: {host:?}, port_value: {port} }} }} }}\n")
    };
    let list: String = endpoints.iter().map(endpoint).collect();
    Ok(format!(
        "- name: {name}\n  type: {kind}\n  connect_timeout: 1s\n  per_connection_buffer_limit_bytes: 32768\n  \
         load_assignment:\n    cluster_name: {name}\n    endpoints:\n      - lb_endpoints:\n{list}"
    ))
}
