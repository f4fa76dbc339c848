//! A real Consul with its own limits, and what may stand in front of it.

use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::consul::Service;
use tidegate_tests::gateway::Gateway;
use tidegate_tests::{eventually, Client, Consul, Envoy};

use super::asked::{
    answer, asking, assert_alive, consul, document, lines, of_orders, of_registry, under_load,
};
use super::large::{at, everywhere};
use super::setup::{numbered, start, SOON};

const SERVICES: usize = 240;

/// The services whose requests go where this generation is.
fn following(envoy: &Envoy, generation: usize, port: u16) -> usize {
    let mut client = Client::connect(envoy.addr());
    let follows = |n: &usize| {
        let answer = client.get(&format!("/{n}"), &[]);
        answer.header("x-at").is_some_and(|at_| at_ == format!("{}:{port}", at(generation * SERVICES + n)))
    };
    (0..SERVICES).filter(follows).count()
}

/// A query that Consul holds has a connection of its own, and Consul accepts 200 from an address: 37 of 240
/// services had no endpoints, for good.
#[test]
fn all_of_240_services_are_known_and_followed_within_consuls_limit_of_connections() {
    let (consul, (_servers, port)) = (Consul::start(), everywhere());
    let register = |generation: usize| {
        for n in 0..SERVICES {
            let addr = format!("{}:{port}", at(generation * SERVICES + n)).parse().unwrap();
            consul.register(&Service::new(&format!("s{n}"), addr).with_id(&format!("s{n}")));
        }
    };
    register(0);
    let service = |n| json!({"name": format!("s{n}"), "registry": "registry", "match": {"path": {"exact": format!("/{n}")}}});
    let config = json!({
        "registries": {"registry": super::asked::consul(&json!({}))},
        "services": (0..SERVICES).map(service).collect::<Vec<Value>>(),
        "allow": ["127.0.0.0/8:1-65535"],
    });
    let envoy = start(&asking(&config, consul.addr()), 2);
    eventually("endpoints of all services", 3 * SOON, || following(&envoy, 0, port) == SERVICES);
    for generation in [1, 2] {
        register(generation);
        let since = Instant::now();
        // Those that are not held are asked within 1.2 × `ttl_ms`.
        eventually("the change of all services", 3 * SOON, || {
            following(&envoy, generation, port) == SERVICES
        });
        println!("all followed after {:?}", since.elapsed());
        let connections = envoy.stat("cluster.registry.upstream_cx_active");
        assert!((64..=88).contains(&connections), "{connections} connections");
    }
    assert_eq!(of_registry(&envoy, "failures"), 0, "{}", envoy.log());
    assert_eq!(lines(&envoy, &["176 queries are sent every 10000 ms and not held"]).len(), 1);
    assert_alive(&envoy);
}

#[test]
fn traffic_follows_changes_through_a_proxy_that_ends_queries_after_two_seconds() {
    let (server, upstreams) = (Consul::start(), numbered::<4>());
    let of = |at: usize| Service::new("orders", upstreams[at].addr());
    server.register(&of(0));
    server.register(&of(1));
    let gateway = Gateway::new(server.addr(), Duration::from_secs(2));
    let query = json!({"consul": {"service": "orders"}});
    let envoy = start(&asking(&document(&consul(&json!({})), &query), gateway.addr()), 2);
    answer(&envoy, &["0", "1"]);
    eventually("a query that is cut", SOON, || gateway.cuts() == 1);
    let said = "something in between ends queries after";
    eventually("a line in the log", SOON, || !lines(&envoy, &[said]).is_empty());
    let since = Instant::now();
    under_load(&envoy, || {
        server.register(&of(2));
        answer(&envoy, &["0", "1", "2"]);
        server.register(&of(3));
        answer(&envoy, &["0", "1", "2", "3"]);
        server.deregister(of(0).id());
        answer(&envoy, &["1", "2", "3"]);
        // Longer than any query that is held now, or was cut.
        eventually("five seconds", SOON, || since.elapsed() > Duration::from_secs(5));
        server.deregister(of(1).id());
        answer(&envoy, &["2", "3"]);
    });
    assert_eq!((gateway.cuts(), of_registry(&envoy, "failures")), (1, 0), "{}", envoy.log());
    let told = lines(&envoy, &[said]);
    assert!(told.len() == 1 && told[0].contains("they ask for 1000 ms at a time"), "{told:?}");
    assert_eq!(of_orders(&envoy, "endpoints"), 2);
    assert_alive(&envoy);
}
