//! A real CoreDNS, asked over HTTP.
//!
//! A name holds for five seconds at least, however short its time to live: so long a change takes.

use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::{eventually, Answer, Bootstrap, Client, CoreDns, Envoy, Upstream};

use super::asked::{
    answer, answers, asking, assert_alive, document, failures, of_orders, of_registry, shares, under_load,
    under_loads, with_1_2_or_4_workers,
};
use super::setup::{numbered, start, SOON};

/// An SRV record of `orders`, at `one`.
fn srv(priority: u32, weight: u32, upstream: &Upstream) -> String {
    format!("_orders._tcp 1 IN SRV {priority} {weight} {} one", upstream.addr().port())
}

/// A zone with these records of `orders`.
fn zone<'a>(records: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    records.into_iter().map(String::as_str).chain(["one 1 IN A 127.0.0.1"]).collect()
}

/// The filter that asks this server for that.
fn resolving(server: &CoreDns, query: &Value, cache: &Value) -> Bootstrap {
    let registry = json!({"dns": {"cluster": "registry", "timeout_ms": 500}, "cache": cache});
    asking(&document(&registry, &json!({"dns": query, "hold_ms": 5_000})), server.addr())
}

fn service() -> Value {
    json!({"name": "_orders._tcp.tidegate.test"})
}

#[test]
fn endpoints_follow_the_zone_and_outlast_its_server() {
    let upstreams = numbered::<3>();
    let first = [srv(0, 3, &upstreams[0]), srv(0, 1, &upstreams[1]), srv(1, 1, &upstreams[2])];
    let mut server = CoreDns::start(&zone(&first));
    let envoys = with_1_2_or_4_workers(&resolving(&server, &service(), &json!({})));
    under_loads(&envoys.each_ref().map(Envoy::addr), || {
        // The one of the second priority gets nothing while the others are well.
        envoys.iter().for_each(|envoy| shares(envoy, 3, 1));
        assert_eq!(upstreams[2].count(), 0);

        let second = [srv(0, 1, &upstreams[0]), srv(0, 1, &upstreams[2])];
        server.set(&zone(&second));
        let changed = Instant::now();
        envoys.iter().for_each(|envoy| answer(envoy, &["0", "2"]));
        // Five seconds and a tenth, and what machines take that do other things, too.
        assert!(changed.elapsed() < Duration::from_secs(8), "after {:?}", changed.elapsed());

        server.stop();
        envoys.iter().for_each(|envoy| failures(envoy, 1));
        envoys.iter().for_each(|envoy| answer(envoy, &["0", "2"]));

        server.write(&zone(&[srv(0, 1, &upstreams[1])]));
        server.restart();
        envoys.iter().for_each(|envoy| answer(envoy, &["1"]));
    });
    envoys.iter().for_each(assert_alive);
}

#[test]
fn the_next_priority_serves_for_ejected_endpoints() {
    let mut upstreams: Vec<_> = numbered::<2>().into_iter().collect();
    let server = CoreDns::start(&zone(&[srv(0, 1, &upstreams[0]), srv(1, 1, &upstreams[1])]));
    let registry = json!({"dns": {"cluster": "registry"}});
    let fields = json!({
        "dns": service(),
        "attempts": 2,
        "outlier_detection": {"consecutive_gateway_failure": 1, "max_ejection_percent": 100},
    });
    let envoy = start(&asking(&document(&registry, &fields), server.addr()), 2);
    answer(&envoy, &["0"]);
    under_load(&envoy, || {
        upstreams.remove(0);
        answer(&envoy, &["1"]);
    });
    assert_alive(&envoy);
}

#[test]
fn ipv4_and_ipv6_addresses_are_endpoints_at_the_given_port() {
    let four = Upstream::fixed(200, "four");
    let port = four.addr().port();
    let _six = Upstream::on(([0, 0, 0, 0, 0, 0, 0, 1], port), Answer::new(200, "six"));
    let _more = Upstream::on(([127, 0, 0, 2], port), Answer::new(200, "more"));
    let server = CoreDns::start(&["api 1 IN A 127.0.0.1", "api 1 IN A 127.0.0.2", "api 1 IN AAAA ::1"]);
    for (record, who) in [("a", &["four", "more"][..]), ("aaaa", &["six"]), ("any", &["four", "more", "six"])]
    {
        let query = json!({"name": "api.tidegate.test", "record": record, "port": port});
        let envoy = start(&resolving(&server, &query, &json!({})), 2);
        answer(&envoy, who);
        assert_eq!(of_orders(&envoy, "endpoints"), who.len() as u64, "{record}");
        assert_alive(&envoy);
    }
}

#[test]
fn queries_for_a_missing_name_become_rarer() {
    let upstreams = numbered::<1>();
    let mut server = CoreDns::start(&[]);
    let negative = json!({"negative_ttl_ms": 200});
    let started = Instant::now();
    let envoy = start(&resolving(&server, &service(), &negative), 2);
    let refused = Client::connect(envoy.addr()).get("/", &[]);
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("\"reason\":\"unknown_service\""), "{}", refused.text());
    // 200 ms, 400 ms and 800 ms, each a fifth shorter or longer.
    eventually("four questions", 2 * SOON, || of_registry(&envoy, "queries") >= 4);
    assert!(started.elapsed() >= Duration::from_millis(1_120), "after {:?}", started.elapsed());
    assert_eq!((of_registry(&envoy, "failures"), answers(&envoy, 4)), (0, [("503".into(), 4)].into()));
    server.set(&zone(&[srv(0, 1, &upstreams[0])]));
    answer(&envoy, &["0"]);
    assert_alive(&envoy);
}
