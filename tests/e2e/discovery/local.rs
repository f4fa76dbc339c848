//! Endpoints that the configuration names.

use serde_json::json;
use tidegate_tests::{Client, Load, Request, Upstream};

use super::setup::{
    assert_metrics, both_places, endpoints, numbered, one_place, orders, start, with_1_2_and_4_workers,
};
use crate::setup::assert_unhurt;

#[test]
fn every_endpoint_gets_its_turn() {
    with_1_2_and_4_workers(|workers| {
        let upstreams = numbered::<3>();
        let envoy = start(&one_place(&orders(&endpoints(&upstreams), &json!({}))), workers);
        let report = Load::new(envoy.addr()).connections(8).requests(600).repeat(&Request::get("/"));
        assert_eq!(report.count(200), 600);
        for upstream in &upstreams {
            assert!((180..=220).contains(&upstream.count()), "{} of 600", upstream.count());
        }
        assert_metrics(
            &envoy,
            &[("requests", 600), ("attempts", 600), ("endpoints", 3), ("healthy", 3), ("failures", 0)],
        );
        assert_unhurt(&envoy);
    });
}

#[test]
fn a_dead_endpoint_costs_no_client_an_error() {
    with_1_2_and_4_workers(|workers| {
        let mut upstreams = numbered::<3>().to_vec_of();
        let config = orders(&endpoints(&upstreams), &json!({"attempts": 3}));
        let envoy = start(&both_places(&config), workers);
        let mut client = Client::connect(envoy.addr());
        assert_eq!(client.get("/", &[]).status, 200);
        drop(upstreams.remove(1));
        let report = Load::new(envoy.addr()).connections(8).requests(600).repeat(&Request::get("/"));
        assert_eq!(report.count(200), 600, "{:?} {}", report.by_status(), envoy.log());
        let _ = Upstream::count(&upstreams[0]);
        println!("{:?}\n{}", super::setup::metrics(&envoy), envoy.log());
    });
}

trait ToVec {
    fn to_vec_of(self) -> Vec<Upstream>;
}

impl<const N: usize> ToVec for [Upstream; N] {
    fn to_vec_of(self) -> Vec<Upstream> {
        self.into_iter().collect()
    }
}
