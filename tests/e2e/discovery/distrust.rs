//! A registry that answers anything: nothing traps, and the last endpoints serve on.

use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::{eventually, Answer, Envoy, Registry, Upstream};

use super::asked::{
    answer, asking, assert_alive, consul, document, failures, lines, of_orders, of_registry, polled, said,
    said_of, under_load,
};
use super::setup::{endpoint, endpoints, numbered, start, SOON};

/// An Envoy that asks this registry, which says that there are these endpoints.
fn asked(registry: &Registry, who: &[&str]) -> Envoy {
    let config = document(&polled(&json!({})), &json!({}));
    let envoy = start(&asking(&config, registry.addr()), 2);
    answer(&envoy, who);
    envoy
}

/// Checks that none of these answers, and not the change from one to the next, costs a client
/// anything, and that the log says once what each is about.
fn sit_out(attacks: Vec<(&str, Answer, &str)>) {
    let upstreams = numbered::<2>();
    let well = said(&upstreams, 1);
    let registry = Registry::new(well.clone());
    let envoy = asked(&registry, &["0", "1"]);
    under_load(&envoy, || {
        for (name, attack, why) in attacks {
            println!("{name}");
            let (before, failed) = (envoy.log().len(), of_registry(&envoy, "failures"));
            registry.switch(attack);
            failures(&envoy, failed + 1);
            answer(&envoy, &["0", "1"]);
            registry.switch(well.clone());
            eventually("good answers", 3 * SOON, || envoy.log()[before..].contains("answers again, with 2 "));
            let log = envoy.log()[before..].to_owned();
            assert_eq!(log.matches(why).count(), 1, "{name}: {log}");
            // That a Consul takes no more connections is said with what to do.
            let advice = log.matches("takes no more connections").count();
            assert_eq!(log.lines().count(), 2 + advice, "{name}: {log}");
            assert_eq!(advice, usize::from(name == "too many requests"), "{name}: {log}");
        }
    });
    assert_alive(&envoy);
}

#[test]
fn unusable_bodies_change_nothing() {
    let upstreams = numbered::<2>();
    let text = json!(endpoints(&upstreams)).to_string();
    let one = |n| json!({"Service": {"Address": format!("n{n}"), "Port": 8080}});
    let many = Value::from((0..400_000).map(one).collect::<Vec<_>>()).to_string();
    let of = |body: &[u8]| Answer::new(200, body);
    sit_out(vec![
        ("nothing", of(b""), "malformed answer"),
        ("no JSON", of(b"<html>Welcome to the login page</html>"), "malformed answer"),
        ("cut short", of(&text.as_bytes()[..text.len() / 2]), "malformed answer"),
        ("an object", of(b"{\"Service\":{}}"), "malformed answer"),
        ("a number", of(b"7"), "malformed answer"),
        ("wrong types", of(b"[{\"Service\":[\"a\"],\"Checks\":7}]"), "malformed answer"),
        ("values of wrong types", of(b"[{\"Service\":{\"Address\":7,\"Port\":\"x\"}}]"), "none of 1 entries"),
        ("no UTF-8", of(b"[{\"Service\":{\"Address\":\"\xff\xfe\",\"Port\":80}}]"), "malformed answer"),
        ("deep nesting", of("[".repeat(200_000).as_bytes()), "malformed answer"),
        (
            "deep nesting aside",
            of(format!("[{{\"X\":{}", "{\"a\":".repeat(100_000)).as_bytes()),
            "malformed answer",
        ),
        ("20 MB", of(&vec![b' '; 20 << 20]), "bytes, too many to be read"),
        ("400,000 entries", of(many.as_bytes()), "bytes, too many to be read"),
        ("names", of(b"[{\"Service\":{\"Address\":\"db.internal\",\"Port\":80}}]"), "none of 1 entries"),
    ]);
}

#[test]
fn unusable_dns_messages_change_nothing() {
    let upstreams = numbered::<2>();
    let well = said(&upstreams, 1);
    let slow = Duration::from_millis(20);
    sit_out(vec![
        ("silence", Answer::silence(), "its last good answer is served on"),
        ("a byte at a time", well.clone().drip(slow), "its last good answer is served on"),
        ("late", well.clone().after(Duration::from_secs(1)), "its last good answer is served on"),
        ("a length too long", well.clone().claim(5_000), "its last good answer is served on"),
        ("a length too short", well.clone().claim(9), "malformed answer"),
        ("cut", well.clone().cut_after(20), "its last good answer is served on"),
        ("hung up", Answer::hang_up(), "its last good answer is served on"),
        ("no HTTP", Answer::raw(b"\x00\x01\x02\xff\r\n\r\n"), "its last good answer is served on"),
        ("a status", Answer::new(500, "no"), "status 500"),
        ("elsewhere", Answer::new(302, "").header("location", "http://127.0.0.1:1/"), "status 302"),
        ("an empty success", Answer::new(204, ""), "status 204"),
        ("too many requests", Answer::new(429, ""), "status 429"),
    ]);
}

/// It is asked less and less often, by one worker after the other.
#[test]
fn a_registry_that_always_fails_is_logged_once() {
    let upstreams = numbered::<2>();
    let registry = Registry::new(said(&upstreams, 1));
    let envoy = asked(&registry, &["0", "1"]);
    under_load(&envoy, || {
        registry.switch(Answer::new(500, "no"));
        failures(&envoy, 6);
        answer(&envoy, &["0", "1"]);
    });
    assert_eq!(lines(&envoy, &["status 500"]).len(), 1, "{}", envoy.log());
    assert_alive(&envoy);
}

/// Two questions at once and one in a quarter of a minute is what such a registry gets, not as many as
/// it answers.
#[test]
fn a_registry_that_does_not_block_is_not_queried_all_the_time() {
    let upstreams = numbered::<2>();
    let registry = Registry::new(said(&upstreams, 7));
    let envoy = start(&asking(&document(&consul(&json!({})), &json!({})), registry.addr()), 2);
    answer(&envoy, &["0", "1"]);
    let started = Instant::now();
    under_load(&envoy, || {
        eventually("two seconds", SOON, || {
            assert!(registry.count() <= 5, "{:#?}", registry.lines());
            started.elapsed() > Duration::from_secs(2)
        });
    });
    assert_alive(&envoy);
}

#[test]
fn the_same_endpoint_50_000_times_is_one() {
    let upstreams = numbered::<1>();
    let registry = Registry::new(said_of(&vec![endpoint(upstreams[0].addr()); 50_000]));
    let envoy = asked(&registry, &["0"]);
    under_load(&envoy, || eventually("questions", 3 * SOON, || of_registry(&envoy, "queries") >= 4));
    assert_eq!(of_orders(&envoy, "endpoints"), 1);
    assert_alive(&envoy);
}

/// Addresses to which no request may ever go, or that the configuration does not allow.
fn forbidden() -> Vec<Value> {
    let of = |(address, port): (&str, u16)| json!({"address": address, "port": port});
    let all = [
        ("169.254.169.254", 80),
        ("169.254.170.2", 80),
        ("100.100.100.200", 80),
        ("fd00:ec2::254", 80),
        ("fe80::1", 80),
        ("::ffff:169.254.169.254", 80),
        ("0.0.0.0", 80),
        ("::", 80),
        ("224.0.0.1", 80),
        ("255.255.255.255", 80),
        ("10.0.0.1", 80),
        ("127.0.0.1", 0),
    ];
    all.into_iter().map(of).collect()
}

#[test]
fn forbidden_addresses_among_others_are_no_endpoints() {
    let upstreams = numbered::<2>();
    let registry = Registry::new(said(&upstreams, 1));
    let envoy = asked(&registry, &["0", "1"]);
    under_load(&envoy, || {
        registry.switch(said_of(&[endpoints(&upstreams), forbidden()].concat()));
        let before = registry.count();
        eventually("more answers", SOON, || registry.count() > before + 2);
        answer(&envoy, &["0", "1"]);
    });
    assert_eq!(of_orders(&envoy, "endpoints"), 2);
    assert_eq!(lines(&envoy, &[" entries cannot be used"]).len(), 1, "{}", envoy.log());
    assert_alive(&envoy);
}

#[test]
fn forbidden_addresses_alone_remove_no_endpoint() {
    let upstreams: [Upstream; 2] = numbered();
    let registry = Registry::new(said(&upstreams, 1));
    let envoy = asked(&registry, &["0", "1"]);
    under_load(&envoy, || {
        registry.switch(said_of(&forbidden()));
        let before = registry.count();
        eventually("more answers", SOON, || registry.count() > before + 2);
        answer(&envoy, &["0", "1"]);
        assert_eq!(of_orders(&envoy, "hold_active"), 1);
    });
    assert_eq!(lines(&envoy, &[" entries cannot be used"]).len(), 1, "{}", envoy.log());
    assert_alive(&envoy);
}
