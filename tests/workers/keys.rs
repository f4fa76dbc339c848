//! Keys that a client tries to hide, and what else it sends with them.

use std::sync::Arc;

use serde_json::{json, Value};
use tidegate_policy::http::Verdict;
use tidegate_policy::ratelimit::RateLimit;
use tidegate_sim::{SimHost, SimRequest, SimStore, Worker};

type Limiter = Worker<RateLimit, SimHost>;

/// Ten a day by this key.
fn worker(key: &Value, more: &Value) -> Limiter {
    let mut limit = json!({"name": "a", "key": [key], "requests": 10, "per_ms": 86_400_000});
    limit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let json = json!({"limits": [limit], "table": {"keys": 1_024}}).to_string();
    Worker::new(&json, SimHost::new(Arc::new(SimStore::default()))).unwrap()
}

fn passes(worker: &Limiter, request: &SimRequest<'_>) -> bool {
    matches!(worker.request(request), Verdict::Continue(_))
}

fn count(worker: &Limiter, metric: &str) -> u64 {
    worker.host.count(worker.counter(&format!("tidegate.ratelimit.limit.a.{metric}")))
}

/// 20 of 20 requests used to pass with a key that was used up, and another value beside it.
#[test]
fn a_used_up_key_stays_used_up_whatever_else_is_sent() {
    type Make = fn(&'static str, &'static str) -> SimRequest<'static>;
    let header: Make = |one, two| {
        SimRequest::get("/").header("x-api-key", one.as_bytes()).header("x-api-key", two.as_bytes())
    };
    let cookies: Make =
        |one, two| SimRequest::get("/").header("cookie", one.as_bytes()).header("cookie", two.as_bytes());
    let bearer: Make = |one, two| {
        SimRequest::get("/").header("authorization", one.as_bytes()).header("authorization", two.as_bytes())
    };
    let get = SimRequest::get;
    let query = json!({"query_parameter": "k"});
    #[rustfmt::skip]
    let cases = [
        // key                            used up                               tried
        (json!({"header": "x-api-key"}),  header("K", ""),                      vec![header("K", "j1"), header("j2", "K"), header("K", "K")]),
        (json!({"cookie": "s"}),          cookies("s=K", ""),                   vec![cookies("s=K; s=j1", ""), cookies("s=j2", "a=1; s=K"), cookies("s=\"K\"", "s=j3")]),
        (query,                           get("/?k=K"),                         vec![get("/?k=K&k=j1"), get("/?k=j2&k=K"), get("/?k=&k=K&k=K&k=j1&k=j2")]),
        (json!({"header": "Authorization"}), bearer("Bearer K", ""),            vec![bearer("bearer  K", ""), bearer("BEARER K", "x"), bearer("Bearer j,bearer K", "")]),
    ];
    for (key, used_up, tried) in cases {
        let worker = worker(&key, &json!({}));
        assert_eq!((0..20).filter(|_| passes(&worker, &used_up)).count(), 10, "{key}");
        for (at, request) in tried.iter().enumerate() {
            assert_eq!((0..20).filter(|_| passes(&worker, request)).count(), 0, "{key}, attempt {at}");
        }
    }
}

/// What is refused for one of its keys costs the others nothing, and what passes counts once.
#[test]
fn a_request_with_several_keys_is_charged_to_all_or_none() {
    let worker = worker(&json!({"header": "k"}), &json!({}));
    let of = |values: &[&'static str]| {
        let with = |request: SimRequest<'static>, value: &&'static str| request.header("k", value.as_bytes());
        values.iter().fold(SimRequest::get("/"), with)
    };
    let admitted =
        |values: &[&'static str], n: usize| (0..n).filter(|_| passes(&worker, &of(values))).count();
    assert_eq!(admitted(&["a"], 10), 10);
    assert_eq!(admitted(&["a", "b"], 20), 0);
    assert_eq!((count(&worker, "admitted"), count(&worker, "refused")), (10, 20));
    assert_eq!(admitted(&["b", "c"], 4), 4);
    assert_eq!(count(&worker, "admitted"), 14);
    assert_eq!((admitted(&["b"], 20), admitted(&["c"], 20)), (6, 6));
    assert_eq!(admitted(&["d", "e", "f", "g"], 1), 1);
    assert_eq!(admitted(&["d", "e", "f", "g", "h"], 1), 0, "more than four");
}

#[test]
fn repeated_says_which_value_counts() {
    let two = SimRequest::get("/").header("k", b"a").header("k", b"b");
    let one = |value: &'static [u8]| SimRequest::get("/").header("k", value);
    #[rustfmt::skip]
    let cases = [
        // repeated   both pass   then of a and b
        ("each",      10,         (0, 0)),
        ("first",     10,         (0, 10)),
        ("last",      10,         (10, 0)),
        ("refuse",    0,          (10, 10)),
    ];
    for (repeated, both, (a, b)) in cases {
        let worker = worker(&json!({"header": "k"}), &json!({"repeated": repeated}));
        let admitted = |request: &SimRequest<'_>| (0..20).filter(|_| passes(&worker, request)).count();
        assert_eq!((admitted(&two), admitted(&one(b"a")), admitted(&one(b"b"))), (both, a, b), "{repeated}");
    }
}
