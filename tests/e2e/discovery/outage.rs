//! A registry that is down for long or loses its data, and a filter that restarts meanwhile.

use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::paths::probe;
use tidegate_tests::{
    eventually, Answer, Bootstrap, Client, Envoy, FileLds, Options, Port, Registry, Update, WasmFilter,
};

use super::asked::{
    answer, answers, asking, assert_alive, document, failures, lines, of_orders, of_registry, polled, said,
    under_load, under_loads, with_1_2_or_4_workers,
};
use super::setup::{numbered, start, with_1_2_and_4_workers, SOON};
use crate::setup::with;

/// Old after 200 ms, of use for two seconds more.
fn short() -> Value {
    json!({"ttl_ms": 200, "stale_while_revalidate_ms": 300, "stale_if_error_ms": 2_000})
}

#[test]
fn the_last_answer_serves_until_it_expires() {
    let (port, upstreams) = (Port::reserve(), numbered::<2>());
    let registry = Registry::at(&port, said(&upstreams, 1));
    let envoys = with_1_2_or_4_workers(&asking(&document(&polled(&short()), &json!({})), port.addr()));
    envoys.iter().for_each(|envoy| answer(envoy, &["0", "1"]));

    let down = under_loads(&envoys.each_ref().map(Envoy::addr), || {
        drop(registry);
        let down = Instant::now();
        // Asked last within a period and a tick before it went down, or a little more on a busy machine.
        let window = Duration::from_millis(1_500);
        eventually("the end of the window", 2 * SOON, || down.elapsed() >= window);
        down
    });
    for envoy in &envoys {
        let refused = eventually("a refusal", SOON, || {
            let answer = Client::connect(envoy.addr()).get("/", &[]);
            (answer.status != 200).then_some(answer)
        });
        assert_eq!(refused.status, 503);
        assert!(refused.text().contains("\"reason\":\"expired\""), "{}", refused.text());
        answer(envoy, &["503"]);
    }
    assert!(down.elapsed() < Duration::from_secs(8), "{:?}", down.elapsed());

    let _registry = Registry::at(&port, said(&upstreams, 2));
    for envoy in &envoys {
        answer(envoy, &["0", "1"]);
        assert_eq!(lines(envoy, &["counts no longer"]).len(), 1, "{}", envoy.log());
        assert_alive(envoy);
    }
}

#[test]
fn the_last_answer_serves_for_ever_when_configured() {
    let (port, upstreams) = (Port::reserve(), numbered::<1>());
    let registry = Registry::at(&port, said(&upstreams, 1));
    let cache = with(short(), &json!({"stale_if_error_ms": 300, "serve_forever": true}));
    let envoy = start(&asking(&document(&polled(&cache), &json!({})), port.addr()), 2);
    answer(&envoy, &["0"]);
    under_load(&envoy, || {
        drop(registry);
        failures(&envoy, 3);
        answer(&envoy, &["0"]);
    });
    assert_alive(&envoy);
}

#[test]
fn a_sudden_empty_list_removes_no_endpoint() {
    let upstreams = numbered::<2>();
    let registry = Registry::new(said(&upstreams, 1));
    let often = polled(&json!({"negative_ttl_ms": 100}));
    let envoys = with_1_2_or_4_workers(&asking(&document(&often, &json!({})), registry.addr()));
    envoys.iter().for_each(|envoy| answer(envoy, &["0", "1"]));
    under_loads(&envoys.each_ref().map(Envoy::addr), || {
        registry.switch(said(&[], 2));
        for envoy in &envoys {
            eventually("an answer held back", SOON, || of_orders(envoy, "hold_active") == 1);
            let asked = of_registry(envoy, "queries");
            eventually("more of the same", SOON, || of_registry(envoy, "queries") > asked + 5);
            answer(envoy, &["0", "1"]);
        }
        registry.switch(Answer::new(404, ""));
        for envoy in &envoys {
            let asked = of_registry(envoy, "queries");
            eventually("another answer that says so", 2 * SOON, || of_registry(envoy, "queries") > asked + 1);
            answer(envoy, &["0", "1"]);
        }
        registry.switch(said(&upstreams[1..], 3));
        envoys.iter().for_each(|envoy| answer(envoy, &["1"]));
    });
    for envoy in &envoys {
        assert_eq!(lines(envoy, &["answer shrank"]).len(), 1, "{}", envoy.log());
        assert_alive(envoy);
    }
}

#[test]
fn endpoints_survive_a_reload_while_the_registry_is_down() {
    with_1_2_and_4_workers(|workers| {
        let (port, upstreams) = (Port::reserve(), numbered::<3>());
        let registry = Registry::at(&port, said(&upstreams[..2], 1));
        let config = |fields: Value| asking(&document(&polled(&json!({})), &fields), port.addr());
        let mut envoy = FileLds::start(&config(json!({})), &Options::workers(workers)).unwrap();
        answer(&envoy, &["0", "1"]);
        let addr = envoy.addr();
        under_loads(&[addr], || {
            drop(registry);
            failures(&envoy, 1);
            for fields in [json!({"hold_ms": 0}), json!({"attempts": 2}), json!({})] {
                assert_eq!(envoy.update(&config(fields).listener()), Update::Accepted);
                answer(&envoy, &["0", "1"]);
            }
            let _registry = Registry::at(&port, said(&upstreams[1..], 2));
            answer(&envoy, &["1", "2"]);
        });
        assert_alive(&envoy);
    });
}

/// The filter in one place, which traps when asked to.
fn trapping(port: &Port) -> Bootstrap {
    let config = document(&polled(&json!({})), &json!({"hold_ms": 0}));
    let filter = WasmFilter::new(probe("trap-discovery")).config(&config);
    let bootstrap = Bootstrap::new().balanced().wasm(&filter).cluster("registry", &[port.addr()]);
    bootstrap.original_dst_cluster("to").forward("/", "to")
}

#[test]
fn endpoints_survive_the_end_of_every_vm_while_the_registry_is_down() {
    with_1_2_and_4_workers(|workers| {
        let (port, upstreams) = (Port::reserve(), numbered::<3>());
        let registry = Registry::at(&port, said(&upstreams[..2], 1));
        let envoy = start(&trapping(&port), workers);
        answer(&envoy, &["0", "1"]);
        drop(registry);
        failures(&envoy, 1);
        // A connection for each worker, and so each VM traps, that of the leader included.
        let mut clients: Vec<_> = (0..workers).map(|_| Client::connect(envoy.addr())).collect();
        for client in &mut clients {
            assert_eq!(client.get("/", &[]).status, 200);
        }
        for client in &mut clients {
            assert_eq!(client.get("/", &[("x-trap", "request")]).status, 503);
        }
        for client in &mut clients {
            // Nothing of ours refuses: it is Envoy that has no VM yet.
            eventually("the reload", SOON, || {
                let answer = client.get("/", &[]);
                assert!(!answer.text().contains("\"service\""), "{}", answer.text());
                answer.status == 200
            });
            assert_eq!([(); 20].map(|()| client.get("/", &[]).status), [200; 20]);
        }
        assert_eq!(envoy.stat("wasm.trap-discovery.vm_reload_success"), u64::from(workers));
        under_load(&envoy, || {
            let _registry = Registry::at(&port, said(&upstreams[1..], 2));
            answer(&envoy, &["1", "2"]);
        });
        assert_eq!(answers(&envoy, 8).values().sum::<usize>(), 8);
    });
}
