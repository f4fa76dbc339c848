//! The routing filter's configuration, from document to policy or to problems.

use std::net::IpAddr;

use tidegate_policy::http::{Header, Request};
use tidegate_policy::routing::{ChoiceReason, Facts, Policy, Target, Weights};

struct Asked<'a>(&'a [Header<'a>], IpAddr);

impl Request for Asked<'_> {
    fn headers(&self) -> &[Header<'_>] {
        self.0
    }
    fn peer(&self) -> Option<IpAddr> {
        Some(self.1)
    }
    fn lone_header(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn attribute(&self, _: tidegate_policy::http::Attribute) -> Option<Vec<u8>> {
        None
    }
}

/// The example of the issue that asked for the filter.
const CHECKOUT: &str = r#"{"routes": [{"name": "checkout", "match": [{"path": {"prefix": "/checkout"}}],
  "sticky": {"experiment": "checkout-v2", "by": [{"header": "x-user"}, {"cookie": "tg"}]},
  "variants": [{"name": "stable", "cluster": "checkout-v1", "weight": 90},
               {"name": "canary", "cluster": "checkout-v2", "weight": 10,
                "ramp": {"steps": [{"weight": 25, "hold_ms": 60000}, {"weight": 50, "hold_ms": 60000}],
                         "abort": {"min_success_percent": 99, "min_samples": 100}}}]}]}"#;

/// A document that uses everything.
const EVERYTHING: &str = include_str!("../routing.json");

fn policy(json: &str) -> Policy {
    super::hold("routing", json, None);
    Policy::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn problems(json: &str) -> Vec<String> {
    let error = Policy::parse(json.as_bytes()).err();
    super::hold("routing", json, error.as_ref());
    error.map_or(Vec::new(), |e| e.problems.iter().map(ToString::to_string).collect())
}

#[test]
fn the_example_of_the_issue_is_a_policy() {
    let policy = policy(CHECKOUT);
    let route = &policy.routes[0];
    let peer = IpAddr::from([1, 2, 3, 4]);
    let facts = Facts::default();
    assert_eq!(policy.find(&Asked(&[(b":path", b"/checkout/1")], peer), facts), Some(0));
    assert_eq!(policy.find(&Asked(&[(b":path", b"/check")], peer), facts), None);

    let usual = Weights::new(route, &[]);
    let ramped = Weights::new(route, &[None, Some(50)]);
    assert_eq!((usual.weights.clone(), ramped.weights.clone()), (vec![90, 10], vec![50, 50]));
    // Buckets of the reference: alice 2539, bob 3018, carol 7796.
    for (user, expected) in [("alice", 1), ("bob", 1), ("carol", 0)] {
        let choice = ramped.choose(route, None, Some(user.as_bytes()), 0);
        assert_eq!((choice.variant, choice.reason), (expected, ChoiceReason::Sticky), "{user}");
        assert_eq!(usual.choose(route, None, Some(user.as_bytes()), 0).variant, 0, "{user}");
        let forced = usual.choose(route, Some(b"canary"), Some(user.as_bytes()), 0);
        assert_eq!((forced.variant, forced.reason), (1, ChoiceReason::Forced), "{user}");
    }
    assert_eq!(usual.choose(route, Some(b"nobody"), None, 0).reason, ChoiceReason::Drawn);
}

#[test]
fn everything_that_can_be_said_is_understood() {
    let policy = policy(EVERYTHING);
    let route = &policy.routes[0];
    assert_eq!(policy.metadata(), [["envoy.filters.http.jwt_authn", "jwt", "sub"]]);
    assert_eq!(route.baseline, 0);
    assert_eq!(route.variants[2].target, Target::Status(503));
    let cookie = &route.sticky.as_ref().unwrap().generated.as_ref().unwrap();
    let expected = [
        "tg=7; Path=/a; Domain=a.example; Max-Age=60; Secure; HttpOnly; SameSite=Strict; Partitioned",
        "tg-renewed=1; Path=/a; Domain=a.example; Max-Age=6; Secure; HttpOnly; SameSite=Strict; Partitioned",
    ];
    assert_eq!(cookie.set_cookies("7").collect::<Vec<_>>(), expected);
    let upstream: Vec<String> =
        route.upstream.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(
        upstream,
        [
            "x-envoy-upstream-rq-timeout-ms: 1000",
            "x-envoy-upstream-rq-per-try-timeout-ms: 300",
            "x-envoy-hedge-on-per-try-timeout: true",
            "x-envoy-retry-on: 5xx,reset",
            "x-envoy-retry-grpc-on: unavailable",
            "x-envoy-retriable-status-codes: 409",
            "x-envoy-retriable-header-names: x-again",
            "x-envoy-max-retries: 2",
        ]
    );
}

#[test]
fn a_rule_sees_everything_it_asks_for() {
    let policy = policy(EVERYTHING);
    let peer = IpAddr::from([10, 0, 0, 1]);
    let headers: [Header<'_>; 7] = [
        (b":method", b"GET"),
        (b":path", b"/abc?q=xyz"),
        (b":authority", b"w.a.example:80"),
        (b"x", b"xyz"),
        (b"cookie", b"b=2; c=1"),
        (b"x-forwarded-for", b"2001:db8::1"),
        (b"x-end", b""),
    ];
    let path = policy.metadata().remove(0);
    let claims = [(path.as_slice(), &b"alice"[..])];
    let found =
        |headers: &[Header<'_>], metadata, draw| policy.find(&Asked(headers, peer), Facts { draw, metadata });
    let among = (0..1000_u64).filter(|draw| found(&headers, &claims, draw << 54) == Some(0)).count();
    assert!((440..=560).contains(&among), "{among} of 1000 for 50 %");
    let draw =
        (0..64_u64).map(|draw| draw << 54).find(|draw| found(&headers, &claims, *draw) == Some(0)).unwrap();
    for missing in 0..6 {
        let mut fewer = headers.to_vec();
        fewer.remove(missing);
        assert_eq!(found(&fewer, &claims, draw), Some(1), "without {:?}", headers[missing]);
    }
    assert_eq!(found(&headers, &[], draw), Some(1), "without the claim");
    let mut bot = headers.to_vec();
    bot[6].0 = b"x-bot";
    assert_eq!(found(&bot, &claims, draw), Some(1), "a bot");
}

#[test]
fn only_trusted_callers_have_wishes() {
    let force = policy(EVERYTHING).force.unwrap();
    let wish: Header<'_> = (b"x-pick", b"v2");
    let (inside, outside) = (IpAddr::from([10, 9, 8, 7]), IpAddr::from([11, 0, 0, 1]));
    #[rustfmt::skip]
    let cases: [(&[Header<'_>], IpAddr, bool); 7] = [
        (&[wish],                                    inside,  true),
        (&[wish],                                    outside, false),
        (&[wish, (b"x-key", b"0123456789abcdef")],   outside, true),
        (&[wish, (b"x-key", b"0123456789abcdeX")],   outside, false),
        (&[wish, (b"x-key", b"0123456789abcdef0")],  outside, false),
        (&[wish, (b"x-key", b"")],                   outside, false),
        (&[wish, (b"x-pick", b"v1")],                inside,  false),
    ];
    for (headers, peer, expected) in cases {
        assert_eq!(
            force.wish(&Asked(headers, peer)),
            expected.then_some(&b"v2"[..]),
            "{headers:?} from {peer}"
        );
    }
    assert!(!format!("{force:?}").contains("0123"), "a secret in a log");
}

#[test]
fn headers_of_ours_are_known_with_underscores_too() {
    let policy = policy(EVERYTHING);
    for (name, expected) in [
        ("x-to", true),
        ("x-copy", true),
        ("x-dice", true),
        ("x_bucket", true),
        ("X-Pick", true),
        ("x-key", true),
        ("x-tidegate-cluster", false),
        ("x-tos", false),
        ("x-user", false),
    ] {
        assert_eq!(policy.owns(name.as_bytes()), expected, "{name}");
    }
}

#[test]
fn no_problem_shows_a_secret() {
    let cases = [
        (r#"{"force": {"secret": "hunter2hunter2hunter2\n"}}"#, "force.secret"),
        (r#"{"force": {"secret": ["hunter2hunter2hunter2 "]}}"#, "force.secret[0]"),
        (r#"{"force": {"secret": {"hunter2": "hunter2"}}}"#, "force.secret"),
        (r#"{"routes": [{"sticky": {"key": "hunter2"}}]}"#, "routes[0].sticky.key"),
    ];
    for (json, path) in cases {
        let told = problems(json);
        assert!(told.iter().any(|line| line.starts_with(path.trim_end_matches("[0]"))), "{told:?}");
        assert!(!told.iter().any(|line| line.contains("hunter")), "{told:?}");
    }
}

#[test]
fn every_problem_is_told_with_what_would_be_right() {
    let route = |fields: &str| format!(r#"{{"routes": [{{"name": "r", {fields}}}]}}"#);
    let variants = r#""variants": [{"name": "a", "cluster": "c"}]"#;
    #[rustfmt::skip]
    let cases = [
        (r#"{}"#.to_string(),
         "routes: missing, expected a list of routes"),
        (route(r#""variants": [{"name": "a"}]"#),
         "routes[0].variants[0]: has no destination, expected `cluster`, `service` or `status`"),
        (route(r#""variants": [{"name": "a", "cluster": "c", "status": 500}]"#),
         "routes[0].variants[0]: found `cluster` and `status` together, expected only one of them"),
        (route(r#""variants": [{"name": "a", "cluster": "c", "weight": 0}]"#),
         "routes[0].variants: all weigh 0, expected a weight of at least 1"),
        (route(r#""variants": [{"name": "a", "cluster": "c", "weight": 90}, {"name": "a", "cluster": "d", "weight": 1000001}]"#),
         "routes[0].variants[1].weight: 1000001 is out of range, expected 0 to 1000000\nroutes[0].variants[1].name: \"a\" is already used, expected another name"),
        (route(r#""variants": [{"name": "a", "cluster": "c", "ramp": {"steps": [{"weight": 1, "hold_ms": 1000}]}}]"#),
         "routes[0].variants: all ramp, expected one without a ramp that takes what the others leave"),
        (route(r#""variants": [{"name": "a", "cluster": "c"}, {"name": "b", "cluster": "c", "ramp": {"steps": [{"weight": 3, "hold_ms": 1000}]}}]"#),
         "routes[0].variants: those beside the baseline may weigh 3 together, expected at most 2, the sum of all weights"),
        (route(r#""sticky": {"experiment": "e", "by": ["client_address"]}, "variants": [{"name": "a", "cluster": "c", "weight": 10}, {"name": "b", "cluster": "c", "weight": 80}, {"name": "c", "cluster": "c", "weight": 10}]"#),
         "routes[0].variants: \"b\" weighs up to 80, more than its territory of 50, expected a `max_weight` that it fits into, or that it is the `baseline`"),
        (route(&format!(r#""sticky": {{"experiment": "e", "by": ["host"]}}, {variants}"#)),
         "routes[0].sticky.by[0]: identifies no client, expected one of `header`, `cookie`, `query_parameter`, `client_address`"),
        (route(&format!(r#""sticky": {{"experiment": "e"}}, {variants}"#)),
         "routes[0].sticky: identifies no client, expected `by` or `cookie`"),
        (route(&format!(r#""sticky": {{"experiment": "e", "cookie": {{"name": "c", "secure": false, "partitioned": true}}}}, {variants}"#)),
         "routes[0].sticky.cookie: browsers drop it, expected `secure` with `partitioned`"),
        (route(&format!(r#""sticky": {{"experiment": "e", "cookie": {{"name": "c", "secure": false, "partitioned": true, "same_site": "none"}}}}, {variants}"#)),
         "routes[0].sticky.cookie: browsers drop it, expected `secure` with `same_site` none"),
        (route(&format!(r#""match": {{"path": {{"regex": "/a.*"}}}}, {variants}"#)),
         "routes[0].match.path.regex: regular expressions are not supported, expected `template`, `prefix` or `starts_with`"),
        (route(&format!(r#""match": {{"headers": [{{"name": "x", "regex": "a"}}]}}, {variants}"#)),
         "routes[0].match.headers[0].regex: regular expressions are not supported, expected `contains`, `prefix` or `suffix`, several matches, or `cookies`"),
        (route(&format!(r#""match": {{"percent": 5, "basis_points": 7}}, {variants}"#)),
         "routes[0].match: found `percent` and `basis_points` together, expected only one of them"),
        (route(&format!(r#""match": {{"client_address": ["10.0.0.1/8"]}}, {variants}"#)),
         "routes[0].match.client_address[0]: \"10.0.0.1/8\" is no range of addresses, expected an address, or the first of a network with the length of its prefix"),
        (route(&format!(r#""match": {{"not": {{"not": {{}}}}}}, {variants}"#)),
         "routes[0].match.not.not: unknown field `not`, expected one of `path`, `method`, `host`, `headers`, `query`, `cookies`, `client_address`"),
        (route(&format!(r#""timeouts": {{"request_ms": 10, "per_try_timeout_ms": 11}}, {variants}"#)),
         "routes[0].timeouts.per_try_timeout_ms: 11 ms is above request_ms, expected at most 10 ms"),
        (route(&format!(r#""retry": {{"attempts": 2}}, {variants}"#)),
         "routes[0].retry: retries on nothing, expected `retry_on` or `grpc_on`"),
        (format!(r#"{{"force": {{"header": "x"}}, "routes": [{{"name": "r", {variants}}}]}}"#),
         "force: trusts no caller, expected `secret` or `from`"),
        (format!(r#"{{"force": {{"secret": "short"}}, "routes": [{{"name": "r", {variants}}}]}}"#),
         "force.secret: does not fit (no message shows it), expected visible ASCII, 16 to 256 bytes"),
        (format!(r#"{{"headers": {{"cluster": "x-a", "mirror": "X-A"}}, "routes": [{{"name": "r", {variants}}}]}}"#),
         "headers.mirror: `x-a` would carry two things, expected a header for each"),
        (format!(r#"{{"routes": [
            {{"name": "r", "sticky": {{"experiment": "e", "cookie": {{"name": "tg", "max_age_ms": "1d"}}}}, {variants}}},
            {{"name": "other", "sticky": {{"experiment": "e", "cookie": {{"name": "u"}}}}, {variants}}},
            {{"name": "s", "sticky": {{"experiment": "e", "cookie": {{"name": "tg", "max_age_ms": "1m"}}}}, {variants}}}]}}"#),
         "routes: \"s\" has the cookie of \"r\" with other attributes, expected the same `max_age_ms`, `path`, `domain` and flags, or another `name`"),
    ];
    for (json, expected) in cases {
        assert_eq!(problems(&json).join("\n"), expected, "{json}");
    }
}
