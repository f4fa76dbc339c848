//! Which of several endpoints gets a request, by weight, chance or latency.

use std::time::Duration;

use serde_json::{json, Value};
use tidegate_tests::{Answer, Envoy, Load, Request};

use super::setup::{
    assert_about, assert_calm, assert_metrics, counts, labelled, numbered, one_place, orders, orders_of,
    start, storm, with_1_2_and_4_workers,
};

#[test]
fn every_endpoint_gets_its_turn() {
    with_1_2_and_4_workers(|workers| {
        let upstreams = numbered::<3>();
        let envoy = start(&one_place(&orders_of(&upstreams, &json!({}))), workers);
        assert_eq!(storm(&envoy, 600).count(200), 600);
        // Each worker has turns of its own, which may end anywhere.
        assert_about(&counts(&upstreams), &[200; 3], usize::try_from(workers).unwrap());
        assert_metrics(
            &envoy,
            &[("requests", 600), ("attempts", 600), ("endpoints", 3), ("healthy", 3), ("failures", 0)],
        );
        assert_calm(&envoy);
    });
}

/// Three endpoints that weigh 1, 2 and 3 get so many of 3,000 requests.
fn by_weight(balance: &str, workers: u32) -> Vec<usize> {
    let upstreams = numbered::<3>();
    let weighing = |(upstream, weight)| labelled(upstream, &json!({"weight": weight}));
    let endpoints: Vec<Value> = upstreams.iter().zip(1..).map(weighing).collect();
    let envoy = start(&one_place(&orders(&endpoints, &json!({"balance": balance}))), workers);
    assert_eq!(storm(&envoy, 3_000).count(200), 3_000);
    assert_calm(&envoy);
    counts(&upstreams)
}

#[test]
fn turns_follow_weights() {
    with_1_2_and_4_workers(|workers| {
        assert_about(&by_weight("round_robin", workers), &[500, 1_000, 1_500], 12);
    });
}

/// The bounds are five standard deviations of a binomial distribution.
#[test]
fn random_choice_is_fair_and_follows_weights() {
    assert_about(&by_weight("weighted_random", 2), &[500, 1_000, 1_500], 137);
    assert_about(&by_weight("random", 2), &[1_000; 3], 130);
}

/// Workers choose by chance apart from each other: two that began alike would send in step.
#[test]
fn least_request_is_fair_among_equals() {
    assert_about(&by_weight("least_request", 2), &[500, 1_000, 1_500], 400);
}

/// What a slow endpoint gets of 1,200 requests that come as eight clients have answers: a turn is
/// a third.
fn to_the_slow_one(balance: &Value, workers: u32) -> usize {
    let upstreams = numbered::<3>();
    upstreams[1].switch(Answer::new(200, "slow").after(Duration::from_millis(40)));
    let envoy = start(&one_place(&orders_of(&upstreams, &json!({"balance": balance}))), workers);
    let load = Load::new(envoy.addr()).connections(8).threads(8).requests(1_200);
    assert_eq!(load.repeat(&Request::get("/")).count(200), 1_200);
    assert_calm(&envoy);
    upstreams[1].count()
}

#[test]
fn a_slow_endpoint_gets_few_requests() {
    // Two workers: with four, each has two requests in flight, and little to compare.
    for workers in [1, 2] {
        let least = to_the_slow_one(&json!("least_request"), workers);
        assert!(least < 300, "least_request, {workers} workers: {least}");
        let peak = to_the_slow_one(&json!("peak_ewma"), workers);
        assert!(peak < 100, "peak_ewma, {workers} workers: {peak}");
        assert!(to_the_slow_one(&json!({"least_request": {"choice_count": 3}}), workers) < 300);
    }
}

/// An endpoint that has become slow is left alone, and asked again once that is forgotten.
#[test]
fn an_endpoint_that_is_fast_again_gets_requests_again() {
    let upstreams = numbered::<2>();
    let balance = json!({"peak_ewma": {"decay_ms": 200}});
    let envoy = start(&one_place(&orders_of(&upstreams, &json!({"balance": balance}))), 1);
    let more = |envoy: &Envoy| {
        let before = upstreams[1].count();
        assert_eq!(storm(envoy, 200).count(200), 200);
        upstreams[1].count() - before
    };
    upstreams[1].switch(Answer::new(200, "slow").after(Duration::from_millis(50)));
    more(&envoy);
    assert!(more(&envoy) < 50);
    upstreams[1].switch(Answer::new(200, "fast"));
    tidegate_tests::eventually("the other half", super::setup::SOON, || more(&envoy) > 50);
}
