//! A real Consul: traffic follows its endpoints and outlasts its failures.

use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::consul::Service;
use tidegate_tests::{
    eventually, Answer, Bootstrap, Client, Consul, Envoy, FileLds, Options, Registry, Update, Upstream,
};

use super::asked::{
    answer, asking, assert_alive, consul, document, failures, lines, of_orders, of_registry, polled, said,
    shares, under_load, under_loads,
};
use super::setup::{numbered, start, with_1_2_and_4_workers, SOON};
use crate::setup::with;

/// The endpoint of a service that an upstream is.
fn order(name: &str, upstream: &Upstream) -> Service {
    Service::new(name, upstream.addr())
}

/// Checks a claim with one worker, two, and four, and with a name of its own for the service each.
fn with_a_consul(claim: impl Fn(&Consul, &str, u32)) {
    let consul = Consul::start();
    with_1_2_and_4_workers(|workers| claim(&consul, &format!("orders-{workers}"), workers));
}

fn register<'a>(consul: &Consul, name: &str, upstreams: impl IntoIterator<Item = &'a Upstream>) {
    upstreams.into_iter().for_each(|upstream| consul.register(&order(name, upstream)));
}

/// An Envoy that follows the service of this name, or what else is asked.
fn following(at: &Consul, query: &Value, workers: u32) -> Envoy {
    start(&asking(&document(&consul(&json!({})), &json!({"consul": query})), at.addr()), workers)
}

#[test]
fn traffic_follows_registrations() {
    with_a_consul(|consul, name, workers| {
        let upstreams = numbered::<4>();
        let of = |at: usize| order(name, &upstreams[at]);
        register(consul, name, &upstreams[..2]);
        let envoy = following(consul, &json!({"service": name}), workers);
        answer(&envoy, &["0", "1"]);
        under_load(&envoy, || {
            consul.register(&of(2));
            answer(&envoy, &["0", "1", "2"]);
            consul.register(&of(3));
            answer(&envoy, &["0", "1", "2", "3"]);
            consul.deregister(of(0).id());
            answer(&envoy, &["1", "2", "3"]);
            consul.maintain(of(1).id(), true);
            answer(&envoy, &["2", "3"]);
            consul.maintain(of(1).id(), false);
            answer(&envoy, &["1", "2", "3"]);
        });
        assert_eq!(of_registry(&envoy, "failures"), 0);
        assert_alive(&envoy);
    });
}

#[test]
fn weights_share_out_requests_and_may_change() {
    with_a_consul(|consul, name, workers| {
        let upstreams = numbered::<2>();
        let [first, second] = upstreams.each_ref().map(|upstream| order(name, upstream));
        let second = second.ttl(Duration::from_secs(60));
        consul.register(&first.clone().weights(3, 1));
        consul.register(&second.clone().weights(1, 1));
        let envoy = following(consul, &json!({"service": name}), workers);
        under_load(&envoy, || {
            shares(&envoy, 3, 1);
            consul.register(&first.clone().weights(1, 1));
            shares(&envoy, 1, 1);
            consul.register(&second.clone().weights(4, 1));
            shares(&envoy, 1, 4);
            // Who is warned of takes what is too much for the others, which are half of all and by
            // that up to 70 %.
            consul.warn(second.id());
            shares(&envoy, 7, 3);
            consul.pass(second.id());
            shares(&envoy, 1, 4);
        });
        assert_alive(&envoy);
    });
}

#[test]
fn endpoints_that_fail_their_checks_get_no_requests() {
    with_a_consul(|consul, name, workers| {
        let upstreams = numbered::<3>();
        let long = Duration::from_secs(60);
        let [first, second, third] = upstreams.each_ref().map(|upstream| order(name, upstream).ttl(long));
        consul.register(&first);
        consul.register(&second);
        let envoy = following(consul, &json!({"service": name}), workers);
        answer(&envoy, &["0", "1"]);
        under_load(&envoy, || {
            consul.fail(first.id());
            answer(&envoy, &["1"]);
            consul.pass(first.id());
            answer(&envoy, &["0", "1"]);
            // This one is never reported healthy: its TTL runs out.
            consul.register(&third.ttl(Duration::from_millis(1_500)));
            answer(&envoy, &["0", "1", "2"]);
            answer(&envoy, &["0", "1"]);
        });
        assert_eq!((of_orders(&envoy, "endpoints"), of_orders(&envoy, "healthy")), (3, 2));
        assert_alive(&envoy);
    });
}

#[test]
fn tags_and_filters_select_endpoints() {
    let (consul, upstreams) = (Consul::start(), numbered::<3>());
    let [first, second, third] = upstreams.each_ref().map(|upstream| order("orders", upstream));
    consul.register(&first.tag("v1").tag("http"));
    consul.register(&second.clone().tag("v2").tag("http").meta("version", "2"));
    consul.register(&third.tag("v2").meta("version", "2"));
    for (asked, who) in [
        (json!({"tags": ["http"]}), &["0", "1"][..]),
        (json!({"tags": ["http", "v2"]}), &["1"]),
        (json!({"filter": "Service.Meta.version == \"2\""}), &["1", "2"]),
        (json!({"filter": "Service.Meta.version == \"2\"", "tags": ["http"]}), &["1"]),
    ] {
        let envoy = following(&consul, &asked, 2);
        answer(&envoy, who);
        assert_eq!(of_orders(&envoy, "endpoints"), who.len() as u64, "{asked}");
        assert_alive(&envoy);
    }
    // An endpoint that loses its tag loses its requests.
    let envoy = following(&consul, &json!({"tags": ["v2"]}), 2);
    answer(&envoy, &["1", "2"]);
    under_load(&envoy, || {
        consul.register(&second.tag("v3"));
        answer(&envoy, &["2"]);
    });
}

#[test]
fn requests_stay_in_the_zone_of_the_metadata() {
    let (at, upstreams) = (Consul::start(), numbered::<6>());
    let of = |n: usize, rack: &str| order("orders", &upstreams[n]).meta("rack", rack);
    (0..6).for_each(|n| at.register(&of(n, if n < 3 { "a" } else { "b" })));
    let registry = consul(&json!({"zone_key": "rack"}));
    let config = document(&registry, &json!({"zone_aware": {"min_cluster_size": 2}}));
    let envoy = start(&asking(&with(config, &json!({"zone": "a"})), at.addr()), 2);
    answer(&envoy, &["0", "1", "2"]);
    under_load(&envoy, || {
        at.register(&of(0, "b"));
        at.register(&of(3, "a"));
        answer(&envoy, &["1", "2", "3"]);
    });
    assert_alive(&envoy);
}

/// A lease that is not renewed is up after three seconds: if it were not kept, another worker would ask
/// by then.
#[test]
fn one_blocking_query_serves_all_workers() {
    let upstreams = numbered::<1>();
    let all = [1, 2, 4].map(|workers| {
        let registry = Registry::new(Answer::silence());
        registry.script([said(&upstreams, 7)]);
        let config = document(&consul(&json!({})), &json!({}));
        let envoy = start(&asking(&config, registry.addr()), workers);
        (workers, registry, envoy)
    });
    for (workers, registry, envoy) in &all {
        answer(envoy, &["0"]);
        eventually("a query that waits", SOON, || registry.held() == 1);
        assert!(registry.lines().last().unwrap().contains("index=7&wait=55s"), "{workers} workers");
    }
    let (start, counts) = (Instant::now(), all.each_ref().map(|(_, registry, _)| registry.count()));
    let lease = Duration::from_secs(4);
    eventually("the end of a lease", 2 * lease, || {
        for ((workers, registry, envoy), count) in all.iter().zip(counts) {
            assert_eq!((registry.held(), registry.count()), (1, count), "{workers} workers");
            assert_eq!(Client::connect(envoy.addr()).get("/", &[]).status, 200);
        }
        start.elapsed() > lease
    });
    all.iter().for_each(|(_, _, envoy)| assert_alive(envoy));
}

#[test]
fn a_consul_that_comes_back_empty_removes_no_endpoint() {
    with_1_2_and_4_workers(|workers| {
        let (mut consul, upstreams) = (Consul::start(), numbered::<3>());
        register(&consul, "orders", &upstreams[..2]);
        let envoy = following(&consul, &json!({}), workers);
        answer(&envoy, &["0", "1"]);
        under_load(&envoy, || {
            consul.stop();
            failures(&envoy, 1);
            answer(&envoy, &["0", "1"]);
            consul.restart();
            eventually("an answer held back", 3 * SOON, || of_orders(&envoy, "hold_active") == 1);
            answer(&envoy, &["0", "1"]);
            register(&consul, "orders", &upstreams[1..]);
            answer(&envoy, &["1", "2"]);
        });
        assert_eq!(of_orders(&envoy, "hold_active"), 0);
        assert_eq!(lines(&envoy, &["answer shrank"]).len(), 1, "{}", envoy.log());
        assert_alive(&envoy);
    });
}

#[test]
fn endpoints_serve_on_while_consul_is_silent() {
    let (consul, upstreams) = (Consul::start(), numbered::<3>());
    register(&consul, "orders", &upstreams[..2]);
    let envoy = start(&asking(&document(&polled(&json!({})), &json!({})), consul.addr()), 2);
    answer(&envoy, &["0", "1"]);
    under_load(&envoy, || {
        consul.pause();
        failures(&envoy, 2);
        answer(&envoy, &["0", "1"]);
        consul.resume();
        register(&consul, "orders", &upstreams[2..]);
        answer(&envoy, &["0", "1", "2"]);
    });
    assert_alive(&envoy);
}

/// One that Consul does not know.
const WRONG: &str = "00000000-0000-4000-8000-00000000dead";

/// The filter with this token.
fn with_token(consul: &Consul, token: Option<&str>) -> Bootstrap {
    let mut registry = polled(&json!({}));
    if let Some(token) = token {
        registry["consul"]["token"] = json!(token);
    }
    asking(&document(&registry, &json!({"hold_ms": 300})), consul.addr())
}

#[test]
fn a_token_that_stops_working_removes_no_endpoint() {
    let (consul, upstreams) = (Consul::with_acls(), numbered::<2>());
    register(&consul, "orders", &upstreams);
    let right =
        consul.token("service_prefix \"\" { policy = \"read\" } node_prefix \"\" { policy = \"read\" }");
    let blind = consul.token("service \"other\" { policy = \"read\" }");
    for (token, why) in [
        (Some(WRONG), "the registry answered with status 403; its last good answer is served on"),
        (Some(&*blind), "the token may not see all of the answer; its last good answer is served on"),
        (None, "answer shrank from 2 endpoints to 0"),
    ] {
        let mut envoy = FileLds::start(&with_token(&consul, Some(&right)), &Options::workers(2)).unwrap();
        answer(&envoy, &["0", "1"]);
        under_loads(&[envoy.addr()], || {
            assert_eq!(envoy.update(&with_token(&consul, token).listener()), Update::Accepted);
            eventually("the reason", 2 * SOON, || envoy.log().contains(why));
            answer(&envoy, &["0", "1"]);
        });
        let log = envoy.log();
        assert!([WRONG, &right, &blind].iter().all(|secret| !log.contains(secret)), "{log}");
        assert_alive(&envoy);
    }
}

#[test]
fn without_the_right_token_no_endpoint_is_known() {
    let (consul, upstreams) = (Consul::with_acls(), numbered::<1>());
    register(&consul, "orders", &upstreams);
    let blind = consul.token("service \"other\" { policy = \"read\" }");
    for (token, why) in [
        (Some(WRONG), "not_known_yet"),
        (Some(&*blind), "not_known_yet"),
        // Consul shows who has no token an empty list and not that it hides something.
        (None, "no_endpoints"),
    ] {
        let envoy = start(&with_token(&consul, token), 2);
        let refused = Client::connect(envoy.addr()).get("/", &[]);
        assert_eq!(refused.status, 503);
        assert!(refused.text().contains(&format!("\"reason\":\"{why}\"")), "{}", refused.text());
        assert_alive(&envoy);
    }
}
