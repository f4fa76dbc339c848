//! The discovery filter's configuration, from document to policy or to problems.

use tidegate_policy::balance::Algorithm;
use tidegate_policy::discovery::policy::{
    Consistency, Kind, NoMatch, OnFailure, Query, Record, Resolver, Steer, SubsetFallback,
};
use tidegate_policy::discovery::Policy;
use tidegate_policy::key::Part;
use tidegate_policy::time::Span;

/// A document that says everything.
const EVERYTHING: &str = include_str!("discovery.json");

fn policy(json: &str) -> Policy {
    Policy::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn problems(json: &str) -> Vec<String> {
    let error = Policy::parse(json.as_bytes()).err();
    error.map_or(Vec::new(), |e| e.problems.iter().map(ToString::to_string).collect())
}

/// A document whose registries are a Consul `c`, DNS over HTTPS `d`, the host's resolver `h` and a
/// static one `s` with the service `a`, and whose service `a` is registered in `registry` and says
/// this besides.
fn service(registry: &str, more: &str) -> String {
    let registries = r#"{"c": {"consul": {"cluster": "c"}}, "d": {"dns": {"cluster": "d"}},
        "h": {"dns": {"resolver": "host"}},
        "s": {"static": {"services": {"a": [{"address": "127.0.0.1", "port": 80}]}}}}"#;
    let comma = if more.is_empty() { "" } else { ", " };
    format!(
        r#"{{"registries": {registries}, "allow": ["127.0.0.0/8:80"],
            "services": [{{"name": "a", "registry": "{registry}"{comma}{more}}}]}}"#
    )
}

/// A document with one registry that says this.
fn registry(says: &str) -> String {
    format!(
        r#"{{"registries": {{"r": {says}}}, "allow": ["127.0.0.0/8:80"],
            "services": [{{"name": "a", "registry": "r"}}]}}"#
    )
}

#[test]
fn everything_that_can_be_said_of_a_registry_is_understood() {
    let policy = policy(EVERYTHING);
    let names: Vec<&str> = policy.registries.iter().map(|r| &*r.name).collect();
    assert_eq!(names, ["consul", "doh", "host", "local"]);
    let Kind::Consul(consul) = &policy.registries[0].kind else { panic!("no Consul") };
    let texts = [&consul.datacenter, &consul.namespace, &consul.partition, &consul.token, &consul.near];
    let texts: Vec<&str> = texts.into_iter().flatten().map(String::as_str).collect();
    assert_eq!(texts, ["dc1", "shop", "eu", "0e1d-secret", "_agent"]);
    assert_eq!([&consul.cluster, &consul.authority], ["consul-agent", "consul.internal:8501"]);
    assert_eq!((consul.wait_ms, consul.timeout_ms), (60_000, 3_000));
    assert_eq!((consul.consistency, consul.zone_key.as_str()), (Consistency::Stale, "az"));
    assert!(!format!("{policy:?}").contains("0e1d"), "a token in a log");

    let Kind::Dns(dns) = &policy.registries[1].kind else { panic!("no DNS") };
    let (cluster, authority, path) = ("resolver".into(), "dns.internal".into(), "/q".into());
    assert_eq!(dns.resolver, Resolver::Https { cluster, authority, path });
    assert_eq!((dns.timeout_ms, policy.registries[1].cache.flap.is_none()), (900, true));
    let Kind::Dns(dns) = &policy.registries[2].kind else { panic!("no DNS") };
    assert_eq!(dns.resolver, Resolver::Host);

    let Kind::Static(services) = &policy.registries[3].kind else { panic!("not static") };
    let (name, cart) = &services[0];
    assert_eq!((name.as_str(), cart.len()), ("cart", 2));
    let first = &cart[0];
    assert_eq!((&*first.id, first.weight, first.priority, &*first.zone), ("10.0.0.1:80", 3, 1, "b"));
    assert_eq!(first.tags.iter().map(|t| &**t).collect::<Vec<_>>(), ["blue", "v2"]);
    assert_eq!(
        first.metadata.iter().map(|(k, v)| (&**k, &**v)).collect::<Vec<_>>(),
        [("arch", "arm"), ("rack", "r7")]
    );
    assert_eq!(services[1].1[0].address.to_string(), "fd00::1");
}
