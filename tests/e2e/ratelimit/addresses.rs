//! Whose address counts, with and without proxies in front.
//!
//! What a filter gets as `source.address` is Envoy's idea of the client, not always the
//! peer of the connection. [`the_host_decides_whose_address_a_filter_gets`] writes down
//! which it is; everything else follows from that.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{json, Value};
use tidegate_tests::{eventually, Bootstrap, Client, Envoy, Options, Request};

use crate::setup::{limit, limited};

/// How Envoy is told about the proxies in front of it.
fn edge(bootstrap: Bootstrap, use_remote_address: bool, trusted_hops: u32) -> Bootstrap {
    let bootstrap = bootstrap.hcm("use_remote_address", json!(use_remote_address));
    bootstrap.hcm("xff_num_trusted_hops", json!(trusted_hops))
}

/// A limit of one request by address, told about proxies by `part`.
fn by_address(part: &Value, use_remote_address: bool, trusted_hops: u32) -> Envoy {
    let bootstrap = limited(&json!({"limits": [limit("address", part, 1)]}));
    Envoy::start(&edge(bootstrap, use_remote_address, trusted_hops).json(), &Options::default()).unwrap()
}

/// The status for a caller at 127.0.0.`last` that sends these `x-forwarded-for`.
fn from(envoy: &Envoy, last: u8, forwarded: &[&str]) -> u16 {
    let request = forwarded.iter().fold(Request::get("/"), |all, value| all.header("x-forwarded-for", value));
    Client::from_source(envoy.addr(), Ipv4Addr::new(127, 0, 0, last)).send(&request).status
}

#[test]
fn the_host_decides_whose_address_a_filter_gets() {
    #[rustfmt::skip]
    let cases = [
        // use_remote_address  xff_num_trusted_hops  x-forwarded-for                source.address
        (true,                 0,                    "",                            "127.0.0.9"),
        (true,                 0,                    "203.0.113.1, 203.0.113.2",    "127.0.0.9"),
        (true,                 1,                    "203.0.113.1, 203.0.113.2",    "203.0.113.2"),
        (true,                 2,                    "203.0.113.1, 203.0.113.2",    "203.0.113.1"),
        (true,                 3,                    "203.0.113.1, 203.0.113.2",    "127.0.0.9"),
        (false,                0,                    "",                            "127.0.0.9"),
        (false,                0,                    "203.0.113.1, 203.0.113.2",    "203.0.113.2"),
        (false,                1,                    "203.0.113.1, 203.0.113.2",    "203.0.113.1"),
    ];
    for (use_remote_address, hops, forwarded, expected) in cases {
        let bootstrap = Bootstrap::new().direct_response("/", 200, "ok").access_log("%CEL(source.address)%");
        let envoy =
            Envoy::start(&edge(bootstrap, use_remote_address, hops).json(), &Options::default()).unwrap();
        let headers = [forwarded].map(|value| (!value.is_empty()).then_some(value));
        let headers: Vec<_> = headers.into_iter().flatten().collect();
        from(&envoy, 9, &headers);
        let log = eventually("a line", Duration::from_secs(5), || {
            Some(envoy.access_log()).filter(|l| l.ends_with('\n'))
        });
        let address = log.trim().rsplit_once(':').unwrap().0;
        assert_eq!(address, expected, "{use_remote_address} {hops} {forwarded:?}");
    }
}

#[test]
fn each_peer_counts_for_itself_whatever_it_forwards() {
    let envoy = by_address(&json!("client_address"), true, 0);
    assert_eq!([2, 3, 2, 3].map(|last| from(&envoy, last, &[])), [200, 200, 429, 429]);
    assert_eq!([from(&envoy, 2, &["203.0.113.1"]), from(&envoy, 2, &["127.0.0.7"])], [429, 429]);
    assert_eq!([from(&envoy, 4, &["203.0.113.1"]), from(&envoy, 5, &["203.0.113.1"])], [200, 200]);
}

/// Without `use_remote_address`, which is Envoy's default, the host takes the last entry of
/// `x-forwarded-for` for the client and tells filters nothing else. So whoever connects
/// directly is whoever it says it is: this mode is for Envoys that only proxies reach.
#[test]
fn without_use_remote_address_the_last_entry_is_the_client() {
    let envoy = by_address(&json!("client_address"), false, 0);
    assert_eq!([2, 3, 2].map(|last| from(&envoy, last, &[])), [200, 200, 429]);
    assert_eq!(from(&envoy, 2, &["203.0.113.1"]), 200);
    assert_eq!(from(&envoy, 3, &["203.0.113.9, 203.0.113.1"]), 429);
}

#[test]
fn trusted_hops_are_counted_from_the_right() {
    // use_remote_address is what Envoy uses to append its peer before filters run.
    #[rustfmt::skip]
    let cases = [
        // use_remote_address  client_address
        (true,                 json!({"trusted_hops": 1, "peer_appended": true})),
        (false,                json!({"trusted_hops": 1, "peer_appended": false})),
    ];
    for (use_remote_address, address) in cases {
        let name = format!("{use_remote_address} {address}");
        let envoy = by_address(&json!({"client_address": address}), use_remote_address, 0);
        assert_eq!(from(&envoy, 2, &["203.0.113.1"]), 200, "{name}");
        assert_eq!(from(&envoy, 3, &["203.0.113.1"]), 429, "the same client through another proxy: {name}");
        assert_eq!(from(&envoy, 2, &["203.0.113.2"]), 200, "another client through the same proxy: {name}");
        assert_eq!(from(&envoy, 2, &["198.51.100.1, 203.0.113.1"]), 429, "what the client made up: {name}");
        assert_eq!(from(&envoy, 2, &["198.51.100.1", "203.0.113.2"]), 429, "in two headers: {name}");
    }
}

#[test]
fn two_hops_are_one_further_left() {
    let part = json!({"client_address": {"trusted_hops": 2, "peer_appended": true}});
    let envoy = by_address(&part, true, 0);
    assert_eq!(from(&envoy, 2, &["203.0.113.1, 10.0.0.1"]), 200);
    assert_eq!(from(&envoy, 2, &["1.1.1.1, 203.0.113.1, 10.0.0.2"]), 429);
    assert_eq!(from(&envoy, 2, &["203.0.113.2, 10.0.0.1"]), 200);
    // A chain that is too short cannot be trusted: then the peer counts.
    assert_eq!([from(&envoy, 2, &["10.0.0.1"]), from(&envoy, 2, &[]), from(&envoy, 3, &[])], [200, 429, 200]);
}

#[test]
fn a_client_that_the_host_already_found_needs_no_hops() {
    let envoy = by_address(&json!("client_address"), true, 1);
    assert_eq!(from(&envoy, 2, &["203.0.113.1"]), 200);
    assert_eq!(from(&envoy, 3, &["198.51.100.1, 203.0.113.1"]), 429);
    assert_eq!(from(&envoy, 2, &["203.0.113.2"]), 200);
}

#[test]
fn a_network_of_ipv6_is_one_client() {
    let part = json!({"client_address": {"trusted_hops": 1, "peer_appended": true}});
    let envoy = by_address(&part, true, 0);
    assert_eq!(from(&envoy, 2, &["2001:db8:0:1::7"]), 200);
    assert_eq!(from(&envoy, 2, &["2001:db8:0:1:ffff::9"]), 429);
    assert_eq!(from(&envoy, 2, &["[2001:db8:0:1::8]:443"]), 429);
    assert_eq!(from(&envoy, 2, &["2001:db8:0:2::7"]), 200);
}
