//! More services than a Consul holds queries for: which are held, and how soon the others are followed.

use std::fmt::Write;

use tidegate_sim::SimRequest;

use crate::discovery::{sent_as, Workers};
use crate::registry::{Registry, State};

/// This many services of one Consul, each by its path, with these fields in the registry.
pub(crate) fn document(services: usize, fields: &str) -> String {
    let mut all = String::new();
    for n in 0..services {
        let comma = if n == 0 { "" } else { ", " };
        let path = format!(r#"{{"path": {{"exact": "/{n}"}}}}"#);
        write!(all, r#"{comma}{{"name": "s{n}", "registry": "main", "hold_ms": 0, "match": {path}}}"#)
            .unwrap();
    }
    format!(
        r#"{{"registries": {{"main": {{"consul": {{"cluster": "consul"{fields}}}}}}}, "services": [{all}],
            "allow": ["10.0.0.0/8:1-65535"]}}"#
    )
}

/// The endpoint of a service, in its `generation`.
fn endpoint(n: usize, generation: usize) -> String {
    format!("10.{generation}.0.{n}:80")
}

fn register(registry: &mut Registry, services: usize, generation: usize) {
    (0..services).for_each(|n| registry.register(&format!("s{n}"), &[&endpoint(n, generation)]));
}

/// The services whose requests go where this generation is, for each worker.
fn following(workers: &Workers, services: usize, generation: usize) -> Vec<usize> {
    let of = |at: usize| {
        let reaches = |n: &usize| {
            let path = format!("/{n}");
            sent_as(&workers.all[at], &SimRequest::get(&path)) == endpoint(*n, generation)
        };
        (0..services).filter(reaches).count()
    };
    (0..workers.all.len()).map(of).collect()
}

/// Consul accepts 200 connections from an address. With a query held for each service, 40 of 240 got none,
/// and their services no endpoints, for good.
#[test]
fn of_240_services_64_are_followed_at_once_and_all_within_a_ttl() {
    let workers = Workers::new(3, &document(240, ""));
    let mut registry = Registry::new();
    registry.limit = 200;
    register(&mut registry, 240, 1);
    registry.run(&workers, 0, 100);
    assert_eq!(following(&workers, 240, 1), [240; 3]);
    registry.run(&workers, 200, 60_000);
    register(&mut registry, 240, 2);
    registry.run(&workers, 60_000, 60_000);
    assert_eq!(following(&workers, 240, 2), [64; 3]);
    // A period, a fifth of it, and a tick.
    registry.run(&workers, 60_100, 72_200);
    assert_eq!(following(&workers, 240, 2), [240; 3]);
    assert_eq!((registry.refused, registry.most), (0, (64, 70)));
    assert_eq!(workers.asked("failures"), 0);
    let line = "registry main: 176 queries are sent every 10000 ms and not held until something changes: \
                `max_blocking_queries` is 64";
    assert_eq!(workers.notes(), [line]);
}

#[test]
fn the_first_services_of_the_document_are_held_and_fallbacks_come_after_all_others() {
    let json = document(3, r#", "max_blocking_queries": 4"#).replacen(
        r#""hold_ms": 0"#,
        r#""hold_ms": 0, "fallback": [{"datacenter": "b"}, {"datacenter": "c"}]"#,
        1,
    );
    let workers = Workers::new(1, &json);
    let mut registry = Registry::new();
    register(&mut registry, 3, 1);
    registry.run(&workers, 0, 0);
    assert_eq!(registry.held(), ["s0", "s0?dc=b", "s1", "s2"]);
}

/// A registry that takes a second for each answer can answer 6 of 176 services at a time.
#[test]
fn a_slow_registry_is_asked_about_all_services_equally_often() {
    let workers = Workers::new(2, &document(100, r#", "max_blocking_queries": 10"#));
    let mut registry = Registry::new();
    registry.delay_ms = 1_000;
    register(&mut registry, 100, 1);
    registry.run(&workers, 0, 300_000);
    let polled: Vec<usize> = (10..100).map(|n| registry.asked[&format!("s{n}")].len()).collect();
    let (least, most) = (polled.iter().min().unwrap(), polled.iter().max().unwrap());
    assert!(*least >= 18 && most - least <= 2, "{polled:?}");
    assert!(registry.most.1 <= 10 + 6, "{:?}", registry.most);
}

/// A datacenter that cannot be reached, say: each query to it takes until its time-out.
#[test]
fn services_that_are_never_answered_delay_no_others() {
    let workers = Workers::new(2, &document(240, ""));
    let mut registry = Registry::new();
    registry.limit = 200;
    registry.mute = Some("7");
    register(&mut registry, 240, 1);
    registry.run(&workers, 0, 100_000);
    assert_eq!(following(&workers, 240, 1), [216; 2]);
    register(&mut registry, 240, 2);
    registry.run(&workers, 100_100, 112_300);
    assert_eq!(following(&workers, 240, 2), [216; 2]);
    assert_eq!(registry.refused, 0);
}

/// Other proxies at the address have the connections.
#[test]
fn at_the_limit_of_connections_what_is_known_stays_and_the_log_says_once_what_to_do() {
    let workers = Workers::new(2, &document(40, ""));
    let mut registry = Registry::new();
    register(&mut registry, 40, 1);
    registry.run(&workers, 0, 10_000);
    assert_eq!(following(&workers, 40, 1), [40; 2]);
    register(&mut registry, 40, 2);
    registry.limit = 0;
    registry.run(&workers, 10_100, 100_000);
    assert_eq!(following(&workers, 40, 2), [40; 2], "the queries that were held brought it");
    let (seconds, asked) = (90, registry.refused);
    assert!(asked <= 40 * seconds, "{asked} queries against the limit");
    let notes = workers.notes();
    let said = |text: &str| notes.iter().filter(|line| line.contains(text)).count();
    assert_eq!(said("the registry answered with status 429; its last good answer is served on"), 40);
    let advice = "registry main: Consul takes no more connections from this address: lower \
                  `max_blocking_queries`, or raise Consul's `limits.http_max_conns_per_client`";
    assert!((1..=2).contains(&said(advice)), "once for each worker that asks: {notes:?}");

    // One place is free: all come through, one after the other.
    register(&mut registry, 40, 3);
    registry.limit = 41;
    registry.run(&workers, 100_100, 106_000);
    assert_eq!(following(&workers, 40, 3), [40; 2]);
}

/// Connections that are refused, not answered: as of a Consul that stopped.
#[test]
fn all_services_are_followed_soon_after_an_outage() {
    let workers = Workers::new(2, &document(240, ""));
    let mut registry = Registry::new();
    registry.limit = 200;
    register(&mut registry, 240, 1);
    registry.run(&workers, 0, 10_000);
    for (state, at) in [(State::Down, 10_100), (State::Hung, 100_100)] {
        registry.state = state;
        registry.run(&workers, at, at + 60_000);
        assert_eq!(following(&workers, 240, 1), [240; 2], "{state:?}");
        registry.state = State::Up;
        register(&mut registry, 240, 1);
        registry.run(&workers, at + 60_100, at + 89_900);
        assert_eq!(following(&workers, 240, 1), [240; 2], "{state:?}");
    }
    assert_eq!(registry.refused, 0);
}
