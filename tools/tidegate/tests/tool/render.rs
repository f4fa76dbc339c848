//! `tidegate render` and `run`: what they write is well by `tidegate check`, and what they cannot write
//! they say.

use std::fs;
use std::path::PathBuf;

use tidegate_tool::launch::{starter, Starter};
use tidegate_tool::render::policy::Policy;
use tidegate_tool::render::{render, Target};
use tidegate_tool::source::documents;

use super::{fed, root, tidegate};

const SHOP: &str = "tools/tidegate/tests/files/shop.yaml";
const KUBERNETES: &str = "tools/tidegate/tests/files/shop-kubernetes.yaml";

fn policy(text: &str) -> Result<Policy, String> {
    Policy::read(&documents(&PathBuf::from("a.yaml"), text).unwrap()[0])
}

/// The shop in Kubernetes, changed.
fn kubernetes(change: impl Fn(String) -> String) -> String {
    change(fs::read_to_string(root().join(KUBERNETES)).unwrap())
}

/// The shop without what a mesh of Consul does itself.
fn mesh(text: &str) -> String {
    let own = ["discovery:", "  registries:", "  services: [{ name: orders", "  allow:"];
    text.lines()
        .filter(|line| !own.iter().any(|start| line.starts_with(start)))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn what_is_rendered_passes_the_check() {
    let plain = tidegate(&["render", SHOP, "--for", "envoy"]);
    assert_eq!((plain.code, plain.err.as_str()), (0, ""));
    let once = kubernetes(|text| text.replace(", attempts: 2", ""));
    let consul = policy(&mesh(&once)).unwrap();
    let router = fed(&["render", "-", "--for", "consul", "--router"], &mesh(&once)).out;
    let texts = [
        ("envoy.yaml", plain.out),
        ("istio.yaml", tidegate(&["render", KUBERNETES, "--for", "istio"]).out),
        ("gateway.yaml", render(&policy(&once).unwrap(), Target::EnvoyGateway).unwrap()),
        ("consul/a.hcl", render(&consul, Target::Consul).unwrap()),
        ("consul/b.hcl", router),
    ];
    let folder = std::env::temp_dir().join(format!("tidegate-render-{}", std::process::id()));
    fs::create_dir_all(folder.join("consul")).unwrap();
    for (name, text) in &texts {
        fs::write(folder.join(name), text).unwrap();
        assert!(!text.contains("{{"), "{name}:\n{text}");
    }
    let each = ["envoy.yaml", "istio.yaml", "gateway.yaml", "consul"]
        .map(|name| folder.join(name).display().to_string());
    let ran: Vec<_> = each.iter().map(|path| (path, tidegate(&["check", "--strict", path]))).collect();
    fs::remove_dir_all(&folder).unwrap();
    for (path, ran) in ran {
        assert_eq!(ran.code, 0, "{path}:\n{}{}", ran.out, ran.err);
    }
}

/// istiod names a virtual host by the port of the Gateway's server, not by where a plain Envoy would listen.
#[test]
fn the_virtual_host_of_istio_is_that_of_port_80_unless_the_file_says_otherwise() {
    let own = kubernetes(|text| text);
    let usual = kubernetes(|text| text.replace(r#", listen: "0.0.0.0:28080""#, ""));
    for (text, name) in [(own, r#"name: "*:28080""#), (usual, r#"name: "*:80""#)] {
        let istio = fed(&["render", "-", "--for", "istio"], &text).out;
        let hosts = istio.lines().filter(|line| line.contains("vhost:"));
        let hosts: Vec<&str> = hosts.collect();
        assert!(hosts.len() == 2 && hosts.iter().all(|line| line.contains(name)), "{name}: {hosts:?}");
    }
}

#[test]
fn a_cluster_has_the_name_that_its_control_plane_gives_it() {
    let istio = tidegate(&["render", KUBERNETES, "--for", "istio"]).out;
    assert!(
        istio.contains(r#"target: { cluster: "outbound|8080||checkout.shop.svc.cluster.local" }"#),
        "{istio}"
    );
    assert!(
        istio.contains(r#"consul: { cluster: "outbound|8500||consul.example", authority: consul.example }"#)
    );
    let gateway = tidegate(&["render", KUBERNETES, "--for", "envoy-gateway"]).out;
    assert!(gateway.contains("headers: [{ name: x-tidegate-cluster, value: backup }]"), "{gateway}");
    assert!(gateway.contains("- { name: rest, variants: [{ name: only, cluster: checkout }] }"), "{gateway}");
}

#[test]
fn only_what_the_policies_need_is_written() {
    let limits = "services: {a: {endpoints: ['127.0.0.1:1']}}\ndefault: a\n\
                  ratelimit: {limits: [{name: total, key: [host], requests: 1, per_ms: 1s}]}";
    let text = fed(&["render", "-", "--for", "envoy"], limits).out;
    for absent in ["discovered", "cluster_header", "upstream_http_filters", "tag_name: breaker"] {
        assert!(!text.contains(absent), "{absent}:\n{text}");
    }
    assert!(text.contains("tag_name: limit") && text.contains("cluster: a, timeout"), "{text}");
}

#[test]
fn what_is_wrong_is_told_all_at_once() {
    let text = "services: {a: {endpoints: [here]}}\ndefault: b\nwaf: {}\n\
                breaker: {breakers: [{name: x, target: {cluster: c}, window_ms: 1}]}";
    let ran = fed(&["render", "-", "--for", "envoy"], text);
    assert_eq!(ran.code, 1);
    for part in ["\"here\"", "default: found \"b\"", "waf", "breaker.breakers[0].window_ms", "cluster \"c\""]
    {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    assert_eq!(fed(&["render", "-", "--for", "envoy"], "limits: []").code, 2);
}

#[test]
fn what_a_target_cannot_do_is_said() {
    let says = |text: &str, target| render(&policy(text).unwrap(), target).unwrap_err();
    let shop = fs::read_to_string(root().join(SHOP)).unwrap();
    assert!(says(&shop, Target::Istio).contains("needs a `host`"));
    assert!(says(&shop, Target::Consul).contains("Consul's mesh finds endpoints itself"));
    let bare = kubernetes(|text| text.replace("{ host: backup.shop.svc.cluster.local, port: 80 }", "{}"));
    assert!(says(&bare, Target::Envoy).contains("services.backup"));
    let mirrored = kubernetes(|text| text.replace("sticky:", "mirror: { cluster: backup }\n      sticky:"));
    assert!(says(&mirrored, Target::EnvoyGateway).contains("mirror"));
    assert!(says(&mesh(&mirrored), Target::Consul).contains("mirror"));
    let fetched = shop.replace("default:", "gateway: { module: 'https://host/tidegate.wasm' }\ndefault:");
    assert!(says(&fetched, Target::Envoy).contains("takes a file"));
}

#[test]
fn one_document_runs_in_front_of_one_upstream() {
    let limits = "tools/tidegate/tests/files/limits.yaml";
    let module = "--module=any.wasm";
    let printed = tidegate(&["run", limits, "--upstream", "127.0.0.1:8080", "--print", module]);
    assert!(printed.code == 0 && printed.out.contains("port_value: 8080"), "{}{}", printed.out, printed.err);
    assert_eq!(fed(&["check", "--strict", "-"], &printed.out).code, 0);
    assert_eq!(tidegate(&["run", limits, "--print", module]).code, 1, "no upstream");
    assert_eq!(tidegate(&["run", limits, "--upstream", "here", "--print", module]).code, 2);
    let ran = tidegate(&["run", limits, "--upstream", "[::1]:8080", module, "--envoy", "/no/such/envoy"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
}

#[test]
fn an_envoy_that_is_named_comes_first_and_func_e_last() {
    let nothing = |_: &str| None;
    let both = |program: &str| Some(PathBuf::from("/bin").join(program));
    let func_e = |program: &str| (program == "func-e").then(|| PathBuf::from("/bin/func-e"));
    assert_eq!(starter(None, &nothing), None);
    assert_eq!(starter(Some("/my/envoy".into()), &both), Some(Starter::Envoy("/my/envoy".into())));
    assert_eq!(starter(None, &both), Some(Starter::Envoy("/bin/envoy".into())));
    assert_eq!(starter(None, &func_e), Some(Starter::FuncE("/bin/func-e".into())));
}
