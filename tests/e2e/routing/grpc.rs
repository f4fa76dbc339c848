//! gRPC is routed like anything else and judged by what its trailers say.

use serde_json::{json, Value};
use tidegate_tests::{eventually, grpc, Bootstrap, Envoy};

use super::setup::{
    assert_calm, assert_metrics, filter, moves, ramping, route, routes, start, steered, SOON,
};

const METHOD: &str = "/shop.Shop/Buy";

/// gRPC services behind both variants.
struct Pair {
    stable: grpc::Upstream,
    canary: grpc::Upstream,
}

impl Pair {
    fn new() -> Self {
        let well = || grpc::Upstream::new(grpc::Answer::status(0));
        Self { stable: well(), canary: well() }
    }

    fn behind(&self, config: &Value) -> Bootstrap {
        let bootstrap = steered(&[filter(config)]);
        bootstrap
            .http2_cluster("stable", &[self.stable.addr()])
            .http2_cluster("canary", &[self.canary.addr()])
    }

    fn start(&self, route: Value, workers: u32) -> Envoy {
        start(&self.behind(&routes(&[route])), workers)
    }
}

fn call(envoy: &Envoy, headers: &[(&str, &[u8])]) -> grpc::GrpcReply {
    grpc::unary(envoy.addr(), METHOD, headers)
}

#[test]
fn grpc_is_matched_and_sticks() {
    let pair = Pair::new();
    let all = json!({
        "match": [{"path": {"exact": METHOD}, "headers": [{"name": "content-type", "prefix": "application/grpc"}]}],
        "sticky": {"experiment": "e", "by": [{"header": "x-user"}]},
        "variants": [super::setup::variant("stable", 50), super::setup::variant("canary", 50)],
    });
    let envoy = pair.start(route(&all), 2);
    for user in 0..32 {
        let user = format!("user-{user}");
        let before = (pair.stable.count(), pair.canary.count());
        for _ in 0..2 {
            assert_eq!(call(&envoy, &[("x-user", user.as_bytes())]).grpc_status, Some(0));
        }
        let after = (pair.stable.count() - before.0, pair.canary.count() - before.1);
        assert!(matches!(after, (2, 0) | (0, 2)), "{user}: {after:?}");
    }
    assert!(pair.stable.count() > 0 && pair.canary.count() > 0);
    assert_metrics(&envoy, "shop", &[("sticky", 64)]);
    assert_calm(&envoy);
}

/// What a service answers makes its HTTP status 200; only the trailers, or a response that is
/// nothing but headers, say that it failed.
#[test]
fn a_canary_that_fails_by_grpc_status_is_given_up() {
    let ramp = json!({"steps": [{"weight": 50, "hold_ms": 86_400_000}]});
    let abort = json!({"max_failed": 1, "min_samples": 10});
    let answers = [
        ("trailers", grpc::Answer::status(14)),
        ("trailers only", grpc::Answer::trailers_only(13)),
        ("reset", grpc::Answer::reset()),
        ("cut off", grpc::Answer::cut()),
    ];
    for (name, answer) in answers {
        let pair = Pair::new();
        let envoy = pair.start(route(&json!({"variants": ramping(&ramp, &abort)})), 2);
        pair.canary.switch(answer);
        eventually(name, 2 * SOON, || {
            let _ = grpc::try_unary(envoy.addr(), METHOD, &[]);
            moves(&envoy).iter().any(|line| line.contains("ramp aborted: too many requests failed"))
        });
        let last = pair.canary.count();
        for _ in 0..20 {
            assert_eq!(call(&envoy, &[]).grpc_status, Some(0), "{name}");
        }
        assert_eq!(pair.canary.count(), last, "{name}");
        assert_metrics(&envoy, "shop", &[("variant.stable.failed", 0)]);
        assert_calm(&envoy);
    }
}

/// `NOT_FOUND` and the like are answers.
#[test]
fn a_canary_that_answers_no_is_promoted() {
    let pair = Pair::new();
    pair.canary.switch(grpc::Answer::status(5));
    let ramp = json!({"steps": [{"weight": 50, "hold_ms": 500}]});
    let abort = json!({"max_failed": 1, "min_samples": 5});
    let envoy = pair.start(route(&json!({"variants": ramping(&ramp, &abort)})), 2);
    eventually("promotion", 2 * SOON, || {
        let _ = call(&envoy, &[]);
        moves(&envoy).iter().any(|line| line.contains("ramp promoted"))
    });
    assert_metrics(&envoy, "shop", &[("aborted", 0), ("variant.canary.failed", 0)]);
    assert_calm(&envoy);
}

#[test]
fn a_call_that_no_route_takes_gets_a_grpc_status() {
    let pair = Pair::new();
    let only = json!({"match": [{"path": {"exact": "/else"}}]});
    let config = json!({"routes": [route(&only)], "no_match": "not_found"});
    let envoy = start(&pair.behind(&config), 1);
    let reply = call(&envoy, &[]);
    assert_eq!((reply.http_status, reply.grpc_status), (200, Some(12)));
    assert_eq!(reply.grpc_message.as_deref(), Some("No route takes this request"));

    let status = json!({"variants": [{"name": "closed", "status": 503}]});
    let envoy = pair.start(route(&status), 1);
    let reply = call(&envoy, &[]);
    assert_eq!((reply.http_status, reply.grpc_status), (200, Some(14)));
}
