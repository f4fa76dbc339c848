//! What all replies of ours have in common, whichever filter answers.

use std::sync::Arc;

use serde_json::{json, Value};
use tidegate_policy::breaker::CircuitBreaker;
use tidegate_policy::discovery::Discovery;
use tidegate_policy::http::{Attribute, Reply, Stage, Verdict};
use tidegate_policy::ratelimit::RateLimit;
use tidegate_policy::routing::Routing;
use tidegate_sim::{SimHost, SimRequest, SimStore, Worker};

/// What the last of `requests` equal requests is answered.
fn reply<S: Stage>(config: &Value, grpc: bool, requests: usize) -> Reply {
    let worker: Worker<S, SimHost> =
        Worker::new(&config.to_string(), SimHost::new(Arc::new(SimStore::default()))).unwrap();
    let request = SimRequest::get("/").attribute(Attribute::Cluster, b"origin");
    let request = if grpc { request.header("content-type", b"application/grpc") } else { request };
    let verdicts = (0..requests).map(|_| worker.request(&request));
    match verdicts.last() {
        Some(Verdict::Reply(reply)) => reply,
        other => panic!("{other:?}"),
    }
}

fn cache_control(reply: &Reply) -> Vec<&str> {
    let named = reply.headers.iter().filter(|(name, _)| name == "cache-control");
    named.map(|(_, value)| value.as_str()).collect()
}

/// A refusal is HTTP 200 for a request that its client marked as gRPC, and a cache in front kept
/// it as the resource.
#[test]
fn no_reply_of_any_filter_is_stored() {
    let limit = json!({"name": "a", "key": [{"constant": "x"}], "requests": 1, "per_ms": 60_000});
    let limits = json!({"limits": [limit]});
    let breaker =
        json!({"breakers": [{"name": "a", "target": {"cluster": "origin"}, "state": "forced_open"}]});
    let elsewhere = json!({"host": "other.test"});
    let route = json!({"name": "a", "match": elsewhere, "variants": [{"name": "v", "cluster": "c"}]});
    let routes = json!({"routes": [route], "no_match": "not_found"});
    let registry = json!({"static": {"services": {"a": [{"address": "10.0.0.1", "port": 80}]}}});
    let services = json!({"registries": {"main": registry}, "allow": ["10.0.0.0/8:1-65535"],
                          "services": [{"name": "a", "match": elsewhere, "registry": "main"}],
                          "no_match": "not_found"});
    for grpc in [false, true] {
        assert_eq!(cache_control(&reply::<RateLimit>(&limits, grpc, 2)), ["no-store"], "limits, {grpc}");
        assert_eq!(
            cache_control(&reply::<CircuitBreaker>(&breaker, grpc, 1)),
            ["no-store"],
            "breaker, {grpc}"
        );
        assert_eq!(cache_control(&reply::<Routing>(&routes, grpc, 1)), ["no-store"], "routing, {grpc}");
        assert_eq!(cache_control(&reply::<Discovery>(&services, grpc, 1)), ["no-store"], "discovery, {grpc}");
    }
}

#[test]
fn a_configured_cache_control_stays_alone() {
    let limit = json!({"name": "a", "key": [{"constant": "x"}], "requests": 1, "per_ms": 60_000});
    let headers = json!({"Cache-Control": "private, max-age=1"});
    let limits = json!({"limits": [limit], "reply": {"headers": headers}});
    assert_eq!(cache_control(&reply::<RateLimit>(&limits, false, 2)), ["private, max-age=1"]);
}
