//! One key, one endpoint: on every worker, after every reload, whichever other endpoints come or go.

use serde_json::{json, Value};
use tidegate_tests::{Client, FileLds, Options, Update, Upstream};

use super::setup::{assert_calm, numbered, one_place, orders_of};

const USERS: usize = 60;

/// Four upstreams, by key.
fn config(upstreams: &[Upstream], algorithm: &str, title: &str) -> Value {
    let balance = json!({algorithm: {"hash_key": {"header": "x-user"}}});
    let mut config = orders_of(upstreams, &json!({"balance": balance}));
    config["reply"] = json!({"headers": {"x-title": title}});
    config
}

/// Who answers each user, on each of four new connections, which are one for each worker.
fn seats(envoy: &FileLds) -> String {
    let seats = |client: &mut Client| -> String {
        (0..USERS).map(|user| client.get("/", &[("x-user", &format!("user-{user}"))]).text()).collect()
    };
    let mut clients = [(); 4].map(|()| Client::connect(envoy.addr()));
    let [first, others @ ..] = [0, 1, 2, 3].map(|n| seats(&mut clients[n]));
    assert_eq!(others, [&first[..]; 3], "workers differ");
    first
}

/// `disturbed`: how many of the users may change from one endpoint that stays to another.
fn keys_stay(algorithm: &str, disturbed: usize) {
    let mut upstreams = Vec::from(numbered::<4>());
    let bootstrap = one_place(&config(&upstreams, algorithm, "first"));
    let mut envoy = FileLds::start(&bootstrap, &Options::workers(4)).unwrap();
    let first = seats(&envoy);
    for upstream in ["0", "1", "2", "3"] {
        assert!(first.matches(upstream).count() >= USERS / 12, "{algorithm}: {first}");
    }
    let mut update = |upstreams: &[Upstream], title| {
        let listener = one_place(&config(upstreams, algorithm, title)).listener();
        assert_eq!(envoy.update(&listener), Update::Accepted);
        seats(&envoy)
    };
    assert_eq!(update(&upstreams, "second"), first, "{algorithm}, after a reload");

    let gone = upstreams.remove(1);
    let fewer = update(&upstreams, "third");
    let moved = first.chars().zip(fewer.chars()).filter(|(before, after)| before != after);
    let others = moved.clone().filter(|(before, _)| *before != '1').count();
    assert_eq!(moved.count() - others, first.matches('1').count(), "{algorithm}: whose endpoint is gone");
    assert!(others <= disturbed, "{algorithm}: {others} moved\n{first}\n{fewer}");

    upstreams.insert(1, gone);
    assert_eq!(update(&upstreams, "fourth"), first, "{algorithm}, as it was");
    assert_calm(&envoy);
}

#[test]
fn rendezvous_moves_only_the_keys_of_the_lost_endpoint() {
    keys_stay("rendezvous", 0);
}

#[test]
fn maglev_moves_few_other_keys() {
    keys_stay("maglev", USERS / 10);
}

/// As Envoy's, a ring has a least number of entries: endpoints that stay get more, which may take keys.
#[test]
fn a_ring_moves_some_other_keys() {
    keys_stay("ring_hash", USERS / 3);
}

/// Without the header there is no key, and any endpoint does.
#[test]
fn requests_without_a_key_are_spread() {
    let upstreams = numbered::<3>();
    let bootstrap = one_place(&config(&upstreams, "rendezvous", "only"));
    let envoy = super::setup::start(&bootstrap, 2);
    assert_eq!(super::setup::storm(&envoy, 300).count(200), 300);
    assert!(upstreams.iter().all(|upstream| upstream.count() > 50), "{:?}", super::setup::counts(&upstreams));
}
