//! Who gets which variant, whatever the weights and ramps.

use std::net::IpAddr;

use proptest::prelude::*;
use tidegate_policy::http::{Header, Request};
use tidegate_policy::routing::judge::{Demands, Fault, Judgement, Sample};
use tidegate_policy::routing::precedence::{Order, Rules};
use tidegate_policy::routing::ramp::{Phase, Ramp, State, Step, BYTES};
use tidegate_policy::routing::rules::Condition;
use tidegate_policy::routing::sticky::{Territories, BUCKETS};
use tidegate_policy::routing::{Facts, Policy, Weights};
use tidegate_policy::split::{Alias, RoundRobin};

use crate::cases;

struct Asked<'a>(&'a [Header<'a>]);

impl Request for Asked<'_> {
    fn headers(&self) -> &[Header<'_>] {
        self.0
    }
    fn peer(&self) -> Option<IpAddr> {
        None
    }
    fn lone_header(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn attribute(&self, _: tidegate_policy::http::Attribute) -> Option<Vec<u8>> {
        None
    }
}

/// Territories that fit, and weights within them.
fn territories() -> impl Strategy<Value = (Territories, Vec<u32>)> {
    prop::collection::vec(0..=BUCKETS, 1..6).prop_map(|cuts| {
        let mut left = BUCKETS;
        let mut sizes = Vec::new();
        for cut in cuts {
            let size = cut.min(left);
            left -= size;
            sizes.push(size);
        }
        (Territories::new(&sizes).unwrap(), sizes)
    })
}

/// A policy with a canary that ramps, at these weights of 1000 together.
fn policy(canary: u32, ramp: &[u32]) -> Policy {
    let steps: Vec<String> = ramp.iter().map(|w| format!(r#"{{"weight": {w}, "hold_ms": 1000}}"#)).collect();
    let left = 1000 - canary;
    let ramp = format!(r#"{{"steps": [{}], "interval_ms": 1000}}"#, steps.join(","));
    let canary = format!(r#"{{"name": "canary", "cluster": "b", "weight": {canary}, "ramp": {ramp}}}"#);
    let stable = format!(r#"{{"name": "stable", "cluster": "a", "weight": {left}}}"#);
    let sticky = r#"{"experiment": "e", "by": [{"header": "x-user"}]}"#;
    let json =
        format!(r#"{{"routes": [{{"name": "r", "sticky": {sticky}, "variants": [{stable}, {canary}]}}]}}"#);
    Policy::parse(json.as_bytes()).unwrap()
}

fn states() -> impl Strategy<Value = State> {
    let phases = [Phase::Aborted, Phase::Promoted, Phase::Ramping, Phase::Waiting];
    (
        prop::sample::select(phases.to_vec()),
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
        any::<u32>(),
        any::<(u32, u32)>(),
    )
        .prop_map(|(phase, start_ms, a, b, failed, (tag, rules))| State {
            phase,
            start_ms,
            checked: a.max(b),
            passed: a.min(b),
            failed,
            tag,
            rules,
        })
}

fn ramps() -> impl Strategy<Value = Ramp> {
    let steps = prop::collection::vec((0_u32..=1000, 1_u64..5_000), 1..6);
    (steps, 100_u64..3_000, 1_u32..4).prop_map(|(steps, interval_ms, max_failed)| Ramp {
        breaker: None,
        steps: steps.into_iter().map(|(weight, hold_ms)| Step { weight, hold_ms }).collect(),
        interval_ms,
        start_ms: Some(10_000),
        paused: false,
        demands: Demands::default(),
        max_failed,
    })
}

fn judgements() -> impl Strategy<Value = Judgement> {
    let all = [Judgement::Pass, Judgement::Inconclusive, Judgement::Fail(Fault::Success)];
    prop::sample::select(all.to_vec())
}

/// One of many matches that overlap in a few requests.
fn matches() -> impl Strategy<Value = String> {
    let path = [
        "",
        r#""path": {"prefix": "/"},"#,
        r#""path": {"prefix": "/a"},"#,
        r#""path": {"exact": "/a/b"},"#,
        r#""path": {"template": "/a/{x}"},"#,
        r#""path": {"starts_with": "/a"},"#,
    ];
    let host = ["", r#""host": "a.example","#, r#""host": ["*.example", "a.example"],"#];
    let method = ["", r#""method": "GET","#];
    let headers = ["", r#""headers": [{"name": "x"}],"#];
    let pick = |list: &[&'static str]| prop::sample::select(list.to_vec());
    (pick(&path), pick(&host), pick(&method), pick(&headers)).prop_map(|(path, host, method, headers)| {
        let fields = format!("{path}{host}{method}{headers}");
        format!("{{{}}}", fields.trim_end_matches(','))
    })
}

fn condition(json: &str) -> Condition {
    let variants = r#"[{"name": "v", "cluster": "c"}]"#;
    let json = format!(r#"{{"routes": [{{"name": "r", "match": {json}, "variants": {variants}}}]}}"#);
    Policy::parse(json.as_bytes()).unwrap().routes.remove(0).matches.remove(0)
}

/// Requests that some of the matches are about.
fn requests() -> Vec<Vec<Header<'static>>> {
    let mut all = Vec::new();
    for path in ["/", "/a", "/a/b", "/a/b/c", "/ab"] {
        for host in ["a.example", "b.example", "c"] {
            for extra in [None, Some((&b"x"[..], &b"1"[..]))] {
                let base = [
                    (&b":path"[..], path.as_bytes()),
                    (b":authority", host.as_bytes()),
                    (b":method", b"GET"),
                ];
                all.push(base.into_iter().chain(extra).collect());
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(cases(300))]

    /// Whoever has a variant keeps it while it takes as much or more of the traffic, and
    /// nobody gets one that takes less: whatever happens to the others.
    #[test]
    fn a_variant_that_grows_only_takes_and_one_that_shrinks_only_lets_go(
        (territories, sizes) in territories(),
        before in prop::collection::vec(0..=BUCKETS, 6),
        after in prop::collection::vec(0..=BUCKETS, 6),
        buckets in prop::collection::vec(0..BUCKETS, 50),
    ) {
        let taken = |w: &[u32], i: usize| w[i].min(sizes[i]);
        for bucket in buckets {
            let (was, is) = (territories.owner(bucket, &before), territories.owner(bucket, &after));
            if let Some(i) = was.filter(|i| taken(&after, *i) >= taken(&before, *i)) {
                prop_assert_eq!(is, Some(i), "bucket {} left", bucket);
            }
            if let Some(i) = is.filter(|i| taken(&after, *i) <= taken(&before, *i)) {
                prop_assert_eq!(was, Some(i), "bucket {} came", bucket);
            }
        }
    }

    /// Nobody goes from one variant to another, only from and to the baseline.
    #[test]
    fn two_variants_never_trade_people(
        (territories, _) in territories(),
        before in prop::collection::vec(0..=BUCKETS, 6),
        after in prop::collection::vec(0..=BUCKETS, 6),
        buckets in prop::collection::vec(0..BUCKETS, 50),
    ) {
        for bucket in buckets {
            if let (Some(was), Some(is)) = (territories.owner(bucket, &before), territories.owner(bucket, &after)) {
                prop_assert_eq!(was, is, "bucket {}", bucket);
            }
        }
    }

    /// A variant has as many buckets as it takes, and no two have the same.
    #[test]
    fn a_variant_has_as_many_buckets_as_it_takes((territories, sizes) in territories(), taken in prop::collection::vec(0..=BUCKETS, 6)) {
        let mut counts = vec![0; sizes.len()];
        for bucket in 0..BUCKETS {
            if let Some(owner) = territories.owner(bucket, &taken) {
                counts[owner] += 1;
            }
        }
        let expected: Vec<u32> = sizes.iter().zip(&taken).map(|(size, taken)| *size.min(taken)).collect();
        prop_assert_eq!(counts, expected);
    }

    /// The same from the document to the choice: raising the weight, or going on with the
    /// ramp, never moves a user out of the canary.
    #[test]
    fn raising_a_weight_never_moves_a_user_out_of_the_canary(
        less in 0_u32..=1000,
        more in 0_u32..=1000,
        users in prop::collection::vec("[a-z0-9]{1,12}", 1..40),
    ) {
        let (less, more) = (less.min(more), less.max(more));
        let policy = policy(less, &[more]);
        let route = &policy.routes[0];
        let (before, after) = (Weights::new(route, &[]), Weights::new(route, &[None, Some(more)]));
        let mut in_before = 0;
        for user in &users {
            let choose = |weights: &Weights| weights.choose(route, None, Some(user.as_bytes()), 7);
            prop_assert_eq!(choose(&before).bucket, choose(&after).bucket);
            in_before += u32::from(choose(&before).variant == 1);
            prop_assert!(choose(&before).variant == 0 || choose(&after).variant == 1, "{} fell out", user);
        }
        prop_assert!(less > 0 || in_before == 0, "a weight of nothing has users");
    }

    /// Weights always add up to what was configured.
    #[test]
    fn weights_add_up(canary in 0_u32..=1000, ramped in prop::option::of(0_u32..=2_000_000)) {
        let policy = policy(canary, &[1000]);
        let weights = Weights::new(&policy.routes[0], &[None, ramped]);
        prop_assert_eq!(weights.weights.iter().sum::<u32>(), 1000);
    }

    /// In every row of Σw/gcd picks each has exactly its part, wherever the row begins.
    #[test]
    fn round_robin_shares_are_exact_over_a_cycle(weights in prop::collection::vec(0_u32..40, 1..7), draw: u64) {
        let mut robin = RoundRobin::anywhere(&weights, draw);
        let period = robin.period();
        let sum: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        let mut counts = vec![0_u64; weights.len()];
        for _ in 0..period {
            counts[robin.pick().unwrap()] += 1;
        }
        for (count, weight) in counts.iter().zip(&weights) {
            prop_assert_eq!(count * sum, u64::from(*weight) * period);
        }
        prop_assert_eq!(robin.pick().is_none(), sum == 0);
    }

    /// The alias table gives each exactly its part when all draws come once.
    #[test]
    fn alias_shares_are_exact(weights in prop::collection::vec(0_u32..60, 1..7)) {
        let sum: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        prop_assume!(sum > 0);
        let alias = Alias::new(&weights).unwrap();
        let mut hits = vec![0_u64; weights.len()];
        for slot in 0..weights.len() {
            for u in 0..sum {
                hits[alias.at(slot, u)] += 1;
            }
        }
        let expected: Vec<u64> = weights.iter().map(|w| u64::from(*w) * weights.len() as u64).collect();
        prop_assert_eq!(hits, expected);
    }

    /// Which route a request takes does not depend on the order of the document.
    #[test]
    fn precedence_does_not_depend_on_the_order_of_the_document(
        given in prop::collection::vec(prop::collection::vec(matches(), 1..3), 1..7),
        order in Just((0..7_usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let routes: Vec<(String, Vec<Condition>)> = given.iter().enumerate()
            .map(|(index, matches)| (format!("r{index}"), matches.iter().map(|m| condition(m)).collect())).collect();
        let shuffled: Vec<_> = order.iter().filter_map(|index| routes.get(*index)).collect();
        let straight: Vec<_> = routes.iter().collect();
        let rules = |routes: &[&(String, Vec<Condition>)]| {
            let named: Vec<(&str, &[Condition])> = routes.iter().map(|(n, c)| (n.as_str(), c.as_slice())).collect();
            Rules::new(&named, Order::GatewayApi)
        };
        let (a, b) = (rules(&straight), rules(&shuffled));
        for request in requests() {
            let request = Asked(&request);
            let name = |rules: &Rules, routes: &[&(String, Vec<Condition>)]| {
                rules.find(&request, Facts::default()).map(|index| routes[index].0.clone())
            };
            prop_assert_eq!(name(&a, &straight), name(&b, &shuffled));
        }
    }

    /// What was written is what is read.
    #[test]
    fn ramp_states_survive_a_round_trip(state in states()) {
        prop_assert_eq!(State::decode(&state.encode()), state);
    }

    /// Any bytes are a state, and any state can be checked.
    #[test]
    fn any_bytes_are_a_ramp_state(
        mut bytes in prop::collection::vec(any::<u8>(), 0..2 * BYTES),
        looks_right: bool,
        ramp in ramps(),
        now: u64,
        judgement in judgements(),
    ) {
        if let (true, Some(layout)) = (looks_right, bytes.first_mut()) {
            *layout = 1;
        }
        let state = State::decode(&bytes);
        prop_assert_eq!(State::decode(&state.encode()), state);
        let (next, _) = ramp.check(ramp.adopt(state), now, judgement);
        prop_assert!(ramp.weight(&next, 0) <= ramp.most());
        prop_assert!(next.passed <= next.checked);
    }

    /// Replicas with the same start are on the same step, whenever each of them looks.
    #[test]
    fn replicas_compute_the_same_step(
        ramp in ramps(),
        mut a in prop::collection::vec(0_u64..40_000, 0..20),
        mut b in prop::collection::vec(0_u64..40_000, 0..20),
        last in 10_000_u64..50_000,
    ) {
        let run = |looks: &mut Vec<u64>| {
            looks.retain(|at| *at < last);
            looks.sort_unstable();
            looks.push(last);
            looks.iter().fold(ramp.fresh(), |state, now| ramp.check(state, *now, Judgement::Pass).0)
        };
        let (a, b) = (run(&mut a), run(&mut b));
        prop_assert_eq!((a.phase, ramp.weight(&a, 0)), (b.phase, ramp.weight(&b, 0)));
    }

    /// A ramp that was given up stays so, and its variant has nothing.
    #[test]
    fn an_aborted_ramp_stays_aborted(
        ramp in ramps(),
        looks in prop::collection::vec((0_u64..40_000, judgements()), 1..30),
    ) {
        let (mut state, mut aborted, mut failed) = (ramp.fresh(), false, 0);
        for (now, judgement) in looks {
            (state, _) = ramp.check(state, now, judgement);
            if now % 9 == 0 {
                (state, _) = ramp.abort(state);
            }
            prop_assert!(state.failed >= failed && state.failed <= ramp.max_failed);
            failed = state.failed;
            aborted |= state.phase == Phase::Aborted;
            prop_assert!(!aborted || (state.phase == Phase::Aborted && ramp.weight(&state, 500) == 0));
        }
    }

    /// A variant with fewer failures, more speed and the same number of requests passes
    /// whenever a worse one does.
    #[test]
    fn doing_better_never_fails(total in 1_u64..5_000, failed in 0_u64..200, better in 0_u64..200, ms in 0_u64..2_000, faster in 0_u64..2_000,
        base in (100_u64..5_000, 0_u64..200, 1_u64..2_000)) {
        let worse = Sample { total, failed: failed.min(total), p99_ms: Some(ms) };
        let best = Sample { failed: worse.failed.min(better), p99_ms: Some(ms.min(faster)), ..worse };
        let base = Some(Sample { total: base.0, failed: base.1.min(base.0), p99_ms: Some(base.2) });
        let demands = Demands::default();
        if demands.judge(worse, base) == Judgement::Pass {
            prop_assert_eq!(demands.judge(best, base), Judgement::Pass);
        }
    }
}
