//! The defaults in the reference of the discovery filter.

use tidegate_policy::balance::Algorithm;
use tidegate_policy::discovery::catalog::unavailable::Unavailable;
use tidegate_policy::discovery::config::policy::Policy;
use tidegate_policy::discovery::registry::dns::config::Resolver;
use tidegate_policy::discovery::registry::RegistryKind;
use tidegate_policy::discovery::request::reply::RefusalReason;
use tidegate_policy::discovery::Discovery;
use tidegate_policy::http::{Placement, Stage};
use tidegate_tests::paths::root;

use super::objects::DISCOVERY;
use super::{default_of, documents, read, reference, rows};

fn policy() -> Policy {
    let registries = r#"{"c": {"consul": {"cluster": "c"}}, "d": {"dns": {"cluster": "d"}}}"#;
    let service =
        |balance: &str| format!(r#"{{"name": "{balance}", "registry": "c", "balance": "{balance}"}}"#);
    let services = ["least_request", "maglev", "ring_hash", "logistic"].map(service).join(", ");
    let slow = r#"{"name": "slow", "registry": "c", "slow_start": {"window_ms": 1}, "zone_aware": {}}"#;
    let json = format!(
        r#"{{"registries": {registries}, "allow": ["10.0.0.0/8:80"], "services": [{services}, {slow}]}}"#
    );
    Policy::parse(json.as_bytes()).unwrap()
}

/// Holds what stands there against what the parser has.
fn check(object: &str, defaults: &[(&str, u64)]) {
    let rows = reference(DISCOVERY, object);
    for (field, expected) in defaults {
        assert_eq!(default_of(&rows, field).parse(), Ok(*expected), "{object}.{field}");
    }
}

#[test]
fn the_defaults_of_a_registry_are_those_of_the_parser() {
    let policy = policy();
    let (RegistryKind::Consul(consul), RegistryKind::Dns(dns)) =
        (&policy.registries[0].kind, &policy.registries[1].kind)
    else {
        panic!("{:?}", policy.registries)
    };
    let (wait, timeout) = (consul.wait_ms.into(), consul.timeout_ms.into());
    check("registries.consul", &[("wait_ms", wait), ("timeout_ms", timeout)]);
    check("registries.dns", &[("timeout_ms", dns.timeout_ms.into())]);
    let Resolver::Https { path, .. } = &dns.resolver else { panic!("{dns:?}") };
    assert_eq!(default_of(&reference(DISCOVERY, "registries.dns"), "path"), *path);
    let cache = &policy.registries[0].cache;
    let (shrink, flap) = (cache.shrink, cache.flap.unwrap());
    #[rustfmt::skip]
    check("registries.cache", &[
        ("ttl_ms", cache.ttl_ms),                       ("stale_while_revalidate_ms", cache.stale_while_revalidate_ms),
        ("stale_if_error_ms", cache.stale_if_error_ms), ("negative_ttl_ms", cache.negative_ttl_ms),
        ("max_bytes", cache.max_bytes.into()),
    ]);
    #[rustfmt::skip]
    check("registries.cache.empty_protection", &[
        ("keep_percent", shrink.keep_percent.into()),   ("min_size", shrink.min_size.into()),
        ("hold_ms", shrink.hold.as_millis()),           ("empty_hold_ms", shrink.empty_hold.as_millis()),
        ("confirmations", shrink.confirmations.into()), ("window_ms", shrink.window.as_millis()),
    ]);
    let rows = reference(DISCOVERY, "registries.cache.flap_damping");
    let marks =
        [("penalty", flap.penalty), ("suppress", flap.suppress), ("reuse", flap.reuse), ("max", flap.most)];
    for (field, expected) in marks {
        assert_eq!(default_of(&rows, field), expected.to_string(), "{field}");
    }
    check("registries.cache.flap_damping", &[("half_life_ms", flap.half_life.as_millis())]);
}

#[test]
fn the_defaults_of_a_service_are_those_of_the_parser() {
    let policy = policy();
    let service = &policy.services[4];
    let (balance, slow) = (&service.balance, service.balance.slow_start.unwrap());
    let (zones, retry) = (balance.zone_aware.as_ref().unwrap(), &service.retry);
    let ejection = service.ejection.as_ref().unwrap();
    let levels = [balance.panic_threshold_percent, balance.overprovisioning_factor].map(u64::from);
    #[rustfmt::skip]
    check("services[]", &[
        ("panic_threshold_percent", levels[0]),         ("overprovisioning_percent", levels[1]),
        ("attempts", service.attempts.into()),          ("hold_ms", service.hold_ms),
    ]);
    check(
        "services[].slow_start",
        &[("aggression_percent", 100), ("min_weight_percent", slow.min_weight_percent.into())],
    );
    assert_eq!(slow.aggression, 1.0);
    let (least, enabled) = (zones.min_cluster_size.into(), zones.routing_enabled_percent.into());
    check("services[].zone_aware", &[("min_cluster_size", least), ("routing_enabled_percent", enabled)]);
    let words = |rows: &str| rows.replace(['[', ']', '"', ' '], "").replace(',', " ");
    let rows = reference(DISCOVERY, "services[].retry");
    for (field, expected) in [("methods", retry.methods.join(" ")), ("on", retry.on.replace(',', " "))] {
        let (_, row) = rows.iter().find(|(of, _)| of == field).unwrap();
        assert!(words(&row.replace(", ", ",")).contains(&expected), "{field}: {row}");
    }
    check("services[].retry", &[("per_try_timeout_ms", retry.per_try_timeout_ms)]);
    let (percent, least) = (retry.budget_percent.into(), retry.min_concurrency.into());
    check("services[].retry.budget", &[("budget_percent", percent), ("min_retry_concurrency", least)]);
    #[rustfmt::skip]
    check("services[].outlier_detection", &[
        ("consecutive_5xx", ejection.consecutive_5xx.into()),
        ("consecutive_gateway_failure", ejection.consecutive_gateway_failure.into()),
        ("base_ejection_time_ms", ejection.base_ejection_time_ms),
        ("max_ejection_time_ms", ejection.max_ejection_time_ms),
        ("max_ejection_percent", ejection.max_ejection_percent.into()),
    ]);
    assert_eq!(default_of(&reference(DISCOVERY, "steer.original_dst"), "header"), **policy.steer.header());
}

#[test]
fn the_defaults_of_a_choice_are_those_of_the_parser() {
    for service in &policy().services[..4] {
        let object = format!("services[].balance.{}", service.name);
        match service.balance.algorithm {
            Algorithm::LeastRequest { choice_count, bias } => {
                assert_eq!(bias, 1.0);
                check(
                    &object,
                    &[("choice_count", choice_count.into()), ("active_request_bias_percent", 100)],
                );
            }
            Algorithm::Logistic(logistic) => {
                assert_eq!((logistic.midpoint, logistic.steepness), (80.0, 0.2));
                let target = logistic.target.as_millis();
                check(&object, &[("midpoint", 80), ("steepness_percent", 20), ("target_ms", target)]);
            }
            Algorithm::Maglev { table_size, hash_balance_factor } => {
                let factor = hash_balance_factor.unwrap_or(0).into();
                check(&object, &[("table_size", table_size.into()), ("hash_balance_factor", factor)]);
            }
            Algorithm::RingHash { minimum_ring_size, hash_balance_factor } => {
                let factor = hash_balance_factor.unwrap_or(0).into();
                check(
                    &object,
                    &[("minimum_ring_size", minimum_ring_size.into()), ("hash_balance_factor", factor)],
                );
            }
            other => panic!("{other:?}"),
        }
    }
    let decay = policy().services[4].decay.as_millis();
    check("services[].balance.peak_ewma", &[("decay_ms", decay)]);
}

#[test]
fn metrics_that_are_named_are_counted_and_the_other_way_round() {
    let json = r#"{"registries": {"a": {"consul": {"cluster": "c"}}}, "allow": ["10.0.0.0/8:80"],
        "services": [{"name": "a", "registry": "a"}]}"#;
    let metrics = Discovery::configure(json.as_bytes(), Placement::Downstream).unwrap().metrics();
    let below = |prefix: &str| -> Vec<String> {
        let word = |name: &str| name.strip_prefix(prefix).filter(|w| !w.contains('.')).map(str::to_owned);
        metrics.iter().filter_map(|metric| word(&metric.name)).collect()
    };
    let operations = read(&root().join("docs/operations.md"));
    // What response-code details have in their place, and how both are named together.
    let mut all = vec![String::new(), "no_service".to_owned()];
    let heads = [("", ""), (".registry.<name>", "registry.a."), (".service.<name>", "service.a.")];
    for (heading, prefix) in heads {
        let words = below(&format!("tidegate.discovery.{prefix}"));
        let documented = rows(&operations, &format!("wasmcustom.tidegate.discovery{heading}"));
        let documented: Vec<String> = documented.into_iter().map(|(word, _)| word).collect();
        assert_eq!(documented, words, "docs/operations.md, {heading}");
        all.extend(words);
    }
    for (name, text) in documents() {
        for named in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            let word = named.strip_prefix("tidegate_discovery_");
            assert!(word.is_none_or(|word| all.iter().any(|w| w == word)), "{}: {named}", name.display());
        }
    }
}

#[test]
fn reasons_that_are_named_are_given_and_the_other_way_round() {
    let all = [
        RefusalReason::from(Unavailable::Expired),
        RefusalReason::from(Unavailable::NoEndpoints),
        RefusalReason::NoneInSubset,
        RefusalReason::from(Unavailable::NotKnownYet),
        RefusalReason::RetryBudget,
        RefusalReason::from(Unavailable::UnknownService),
    ];
    let text = read(&root().join(DISCOVERY));
    let table = text.lines().skip_while(|line| *line != "| reason | when |").skip(2);
    let named = table.map_while(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(named.collect::<Vec<_>>(), all.map(RefusalReason::word));
}
