//! What each control plane's files are taken for.

use std::path::PathBuf;

use tidegate_tool::find::{find, Host, World};
use tidegate_tool::rules::check;
use tidegate_tool::source::{documents, File};

fn file(name: &str, text: &str) -> File {
    let documents = documents(&PathBuf::from(name), text).unwrap();
    File { name: name.to_owned(), text: text.to_owned(), documents }
}

fn rules(files: &[File]) -> Vec<(&'static str, String)> {
    check(&find(files)).iter().map(|finding| (finding.rule.id, finding.line())).collect()
}

const EXTENSION_POLICY: &str = r#"
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata: {name: shop, namespace: default}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: shop}]
  wasm:
    - name: tidegate.breaker
      rootID: tidegate.breaker
      code: {type: HTTP, http: {url: "http://modules.example/tidegate-breaker.wasm"}}
      config:
        breakers: [{name: v1, target: {cluster: v1}, fallback: [{cluster: backup}]}]
"#;
const HTTP_ROUTE: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: default}
spec:
  rules:
    - matches: [{path: {type: PathPrefix, value: /}, headers: [{name: x-tidegate-cluster, value: backup}]}]
    - matches: [{path: {type: PathPrefix, value: /}}]
"#;

#[test]
fn an_http_route_steers_under_envoy_gateway() {
    let policy = || file("policy.yaml", EXTENSION_POLICY);
    let alone = rules(&[policy()]);
    assert!(matches!(alone.as_slice(), [("no-steering-route", _)]), "{alone:?}");
    assert_eq!(rules(&[policy(), file("route.yaml", HTTP_ROUTE)]), []);
    let open = EXTENSION_POLICY.replace("      config:", "      failOpen: true\n      config:");
    let open = rules(&[file("policy.yaml", &open), file("route.yaml", HTTP_ROUTE)]);
    assert!(matches!(open.as_slice(), [("fail-open", _)]), "{open:?}");
}

const SERVICE_DEFAULTS: &str = r#"
Kind = "service-defaults"
Name = "web"
EnvoyExtensions = [
  {
    Name     = "builtin/wasm"
    Required = true
    Arguments = {
      ListenerType = "outbound"
      PluginConfig = {
        Name = "tidegate.routing"
        VmConfig = { VmID = "tidegate", Code = { Local = { Filename = "/opt/tidegate-routing.wasm" } } }
        Configuration = <<JSON
{"routes": [{"name": "r", "variants": [{"name": "a", "cluster": "a", "weight": 1}, {"name": "b", "cluster": "b", "weight": -1}]}]}
JSON
      }
    }
  }
]
"#;

#[test]
fn a_heredoc_of_consul_is_checked_in_place() {
    let files = [file("web.hcl", SERVICE_DEFAULTS)];
    let findings = check(&find(&files));
    let wrong = findings.iter().find(|finding| finding.rule.id == "document").unwrap();
    assert_eq!(wrong.path, "routes[0].variants[1].weight");
    assert_eq!(&SERVICE_DEFAULTS[wrong.place.span.clone()], "-1");
}

#[test]
fn a_router_of_consul_steers_by_values_and_the_rest_goes_where_it_went() {
    let router = r#"
Kind = "service-router"
Name = "api"
Routes = [
  {
    Match { HTTP { Header = [ { Name = "x-tidegate-cluster", Exact = "b" } ] } }
    Destination { Service = "b" }
  }
]
"#;
    let web = SERVICE_DEFAULTS.replace("-1}", "1}");
    assert_eq!(rules(&[file("web.hcl", &web), file("router.hcl", router)]), []);
    assert_eq!(rules(&[file("web.hcl", &web)]).len(), 2);
    let optional = web.replace("    Required = true\n", "");
    let found = rules(&[file("web.hcl", &optional), file("router.hcl", router)]);
    assert!(matches!(found.as_slice(), [("fail-open", _)]), "{found:?}");
}

#[test]
fn an_object_is_no_document_for_consul() {
    let web = SERVICE_DEFAULTS.replace("<<JSON\n{\"routes\"", "{\"routes\"").replace("}]}]}\nJSON", "}]}]}");
    let found = rules(&[file("web.hcl", &web)]);
    assert!(
        found.iter().any(|(id, says)| *id == "struct-configuration" && says.contains("Consul")),
        "{found:?}"
    );
}

#[test]
fn what_only_observes_needs_no_route() {
    let observing = EXTENSION_POLICY.replace("breakers:", "mode: observe\n        breakers:");
    assert_eq!(rules(&[file("policy.yaml", &observing)]), []);
}

const ATTEMPTS: &str = r#"
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: discovery, namespace: default}
spec:
  selector: {matchLabels: {app: gw}}
  url: file:///opt/tidegate-discovery.wasm
  failStrategy: FAIL_RELOAD
  pluginConfig: &document
    registries: {fixed: {static: {services: {orders: [{address: 127.0.0.1, port: 21004}]}}}}
    services: [{name: orders, registry: fixed, match: {path: {prefix: /orders}}, attempts: 2}]
    allow: ["127.0.0.1:21000-21999"]
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: tidegate-discovered, namespace: default}
spec:
  workloadSelector: {labels: {app: gw}}
  configPatches:
    - applyTo: CLUSTER
      patch:
        operation: ADD
        value: {name: discovered, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: {use_http_header: true}}
    - applyTo: HTTP_ROUTE
      patch:
        operation: INSERT_FIRST
        value:
          match: {prefix: /, headers: [{name: x-envoy-original-dst-host, present_match: true}]}
          route: {cluster: discovered}
    - applyTo: HTTP_FILTER
      patch:
        operation: MERGE
        value:
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
            upstream_http_filters:
              - name: tidegate.discovery.attempt
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
                  config:
                    name: default.discovery
                    root_id: attempt
                    failure_policy: FAIL_RELOAD
                    vm_config: {code: {local: {filename: /opt/tidegate-discovery.wasm}}}
                    configuration:
                      "@type": type.googleapis.com/google.protobuf.StringValue
                      value: '{"registries":{"fixed":{"static":{"services":{"orders":[{"address":"127.0.0.1","port":21004}]}}}},"services":[{"name":"orders","registry":"fixed","match":{"path":{"prefix":"/orders"}},"attempts":2}],"allow":["127.0.0.1:21000-21999"]}'
"#;

/// istiod puts the version of a resource into the environment of a file's module.
#[test]
fn a_wasm_plugin_of_a_file_shares_no_vm_with_an_envoy_filter() {
    let found = rules(&[file("istio.yaml", ATTEMPTS)]);
    assert!(
        matches!(found.as_slice(), [("attempt-other-vm", says)] if says.contains("resource version")),
        "{found:?}"
    );
    let fetched = ATTEMPTS.replace("url: file:///opt", "url: https://host/opt");
    let fetched = fetched.replace("{local: {filename: /opt", "{remote: {http_uri: {uri: https://host/opt");
    let fetched = fetched.replace("discovery.wasm}}}\n", "discovery.wasm}}}}\n");
    assert_eq!(rules(&[file("istio.yaml", &fetched)]), []);
}

#[test]
fn resources_of_xds_are_looked_up_across_files() {
    let listener = r#"
resources:
  - "@type": type.googleapis.com/envoy.config.listener.v3.Listener
    name: edge
    filter_chains:
      - filters:
          - name: hcm
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
              rds: {route_config_name: table, config_source: {ads: {}}}
              http_filters:
                - name: limits
                  config_discovery: {config_source: {ads: {}}, type_urls: [x]}
"#;
    let extension = r#"{"resources": [{
  "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
  "name": "limits",
  "typedConfig": {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
    "config": {
      "name": "x", "failurePolicy": "FAIL_RELOAD",
      "vmConfig": {"code": {"local": {"filename": "tidegate-breaker.wasm"}}},
      "configuration": {
        "@type": "type.googleapis.com/google.protobuf.StringValue",
        "value": "{\"breakers\": [{\"name\": \"a\", \"target\": {\"cluster\": \"a\"}, \"fallback\": [{\"cluster\": \"b\"}]}]}"
      }
    }
  }
}]}"#;
    let routes = r#"
resources:
  - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
    name: table
    virtual_hosts:
      - name: all
        domains: ["*"]
        routes: [{match: {prefix: /}, route: {cluster: a}}]
"#;
    let files = [file("lds.yaml", listener), file("ecds.json", extension), file("rds.yaml", routes)];
    let worlds: Vec<World> = find(&files);
    let chains: Vec<_> = worlds.iter().flat_map(|world| &world.chains).collect();
    assert_eq!(chains.len(), 1);
    assert!(chains[0].host == Host::Envoy && !chains[0].open && chains[0].plugins.len() == 1);
    let found = check(&worlds);
    assert_eq!(found.iter().map(|finding| finding.rule.id).collect::<Vec<_>>(), ["no-steering-route"]);
    assert_eq!(&extension[found[0].place.span.clone()], r#"\"b\""#);
}

#[test]
fn words_that_yaml_takes_for_booleans_are_told() {
    let plugin = r#"
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: discovery}
spec:
  url: oci://example/tidegate-discovery:1
  failStrategy: FAIL_RELOAD
  pluginConfig:
    registries: {fixed: {static: {services: {a: [{address: 127.0.0.1, port: 1}]}}}}
    services: [{name: a, registry: fixed, retry: {on: [connect-failure]}}]
    allow: ["127.0.0.1:1"]
"#;
    let files = [file("istio.yaml", plugin)];
    let findings = check(&find(&files));
    let told = findings.iter().find(|finding| finding.rule.id == "document").unwrap();
    assert!(told.found.contains("quote them"), "{}", told.found);
    assert_eq!(&plugin[told.place.span.clone()], "on");
}

const FOR_A_GATEWAY: &str = r#"
kind: WasmPlugin
apiVersion: extensions.istio.io/v1alpha1
metadata: {name: tidegate-breaker, namespace: gw}
spec:
  selector: {matchLabels: {app: gw, istio: edge}}
  url: oci://registry.example/tidegate/tidegate-breaker:1
  failStrategy: FAIL_RELOAD
  priority: 20
  pluginConfig: {breakers: [{name: a, target: {cluster: a}, fallback: [{cluster: b}]}]}
"#;
const PATCH: &str = r#"
kind: EnvoyFilter
apiVersion: networking.istio.io/v1alpha3
metadata: {name: steering, namespace: gw}
spec:
  workloadSelector: {labels: {istio: edge, app: gw}}
  configPatches:
    - applyTo: HTTP_ROUTE
      patch:
        operation: INSERT_FIRST
        value:
          match: {prefix: /, headers: [{name: x-tidegate-cluster, present_match: true}]}
          route: {cluster_header: x-tidegate-cluster}
"#;

#[test]
fn labels_are_the_same_in_any_order_and_nothing_selected_is_everything() {
    let with = |patch: &str| rules(&[file("plugin.yaml", FOR_A_GATEWAY), file("patch.yaml", patch)]);
    assert_eq!(with(PATCH), []);
    assert_eq!(with(&PATCH.replace("  workloadSelector: {labels: {istio: edge, app: gw}}\n", "")), []);
    assert_eq!(with(&PATCH.replace("{istio: edge, app: gw}", "{app: gw}")), [], "more workloads than these");
    assert_eq!(with(&PATCH.replace("namespace: gw", "namespace: istio-system")), [], "for all namespaces");
    let others = [("{istio: edge, app: gw}", "{app: other}"), ("namespace: gw", "namespace: other")];
    for (own, other) in others {
        let found = with(&PATCH.replace(own, other));
        assert!(matches!(found.as_slice(), [("no-steering-route", _)]), "{other}: {found:?}");
    }
}

#[test]
fn a_list_as_kubectl_prints_it_is_its_items() {
    let json = |text: &str| documents(&PathBuf::from("a.yaml"), text).unwrap()[0].to_json();
    let list = |items: &[String]| {
        let text = format!(r#"{{"apiVersion": "v1", "kind": "List", "items": [{}]}}"#, items.join(","));
        rules(&[file("all.json", &text)])
    };
    assert_eq!(list(&[json(FOR_A_GATEWAY), json(PATCH)]), []);
    let alone = list(&[json(FOR_A_GATEWAY)]);
    assert!(matches!(alone.as_slice(), [("no-steering-route", _)]), "{alone:?}");
}
