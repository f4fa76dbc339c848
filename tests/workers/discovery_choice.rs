//! Which service a request is for and which of its endpoints may get it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::json;
use tidegate_policy::discovery::cells::snapshot::{decode, encode, Entry, Snapshot, State};
use tidegate_policy::discovery::endpoint::{Endpoint, Health};
use tidegate_policy::host::Store;
use tidegate_policy::http::{Attribute, Edit, Verdict};
use tidegate_policy::watch::origin::Origin;
use tidegate_policy::watch::status::Status;
use tidegate_sim::{SimRequest, SimStore};

use crate::discovery::{config, reached_as, sent, sent_as, Numbers, Workers};

/// Endpoints of two versions and two zones of deployment.
fn versions(service: &serde_json::Value) -> String {
    let endpoint = |n: u8, tags: &[&str], stage: &str| json!({"address": format!("10.0.0.{n}"), "port": 80, "tags": tags, "metadata": {"stage": stage}});
    let list = [
        endpoint(1, &["v1"], "live"),
        endpoint(2, &["v1"], "test"),
        endpoint(3, &["v2"], "live"),
        endpoint(4, &["v2", "new"], "test"),
    ];
    let mut of_service = json!({"name": "orders", "registry": "main"});
    of_service.as_object_mut().unwrap().extend(service.as_object().unwrap().clone());
    json!({
        "registries": {"main": {"static": {"services": {"orders": list, "billing": [{"address": "10.0.1.1", "port": 80}]}}}},
        "services": [of_service, {"name": "billing", "registry": "main", "match": {"path": {"prefix": "/billing"}}}],
        "allow": ["10.0.0.0/8:1-65535"],
    })
    .to_string()
}

#[test]
fn the_routing_filters_choice_is_followed() {
    #[rustfmt::skip]
    let cases = [
        // what routing chose                       endpoints
        ("orders v2 sticky",                        "1 2 3 4"),
        ("orders",                                  "1 2 3 4"),
        ("orders;tag=v2 v2",                        "3 4"),
        ("orders;tag=v2;tag=new v2",                "4"),
        ("orders;stage=live",                       "1 3"),
        ("orders;tag=v2;stage=live x",              "3"),
        ("orders;tag=v3",                           "503 none_in_subset"),
        ("orders;colour=red",                       "503 none_in_subset"),
        ("billing b",                               "10.0.1.1:80"),
        // Of others it is none of ours, so that the matchers count.
        ("elsewhere;tag=v2",                        "passes"),
        ("",                                        "passes"),
        (";tag=v2",                                 "passes"),
        ("\u{fffd}orders",                          "passes"),
    ];
    let workers = Workers::new(1, &versions(&json!({})));
    for (chosen, expected) in cases {
        let request = SimRequest::get("/").attribute(Attribute::Chosen, chosen.as_bytes());
        assert_eq!(reached_as(&workers.all[0], &request), expected, "{chosen}");
    }
    let broken = SimRequest::get("/").attribute(Attribute::Chosen, b"orders;tag=\xff");
    assert_eq!(reached_as(&workers.all[0], &broken), "passes");
    assert_eq!(reached_as(&workers.all[0], &SimRequest::get("/billing/7")), "10.0.1.1:80");
    assert_eq!(workers.memory(), 0);
}

/// What the routing filter says about retries is not taken for a client's.
#[test]
fn a_request_that_routing_sent_keeps_its_retry_headers() {
    let workers = Workers::new(1, &versions(&json!({})));
    for (chosen, removed) in [("orders;tag=v2", 0), ("orders", 0), ("elsewhere", 2), ("", 2)] {
        let request = SimRequest::get("/billing").attribute(Attribute::Chosen, chosen.as_bytes());
        let request = request.header("x-envoy-retry-on", b"5xx").header("x-envoy-max-retries", b"2");
        let Verdict::Continue(edits) = workers.all[0].request(&request) else { panic!("{chosen}") };
        let removes = edits.iter().filter(|edit| matches!(edit, Edit::DropRequestHeader(_)));
        assert_eq!(removes.count(), removed, "{chosen}: {edits:?}");
    }
}

#[test]
fn an_empty_subset_falls_back_as_configured() {
    #[rustfmt::skip]
    let cases = [
        // the service's own          fallback            for itself  v2      v3
        (json!({}),                   "no_fallback",      "1 2 3 4",  "3 4",  "503 none_in_subset"),
        (json!({}),                   "any_endpoint",     "1 2 3 4",  "3 4",  "1 2 3 4"),
        (json!({"tags": ["v1"]}),     "no_fallback",      "1 2",      "3 4",  "503 none_in_subset"),
        (json!({"tags": ["v1"]}),     "default_subset",   "1 2",      "3 4",  "1 2"),
        (json!({"tags": ["v9"]}),     "any_endpoint",     "1 2 3 4",  "3 4",  "1 2 3 4"),
        (json!({"metadata": {"stage": "live"}}), "default_subset", "1 3", "3 4", "1 3"),
    ];
    for (mut own, fallback, all, second, third) in cases {
        own["fallback"] = json!(fallback);
        let workers = Workers::new(1, &versions(&json!({"subset": own})));
        let of = |chosen: &str| {
            let request = SimRequest::get("/").attribute(Attribute::Chosen, chosen.as_bytes());
            reached_as(&workers.all[0], &request)
        };
        let got = (of("orders"), of("orders;tag=v2"), of("orders;tag=v3"));
        assert_eq!((got.0.as_str(), got.1.as_str(), got.2.as_str()), (all, second, third), "{own}");
    }
}

/// More subsets than a worker keeps ready.
#[test]
fn more_subsets_than_are_kept_ready_all_get_requests() {
    let workers = Workers::new(1, &versions(&json!({"subset": {"fallback": "any_endpoint"}})));
    for round in 0..3 {
        for n in 0..40 {
            let chosen = format!("orders;n={n}");
            let request = SimRequest::get("/").attribute(Attribute::Chosen, chosen.as_bytes());
            assert_eq!(reached_as(&workers.all[0], &request), "1 2 3 4", "{round} {n}");
            let known = SimRequest::get("/").attribute(Attribute::Chosen, b"orders;tag=new");
            assert_eq!(reached_as(&workers.all[0], &known), "4", "{round} {n}");
        }
        let own = SimRequest::get("/").attribute(Attribute::Chosen, b"orders");
        assert_eq!(reached_as(&workers.all[0], &own), "1 2 3 4");
    }
}

/// By a hash a key has one endpoint, whichever worker has the request, and retries have others.
#[test]
fn a_key_has_one_endpoint_on_all_workers() {
    for algorithm in ["rendezvous", "maglev", "ring_hash"] {
        let balance = json!({"balance": {algorithm: {"hash_key": [{"header": "x-user"}]}}, "match": {"path": {"prefix": "/"}}});
        let workers = Workers::new(2, &versions(&balance));
        let mut all = std::collections::BTreeSet::new();
        for n in 0..100 {
            let user = n.to_string();
            let request = SimRequest::get("/").header("x-user", user.as_bytes());
            let (one, other) = (reached_as(&workers.all[0], &request), reached_as(&workers.all[1], &request));
            assert_eq!(one, other, "{algorithm}, user {n}");
            assert_eq!(one.len(), 1, "{algorithm}, user {n}");
            all.insert(one);
        }
        assert_eq!(all.len(), 4, "{algorithm}");
        // Without a key it goes to anyone.
        assert_eq!(reached_as(&workers.all[0], &SimRequest::get("/")).len(), "1 2 3 4".len(), "{algorithm}");
    }
}

#[test]
fn the_first_service_that_matches_gets_the_request() {
    let service =
        |name: &str, matches: serde_json::Value| json!({"name": name, "registry": "main", "match": matches});
    let endpoint = |n: u8| json!([{"address": format!("10.0.0.{n}"), "port": 80}]);
    let json = json!({
        "registries": {"main": {"static": {"services": {"a": endpoint(1), "b": endpoint(2), "c": endpoint(3)}}}},
        "services": [
            service("a", json!([{"path": {"prefix": "/a"}}, {"host": "a.example"}])),
            service("b", json!({"path": {"exact": "/b"}, "method": "POST"})),
            service("c", json!({"host": "*.example"})),
        ],
        "allow": ["10.0.0.0/8:80"],
    });
    let workers = Workers::new(1, &json.to_string());
    #[rustfmt::skip]
    let cases = [
        ("GET",  "/a/1",   "x.example",  "10.0.0.1:80"),
        ("GET",  "/",      "a.example",  "10.0.0.1:80"),
        ("POST", "/b",     "x.example",  "10.0.0.2:80"),
        ("GET",  "/b",     "x.example",  "10.0.0.3:80"),
        ("POST", "/b/",    "elsewhere",  "passes"),
        ("POST", "/b",     "elsewhere",  "10.0.0.2:80"),
    ];
    for (method, path, host, expected) in cases {
        let request = SimRequest::request(method, path).to(host);
        assert_eq!(sent_as(&workers.all[0], &request), expected, "{method} {host}{path}");
    }
    // Without a service that only routing chooses, the filter does not read its choice.
    let chosen = SimRequest::get("/a").attribute(Attribute::Chosen, b"c");
    assert_eq!(sent_as(&workers.all[0], &chosen), "10.0.0.1:80");
}

/// The cells of the only question, and its hash.
pub(crate) fn cells(store: &SimStore) -> (String, String, u64) {
    let names = store.names();
    let name =
        |kind: &str| names.iter().find(|name| name.starts_with(kind) && name.len() > 20).unwrap().clone();
    let (status, snapshot) = (name("tidegate/d1w"), name("tidegate/d1s"));
    let hash = u64::from_str_radix(&snapshot["tidegate/d1s".len()..], 16).unwrap();
    (status, snapshot, hash)
}

/// Any address, many of them of kinds that are special.
fn address(numbers: &mut Numbers) -> IpAddr {
    let byte = |numbers: &mut Numbers| u8::try_from(numbers.below(256)).unwrap();
    let last = [byte(numbers), byte(numbers), byte(numbers)];
    let v4 = |first: u8| Ipv4Addr::new(first, last[0], last[1], last[2]);
    match numbers.below(10) {
        0 => Ipv4Addr::new(169, 254, 169, 254).into(),
        1 => Ipv4Addr::new(100, 100, 100, 200).into(),
        2 => v4(224 + last[0] % 32).into(),
        3 => v4(0).into(),
        4 => v4(9).into(),
        5 => v4(10).to_ipv6_mapped().into(),
        6 => format!("fd00::{:x}", last[0]).parse().unwrap(),
        7 => format!("fe80::{:x}", last[0]).parse().unwrap(),
        _ => v4(10).into(),
    }
}

fn entries(numbers: &mut Numbers) -> Vec<Entry> {
    let all = [Health::Healthy, Health::Degraded, Health::Draining, Health::Unhealthy];
    let entry = |numbers: &mut Numbers| {
        let port = u16::try_from(78 + numbers.below(4)).unwrap();
        let mut endpoint = Endpoint::new("", address(numbers), port)?;
        endpoint.health = all[numbers.below(4)];
        endpoint.priority = u8::try_from(numbers.below(20)).unwrap();
        endpoint.weight = u32::try_from(numbers.below(3)).unwrap();
        Some(Entry::new(endpoint, numbers.below(4_000_000) as u64))
    };
    let mut all: Vec<Entry> = (0..numbers.below(8)).filter_map(|_| entry(numbers)).collect();
    all.sort_by_key(|entry| entry.endpoint.key());
    all.dedup_by_key(|entry| entry.endpoint.key());
    all
}

/// By the rules of `docs/config/discovery.md`: in `allow`, and no cloud's metadata.
fn allowed(address: SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(v4) => v4.octets()[0] == 10 && (80..=81).contains(&address.port()),
        IpAddr::V6(v6) => v6.octets()[0] == 0xfd && address.port() == 80,
    }
}

/// Whatever bytes a cell has.
#[test]
fn no_request_goes_to_an_endpoint_that_it_may_not_have() {
    let json = config("", "").replace("10.0.0.0/8:1-65535", r#"10.0.0.0/8:80-81", "[fd00::/8]:80"#);
    let (mut went, mut refused) = (0, 0);
    for seed in 1..=300 {
        let workers = Workers::new(1, &json);
        let (status_cell, snapshot_cell, hash) = cells(&workers.store);
        let mut numbers = Numbers(seed);
        let mut known: Vec<Entry> = Vec::new();
        for version in 1..=10 {
            let state = [State::Known, State::Known, State::Unknown, State::Expired][numbers.below(4)];
            let entries = if state == State::Known { entries(&mut numbers) } else { Vec::new() };
            let mut bytes = encode(Origin { term: 1, question: hash }, &Snapshot { state, entries });
            for _ in 0..numbers.below(3) {
                let at = numbers.below(bytes.len());
                bytes[at] ^= u8::try_from(numbers.below(256)).unwrap();
            }
            workers.store.put(&snapshot_cell, &bytes);
            let (old, _) = workers.store.load(&status_cell).unwrap().unwrap();
            let status = Status { version, ..Status::decode(&old, hash) };
            workers.store.put(&status_cell, &status.encode(hash));
            workers.store.raise(workers.all[0].counter("tidegate.discovery.changes"));
            // What cannot be read leaves what was known.
            if let Some(read) = decode(&bytes, hash) {
                known = read.entries;
            }
            for _ in 0..5 {
                let word = sent(&workers.all[0]);
                let Ok(address) = word.parse::<SocketAddr>() else {
                    refused += 1;
                    continue;
                };
                went += 1;
                let there = known.iter().any(|e| e.endpoint.key() == (address.ip(), address.port()));
                assert!(there && allowed(address), "seed {seed}: {address} of {known:?}");
            }
        }
    }
    assert!(went > 2_000 && refused > 2_000, "{went} sent, {refused} refused");
}
