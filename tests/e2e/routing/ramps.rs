//! A ramp moves on under load, once for all workers.

use serde_json::{json, Value};
use tidegate_tests::{eventually, Envoy, Request};

use super::setup::{
    assert_about, assert_calm, assert_metrics, metrics, moves, ramping, route, storm, with_1_2_and_4_workers,
    Pair, SOON,
};

/// A ramp of these weights, one interval each.
fn steps(weights: &[u32]) -> Value {
    let step = |weight: &u32| json!({"weight": weight, "hold_ms": 500});
    json!({"steps": weights.iter().map(step).collect::<Vec<_>>()})
}

/// Sends requests until a line about a ramp says `word`.
fn storm_until(envoy: &Envoy, word: &str) {
    let found = |line: &String| line.contains(word);
    eventually(word, 2 * SOON, || {
        storm(envoy, 400, &Request::get("/"));
        moves(envoy).iter().any(found)
    });
}

/// The weights of each line about a ramp: `shop/canary: ramp advanced: …; weight 10 -> 25 of 100`.
fn weights(envoy: &Envoy) -> Vec<(u32, u32)> {
    let weight = |text: &str| text.parse().unwrap();
    let pair = |line: &String| {
        let (from, to) = line.rsplit_once("; weight ")?.1.strip_suffix(" of 100")?.split_once(" -> ")?;
        Some((weight(from), weight(to)))
    };
    moves(envoy).iter().filter_map(pair).collect()
}

/// However many workers look at it, each step is taken once: every line begins where the one before
/// it ended. A machine that is held up for an interval may skip a step, but never take one twice.
#[test]
fn a_ramp_takes_each_step_once_for_all_workers() {
    with_1_2_and_4_workers(|workers| {
        let pair = Pair::new();
        let variants = ramping(&steps(&[25, 50, 75]), &json!({}));
        let envoy = pair.start(route(&json!({"variants": variants})), workers);
        storm_until(&envoy, "promoted");

        let moves = weights(&envoy);
        let froms: Vec<u32> = moves.iter().map(|(from, _)| *from).collect();
        let tos: Vec<u32> = moves.iter().map(|(_, to)| *to).collect();
        assert_eq!((froms.first(), tos.last()), (Some(&10), Some(&75)), "{moves:?}");
        assert_eq!(froms[1..], tos[..tos.len() - 1], "{moves:?}");
        let advanced = moves.len() as u64 - 1;
        assert!(moves[..moves.len() - 1].iter().all(|(from, to)| from < to), "{moves:?}");
        assert_metrics(
            &envoy,
            "shop",
            &[("advanced", advanced), ("promoted", 1), ("aborted", 0), ("moves", advanced + 1)],
        );
        assert_metrics(&envoy, "shop", &[("variant.canary.weight", 75), ("variant.stable.weight", 25)]);

        let before = pair.canary.count();
        assert_eq!(storm(&envoy, 2_000, &Request::get("/")).count(200), 2_000);
        assert_about("requests of the promoted canary", pair.canary.count() - before, 1_500, 117);
        assert_calm(&envoy);
    });
}

#[test]
fn a_ramp_without_requests_stays_where_it_is() {
    let pair = Pair::new();
    let envoy = pair.start(route(&json!({"variants": ramping(&steps(&[25, 50]), &json!({}))})), 2);
    eventually("three intervals", SOON, || metrics(&envoy, "shop").get("halted").is_some_and(|n| *n >= 3));
    assert_eq!(weights(&envoy), [(10, 25)]);
    assert_metrics(&envoy, "shop", &[("advanced", 1), ("promoted", 0), ("variant.canary.weight", 25)]);
    assert_calm(&envoy);
}

#[test]
fn a_paused_ramp_is_judged_and_stays_where_it_is() {
    let pair = Pair::new();
    let mut ramp = steps(&[25, 50]);
    ramp["paused"] = json!(true);
    let envoy = pair.start(route(&json!({"variants": ramping(&ramp, &json!({}))})), 2);
    eventually("three intervals", SOON, || {
        storm(&envoy, 400, &Request::get("/"));
        metrics(&envoy, "shop").get("halted").is_some_and(|n| *n >= 3)
    });
    assert_eq!(weights(&envoy), [(10, 25)]);
    assert_calm(&envoy);
}

#[test]
fn a_ramp_that_starts_tomorrow_has_its_usual_weight() {
    let pair = Pair::new();
    let mut ramp = steps(&[25, 50]);
    ramp["start_ms"] = json!(1_u64 << 52);
    let envoy = pair.start(route(&json!({"variants": ramping(&ramp, &json!({}))})), 2);
    assert_metrics(&envoy, "shop", &[("variant.canary.weight", 10), ("advanced", 0)]);
    storm(&envoy, 1_000, &Request::get("/"));
    assert_about("requests of the canary", pair.counts().1, 100, 57);
    assert_eq!(moves(&envoy), [""; 0]);
}

/// A replica that joins late is where one is that has been there all the time.
#[test]
fn a_ramp_that_started_long_ago_is_through() {
    let pair = Pair::new();
    let mut ramp = steps(&[25, 50]);
    ramp["start_ms"] = json!(1);
    let envoy = pair.start(route(&json!({"variants": ramping(&ramp, &json!({}))})), 2);
    assert_metrics(&envoy, "shop", &[("variant.canary.weight", 50), ("promoted", 1)]);
    assert_eq!(weights(&envoy), [(10, 50)]);
}

/// As a ramp grows it adds people and takes none back.
#[test]
fn a_ramp_never_moves_a_user_out_of_the_canary() {
    let pair = Pair::new();
    let sticky = json!({"experiment": "e", "by": [{"header": "x-user"}]});
    let variants = ramping(&steps(&[25, 50, 75]), &json!({}));
    let envoy = pair.start(route(&json!({"variants": variants, "sticky": sticky})), 2);
    let mut before = super::setup::seats(&envoy, 200);
    eventually("promotion", 2 * SOON, || {
        let now = super::setup::seats(&envoy, 200);
        let lost = before.chars().zip(now.chars()).filter(|pair| *pair == ('c', 's')).count();
        assert_eq!(lost, 0, "{before}\n{now}");
        before = now;
        moves(&envoy).iter().any(|line| line.contains("promoted"))
    });
    let last = super::setup::seats(&envoy, 200);
    assert_about("users of the promoted canary", last.matches('c').count(), 150, 37);
    assert_calm(&envoy);
}
