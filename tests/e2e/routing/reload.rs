//! What outlives a change of the configuration.

use serde_json::{json, Value};
use tidegate_tests::{eventually, FileLds, Options, Request, Update};

use super::setup::{
    assert_about, assert_calm, assert_metrics, moves, ramping, route, routes, seats, storm, Pair, SOON,
};
use crate::setup::with;

/// Two steps, the second of which lasts for a day.
fn ramp(first: u32, second: u32) -> Value {
    json!({"steps": [{"weight": first, "hold_ms": 500}, {"weight": second, "hold_ms": 86_400_000}]})
}

/// A route with this ramp, whose answers say `told`.
fn config(ramp: &Value, told: &str) -> Value {
    let route = route(&json!({"variants": ramping(ramp, &json!({}))}));
    with(routes(&[route]), &json!({"headers": {"response": told}}))
}

fn update(envoy: &mut FileLds, pair: &Pair, config: &Value) {
    let update = envoy.update(&pair.behind(config).listener());
    assert_eq!(update, Update::Accepted);
}

/// Sends requests until a line about a ramp has these weights.
fn storm_until(envoy: &FileLds, weights: &str) {
    eventually(weights, 2 * SOON, || {
        storm(envoy, 400, &Request::get("/"));
        moves(envoy).iter().any(|line| line.contains(weights))
    });
}

#[test]
fn a_ramp_goes_on_after_a_reload_and_another_schedule_starts_over() {
    let pair = Pair::new();
    let bootstrap = pair.behind(&config(&ramp(25, 50), "x-before"));
    let mut envoy = FileLds::start(&bootstrap, &Options::workers(2)).unwrap();
    storm_until(&envoy, "weight 25 -> 50");
    assert_eq!(moves(&envoy).len(), 2, "{}", envoy.log());

    update(&mut envoy, &pair, &config(&ramp(25, 50), "x-after"));
    let mut client = tidegate_tests::Client::connect(envoy.addr());
    assert!(client.get("/", &[]).header("x-after").is_some());
    let before = pair.canary.count();
    storm(&envoy, 2_000, &Request::get("/"));
    assert_about("requests of the canary", pair.canary.count() - before, 1_000, 135);
    assert_metrics(&envoy, "shop", &[("variant.canary.weight", 50), ("advanced", 2)]);
    assert_eq!(moves(&envoy).len(), 2, "the ramp started over: {}", envoy.log());

    update(&mut envoy, &pair, &config(&ramp(30, 60), "x-after"));
    eventually("the first step of the other ramp", SOON, || {
        moves(&envoy).iter().any(|line| line.contains("weight 10 -> 30"))
    });
    storm_until(&envoy, "weight 30 -> 60");
    assert_metrics(&envoy, "shop", &[("variant.canary.weight", 60), ("advanced", 4)]);
    assert_eq!(moves(&envoy).len(), 4, "{}", envoy.log());
    assert_calm(&envoy);
}

/// Nobody who fixes something else in the configuration sends people back to what was given up.
#[test]
fn an_aborted_ramp_stays_so_until_its_schedule_changes() {
    let pair = Pair::new();
    pair.canary.switch(tidegate_tests::Answer::new(503, "no"));
    let mut envoy =
        FileLds::start(&pair.behind(&config(&ramp(25, 50), "x-a")), &Options::workers(2)).unwrap();
    storm_until(&envoy, "weight 25 -> 0");
    let seen = pair.canary.count();
    update(&mut envoy, &pair, &config(&ramp(25, 50), "x-b"));
    assert_eq!(storm(&envoy, 1_000, &Request::get("/")).count(200), 1_000);
    assert_eq!(pair.canary.count(), seen);

    pair.canary.switch(tidegate_tests::Answer::new(200, "canary"));
    update(&mut envoy, &pair, &config(&ramp(25, 60), "x-b"));
    storm_until(&envoy, "weight 25 -> 60");
    assert!(pair.canary.count() > seen);
    assert_calm(&envoy);
}

#[test]
fn users_keep_their_variant_across_reloads() {
    let pair = Pair::new();
    let by = |told: &str| {
        let sticky = json!({"experiment": "e", "by": [{"header": "x-user"}]});
        let config = routes(&[route(&json!({"sticky": sticky}))]);
        with(config, &json!({"headers": {"response": told}}))
    };
    let mut envoy = FileLds::start(&pair.behind(&by("x-a")), &Options::workers(2)).unwrap();
    let first = seats(&envoy, 200);
    for told in ["x-b", "x-c"] {
        update(&mut envoy, &pair, &by(told));
        assert_eq!(seats(&envoy, 200), first);
    }
    assert_calm(&envoy);
}

#[test]
fn a_bad_update_leaves_the_good_one_in_force() {
    let pair = Pair::new();
    let good = routes(&[route(&json!({}))]);
    let mut envoy = FileLds::start(&pair.behind(&good), &Options::default()).unwrap();
    let bad = pair.behind(&routes(&[route(&json!({"variants": []}))]));
    let Update::Rejected(log) = envoy.update(&bad.listener()) else { panic!("{}", envoy.log()) };
    assert!(log.contains("routing: configuration: routes[0].variants: "), "{log}");
    assert_eq!(storm(&envoy, 100, &Request::get("/")).count(200), 100);
    assert_eq!(pair.stable.count() + pair.canary.count(), 100);
}
