//! A table that is full of made-up keys: who is refused, and what says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde_json::json;
use tidegate_policy::http::{Edit, Verdict};
use tidegate_policy::ratelimit::{RateLimit, RateLimitWithHeaders};
use tidegate_policy::time::Span;
use tidegate_sim::{SimHost, SimRequest, SimStore, Worker};

type Limiter = Worker<RateLimit, SimHost>;

/// Five a minute for each value of the header `k`, with room for `places` values.
fn worker(places: u32) -> Limiter {
    let limit = json!({"name": "a", "key": [{"header": "k"}], "requests": 5, "per_ms": 60_000});
    let json = json!({"limits": [limit], "table": {"keys": places}}).to_string();
    Worker::new(&json, SimHost::new(Arc::new(SimStore::default()))).unwrap()
}

/// How many of `each` requests of each of `keys` pass.
fn passed(worker: &Limiter, keys: &[String], each: usize) -> usize {
    let asks = |key: &String| {
        let one = |_: &usize| {
            let request = SimRequest::get("/").header("k", key.as_bytes());
            matches!(worker.request(&request), Verdict::Continue(_))
        };
        (0..each).filter(one).count()
    };
    keys.iter().map(asks).sum()
}

fn keys(word: &str, n: usize) -> Vec<String> {
    (0..n).map(|n| format!("{word}{n}")).collect()
}

fn count(worker: &Limiter, metric: &str) -> u64 {
    worker.host.count(worker.counter(&format!("tidegate.ratelimit.limit.a.{metric}")))
}

/// They were counted as any other refusal: nothing said that a client was refused for what
/// others owe.
#[test]
fn newcomers_that_others_debts_refuse_are_counted_apart() {
    let worker = worker(1_024);
    let made_up = passed(&worker, &keys("junk", 3_000), 5);
    // All units of the table, and one of each block for newcomers.
    assert_eq!(made_up, 1_024 * 5 + 64);
    let before = count(&worker, "newcomers_refused");
    assert_eq!(passed(&worker, &keys("honest", 200), 1), 0, "as documented");
    assert_eq!(count(&worker, "newcomers_refused") - before, 200);
    // A key that has a place, and used it up, is no newcomer, however often it comes.
    let refused = |metric| count(&worker, metric);
    let (newcomers, all) = (refused("newcomers_refused"), refused("refused"));
    assert_eq!(passed(&worker, &keys("junk", 1), 9), 0);
    assert_eq!((refused("newcomers_refused") - newcomers, refused("refused") - all), (0, 9));
}

/// A table is full while more than `keys · requests / period` requests of made-up keys come: here
/// 128 · 5 in a minute, 11 a second. With half of them, newcomers pass.
#[test]
fn the_rate_that_fills_a_table_is_all_its_keys_rates_together() {
    for (a_second, honest_of_100) in [(5, 99..=100), (16, 0..=60), (22, 0..=30)] {
        let worker = worker(128);
        let mut made_up = 0;
        for second in 0..400_u64 {
            worker.host.set(Span::from_millis(second * 1_000));
            for _ in 0..a_second {
                made_up += 1;
                let _ = passed(&worker, &[format!("junk{made_up}")], 1);
            }
        }
        let honest = passed(&worker, &keys("honest", 100), 1);
        assert!(honest_of_100.contains(&honest), "{a_second} a second: {honest} of 100 passed");
    }
}

/// It was told all of the burst but one, and refused at its next request.
#[test]
fn a_newcomer_whom_the_overflow_bucket_admits_is_told_that_nothing_is_left() {
    let limit = json!({"name": "a", "key": [{"header": "k"}], "requests": 5, "per_ms": 60_000});
    let json = json!({"limits": [limit], "table": {"keys": 16}, "headers_on_admitted": true}).to_string();
    let host = SimHost::new(Arc::new(SimStore::default()));
    let worker = Worker::<RateLimitWithHeaders, _>::new(&json, host).unwrap();
    let told = |key: &str| {
        let (_, edits, _) = worker.exchange(&SimRequest::get("/").header("k", key.as_bytes()));
        edits.into_iter().find_map(|edit| match edit {
            Edit::AddResponseHeader(name, value) if name == "ratelimit" => Some(value),
            _ => None,
        })
    };
    for key in keys("junk", 16) {
        (0..5).for_each(|_| drop(told(&key)));
    }
    assert_eq!(told("newcomer").as_deref(), Some("\"a\";r=0;t=12"));
}

/// 3,000 networks of one IPv6 site used to refuse fresh IPv4 clients: they filled the table. With a
/// limit by site before it they do not get there.
#[test]
fn a_limit_by_48_keeps_one_site_from_the_others_places() {
    let by_address = json!({"name": "a", "key": ["client_address"], "requests": 20, "per_ms": 60_000});
    let by_site = json!({"name": "site", "key": [{"client_address": {"ipv6_prefix": 48}}],
                         "requests": 80, "per_ms": 60_000});
    let by_both = json!({"name": "a", "key": [{"client_address": {"ipv6_prefix": [48, 64]}}],
                         "requests": 20, "per_ms": 60_000});
    let cases = [
        (json!([by_address]), 0..=20),
        (json!([by_site, by_address]), 300..=300),
        (json!([by_both]), 300..=300),
    ];
    for (limits, honest) in cases {
        let json = json!({"limits": limits, "table": {"keys": 1_024}}).to_string();
        let worker: Limiter = Worker::new(&json, SimHost::new(Arc::new(SimStore::default()))).unwrap();
        let admits = |address: IpAddr| {
            let request = SimRequest::get("/").from(Some(address));
            matches!(worker.request(&request), Verdict::Continue(_))
        };
        for network in 0..3_000 {
            for _ in 0..20 {
                let _ = admits(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, network, 0, 0, 0, 1)));
            }
        }
        let passed =
            (0..300_u32).filter(|n| admits(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)))).count();
        assert!(honest.contains(&passed), "{passed} of 300 with {limits}");
    }
}

/// The wider network has four times the limit unless the document says otherwise, an IPv4 client none.
#[test]
fn a_list_of_prefixes_counts_in_each_network() {
    let key = json!([{"client_address": {"ipv6_prefix": [48, 64]}}]);
    let limits = json!([{"name": "a", "key": key, "requests": 5, "per_ms": 60_000}]);
    let json = json!({"limits": limits}).to_string();
    let worker: Limiter = Worker::new(&json, SimHost::new(Arc::new(SimStore::default()))).unwrap();
    let admitted = |address: IpAddr| {
        let pass =
            || matches!(worker.request(&SimRequest::get("/").from(Some(address))), Verdict::Continue(_));
        (0..10).filter(|_| pass()).count()
    };
    let network = |n| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, n, 0, 0, 0, 1));
    let in_a_site: Vec<usize> = (0..6).map(|n| admitted(network(n))).collect();
    assert_eq!(in_a_site, [5, 5, 5, 5, 0, 0]);
    let other_site = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1));
    let clients = [other_site, Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::new(10, 0, 0, 2).into()];
    assert_eq!(clients.map(admitted), [5; 3]);
    let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 3).to_ipv6_mapped());
    assert_eq!((admitted(mapped), admitted(Ipv4Addr::new(10, 0, 0, 3).into())), (5, 0));
    // Of more IPv4 addresses than a wider network could have, each has its own.
    let mapped = |n| IpAddr::V6(Ipv4Addr::new(10, 0, 1, n).to_ipv6_mapped());
    assert!((0..10).all(|n| admitted(mapped(n)) == 5));
}
