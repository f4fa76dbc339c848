//! Which route a request takes, and what becomes of one that none takes.

use std::net::IpAddr;

use serde_json::{json, Value};
use tidegate_policy::http::Verdict;
use tidegate_sim::SimRequest;

use crate::routing::{cluster, onward, reply, routes, Workers};

const SUB: &[&str] = &["envoy.filters.http.jwt_authn", "jwt", "sub"];

/// Routes of these names and matches; each leads to a cluster of its own name.
fn policy(order: &str, list: &[(&str, &str)]) -> String {
    let one = |(name, matches): &(&str, &str)| {
        let matches: Value = serde_json::from_str(matches).unwrap();
        json!({"name": name, "match": matches, "variants": [{"name": "v", "cluster": name}]})
    };
    let routes: Vec<Value> = list.iter().map(one).collect();
    json!({"order": order, "routes": routes}).to_string()
}

/// A request to another host.
fn elsewhere<'a>() -> SimRequest<'a> {
    SimRequest::get("/").to("other.example.org")
}

fn named<'a>(path: &'a str, name: &'a str, value: &'a str) -> SimRequest<'a> {
    SimRequest::get(path).header(name, value.as_bytes())
}

#[test]
fn each_kind_of_match_is_one() {
    let far: IpAddr = IpAddr::from([10, 1, 2, 3]);
    let get = SimRequest::get;
    let claim = |value: &'static [u8]| SimRequest::get("/").metadata(SUB, value);
    #[rustfmt::skip]
    let cases = [
        // match                                                           takes                               leaves
        (r#"{"path": {"exact": "/a"}}"#,                                    get("/a?x=1"),                      get("/a/")),
        (r#"{"path": {"prefix": "/a"}}"#,                                   get("/a/b"),                        get("/ab")),
        (r#"{"path": {"starts_with": "/a"}}"#,                              get("/ab"),                         get("/b")),
        (r#"{"path": {"template": "/{x}/b"}}"#,                             get("/a/b"),                        get("/a/c")),
        (r#"{"method": ["PUT", "POST"]}"#,                                  SimRequest::request("POST", "/"),   get("/")),
        (r#"{"host": "shop.example.com"}"#,                                 get("/"),                           elsewhere()),
        (r#"{"host": "*.example.com"}"#,                                    get("/"),                           elsewhere()),
        (r#"{"headers": [{"name": "h", "exact": "1"}]}"#,                   named("/", "h", "1"),               named("/", "h", "2")),
        (r#"{"headers": [{"name": "h", "prefix": "a"}]}"#,                  named("/", "h", "ab"),              named("/", "h", "ba")),
        (r#"{"headers": [{"name": "h"}]}"#,                                 named("/", "h", ""),                get("/")),
        (r#"{"headers": [{"name": "h", "present": false}]}"#,               get("/"),                           named("/", "h", "1")),
        (r#"{"query": [{"name": "q", "exact": "1"}]}"#,                     get("/?q=1&q=2"),                   get("/?q=2&q=1")),
        (r#"{"cookies": [{"name": "c", "exact": "1"}]}"#,                   named("/", "cookie", "a=b; c=1"),   named("/", "cookie", "c=2")),
        (r#"{"client_address": {"in": ["10.0.0.0/8"]}}"#,                   get("/").from(Some(far)),           get("/")),
        (r#"{"not": {"headers": [{"name": "bot"}]}}"#,                      get("/"),                           named("/", "bot", "1")),
        (r#"{"metadata": [{"filter": "envoy.filters.http.jwt_authn", "path": ["jwt", "sub"], "exact": "al"}]}"#,
                                                                            claim(b"al"),                       claim(b"bo")),
        (r#"{"metadata": [{"filter": "envoy.filters.http.jwt_authn", "path": ["jwt", "sub"]}]}"#,
                                                                            claim(b"bo"),                       get("/")),
        (r#"{"metadata": [{"filter": "envoy.filters.http.jwt_authn", "path": ["jwt", "sub"], "exact": "al", "invert": true}]}"#,
                                                                            get("/"),                           claim(b"al")),
        (r#"[{"method": "PUT"}, {"path": {"exact": "/a"}}]"#,               get("/a"),                          get("/b")),
        (r#"{"method": "GET", "path": {"exact": "/a"}}"#,                   get("/a"),                          SimRequest::request("PUT", "/a")),
    ];
    for (matches, takes, leaves) in cases {
        let workers = Workers::new(1, &policy("gateway_api", &[("r", matches)]));
        assert_eq!(cluster(&workers.all[0], &takes), "r", "{matches}");
        assert_eq!(cluster(&workers.all[0], &leaves), "-", "{matches}");
    }
}

#[test]
fn a_share_of_requests_takes_a_route_and_the_rest_the_next() {
    let list = [("some", r#"{"basis_points": 3000}"#), ("rest", "{}")];
    let workers = Workers::new(1, &policy("gateway_api", &list));
    let some = (0..10_000).filter(|_| cluster(&workers.all[0], &SimRequest::get("/")) == "some").count();
    // 3,000 ± 4 standard deviations of 46.
    assert!((2_817..=3_183).contains(&some), "{some}");
}

#[test]
fn the_narrowest_match_wins_or_the_first_as_configured() {
    let list = [
        ("any", "{}"),
        ("short", r#"{"path": {"prefix": "/a"}}"#),
        ("long", r#"{"path": {"prefix": "/a/b"}}"#),
        ("exact", r#"{"path": {"exact": "/a/b/c"}}"#),
        ("put", r#"{"path": {"prefix": "/a/b"}, "method": "PUT"}"#),
        ("header", r#"{"path": {"prefix": "/a/b"}, "headers": [{"name": "h"}]}"#),
        ("query", r#"{"path": {"prefix": "/a/b"}, "query": [{"name": "q"}]}"#),
        ("host", r#"{"host": "shop.example.com", "path": {"prefix": "/h"}}"#),
        ("wild", r#"{"host": "*.example.com", "path": {"exact": "/h"}}"#),
    ];
    let narrowest = Workers::new(1, &policy("gateway_api", &list));
    let turned: Vec<_> = list.iter().rev().copied().collect();
    let reversed = Workers::new(1, &policy("gateway_api", &turned));
    let first = Workers::new(1, &policy("first_match", &list[1..]));
    #[rustfmt::skip]
    let cases = [
        // request                                                narrowest  first in the document
        (SimRequest::get("/"),                                     "any",     "-"),
        (SimRequest::get("/a"),                                    "short",   "short"),
        (SimRequest::get("/a/b"),                                  "long",    "short"),
        (SimRequest::get("/a/b/c"),                                "exact",   "short"),
        (SimRequest::request("PUT", "/a/b/c"),                     "exact",   "short"),
        (SimRequest::request("PUT", "/a/b?q=1"),                   "put",     "short"),
        (named("/a/b", "h", ""),                                   "header",  "short"),
        (named("/a/b?q", "h", ""),                                 "header",  "short"),
        (SimRequest::get("/a/b?q"),                                "query",   "short"),
        (SimRequest::get("/h"),                                    "host",    "host"),
    ];
    for (request, narrow, one) in cases {
        assert_eq!(cluster(&narrowest.all[0], &request), narrow, "{request:?}");
        assert_eq!(cluster(&reversed.all[0], &request), narrow, "{request:?}, in the other order");
        assert_eq!(cluster(&first.all[0], &request), one, "{request:?}, first match");
    }
}

#[test]
fn what_no_route_takes_passes_or_is_not_found() {
    let route =
        r#"{"name": "r", "match": {"path": {"prefix": "/a"}}, "variants": [{"name": "v", "cluster": "c"}]}"#;
    let workers = Workers::new(1, &routes(route));
    let request = SimRequest::get("/b").header("x-tidegate-cluster", b"evil").header("h", b"1");
    let verdict = workers.all[0].request(&request);
    let onward = onward(&request, verdict);
    assert_eq!((onward.get("x-tidegate-cluster"), onward.get("h")), ("", "1"));
    assert_eq!(workers.metric("tidegate.routing.unmatched"), 1);

    let workers = Workers::new(1, &format!(r#"{{"no_match": "not_found", "routes": [{route}]}}"#));
    let (verdict, exchange) = workers.all[0].begin(&SimRequest::get("/b"));
    assert_eq!(workers.all[0].outcome(&exchange), None);
    let plain = reply(verdict);
    assert_eq!((plain.status, plain.details.as_str()), (404, "tidegate_routing_no_route"));
    assert!(plain.headers.contains(&("content-type".into(), "application/problem+json".into())));
    assert!(plain.body.contains("\"status\":404"), "{}", plain.body);
    let grpc = SimRequest::request("POST", "/x.Y/z").header("content-type", b"application/grpc");
    let grpc = reply(workers.all[0].request(&grpc));
    assert_eq!((grpc.grpc_status, grpc.body.starts_with('{')), (12, false));
    assert!(matches!(workers.all[0].request(&SimRequest::get("/a")), Verdict::Continue(_)));
}
