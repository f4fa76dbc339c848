//! Names that Envoy's own resolver knows.

use serde_json::json;
use tidegate_tests::{eventually, Answer, Client, Upstream};

use super::asked::{answer, assert_alive, document, of_orders, of_registry, with_1_2_or_4_workers};
use super::setup::{both_places, SOON};

/// Of a name with addresses of both kinds Envoy has those of IPv6 only, so both are there.
#[test]
fn every_worker_has_what_the_host_resolves() {
    let upstream = Upstream::fixed(200, "here");
    let port = upstream.addr().port();
    let _six = Upstream::on(([0, 0, 0, 0, 0, 0, 0, 1], port), Answer::new(200, "here"));
    let query = json!({"name": "localhost", "port": port});
    let config = document(&json!({"dns": {"resolver": "host"}}), &json!({"dns": query}));
    for envoy in with_1_2_or_4_workers(&both_places(&config)) {
        answer(&envoy, &["here"]);
        assert_eq!((of_orders(&envoy, "endpoints"), of_registry(&envoy, "failures")), (1, 0));
        // One worker asks for all of them.
        assert_eq!(of_registry(&envoy, "fetches"), 1);
        assert_alive(&envoy);
    }
}

#[test]
fn a_name_that_the_host_does_not_know_is_a_service_that_is_not_known() {
    let query = json!({"name": "nobody.invalid", "port": 80});
    let config = document(&json!({"dns": {"resolver": "host"}}), &json!({"dns": query, "hold_ms": 200}));
    for envoy in with_1_2_or_4_workers(&both_places(&config)) {
        eventually("an answer", SOON, || {
            let refused = Client::connect(envoy.addr()).get("/", &[]);
            refused.status == 503 && refused.text().contains("\"reason\":\"")
        });
        assert_alive(&envoy);
    }
}
