//! Names that Envoy's own resolver knows.

use std::time::Instant;

use serde_json::json;
use tidegate_tests::{eventually, Answer, Client, Upstream};

use super::asked::{answer, assert_alive, document, of_orders, of_registry};
use super::setup::{both_places, start, with_1_2_and_4_workers, SOON};

/// Of a name with addresses of both kinds Envoy has those of IPv6 only, so both are there.
#[test]
fn every_worker_has_the_addresses_that_envoy_resolves() {
    let upstream = Upstream::fixed(200, "here");
    let port = upstream.addr().port();
    let _six = Upstream::on(([0, 0, 0, 0, 0, 0, 0, 1], port), Answer::new(200, "here"));
    let query = json!({"name": "localhost", "port": port});
    let config = document(&json!({"dns": {"resolver": "host"}}), &json!({"dns": query}));
    with_1_2_and_4_workers(|workers| {
        let started = Instant::now();
        let envoy = start(&both_places(&config), workers);
        answer(&envoy, &["here"]);
        assert_eq!((of_orders(&envoy, "endpoints"), of_registry(&envoy, "failures")), (1, 0));
        // One worker asks for all of them, every five seconds at most.
        let most = 1 + started.elapsed().as_secs() / 5;
        assert!((1..=most).contains(&of_registry(&envoy, "queries")), "at most {most}");
        assert_alive(&envoy);
    });
}

#[test]
fn a_name_that_envoy_cannot_resolve_is_an_unknown_service() {
    let query = json!({"name": "nobody.invalid", "port": 80});
    let config = document(&json!({"dns": {"resolver": "host"}}), &json!({"dns": query, "hold_ms": 200}));
    let envoy = start(&both_places(&config), 2);
    eventually("an answer", 2 * SOON, || {
        let refused = Client::connect(envoy.addr()).get("/", &[]);
        refused.status == 503 && refused.text().contains("\"reason\":\"unknown_service\"")
    });
    assert_alive(&envoy);
}
