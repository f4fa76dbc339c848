//! Two datacenters, one of which is the fallback of the other.

use std::time::Duration;

use serde_json::json;
use tidegate_tests::consul::Service;
use tidegate_tests::{Consul, Upstream};

use super::asked::{answer, asking, assert_alive, consul, document, of_orders, under_load};
use super::setup::{numbered, start, with_1_2_and_4_workers};

fn order(upstream: &Upstream) -> Service {
    Service::new("orders", upstream.addr()).ttl(Duration::from_secs(120))
}

#[test]
fn the_other_datacenter_serves_until_the_own_is_healthy() {
    let here = Consul::start();
    let there = here.datacenter("dc2");
    with_1_2_and_4_workers(|workers| {
        let upstreams = numbered::<4>();
        let near = [order(&upstreams[0]), order(&upstreams[1])];
        let far = [order(&upstreams[2]), order(&upstreams[3])];
        near.iter().for_each(|service| here.register(service));
        far.iter().for_each(|service| there.register(service));
        let config = document(&consul(&json!({})), &json!({"fallback": [{"datacenter": "dc2"}]}));
        let envoy = start(&asking(&config, here.addr()), workers);
        answer(&envoy, &["0", "1"]);
        under_load(&envoy, || {
            near.iter().for_each(|service| here.fail(service.id()));
            answer(&envoy, &["2", "3"]);
            there.fail(far[0].id());
            answer(&envoy, &["3"]);
            near.iter().for_each(|service| here.pass(service.id()));
            answer(&envoy, &["0", "1"]);
        });
        assert_eq!(of_orders(&envoy, "endpoints"), 4);
        assert_alive(&envoy);
        near.iter().for_each(|service| here.deregister(service.id()));
        far.iter().for_each(|service| there.deregister(service.id()));
    });
}

#[test]
fn a_datacenter_is_queried_by_its_name() {
    let here = Consul::start();
    let there = here.datacenter("dc2");
    let upstreams = numbered::<3>();
    here.register(&order(&upstreams[0]));
    there.register(&order(&upstreams[1]));
    there.register(&order(&upstreams[2]));
    for (registry, service) in
        [(json!({"datacenter": "dc2"}), json!({})), (json!({}), json!({"consul": {"datacenter": "dc2"}}))]
    {
        let envoy = start(&asking(&document(&consul(&registry), &service), here.addr()), 2);
        answer(&envoy, &["1", "2"]);
        assert_alive(&envoy);
    }
}
