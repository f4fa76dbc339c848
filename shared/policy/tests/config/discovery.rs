//! The discovery filter's configuration, from document to policy or to problems.

use tidegate_policy::balance::Algorithm;
use tidegate_policy::discovery::config::policy::{NoMatch, OnFailure, Steer, SubsetFallback};
use tidegate_policy::discovery::registry::consul::{Consistency, ServiceQuery};
use tidegate_policy::discovery::registry::dns::config::{NameQuery, Record, Resolver};
use tidegate_policy::discovery::registry::{Query, RegistryKind};
use tidegate_policy::discovery::Policy;
use tidegate_policy::key::{Key, Part};
use tidegate_policy::time::Span;

/// A document that says everything.
const EVERYTHING: &str = include_str!("../discovery.json");

fn policy(json: &str) -> Policy {
    super::hold("discovery", json, None);
    Policy::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn problems(json: &str) -> Vec<String> {
    let error = Policy::parse(json.as_bytes()).err();
    super::hold("discovery", json, error.as_ref());
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
    let RegistryKind::Consul(consul) = &policy.registries[0].kind else { panic!("no Consul") };
    let texts = [&consul.datacenter, &consul.namespace, &consul.partition, &consul.token, &consul.near];
    let texts: Vec<&str> = texts.into_iter().flatten().map(String::as_str).collect();
    assert_eq!(texts, ["dc1", "shop", "eu", "0e1d-secret", "_agent"]);
    assert_eq!([&consul.cluster, &consul.authority], ["consul-agent", "consul.internal:8501"]);
    assert_eq!((consul.wait_ms, consul.timeout_ms, consul.max_blocking_queries), (60_000, 3_000, 9));
    assert_eq!((consul.consistency, consul.zone_key.as_str()), (Consistency::Stale, "az"));
    assert!(!format!("{policy:?}").contains("0e1d"), "a token in a log");

    let RegistryKind::Dns(dns) = &policy.registries[1].kind else { panic!("no DNS") };
    let (cluster, authority, path) = ("resolver".into(), "dns.internal".into(), "/q".into());
    assert_eq!(dns.resolver, Resolver::Https { cluster, authority, path });
    assert_eq!((dns.timeout_ms, policy.registries[1].cache.flap.is_none()), (900, true));
    let RegistryKind::Dns(dns) = &policy.registries[2].kind else { panic!("no DNS") };
    assert_eq!(dns.resolver, Resolver::Host);

    let RegistryKind::Static(list) = &policy.registries[3].kind else { panic!("not static") };
    let (name, cart) = &list.services[0];
    assert_eq!((name.as_str(), cart.len()), ("cart", 2));
    let first = &cart[0];
    assert_eq!((&*first.id, first.weight, first.priority, &*first.zone), ("10.0.0.1:80", 3, 1, "b"));
    assert_eq!(first.tags.iter().map(|t| &**t).collect::<Vec<_>>(), ["blue", "v2"]);
    assert_eq!(
        first.metadata.iter().map(|(k, v)| (&**k, &**v)).collect::<Vec<_>>(),
        [("arch", "arm"), ("rack", "r7")]
    );
    assert_eq!(list.services[1].1[0].address.to_string(), "fd00::1");
}

#[test]
fn everything_that_can_be_said_of_an_answer_is_understood() {
    let policy = policy(EVERYTHING);
    let cache = &policy.registries[0].cache;
    let times =
        [cache.ttl_ms, cache.stale_while_revalidate_ms, cache.stale_if_error_ms, cache.negative_ttl_ms];
    assert_eq!((times, cache.serve_forever, cache.max_bytes), ([5_000, 1_000, 2_000, 700], true, 65_536));
    assert_eq!(cache.max_backoff_ms, 900);
    let (shrink, flap, ms) = (cache.shrink, cache.flap.unwrap(), Span::from_millis);
    assert_eq!((shrink.keep_percent, shrink.min_size, shrink.confirmations), (60, 5, 2));
    assert_eq!([shrink.hold, shrink.empty_hold, shrink.window], [ms(100), ms(200), ms(300)]);
    assert_eq!([flap.penalty, flap.suppress, flap.reuse, flap.most], [900.0, 1_800.0, 600.0, 9_000.0]);
    assert_eq!((shrink.allow_empty, flap.half_life), (true, ms(30_000)));
}

#[test]
fn everything_that_can_be_said_of_a_service_is_understood() {
    let policy = policy(EVERYTHING);
    let (checkout, cart) = (&policy.services[0], &policy.services[1]);
    let own = ServiceQuery {
        service: "checkout-api".into(),
        tags: vec!["http".into()],
        filter: Some("Service.Port != 0".into()),
        datacenter: Some("dc9".into()),
    };
    let srv = NameQuery { name: "_checkout._tcp.example".into(), ..NameQuery::default() };
    let queries = [
        (0, Query::Consul(own.clone())),
        (0, Query::Consul(ServiceQuery { datacenter: Some("dc2".into()), ..own })),
        (3, Query::Static("spare".into())),
        (1, Query::Dns(srv)),
        (2, Query::Dns(NameQuery { name: "checkout.example".into(), record: Record::Any, port: 443 })),
    ];
    let asked = checkout.sources.iter().map(|source| (source.registry, source.query.clone()));
    assert_eq!(asked.collect::<Vec<_>>(), queries);
    assert_eq!((checkout.matches.len(), checkout.attempts, checkout.hold_ms), (2, 3, 500));
    assert_eq!(checkout.balance.algorithm, Algorithm::Maglev { table_size: 251, hash_balance_factor: None });
    let parts = vec![Part::Header("x-user".into()), Part::Host];
    assert_eq!(checkout.hash_key, Some(Key::new(0, parts)));
    let levels = (checkout.balance.panic_threshold_percent, checkout.balance.overprovisioning_factor);
    assert_eq!(levels, (0, 120));
    assert_eq!(checkout.subset.metadata, [("rack".into(), "r7".into())]);
    assert_eq!((checkout.subset.tags.len(), checkout.subset.fallback), (1, SubsetFallback::AnyEndpoint));
    let retry = &checkout.retry;
    assert_eq!((retry.methods.join(","), &*retry.on), ("GET,PATCH".into(), "5xx,reset"));
    assert_eq!((retry.safe.len(), retry.per_try_timeout_ms), (1, 250));
    assert_eq!((retry.budget_percent, retry.min_concurrency), (10, 1));
    let ejection = checkout.ejection.as_ref().unwrap();
    assert_eq!((ejection.consecutive_5xx, ejection.consecutive_gateway_failure), (3, 2));
    assert_eq!((ejection.base_ejection_time_ms, ejection.max_ejection_time_ms), (1_000, 9_000));
    assert_eq!((ejection.max_ejection_percent, ejection.always_eject_one), (20, false));
    assert_eq!(ejection.patience, Some(Span::from_millis(2_500)));

    assert_eq!(cart.balance.algorithm, Algorithm::LeastRequest { choice_count: 3, bias: 1.5 });
    let slow = cart.balance.slow_start.unwrap();
    assert_eq!((slow.window, slow.aggression, slow.min_weight_percent), (Span::from_secs(30), 2.0, 5));
    let zones = cart.balance.zone_aware.as_ref().unwrap();
    assert_eq!((zones.min_cluster_size, zones.routing_enabled_percent), (4, 90));
    assert_eq!((cart.ejection.is_none(), cart.sources[0].query.name()), (true, "cart"));

    assert_eq!(policy.steer, Steer::OverrideHost { header: "x-endpoints".into() });
    assert_eq!((policy.zone.as_deref(), policy.no_match), (Some("a"), NoMatch::NotFound));
    assert_eq!((policy.on_failure, policy.reply.status), (OnFailure::Allow, 502));
    assert!(policy.allow.has("10.1.2.3".parse().unwrap(), 80));
}

#[test]
fn what_is_not_said_has_a_default() {
    let consul = policy(&service("c", ""));
    let RegistryKind::Consul(agent) = &consul.registries[0].kind else { panic!("no Consul") };
    assert_eq!(
        (agent.cluster.as_str(), agent.authority.as_str(), agent.zone_key.as_str()),
        ("c", "c", "zone")
    );
    assert_eq!((agent.wait_ms, agent.timeout_ms, agent.consistency), (55_000, 5_000, Consistency::Default));
    let cache = &consul.registries[0].cache;
    let times =
        [cache.ttl_ms, cache.stale_while_revalidate_ms, cache.stale_if_error_ms, cache.negative_ttl_ms];
    assert_eq!((times, cache.serve_forever), ([10_000, 60_000, 86_400_000, 5_000], false));
    assert_eq!((cache.max_bytes, cache.max_backoff_ms), (4 << 20, 5_000));
    assert_eq!((cache.shrink, cache.flap), (Default::default(), Some(Default::default())));

    let one = &consul.services[0];
    assert_eq!((one.sources.len(), one.sources[0].query.name(), one.matches.len()), (1, "a", 0));
    assert_eq!((one.balance.algorithm, one.hash_key.as_ref()), (Algorithm::RoundRobin, None));
    assert_eq!((one.balance.slow_start, one.balance.zone_aware.as_ref()), (None, None));
    assert_eq!((one.balance.panic_threshold_percent, one.balance.overprovisioning_factor), (50, 140));
    assert_eq!((one.subset.clone(), one.attempts, one.hold_ms), (Default::default(), 1, 2_000));
    assert_eq!(one.retry.methods.join(" "), "GET HEAD OPTIONS TRACE PUT DELETE");
    assert_eq!(&*one.retry.on, "connect-failure,refused-stream,reset,gateway-error");
    assert_eq!(
        (one.retry.budget_percent, one.retry.min_concurrency, one.retry.per_try_timeout_ms),
        (20, 5, 0)
    );
    let ejection = one.ejection.as_ref().unwrap();
    assert_eq!((ejection.consecutive_5xx, ejection.consecutive_gateway_failure), (5, 5));
    assert_eq!((ejection.base_ejection_time_ms, ejection.max_ejection_time_ms), (30_000, 300_000));
    assert_eq!((ejection.max_ejection_percent, ejection.always_eject_one), (50, true));
    assert_eq!(ejection.patience, None);
    assert_eq!(consul.steer, Steer::OriginalDst { header: "x-envoy-original-dst-host".into() });
    assert_eq!((consul.zone, consul.no_match, consul.on_failure), (None, NoMatch::Pass, OnFailure::Refuse));
    assert_eq!((consul.reply.status, consul.reply.grpc_status), (503, 14));

    let doh = policy(&service("d", ""));
    let (cluster, path) = ("d".to_string(), "/dns-query".into());
    let resolver = Resolver::Https { authority: cluster.clone(), cluster, path };
    assert!(
        matches!(&doh.registries[1].kind, RegistryKind::Dns(dns) if dns.resolver == resolver && dns.timeout_ms == 2_000)
    );
    let asks = |policy: &Policy, wanted: Record| matches!(&policy.services[0].sources[0].query, Query::Dns(query) if query.record == wanted);
    assert!(asks(&doh, Record::Srv));
    let host = policy(&service("h", r#""dns": {"port": 1}"#));
    assert!(asks(&host, Record::Any));
}

#[test]
fn a_word_is_short_for_an_algorithm_with_its_defaults() {
    let client = Part::ClientAddress { trusted_hops: 0, peer_appended: false, ipv6_prefix: 64 };
    let key = Some(Key::new(0, vec![client]));
    #[rustfmt::skip]
    let cases = [
        ("round_robin",     Algorithm::RoundRobin,                                         None),
        ("random",          Algorithm::Random,                                             None),
        ("weighted_random", Algorithm::WeightedRandom,                                     None),
        ("least_request",   Algorithm::LeastRequest { choice_count: 2, bias: 1.0 },        None),
        ("peak_ewma",       Algorithm::PeakEwma,                                           None),
        ("rendezvous",      Algorithm::Rendezvous,                                         key.clone()),
        ("maglev",          Algorithm::Maglev { table_size: 65_537, hash_balance_factor: None }, key.clone()),
        ("ring_hash",       Algorithm::RingHash { minimum_ring_size: 1_024, hash_balance_factor: None }, key),
    ];
    for (word, algorithm, key) in cases {
        for json in [format!(r#""balance": "{word}""#), format!(r#""balance": {{"{word}": {{}}}}"#)] {
            let policy = policy(&service("s", &json));
            let service = &policy.services[0];
            assert_eq!((service.balance.algorithm, &service.hash_key), (algorithm, &key), "{json}");
            assert_eq!(service.decay, Span::from_secs(10), "{json}");
        }
    }
    let logistic = policy(&service("s", r#""balance": "logistic""#)).services[0].balance.algorithm;
    let Algorithm::Logistic(logistic) = logistic else { panic!("{logistic:?}") };
    let shape = (logistic.midpoint, logistic.steepness, logistic.target);
    assert_eq!(shape, (80.0, 0.2, Span::from_millis(100)));
    let forgetful = policy(&service("s", r#""balance": {"peak_ewma": {"decay_ms": 500}}"#));
    assert_eq!(forgetful.services[0].decay, Span::from_millis(500));
    let one = policy(&service("s", r#""balance": {"rendezvous": {"hash_key": {"cookie": "c"}}}"#));
    assert_eq!(one.services[0].hash_key, Some(Key::new(0, vec![Part::Cookie("c".into())])));
}

#[test]
fn what_is_wrong_with_a_registry_is_said() {
    #[rustfmt::skip]
    let cases = [
        ("{}", "registries.r: has no kind, expected `consul`, `dns` or `static`"),
        (r#"{"consul": {"cluster": "c"}, "dns": {"cluster": "c"}}"#,
         "registries.r: found `consul` and `dns` together, expected only one of them"),
        (r#"{"consul": {}}"#, "registries.r.consul.cluster: missing, expected the name of a cluster"),
        (r#"{"consul": {"cluster": "c", "authority": "ä"}}"#,
         "registries.r.consul.authority: \"ä\" is not a header value, expected visible ASCII"),
        (r#"{"consul": {"cluster": "c", "wait_ms": 999}}"#, "registries.r.consul.wait_ms: 999 ms is out of range, expected 0 or 1000 to 600000 ms"),
        (r#"{"consul": {"cluster": "c", "token": "a b"}}"#,
         "registries.r.consul.token: does not fit (no message shows it), expected visible ASCII without spaces, 1 to 1024 bytes"),
        (r#"{"consul": {"cluster": "c", "consistency": "best"}}"#,
         "registries.r.consul.consistency: found \"best\", expected one of `default`, `stale`, `consistent`"),
        (r#"{"dns": {}}"#, "registries.r.dns: has no server to ask, expected `cluster` or `resolver`"),
        (r#"{"dns": {"resolver": "me", "cluster": "c"}}"#,
         "registries.r.dns.resolver: found \"me\", expected `host`\n\
          registries.r.dns.cluster: does not go with `resolver`, expected only one of them"),
        (r#"{"dns": {"cluster": "c", "path": "/q?x"}}"#,
         "registries.r.dns.path: \"/q?x\" is not a path, expected one that starts with `/`, without a query"),
        (r#"{"static": {}}"#, "registries.r.static.services: missing, expected an object with services"),
        (r#"{"static": {"services": {}}}"#, "registries.r.static.services: 0 services are out of range, expected 1 to 256"),
        (r#"{"static": {"services": {"": [{"address": "127.0.0.1", "port": 80}]}}}"#,
         "registries.r.static.services[\"\"]: a text of 0 bytes is out of range, expected 1 to 256 bytes"),
        (r#"{"static": {"services": {"a": [{"address": "127.0.0.1", "port": 80}]}}, "cache": {}}"#,
         "registries.r.cache: does not go with a static registry, expected none: nothing is asked"),
        (r#"{"consul": {"cluster": "c"}, "cache": {"ttl_ms": 1, "flap_damping": {"reuse": 2000}}}"#,
         "registries.r.cache.ttl_ms: 1 ms is out of range, expected 100 to 86400000 ms\n\
          registries.r.cache.flap_damping: reuse at 2000, suppress at 2000, at most 12000, expected each above the one before"),
        (r#"{"consul": {"cluster": "c"}, "cache": {"flap_damping": 1}}"#, "registries.r.cache.flap_damping: found 1, expected true or false, or an object with `penalty`, `suppress`, `reuse`, `half_life_ms` or `max`"),
    ];
    for (says, expected) in cases {
        let mut got = problems(&registry(says));
        got.retain(|problem| problem.starts_with("registries"));
        assert_eq!(got.join("\n"), expected, "{says}");
    }
}

#[test]
fn what_is_wrong_with_a_static_endpoint_is_said_where_it_stands() {
    #[rustfmt::skip]
    let cases = [
        (r#"{"address": "127.0.0.1"}"#, "[0].port: missing, expected an integer, 1 to 65535"),
        (r#"{"address": "localhost", "port": 80}"#,
         "[0].address: \"localhost\" is no address of an endpoint, expected one of IPv4 or IPv6"),
        (r#"{"address": "0.0.0.0", "port": 80}"#,
         "[0].address: \"0.0.0.0\" is no address of an endpoint, expected one of IPv4 or IPv6"),
        (r#"{"address": "127.0.0.1", "port": 81}"#,
         "[0]: 127.0.0.1:81 is not in `allow`, expected an endpoint that it has"),
        (r#"{"address": "127.0.0.1", "port": 80, "weight": 0, "priority": 16}"#,
         "[0].weight: 0 is out of range, expected 1 to 65535\n[0].priority: 16 is out of range, expected 0 to 15"),
        (r#"{"address": "127.0.0.1", "port": 80}, {"address": "127.0.0.2", "port": 80},
            {"address": "::ffff:127.0.0.1", "port": 80}"#,
         "[2]: 127.0.0.1:80 is there already, expected once"),
        (r#"{"address": "127.0.0.1", "port": 80, "metadata": {"k": 1}}"#, "[0].metadata.k: found 1, expected a text"),
    ];
    for (endpoints, expected) in cases {
        let got = problems(&registry(&format!(r#"{{"static": {{"services": {{"a": [{endpoints}]}}}}}}"#)));
        let expected: Vec<String> =
            expected.lines().map(|line| format!("registries.r.static.services.a{line}")).collect();
        assert_eq!(got, expected, "{endpoints}");
    }
}

#[test]
fn what_is_wrong_with_a_source_is_said() {
    #[rustfmt::skip]
    let cases = [
        ("x", "", ".registry: found \"x\", expected one of `c`, `d`, `h`, `s`"),
        ("c", r#""dns": {}"#, ".dns: does not go with this registry, expected `consul`"),
        ("d", r#""consul": {}, "static": {}"#,
         ".consul: does not go with this registry, expected `dns`\n.static: does not go with this registry, expected `dns`"),
        ("d", r#""dns": {"name": "a..b"}"#,
         ".dns.name: \"a..b\" is no domain name, expected labels of letters, digits, `-` and `_`"),
        ("d", r#""dns": {"record": "a"}"#, ".dns.port: missing, expected an integer, 1 to 65535"),
        ("d", r#""dns": {"port": 80}"#, ".dns.port: an SRV record has a port, expected none"),
        ("h", "", ".dns.port: missing, expected an integer, 1 to 65535"),
        ("h", r#""dns": {"record": "srv", "port": 80}"#,
         ".dns.record: the host's resolver has no SRV records, expected `a`, `aaaa` or `any`"),
        ("s", r#""static": {"service": "b"}"#,
         ".static.service: has no service \"b\" in \"s\", expected one that is there"),
        ("c", r#""fallback": [{}]"#,
         ".fallback[0]: asks nothing, expected `datacenter` or `registry`"),
        ("c", r#""fallback": [{"datacenter": "b", "registry": "s"}]"#,
         ".fallback[0]: found `datacenter` and `registry` together, expected only one of them"),
        ("d", r#""fallback": [{"datacenter": "b"}]"#,
         ".fallback[0].datacenter: does not go with this registry, expected another `registry`"),
        ("c", r#""fallback": [{"registry": "s"}, {"registry": "c"}, {"registry": "s"}]"#,
         ".fallback[1]: is asked already, expected another\n.fallback[2]: is asked already, expected another"),
        ("c", r#""fallback": []"#, ".fallback: 0 fallbacks are out of range, expected 1 to 4"),
    ];
    for (registry, more, expected) in cases {
        let expected: Vec<String> = expected.lines().map(|line| format!("services[0]{line}")).collect();
        assert_eq!(problems(&service(registry, more)), expected, "{registry} {more}");
    }
    let elsewhere = service("s", "").replace(r#""name": "a""#, r#""name": "b""#);
    let expected = "services[0].registry: has no service \"b\" in \"s\", expected one that is there";
    assert_eq!(problems(&elsewhere), [expected]);
}

#[test]
fn what_is_wrong_with_a_choice_is_said() {
    #[rustfmt::skip]
    let cases = [
        (r#""balance": "best""#, ".balance: found \"best\", expected one of `round_robin`, `random`, `weighted_random`, \
          `least_request`, `peak_ewma`, `rendezvous`, `maglev`, `ring_hash`, `logistic`"),
        (r#""balance": {"maglev": {"table_size": 65536}}"#,
         ".balance.maglev.table_size: 65536 is not a prime number, expected one such as 65537"),
        (r#""balance": {"ring_hash": {"hash_balance_factor": 99}}"#,
         ".balance.ring_hash.hash_balance_factor: 99 % is out of range, expected 0 or 100 to 10000 %"),
        (r#""balance": {"rendezvous": {"hash_key": []}}"#,
         ".balance.rendezvous.hash_key: 0 key parts are out of range, expected 1 to 8"),
        (r#""balance": "maglev", "slow_start": {"window_ms": 1}, "zone_aware": {}"#,
         ".slow_start: does not go with this `balance`, expected `round_robin`, `least_request` or `weighted_random`\n\
          .zone_aware: does not go with this `balance`, expected none: a key has one endpoint"),
        (r#""slow_start": {}"#, ".slow_start.window_ms: missing, expected an integer, 1 to 3600000 ms, or a text such as \"10s\""),
        (r#""subset": {"fallback": "default_subset"}"#,
         ".subset: the default subset is empty, expected `tags` or `metadata`"),
        (r#""subset": {"metadata": {"a": "1", "a": "2"}}"#, ".subset.metadata.a: given twice, expected once"),
        (r#""attempts": 0, "hold_ms": 30001"#,
         ".attempts: 0 attempts is out of range, expected 1 to 10 attempts\n\
          .hold_ms: 30001 ms is out of range, expected 0 to 30000 ms"),
        (r#""retry": {"methods": [""], "retry_on": ["reset", "never"]}"#,
         ".retry.methods[0]: a text of 0 bytes is out of range, expected 1 to 256 bytes\n\
          .retry.retry_on[1]: found \"never\", expected one of `5xx`, `gateway-error`, `reset`, `reset-before-request`, \
          `connect-failure`, `envoy-ratelimited`, `retriable-4xx`, `refused-stream`, `retriable-status-codes`, \
          `retriable-headers`, `http3-post-connect-failure`"),
        (r#""outlier_detection": {"max_ejection_time_ms": 100}"#,
         ".outlier_detection.max_ejection_time_ms: 100 ms is below base_ejection_time_ms, expected at least 30000 ms"),
        (r#""outlier_detection": "off""#, ".outlier_detection: found \"off\", expected true or false, or an object with `consecutive_5xx`, `consecutive_gateway_failure`, `base_ejection_time_ms`, `max_ejection_time_ms`, `max_ejection_percent`, `always_eject_one_endpoint` or `patience_ms`"),
    ];
    for (more, expected) in cases {
        let expected: Vec<String> = expected.lines().map(|line| format!("services[0]{line}")).collect();
        assert_eq!(problems(&service("s", more)), expected, "{more}");
    }
}

#[test]
fn all_problems_of_a_document_are_reported_together() {
    let json = r#"{"registries": {"a b": {"consul": {"cluster": "c"}}, "d": {"consul": {}}, "d": {}},
        "services": [{"name": "a", "registry": "d"}, {"name": "a", "registry": "d"}, {}],
        "steer": {"header": "x"}, "no_match": 404, "on_failure": "retry", "zone": "", "more": 1}"#;
    assert_eq!(
        problems(json),
        [
            "registries[\"a b\"]: \"a b\" is not a name, expected letters, digits, `-` and `_`",
            "registries.d.consul.cluster: missing, expected the name of a cluster",
            "registries.d: given twice, expected once",
            "registries.d: has no kind, expected `consul`, `dns` or `static`",
            "services[2].name: missing, expected a name",
            "services[2].registry: missing, expected the name of a registry",
            "steer.header: unknown field `header`, expected one of `original_dst`, `override_host`",
            "no_match: found 404, expected one of `pass`, `not_found`",
            "on_failure: found \"retry\", expected one of `refuse`, `allow`",
            "zone: a text of 0 bytes is out of range, expected 1 to 256 bytes",
            "more: unknown field `more`, expected one of `registries`, `services`, `allow`, `steer`, `zone`, \
             `no_match`, `on_failure`, `reply`, `scope`",
            "allow: missing, expected a list of networks with their ports",
            "services[1].name: \"a\" is already used, expected another name",
        ]
    );
    let empty = r#"{"registries": {}, "allow": ["10.0.0.0/8:80"], "services": []}"#;
    assert_eq!(
        problems(empty),
        [
            "registries: 0 registries are out of range, expected 1 to 16",
            "services: 0 services are out of range, expected 1 to 256"
        ]
    );
}
