//! The store contract, run inside Envoy on the cells that the glue makes of shared data.
//! The same function runs on the simulator's store, so the simulator does not lie.

use tidegate_tests::paths::probe;
use tidegate_tests::{Bootstrap, Client, Envoy, Options, WasmFilter};

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
