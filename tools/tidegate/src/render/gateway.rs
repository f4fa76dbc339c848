//! Resources of Envoy Gateway's.

use super::envoy::cluster;
use super::policy::{registry_clusters, Policy, Service};
use super::yaml::yaml;
use super::{common, template, with_last_route};

pub(super) fn render(policy: &Policy) -> Result<String, String> {
    if policy.mirrors() {
        return Err("routing.routes[].mirror: an HTTPRoute cannot copy to the cluster of a header".to_owned());
    }
    for service in &policy.services {
        if service.host.is_none() && service.endpoints.is_empty() {
            return Err(format!(
                "services.{}: needs `endpoints` or a `host` for Envoy Gateway",
                service.name
            ));
        }
    }
    let document = with_last_route(policy);
    let with_rest = Policy { document: document.clone(), ..policy.clone() };
    let mut values = common(&with_rest);
    let header = values["cluster_header"].clone();
    let rules = with_rest.steered().into_iter().filter(|name| *name != policy.default);
    let rules: String = rules
        .filter_map(|name| Some(rule(policy.service(name)?, &header, &policy.gateway.namespace)))
        .collect();
    let backends: Vec<String> =
        policy.services.iter().filter_map(|service| backend(service, policy)).collect();
    let module = policy.gateway.module.as_deref().unwrap_or("oci://registry.example/tidegate:0.1.0");
    let code = if module.starts_with("http") {
        format!("{{ type: HTTP, http: {{ url: {module:?} }} }}")
    } else {
        let image = module.strip_prefix("oci://").unwrap_or(module);
        format!("{{ type: Image, image: {{ url: {image:?} }} }}")
    };
    let no_attempts = values["attempts"].clone();
    let reference = |service: &Service| reference(service, &policy.gateway.namespace);
    let default = policy.service(&policy.default).map(reference).unwrap_or_default();
    values.extend([
        ("backends", backends.join("---\n")),
        ("code", code),
        ("default_backend", default),
        ("document", yaml(&document)),
        ("registries", registries(policy)?),
        ("no_attempts", no_attempts),
        ("rules", rules),
    ]);
    Ok(template::filled(include_str!("templates/envoy-gateway.yaml"), &values))
}

fn rule(service: &Service, header: &str, namespace: &str) -> String {
    let name = &service.name;
    format!(
        "- name: to-{name}\n  matches: [{{ path: {{ type: PathPrefix, value: / }}, headers: [{{ name: {header}, value: {name} }}] }}]\n  \
         filters: [{{ type: RequestHeaderModifier, requestHeaderModifier: {{ remove: [{header}] }} }}]\n  \
         backendRefs: [{}]\n",
        reference(service, namespace)
    )
}

/// A Service of Kubernetes, or a Backend with endpoints.
fn reference(service: &Service, own: &str) -> String {
    match (&service.host, service.endpoints.is_empty()) {
        (Some((host, port)), true) => {
            let mut labels = host.split('.');
            let (name, namespace) = (labels.next().unwrap_or_default(), labels.next());
            let namespace = namespace.filter(|namespace| *namespace != own);
            let namespace = namespace.map_or(String::new(), |namespace| format!(", namespace: {namespace}"));
            format!("{{ name: {name}{namespace}, port: {port} }}")
        }
        _ => format!("{{ group: gateway.envoyproxy.io, kind: Backend, name: {} }}", service.name),
    }
}

fn backend(service: &Service, policy: &Policy) -> Option<String> {
    let endpoint = |(host, port): &(String, u16)| match host.parse::<std::net::IpAddr>() {
        Ok(_) => format!("    - ip: {{ address: {host:?}, port: {port} }}\n"),
        Err(_) => format!("    - fqdn: {{ hostname: {host:?}, port: {port} }}\n"),
    };
    let endpoints: String = service.endpoints.iter().map(endpoint).collect();
    let (name, namespace) = (&service.name, &policy.gateway.namespace);
    (!endpoints.is_empty()).then(|| {
        format!(
            "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\n\
             metadata: {{ name: {name}, namespace: {namespace} }}\nspec:\n  endpoints:\n{endpoints}"
        )
    })
}

/// Patches that add the clusters of registries, which no route leads to.
fn registries(policy: &Policy) -> Result<String, String> {
    let mut patches = String::new();
    for service in registry_clusters(&policy.document).iter().filter_map(|name| policy.service(name)) {
        patches += "- type: type.googleapis.com/envoy.config.cluster.v3.Cluster\n";
        patches +=
            &format!("  name: {}\n  operation:\n    op: add\n    path: \"\"\n    value:\n", service.name);
        let text = cluster(service)?;
        let text = text.strip_prefix("- ").unwrap_or(&text);
        patches += &format!("      {text}").replace("\n  ", "\n      ");
    }
    Ok(patches)
}
