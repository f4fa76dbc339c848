//! Admissions are exact, whatever the number of workers and connections.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tidegate_tests::{eventually, Bootstrap, Envoy, Load, Options, Request, Upstream};

use crate::setup::{assert_counters, assert_unhurt, by_key, counters, filter, start};

const WORKERS: [u32; 3] = [1, 2, 4];

/// 16 connections from two threads: every worker is asked all the time.
fn load(envoy: &Envoy) -> Load {
    Load::new(envoy.addr()).connections(16).threads(2)
}

#[test]
fn each_of_many_cold_keys_gets_its_burst_and_no_more() {
    let (keys, burst) = (400, 3);
    for workers in WORKERS {
        let upstream = Upstream::fixed(200, "ok");
        let config = json!({"limits": [by_key("cold", burst)]});
        let bootstrap = Bootstrap::new()
            .balanced()
            .wasm(&filter(&config))
            .cluster("up", &[upstream.addr()])
            .forward("/", "up");
        let envoy = Envoy::start(&bootstrap.json(), &Options::workers(workers)).unwrap();

        let report = load(&envoy).requests(8 * keys).run(|_, number, out| {
            let key = number % keys;
            out.extend_from_slice(&Request::get(&format!("/{key}")).header("x-key", key.to_string()).bytes());
        });

        assert_eq!(
            (report.count(200), report.count(429)),
            (keys * burst, keys * (8 - burst)),
            "{workers} workers"
        );
        let mut admitted: BTreeMap<String, u64> = BTreeMap::new();
        for seen in upstream.seen() {
            *admitted.entry(seen.path).or_default() += 1;
        }
        let wrong: Vec<_> = admitted.iter().filter(|(_, count)| **count != burst).collect();
        assert_eq!((admitted.len() as u64, wrong), (keys, vec![]), "{workers} workers");
        let expected =
            [("admitted", keys * burst), ("refused", keys * (8 - burst)), ("leases", 0), ("failed", 0)];
        assert_counters(&envoy, "cold", &expected);
        assert_unhurt(&envoy);
    }
}

#[test]
fn a_hot_key_gets_its_burst_from_leases() {
    let (burst, requests) = (2_000, 6_400);
    for workers in WORKERS {
        let envoy = start(&json!({"limits": [by_key("hot", burst)]}), workers);

        let report = load(&envoy).requests(requests).repeat(&Request::get("/").header("x-key", "one"));

        let (admitted, refused) = (report.count(200), report.count(429));
        assert_eq!(admitted + refused, requests, "{workers} workers: {:?}", report.by_status());
        assert_counters(&envoy, "hot", &[("admitted", admitted), ("refused", refused), ("failed", 0)]);
        let lost = burst.saturating_sub(admitted);
        eventually("stranded units to be counted", Duration::from_secs(5), || {
            counters(&envoy, "hot")["stranded"] == lost
        });
        let counters = counters(&envoy, "hot");
        println!(
            "{workers} workers: {admitted} of {burst} admitted, {:.0} requests/s, {counters:?}",
            report.rate()
        );
        assert!((burst * 99 / 100..=burst).contains(&admitted), "{workers} workers: {admitted} admitted");
        let (leases, leased) = (counters["leases"], counters["leased"]);
        assert!(leases > 0 && leased >= leases && leased < admitted, "{workers} workers: {counters:?}");
        assert_unhurt(&envoy);
    }
}

#[test]
fn under_lasting_overload_the_rate_is_kept_and_used() {
    let (per_second, burst) = (1_000_u32, 500_u32);
    for workers in WORKERS {
        let hot = json!({"name": "hot", "key": [{"header": "x-key"}], "requests": per_second, "per_ms": 1000, "burst": burst});
        let envoy = start(&json!({"limits": [hot]}), workers);

        let load = load(&envoy).duration(Duration::from_secs(10));
        let report = load.repeat(&Request::get("/").header("x-key", "one"));

        // The first request comes after the clock is started, the last before it is read.
        let most = f64::from(burst) + report.elapsed.as_secs_f64() * f64::from(per_second);
        let admitted = u32::try_from(report.count(200)).unwrap();
        let share = f64::from(admitted) / most;
        println!("{workers} workers: {admitted} of {most:.0} admitted, {:.0} requests/s", report.rate());
        // A busy machine holds the client itself up for some 80 ms, whose units nobody uses: of ten seconds
        // less than one percent.
        assert!((0.99..=1.0).contains(&share), "{workers} workers: {admitted} of {most:.0}");
        assert!(report.count(429) > report.count(200), "{workers} workers: no overload");
        let expected = [("admitted", report.count(200)), ("refused", report.count(429)), ("failed", 0)];
        assert_counters(&envoy, "hot", &expected);
        assert_unhurt(&envoy);
    }
}
