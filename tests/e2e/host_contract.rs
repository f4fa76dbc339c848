//! The contracts of the host, kept by Envoy: the store's, on the cells that the glue makes of shared
//! data, and that of what is told of routes. The simulator keeps the same ones, so it does not lie.

use serde_json::json;
use tidegate_sim::contract::{NOTED, ROUTE, TO};
use tidegate_tests::paths::probe;
use tidegate_tests::{Bootstrap, Client, Envoy, Options, Upstream, WasmFilter};

#[test]
fn envoy_keeps_the_store_contract_on_every_worker() {
    let bootstrap = Bootstrap::new().balanced().wasm(&WasmFilter::new(probe("contract")));
    let config = bootstrap.direct_response("/", 404, "the probe did not answer").json();
    let envoy = Envoy::start(&config, &Options::workers(2)).unwrap();
    let mut clients = [0, 1].map(|_| Client::connect(envoy.addr()));
    for (worker, client) in clients.iter_mut().enumerate() {
        let answer = client.get(&format!("/{worker}"), &[]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "kept"), "worker {worker}");
    }
    let taken = envoy.stats(r"^listener\..*worker_\d\.downstream_cx_total$");
    assert_eq!(taken.values().collect::<Vec<_>>(), [&1, &1], "one connection for each worker");
    assert_eq!(envoy.log(), "");
}

/// Until the router asks, Envoy tells the route that was chosen by the headers as they arrived.
#[test]
fn envoy_tells_the_first_route_until_the_last_filter_is_done() {
    let upstream = Upstream::fixed(200, "here");
    let filter = WasmFilter::new(probe("contract"));
    let named = json!({
        "match": {"prefix": "/", "headers": [{"name": TO, "present_match": true}]},
        "route": {"cluster_header": TO},
    });
    let bootstrap = Bootstrap::new().wasm(&filter.clone().name("one")).wasm(&filter.name("two"));
    let bootstrap = bootstrap.route(named).forward("/", "plain").cluster("plain", &[upstream.addr()]);
    let config = bootstrap.cluster("evil", &[upstream.addr()]).json();
    let envoy = Envoy::start(&config, &Options::workers(1)).unwrap();
    let mut client = Client::connect(envoy.addr());
    for (to, expected) in ROUTE {
        let headers: Vec<_> = to.into_iter().map(|to| (TO, to)).collect();
        let answer = client.get("/route", &headers);
        let noted = answer.headers.iter().filter(|(name, _)| name == NOTED);
        let noted: Vec<_> = noted.map(|(_, value)| String::from_utf8_lossy(value)).collect();
        assert_eq!((answer.status, noted.as_slice()), (200, &expected.map(Into::into)[..]));
    }
    assert_eq!(envoy.log(), "");
}
