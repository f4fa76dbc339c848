//! Resources of Istio's.

use super::policy::{renamed, Policy, Service};
use super::yaml::yaml;
use super::{common, pretty, stats, template};

pub(super) fn render(policy: &Policy) -> Result<String, String> {
    for service in &policy.services {
        if service.host.is_none() {
            return Err(format!("services.{}: needs a `host`, and a `port`, for Istio", service.name));
        }
    }
    let name = |name: &str| policy.service(name).map_or(name.to_owned(), cluster);
    let document = renamed(&policy.document, &name);
    let destination = policy.service(&policy.default).map(destination).unwrap_or_default();
    let label = |(name, value): &(String, String)| format!("{name}: {value:?}");
    let labels = policy.gateway.labels.iter().map(label).collect::<Vec<_>>().join(", ");
    let module = policy.gateway.module.as_deref().unwrap_or("oci://registry.example/tidegate:0.1.0");
    let mut values = common(policy);
    let patched = ["steers", "discovered", "attempts"].iter().any(|name| !values[*name].is_empty());
    values.extend([
        ("default_destination", destination),
        ("document", yaml(&document)),
        ("json", pretty(&document)),
        ("labels", format!("{{ {labels} }}")),
        ("module", module.to_owned()),
        ("patches", if patched { "yes".to_owned() } else { String::new() }),
        ("stats_json", stats::json(policy)),
        ("vhost_port", policy.gateway.vhost_port.to_string()),
    ]);
    Ok(template::filled(include_str!("templates/istio.yaml"), &values))
}

/// The name that istiod gives the cluster of a service.
fn cluster(service: &Service) -> String {
    match &service.host {
        Some((host, port)) => format!("outbound|{port}|{}|{host}", service.subset),
        None => service.name.clone(),
    }
}

fn destination(service: &Service) -> String {
    let Some((host, port)) = &service.host else { return String::new() };
    let subset =
        if service.subset.is_empty() { String::new() } else { format!(", subset: {}", service.subset) };
    format!("{{ host: {host}{subset}, port: {{ number: {port} }} }}")
}
