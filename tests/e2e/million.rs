//! A million keys: memory does not grow with them, and nobody is forgotten for their sake.
//!
//! Nothing refills during the test. So the table, 2,048 blocks of 16 keys, can give away
//! exactly 16 bursts a block and one unit of overflow, however many keys ask: after that,
//! every newcomer is refused, and whoever was over the limit before stays over it.

use std::io::Write;

use serde_json::json;
use tidegate_tests::{Client, Load};

use crate::setup::{ask, assert_counters, assert_unhurt, by_key, start};

const BLOCKS: u64 = 2_048;
const BURST: u64 = 4;
/// Clients that are over their limit: so many that no worker's memory keeps them all, and
/// the table is asked again and again.
const OVER: u64 = 1_024;
/// One of so many connections sends only for those.
const CONNECTIONS: usize = 32;
const STEP: u64 = 50_000;
const KEYS: u64 = 1_000_000;

#[test]
fn a_million_keys_neither_cost_memory_nor_free_anyone() {
    let envoy = start(&json!({"limits": [by_key("many", BURST)]}), 2);
    let mut client = Client::connect(envoy.addr());
    for victim in 0..OVER {
        assert_eq!(ask(&mut client, &format!("over-{victim}"), 5), [200, 200, 200, 200, 429]);
    }

    let load = Load::new(envoy.addr()).connections(CONNECTIONS).threads(2);
    let connections = CONNECTIONS as u64;
    let requests = (STEP * connections).div_ceil(connections - 1);
    let (mut admitted, mut refused, mut others) = (BURST * OVER, OVER, 0);
    let mut memory = Vec::new();
    while others < KEYS {
        let step = memory.len();
        let report = load.clone().requests(requests).run(|connection, number, out| {
            out.extend_from_slice(b"GET / HTTP/1.1\r\nhost: tidegate.test\r\nx-key: ");
            let _ = match connection {
                0 => write!(out, "over-{}\r\n\r\n", number % OVER),
                _ => write!(out, "{step}-{number}\r\n\r\n"),
            };
        });
        assert_eq!(report.answered(), requests, "{:?}", report.by_status());
        let over = &report.per_connection[0];
        assert_eq!(over.keys().collect::<Vec<_>>(), [&429], "step {step}: one over its limit was admitted");
        others += requests - over[&429];
        admitted += report.count(200);
        refused += report.count(429);
        memory.push(envoy.rss_bytes());
        println!(
            "{others} keys: {} KiB, {admitted} admitted, {:.0} requests/s",
            memory[memory.len() - 1] >> 10,
            report.rate()
        );
    }

    let growth = memory.iter().max().unwrap().saturating_sub(memory[0]);
    assert!(growth < 5 << 20, "{} KiB more after the first {STEP} keys", growth >> 10);
    assert_eq!(admitted, BLOCKS * (16 * BURST + 1));
    let expected =
        [("admitted", admitted), ("refused", refused), ("overflow", BLOCKS), ("failed", 0), ("leases", 0)];
    assert_counters(&envoy, "many", &expected);
    assert_unhurt(&envoy);
}
