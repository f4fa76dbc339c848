//! Which endpoints there are to choose from: by level, by zone, by what they have, by age.

use serde_json::{json, Value};
use tidegate_tests::{eventually, Answer, Bootstrap, Client, Envoy, Options, Upstream};

use super::setup::{
    answers, assert_about, assert_calm, assert_metrics, both_places, counts, labelled, numbered, one_place,
    orders, orders_of, start, storm, three, SOON,
};
use crate::setup::with;

/// One failure ejects an endpoint while a test runs, and all of them may be ejected.
fn strict() -> Value {
    json!({"consecutive_5xx": 1, "base_ejection_time_ms": 60_000, "max_ejection_percent": 100})
}

/// Two endpoints of the first level, two of the second.
fn levels(upstreams: &[Upstream]) -> Vec<Value> {
    let level = |(n, upstream)| labelled(upstream, &json!({"priority": n / 2}));
    (0..).zip(upstreams).map(level).collect()
}

#[test]
fn the_second_level_serves_when_the_first_fails() {
    let upstreams = numbered::<4>();
    let fields = with(three(), &json!({"attempts": 4, "outlier_detection": strict()}));
    let envoy = start(&both_places(&orders(&levels(&upstreams), &fields)), 2);
    assert_eq!(storm(&envoy, 100).count(200), 100);
    assert_eq!(counts(&upstreams)[2..], [0, 0]);

    let sick = || Answer::new(503, "sick");
    upstreams[0].switch(sick());
    let mut client = Client::connect(envoy.addr());
    assert_eq!(answers(&mut client, 10).matches("sick").count(), 0);
    // Half of the level times 1.4 is what it can still take.
    let before = counts(&upstreams);
    assert_eq!(storm(&envoy, 1_000).count(200), 1_000);
    let more: Vec<_> = counts(&upstreams).iter().zip(before).map(|(now, before)| now - before).collect();
    assert_about(&[more[0], more[1], more[2] + more[3]], &[0, 700, 300], 73);

    upstreams[1].switch(sick());
    assert_eq!(answers(&mut client, 10).matches("sick").count(), 0);
    let before = counts(&upstreams);
    assert_eq!(storm(&envoy, 100).count(200), 100);
    assert_eq!(counts(&upstreams)[..2], before[..2], "the first level is ejected");
    assert_calm(&envoy);
}

#[test]
fn another_registry_serves_when_all_of_the_first_are_ejected() {
    let [here, there] = numbered();
    let fields = json!({"outlier_detection": strict(), "fallback": [{"registry": "spare"}]});
    let mut config = orders(&[labelled(&here, &json!({}))], &with(three(), &fields));
    let spare = [labelled(&there, &json!({}))];
    config["registries"]["spare"] = json!({"static": {"services": {"orders": spare}}});
    let envoy = start(&both_places(&config), 2);
    assert_eq!(storm(&envoy, 50).count(200), 50);
    assert_eq!((here.count(), there.count()), (50, 0));
    here.switch(Answer::new(503, "sick"));
    assert_eq!(storm(&envoy, 50).count(200), 50);
    assert!(here.count() < 70 && there.count() == 50, "{} {}", here.count(), there.count());
    assert_calm(&envoy);
}

/// Endpoints in these zones, one letter each.
fn zones(upstreams: &[Upstream], zones: &str) -> Vec<Value> {
    let endpoint = |(upstream, zone): (_, char)| labelled(upstream, &json!({"zone": zone.to_string()}));
    upstreams.iter().zip(zones.chars()).map(endpoint).collect()
}

#[test]
fn requests_stay_in_the_configured_zone() {
    let upstreams = numbered::<6>();
    let fields = json!({"zone_aware": {"min_cluster_size": 6}});
    let mut config = orders(&zones(&upstreams, "abbaab"), &fields);
    config["zone"] = json!("b");
    let envoy = start(&one_place(&config), 2);
    assert_eq!(storm(&envoy, 300).count(200), 300);
    assert_about(&counts(&upstreams), &[0, 100, 100, 0, 0, 100], 2);
    assert_calm(&envoy);
}

/// The same without a zone in the document.
fn in_zone_of_node(bootstrap: &Bootstrap, zone: &str) -> Envoy {
    let mut all: Value = serde_json::from_str(&bootstrap.json()).unwrap();
    all["node"]["locality"] = json!({"region": "r", "zone": zone});
    Envoy::start(&all.to_string(), &Options::workers(2)).unwrap()
}

#[test]
fn requests_stay_in_the_zone_of_the_node_as_far_as_that_is_fair() {
    let upstreams = numbered::<4>();
    let fields = json!({"zone_aware": {"min_cluster_size": 4}, "balance": "random"});
    let envoy = in_zone_of_node(&one_place(&orders(&zones(&upstreams, "abbb"), &fields)), "a");
    // A quarter of the endpoints takes what a quarter can: half of what half of the proxies send.
    assert_eq!(storm(&envoy, 1_200).count(200), 1_200);
    assert_about(&counts(&upstreams), &[600, 200, 200, 200], 87);
    assert_calm(&envoy);
}

#[test]
fn with_few_endpoints_zones_do_not_matter() {
    let upstreams = numbered::<4>();
    let fields = json!({"zone_aware": {"min_cluster_size": 5}});
    let envoy = in_zone_of_node(&one_place(&orders(&zones(&upstreams, "aabb"), &fields)), "a");
    assert_eq!(storm(&envoy, 400).count(200), 400);
    assert_about(&counts(&upstreams), &[100; 4], 2);
}

#[test]
fn a_subset_has_all_tags_and_all_metadata() {
    let upstreams = numbered::<3>();
    let endpoints = [
        labelled(&upstreams[0], &json!({"tags": ["v1"], "metadata": {"tier": "gold"}})),
        labelled(&upstreams[1], &json!({"tags": ["v2", "canary"]})),
        labelled(&upstreams[2], &json!({"tags": ["v2"], "metadata": {"tier": "gold"}})),
    ];
    #[rustfmt::skip]
    let cases = [
        (json!({"tags": ["v2"]}),                                        "12"),
        (json!({"tags": ["v2", "canary"]}),                              "1"),
        (json!({"metadata": {"tier": "gold"}}),                          "02"),
        (json!({"tags": ["v2"], "metadata": {"tier": "gold"}}),          "2"),
        (json!({"tags": ["v3"], "fallback": "any_endpoint"}),            "012"),
        (json!({"tags": ["v3"]}),                                        ""),
        (json!({"tags": ["v1", "v2"], "fallback": "no_fallback"}),       ""),
    ];
    for (subset, expected) in cases {
        let config = orders(&endpoints, &json!({"subset": subset}));
        let bootstrap = one_place(&config).access_log("%RESPONSE_CODE_DETAILS%");
        let envoy = start(&bootstrap, 1);
        let mut client = Client::connect(envoy.addr());
        if expected.is_empty() {
            let refused = client.get("/", &[]);
            assert_eq!(refused.status, 503, "{subset}");
            assert!(refused.text().contains(r#""reason":"none_in_subset""#), "{}", refused.text());
            assert_eq!(refused.header("content-type").as_deref(), Some("application/problem+json"));
            eventually("the access log", SOON, || {
                envoy.access_log() == "tidegate_discovery_none_in_subset:orders\n"
            });
            assert_metrics(&envoy, &[("requests", 1), ("refused", 1), ("attempts", 0)]);
        } else {
            let mut all: Vec<char> = answers(&mut client, 12).chars().collect();
            all.sort_unstable();
            let each = 12 / expected.len();
            let turns: Vec<char> = expected.chars().flat_map(|c| std::iter::repeat_n(c, each)).collect();
            assert_eq!(all, turns, "{subset}");
        }
        assert_calm(&envoy);
    }
}

/// A static registry's endpoints are never new; one that was ejected is when it returns.
#[test]
fn a_readmitted_endpoint_starts_slowly() {
    let upstreams = numbered::<2>();
    let fields = json!({
        "slow_start": {"window_ms": 3_000, "min_weight_percent": 5},
        "outlier_detection": {"consecutive_5xx": 1, "base_ejection_time_ms": 100},
    });
    let envoy = start(&one_place(&orders_of(&upstreams, &fields)), 1);
    let more = |requests| {
        let before = upstreams[1].count();
        storm(&envoy, requests);
        upstreams[1].count() - before
    };
    assert_about(&[more(100)], &[50], 1);
    upstreams[1].switch(Answer::new(503, "sick"));
    eventually("a failure", SOON, || more(1) == 1);
    upstreams[1].switch(Answer::new(200, "1"));
    eventually("its return", SOON, || more(1) == 1);
    let early = more(100);
    assert!(early < 35, "{early} of 100 at once");
    eventually("the end of its slow start", SOON, || more(100) >= 49);
    assert_calm(&envoy);
}
