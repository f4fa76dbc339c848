//! What a limit counts by, and what happens when it is not there.

use serde_json::{json, Value};
use tidegate_tests::{Client, Envoy, Request};

use crate::setup::{limit, start, with};

fn get(path: &str) -> Request {
    Request::get(path)
}

/// The statuses of these requests, one after the other.
fn statuses(envoy: &Envoy, requests: &[Request]) -> Vec<u16> {
    let mut client = Client::connect(envoy.addr());
    requests.iter().map(|request| client.send(request).status).collect()
}

#[test]
fn each_part_tells_its_values_apart_and_nothing_else() {
    let cookie = |value| get("/").header("cookie", value);
    let host = |name| get("/").header("host", name);
    #[rustfmt::skip]
    let cases = [
        // key                              one caller,                        the same caller again,             another caller
        (json!({"header": "X-Key"}),        get("/").header("x-key", "a"),     get("/b?x").header("X-KEY", "a"),  get("/").header("x-key", "A")),
        (json!({"cookie": "sid"}),          cookie("a=1; sid=7"),              cookie("sid=\"7\"; b=2"),          cookie("sid=8; id=7")),
        (json!({"query_parameter": "k"}),   get("/?k=1"),                      get("/other?z=9&k=1&k=2"),         get("/?k=2")),
        (json!({"path_segment": 1}),        get("/tenants/acme/x"),            get("/t/acme?y=1"),                get("/tenants/initech/x")),
        (json!("method"),                   get("/"),                          get("/x"),                         Request::new("DELETE", "/")),
        (json!("host"),                     host("a.test"),                    host("A.test:8080"),               host("b.test")),
    ];
    for (key, one, again, other) in cases {
        let refuse = json!({"on_missing_key": "refuse"});
        let envoy = start(&json!({"limits": [with(limit("part", &key, 1), &refuse)]}), 1);
        let got = statuses(&envoy, &[one.clone(), one, again, other.clone(), other]);
        assert_eq!(got, [200, 429, 429, 200, 429], "{key}");
    }
}

#[test]
fn a_constant_is_one_bucket_for_all() {
    let envoy = start(&json!({"limits": [limit("all", &json!({"constant": "all"}), 2)]}), 1);
    let got = statuses(&envoy, &[get("/a"), get("/b").header("x-key", "b"), get("/c")]);
    assert_eq!(got, [200, 200, 429]);
}

#[test]
fn several_parts_make_one_key() {
    let both = json!([{"header": "x-a"}, {"header": "x-b"}]);
    let envoy = start(&json!({"limits": [with(limit("both", &Value::Null, 1), &json!({"key": both}))]}), 1);
    let pair = |a: &str, b: &str| get("/").header("x-a", a).header("x-b", b);
    let requests =
        [pair("1", "2"), pair("1", "3"), pair("12", ""), pair("", "12"), pair("1", "2"), pair("12", "")];
    assert_eq!(statuses(&envoy, &requests), [200, 200, 200, 200, 429, 429]);
}

#[test]
fn a_missing_key_is_skipped_shared_or_refused() {
    #[rustfmt::skip]
    let cases = [
        // on_missing_key            without  empty  another without
        (json!({"on_missing_key": "skip"}),   [200, 200, 200]),
        (json!({"on_missing_key": "shared"}), [200, 429, 429]),
        (json!({}),                           [200, 429, 429]),
        (json!({"on_missing_key": "refuse"}), [429, 429, 429]),
    ];
    for (setting, expected) in cases {
        let by_key = limit("one", &json!({"header": "x-key"}), 1);
        let envoy = start(&json!({"limits": [with(by_key, &setting)]}), 1);
        let requests = [get("/"), get("/").header("x-key", ""), get("/").header("x-other", "a")];
        assert_eq!(statuses(&envoy, &requests), expected, "{setting}");
        // Those who have a key are not affected.
        let keyed = get("/").header("x-key", "a");
        assert_eq!(statuses(&envoy, &[keyed.clone(), keyed]), [200, 429], "{setting}");
    }
}

#[test]
fn whoever_is_refused_for_want_of_a_key_is_not_told_to_wait() {
    let refuse = json!({"on_missing_key": "refuse"});
    let by_key = limit("one", &json!({"header": "x-key"}), 1);
    let envoy = start(&json!({"limits": [with(by_key, &refuse)]}), 1);
    let refused = Client::connect(envoy.addr()).get("/", &[]);
    assert_eq!((refused.status, refused.header("retry-after")), (429, None));
    assert_eq!(refused.header("ratelimit"), None);
}

#[test]
fn all_values_of_a_repeated_header_count() {
    let envoy = start(&json!({"limits": [limit("one", &json!({"header": "x-key"}), 1)]}), 1);
    let values = |all: &[&str]| all.iter().fold(get("/"), |request, value| request.header("x-key", value));
    #[rustfmt::skip]
    let cases = [
        (values(&["a", "b"]),  200),
        (values(&["a"]),       429),
        (values(&["b"]),       429),
        (values(&["c", "a"]),  429),
        (values(&["a", "c"]),  429),
        (values(&["c"]),       200),
        (values(&["a,b"]),     200), // one value with a comma
    ];
    for (request, expected) in cases {
        let got = Client::connect(envoy.addr()).send(&request).status;
        assert_eq!(got, expected, "{}", String::from_utf8_lossy(&request.bytes()));
    }
}

#[test]
fn long_values_differ_by_their_length_and_their_ends() {
    let envoy = start(&json!({"limits": [limit("one", &json!({"header": "x-key"}), 1)]}), 1);
    let long = "k".repeat(5_000);
    let (first, last, shorter) = (format!("x{}", &long[1..]), format!("{}x", &long[1..]), &long[1..]);
    let values = [long.as_str(), &first, &last, shorter, &long];
    let requests = values.map(|value| get("/").header("x-key", value));
    assert_eq!(statuses(&envoy, &requests), [200, 200, 200, 200, 429]);
}
