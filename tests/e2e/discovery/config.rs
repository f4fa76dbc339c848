//! Documents that are refused, with all that is wrong.

use serde_json::{json, Value};
use tidegate_tests::{Bootstrap, Envoy, Options};

use super::setup::{both_places, endpoint, filter, one_place, orders};
use crate::setup::with;

/// What is logged while Envoy refuses to start, and while `--mode validate` says no.
fn problems(bootstrap: &Bootstrap) -> Vec<String> {
    let started = Envoy::start(&bootstrap.json(), &Options::default()).unwrap_err().log;
    assert!(started.ends_with("[exit status: 1]\n"), "{started}");
    let started = lines(&started);
    assert_eq!(lines(&Envoy::validate(&bootstrap.json()).unwrap_err()), started);
    started
}

fn lines(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| line.split_once("discovery: configuration: "));
    lines.map(|(_, problem)| problem.to_owned()).collect()
}

#[test]
fn every_problem_is_reported_with_its_path() {
    let config = json!({
        "registries": {
            "local": {"static": {"services": {"orders": [
                {"address": "10.0.0.1", "port": 80, "wieght": 2},
                {"address": "169.254.169.254", "port": 80},
                {"address": "shop.example", "port": 0},
            ]}}, "cache": {}},
            "dc": {"consul": {}},
        },
        "services": [
            {"name": "a", "registry": "local", "balance": "fastest", "attempts": 11},
            {"name": "a", "registry": "elsewhere", "balance": {"maglev": {"table_size": 1000}}},
        ],
        "allow": ["0.0.0.0/0:1-65535"],
        "on_failure": "pass",
    });
    let expected = [
        "registries.local.static.services.orders[0].wieght: unknown field `wieght`, ",
        "registries.local.static.services.orders[1]: 169.254.169.254:80 is not in `allow`, ",
        "registries.local.static.services.orders[2].address: \"shop.example\" is no address of an endpoint, ",
        "registries.local.static.services.orders[2].port: 0 is out of range, ",
        "registries.local.cache: does not go with a static registry, ",
        "registries.dc.consul.cluster: missing, expected the name of a cluster",
        "services[0].balance: found \"fastest\", expected ",
        "services[0].attempts: 11 attempts is out of range, expected 1 to 10 attempts",
        "services[1].name: \"a\" is already used",
        "services[1].registry: found \"elsewhere\", expected one of ",
        "services[1].balance.maglev.table_size: 1000 is not a prime number, ",
        "on_failure: found \"pass\", expected one of `refuse`, `allow`",
    ];
    let got = problems(&Bootstrap::new().wasm(&filter(&config)).direct_response("/", 200, "ok"));
    for start in expected {
        assert_eq!(got.iter().filter(|line| line.starts_with(start)).count(), 1, "{start}\n{got:#?}");
    }
    assert_eq!(got.len(), expected.len(), "{got:#?}");
}

/// Some addresses are never endpoints, whatever `allow` has.
#[test]
fn no_document_sends_requests_to_link_local_or_multicast_addresses() {
    let addresses =
        ["169.254.169.254", "100.100.100.200", "224.0.0.1", "255.255.255.255", "0.0.0.0", "fe80::1"];
    let all: Vec<Value> = addresses.iter().map(|ip| json!({"address": ip, "port": 80})).collect();
    let everything = json!({"allow": ["0.0.0.0/0:1-65535", "[::/0]:1-65535"]});
    let got = problems(&one_place(&with(orders(&all, &json!({})), &everything)));
    assert_eq!(got.len(), all.len(), "{got:#?}");
}

#[test]
fn an_endpoint_that_is_not_allowed_is_a_problem() {
    let outside = endpoint("127.0.0.1:8080".parse().unwrap());
    let inside = json!({"allow": ["127.0.0.1:9000-9999", "10.0.0.0/8:8080"]});
    let expected = "registries.local.static.services.orders[0]: 127.0.0.1:8080 is not in `allow`, \
                    expected an endpoint that it has";
    assert_eq!(problems(&one_place(&with(orders(&[outside], &json!({})), &inside))), [expected]);
}

/// The filter around attempts reads the same document, and refuses it alike.
#[test]
fn both_placements_refuse_a_wrong_document() {
    let wrong = orders(&[endpoint("127.0.0.1:8080".parse().unwrap())], &json!({"attempts": 0}));
    let problem = "services[0].attempts: 0 attempts is out of range, expected 1 to 10 attempts";
    let right = orders(&[endpoint("127.0.0.1:8080".parse().unwrap())], &json!({}));
    let attempt = filter(&wrong).root_id("attempt").name("attempt");
    let apart = Bootstrap::new().wasm(&filter(&right)).around_attempts(&attempt);
    assert_eq!(problems(&both_places(&wrong)), [problem]);
    assert_eq!(problems(&apart.original_dst_cluster("to").forward("/", "to")), [problem]);
}
