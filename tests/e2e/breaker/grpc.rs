//! gRPC: most statuses come after the response headers, and some never.

use serde_json::json;
use tidegate_tests::grpc::{try_unary, unary, Answer, Upstream};
use tidegate_tests::{eventually, Bootstrap, Envoy};

use super::setup::{
    assert_metrics, assert_transitions, breaker, filter, start, with_1_2_and_4_workers, SOON,
};

/// Each of these with a cluster and a breaker of its own, which knows after five calls.
fn behind(ways: &[(&str, Upstream)], workers: u32) -> Envoy {
    let fields = json!({"minimum_calls": 5});
    let breakers: Vec<_> = ways.iter().map(|(name, _)| breaker(name, &fields)).collect();
    let bootstrap = Bootstrap::new().balanced().wasm(&filter(&breakers));
    let bootstrap = ways.iter().fold(bootstrap, |all, (name, upstream)| {
        let to = json!({"cluster": name, "timeout": "0.1s"});
        let at = json!({"prefix": format!("/{name}.")});
        all.http2_cluster(name, &[upstream.addr()]).route(json!({"match": at, "route": to}))
    });
    start(&bootstrap, workers)
}

#[test]
fn grpc_calls_fail_by_their_status_wherever_it_is_and_without_one() {
    with_1_2_and_4_workers(|workers| {
        #[rustfmt::skip]
        let ways = [
            ("trailers",      Answer::status(14)),
            ("trailers-only", Answer::trailers_only(13)),
            ("unknown",       Answer::status(2)),
            ("no-grpc",       Answer::http(503)),
            ("reset",         Answer::reset()),
            ("cut",           Answer::cut()),
            ("silent",        Answer::silence()),
        ];
        let ways = ways.map(|(name, answer)| (name, Upstream::new(answer)));
        let envoy = behind(&ways, workers);
        for (name, upstream) in &ways {
            let path = format!("/{name}.Cart/Add");
            let refused = eventually("a refusal", SOON, || {
                let reply = try_unary(envoy.addr(), &path, &[]).ok();
                reply.filter(|reply| reply.headers.contains_key("x-tidegate-breaker"))
            });
            assert_eq!((refused.http_status, refused.grpc_status), (200, Some(14)), "{name}");
            assert!(refused.grpc_message.unwrap().ends_with(name), "{name}");
            // What a cut stream says is known when it is over, and the next may come before that.
            let most = if *name == "cut" { 6 } else { 5 };
            assert!((5..=most).contains(&upstream.count()), "{name}: {}", upstream.count());
        }
        let expected = ways.each_ref().map(|(name, _)| format!("{name}: closed -> open (consecutive)"));
        assert_transitions(&envoy, &expected.each_ref().map(String::as_str));
    });
}

#[test]
fn grpc_calls_that_went_well_or_are_the_callers_fault_are_none() {
    with_1_2_and_4_workers(|workers| {
        #[rustfmt::skip]
        let ways = [
            ("ok",              Answer::status(0)),
            ("not-found",       Answer::status(5)),
            ("invalid",         Answer::trailers_only(3)),
            ("exhausted",       Answer::status(8)),
        ];
        let ways = ways.map(|(name, answer)| (name, Upstream::new(answer)));
        let envoy = behind(&ways, workers);
        for (name, upstream) in &ways {
            for _ in 0..12 {
                let reply = unary(envoy.addr(), &format!("/{name}.Cart/Add"), &[]);
                assert_ne!(reply.grpc_status, Some(14), "{name}");
            }
            assert_eq!(upstream.count(), 12, "{name}");
            let class = if *name == "exhausted" { "throttled" } else { "succeeded" };
            let counted = [("admitted", 12), (class, 12), ("failed", 0), ("state", 0)];
            assert_metrics(&envoy, name, &counted);
        }
        assert_transitions(&envoy, &[]);
    });
}
