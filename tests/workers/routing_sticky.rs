//! Visitors with the cookie of a sticky route: they keep their variant and their endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{json, Value};
use tidegate_policy::discovery::Discovery;
use tidegate_policy::fused::Fused;
use tidegate_policy::http::{Attribute, Edit, Request, Stage, Verdict};
use tidegate_policy::routing::Routing;
use tidegate_sim::{SimHost, SimRequest, SimResponse, Worker};

use crate::discovery::{header, STEER};
use crate::routing::{exchange, onward, split, variant, Workers};

/// What a browser keeps: values, and when they are dropped, in seconds.
#[derive(Default)]
struct Jar(BTreeMap<String, (String, u64)>);

impl Jar {
    /// The `cookie` header at this second; empty for none.
    fn sent(&self, second: u64) -> String {
        let alive = self.0.iter().filter(|(_, (_, until))| *until > second);
        alive.map(|(name, (value, _))| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn take(&mut self, second: u64, set_cookie: &str) {
        let (pair, attributes) = set_cookie.split_once("; ").unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        let age = attributes.split("; ").find_map(|one| one.strip_prefix("Max-Age="));
        let until = age.map_or(u64::MAX, |age| second + age.parse::<u64>().unwrap());
        self.0.insert(name.to_owned(), (value.to_owned(), until));
    }
}

fn worker<S: Stage>(json: &str) -> Worker<S, SimHost> {
    Worker::new(json, SimHost::new(Arc::default())).expect("a right configuration")
}

/// A route to a service, whose visitors have a cookie.
fn shop() -> Value {
    let variant =
        |name: &str, tag: &str| json!({"name": name, "weight": 50, "service": {"name": "shop", "tag": tag}});
    json!({"routes": [{
        "name": "r", "sticky": {"experiment": "e", "cookie": {"name": "tg"}},
        "variants": [variant("stable", "v1"), variant("canary", "v2")],
    }]})
}

/// The service, balanced by that cookie.
fn shops(algorithm: &str) -> Value {
    let endpoint = |n: u8| json!({"address": format!("10.0.0.{n}"), "port": 80, "tags": [if n % 2 == 0 { "v1" } else { "v2" }]});
    json!({
        "registries": {"main": {"static": {"services": {"shop": (1..=8).map(endpoint).collect::<Vec<_>>()}}}},
        "services": [{"name": "shop", "registry": "main", "balance": {algorithm: {"hash_key": [{"cookie": "tg"}]}}}],
        "allow": ["10.0.0.0/8:80"],
    })
}

fn continued(verdict: Verdict) -> Vec<Edit> {
    match verdict {
        Verdict::Continue(edits) => edits,
        other => panic!("{other:?}"),
    }
}

/// What the client gets to keep.
fn kept(jar: &mut Jar, second: u64, edits: &[Edit]) {
    for edit in edits {
        let Edit::AddResponseHeader(_, value) = edit else { panic!("{edit:?}") };
        jar.take(second, value);
    }
}

/// A visit with other cookies of the visitor's beside those of the jar; the endpoint.
type Visit<'a> = &'a dyn Fn(&mut Jar, u64) -> String;

/// Of 40 visitors of five requests each, how many went elsewhere after the first one.
fn moved(visit: Visit<'_>) -> usize {
    let moves = |_: &u64| {
        let mut jar = Jar::default();
        let first = visit(&mut jar, 0);
        (1..5).any(|second| visit(&mut jar, second) != first)
    };
    (0..40).filter(moves).count()
}

fn request(cookies: &str) -> SimRequest<'_> {
    SimRequest::get("/").header("cookie", b"a=b").header("cookie", cookies.as_bytes())
}

/// 31 of 40 visitors moved: discovery hashed a first request that had no cookie yet.
#[test]
fn a_visitor_has_one_endpoint_from_the_first_request_on_in_a_chain_of_two_modules() {
    for algorithm in ["maglev", "ring_hash", "rendezvous"] {
        let routing = worker::<Routing>(&shop().to_string());
        let discovery = worker::<Discovery>(&shops(algorithm).to_string());
        let visit = |jar: &mut Jar, second: u64| {
            let cookies = jar.sent(second);
            let sent = request(&cookies);
            let (verdict, exchange) = routing.begin(&sent);
            let chosen = routing.outcome(&exchange).unwrap();
            let onward = onward(&sent, verdict);
            let seen = onward.all().iter().fold(SimRequest::get("/"), |request, (name, value)| {
                if name.starts_with(':') {
                    request
                } else {
                    request.header(name, value.as_bytes())
                }
            });
            let seen = seen.attribute(Attribute::Chosen, chosen.as_bytes());
            let (verdict, found) = discovery.begin(&seen);
            let endpoint = header(&continued(verdict), STEER).unwrap().to_owned();
            discovery.end(found, &SimResponse::upstream(200));
            kept(jar, second, &routing.end(exchange, &SimResponse::upstream(200)));
            endpoint
        };
        assert_eq!(moved(&visit), 0, "{algorithm}");
    }
}

#[test]
fn a_visitor_has_one_endpoint_from_the_first_request_on_in_one_module() {
    let both = json!({"routing": shop(), "discovery": shops("maglev")});
    let worker = worker::<Fused>(&both.to_string());
    let visit = |jar: &mut Jar, second: u64| {
        let cookies = jar.sent(second);
        let (verdict, exchange) = worker.begin(&request(&cookies));
        let endpoint = header(&continued(verdict), STEER).unwrap().to_owned();
        kept(jar, second, &worker.end(exchange, &SimResponse::upstream(200)));
        endpoint
    };
    assert_eq!(moved(&visit), 0);
}

/// Six requests on one connection of HTTP/2, say: the third to fifth left the endpoint, which had more than its
/// part of the load.
#[test]
fn a_visitors_requests_have_one_endpoint_though_they_are_in_flight_together() {
    for algorithm in ["maglev", "ring_hash", "rendezvous"] {
        let both = json!({"routing": shop(), "discovery": shops(algorithm)});
        let worker = worker::<Fused>(&both.to_string());
        let mut jar = Jar::default();
        let (_, exchange) = worker.begin(&request(""));
        kept(&mut jar, 0, &worker.end(exchange, &SimResponse::upstream(200)));
        let cookies = jar.sent(1);
        let all: Vec<_> = (0..6).map(|_| worker.begin(&request(&cookies))).collect();
        let went: BTreeSet<String> = all
            .iter()
            .map(|(verdict, _)| header(&continued(verdict.clone()), STEER).unwrap().to_owned())
            .collect();
        assert_eq!(went.len(), 1, "{algorithm}: {went:?}");
        all.into_iter().for_each(|(_, exchange)| drop(worker.end(exchange, &SimResponse::upstream(200))));
    }
}

/// The upstream of a first request reads the cookie, too, beside what the client sent.
#[test]
fn a_first_request_goes_on_with_the_cookie_that_its_client_gets() {
    let workers = Workers::new(1, &split(r#""sticky": {"experiment": "e", "cookie": {"name": "tg"}}"#));
    let worker = &workers.all[0];
    #[rustfmt::skip]
    let cases: [(&[&[u8]], &str); 5] = [
        (&[],                        "tg=*"),
        (&[b"a=b", b"c=d"],          "a=b; c=d; tg=*"),
        (&[b"tg="],                  "tg=; tg=*"),
        // Known: nothing is changed.
        (&[b"a=b; tg=x"],            "a=b; tg=x"),
        (&[b"tg=; tg=x"],            "tg=; tg=x"),
    ];
    for (sent, expected) in cases {
        let request =
            sent.iter().fold(SimRequest::get("/"), |request, value| request.header("cookie", value));
        let (verdict, exchange) = worker.begin(&request);
        let edits = worker.end(exchange, &SimResponse::upstream(200));
        let set = edits.iter().find_map(|edit| match edit {
            Edit::AddResponseHeader(_, value) => value.strip_prefix("tg=")?.split(';').next(),
            _ => None,
        });
        assert_eq!(
            onward(&request, verdict).get("cookie"),
            expected.replace('*', set.unwrap_or("-")),
            "{expected}"
        );
        assert_eq!(set.is_some(), expected.contains('*'), "{expected}");
    }
    // Bytes that are no text stay as they are.
    let latin = SimRequest::get("/").header("cookie", b"a=\xff");
    let edits = continued(worker.request(&latin));
    let adds = |edit: &Edit| matches!(edit, Edit::AddRequestHeader(name, value) if &**name == "cookie" && value.starts_with("tg="));
    assert_eq!(edits.iter().filter(|edit| adds(edit)).count(), 1, "{edits:?}");
}

#[test]
fn a_route_that_observes_makes_no_cookie() {
    let fields = r#""mode": "observe", "sticky": {"experiment": "e", "cookie": {"name": "tg"}}"#;
    let workers = Workers::new(1, &split(fields));
    assert_eq!(workers.all[0].request(&SimRequest::get("/")), Verdict::Continue(Vec::new()));
    assert_eq!(exchange(&workers.all[0], &SimRequest::get("/"), 200).1, []);
}

/// The variants of one visitor, with visits at these seconds and this `max_age_ms`; and how often the
/// cookie was sent after the first time.
fn visits(workers: &Workers, at: impl Iterator<Item = u64>) -> (Vec<String>, usize) {
    let (mut jar, mut variants, mut renewed) = (Jar::default(), Vec::new(), 0_usize);
    for (number, second) in at.enumerate() {
        let cookies = jar.sent(second);
        let worker = &workers.all[number % workers.all.len()];
        let (label, set) = exchange(worker, &request(&cookies), 200);
        set.iter().for_each(|(_, value)| jar.take(second, value));
        renewed += usize::from(number > 0 && !set.is_empty());
        variants.push(variant(&label).to_owned());
    }
    variants.dedup();
    (variants, renewed)
}

fn aging(max_age_ms: u64) -> Workers {
    let cookie = json!({"name": "tg", "max_age_ms": max_age_ms});
    let variant = |name: &str| json!({"name": name, "cluster": name, "weight": 1});
    let route = json!({"name": "r", "sticky": {"experiment": "e", "cookie": cookie},
                       "variants": [variant("a"), variant("b")]});
    Workers::new(2, &json!({"routes": [route]}).to_string())
}

/// A cookie of three seconds was dropped after three, in the middle of visits.
#[test]
fn no_visitor_changes_sides_while_the_cookie_is_used() {
    #[rustfmt::skip]
    let cases = [
        // max age     a visit each    for, in s
        (3_000,        1,              9),
        (3_000,        2,              30),
        (2_000,        1,              9),
        (60_000,       1,              600),
        (60_000,       53,             6_000),
        (86_400_000,   20 * 3_600,     30 * 86_400),
    ];
    for (max_age_ms, each, seconds) in cases {
        let workers = aging(max_age_ms);
        let changed = (0..30).filter(|_| {
            let at = (0..seconds / each.max(1)).map(|n| n * each);
            visits(&workers, at).0.len() > 1
        });
        assert_eq!(changed.count(), 0, "{max_age_ms} ms, a visit each {each} s");
    }
}

/// Ten thousand visits of a day renew a cookie of a day at most ten times.
#[test]
fn a_cookie_is_renewed_ten_times_in_its_age_at_most() {
    let workers = aging(86_400_000);
    let (_, renewed) = visits(&workers, (0..86_400).step_by(8));
    assert!((5..=10).contains(&renewed), "{renewed}");
    let (_, of_a_session) = visits(&aging(0), 0..1_000);
    assert_eq!(of_a_session, 0, "a cookie that does not age");
}

/// A visitor who is known by something else does not use the cookie; a value that the filter did not make is
/// somebody else's to renew.
#[test]
fn only_a_cookie_in_use_that_the_filter_made_is_renewed() {
    let fields = r#""sticky": {"experiment": "e", "by": [{"header": "x-user"}, {"cookie": "tg"}], "cookie": {"name": "tg"}}"#;
    let workers = Workers::new(1, &split(fields));
    let ours = b"tg=0123456789abcdef0123456789abcdef";
    #[rustfmt::skip]
    let cases = [
        (SimRequest::get("/").header("cookie", ours),                                        2),
        (SimRequest::get("/").header("cookie", ours).header("cookie", b"tg-renewed=1"),      0),
        (SimRequest::get("/").header("cookie", ours).header("x-user", b"alice"),             0),
        (SimRequest::get("/").header("cookie", b"tg=alice"),                                 0),
        (SimRequest::get("/").header("cookie", b"tg=\xff"),                                  0),
        (SimRequest::get("/").header("cookie", b"tg-renewed=1"),                             2),
    ];
    for (request, expected) in cases {
        let set = exchange(&workers.all[0], &request, 200).1;
        assert_eq!(set.len(), expected, "{request:?}: {set:?}");
        let sent = String::from_utf8_lossy(request.headers().last().unwrap().1).into_owned();
        if expected == 2 && sent.starts_with("tg=") {
            assert!(set[0].1.starts_with(&(sent + "; Path=/; Max-Age=86400; ")), "{set:?}");
        }
    }
}

/// An answer of the filter itself is kept as well.
#[test]
fn a_variant_that_is_a_status_gives_and_renews_the_cookie() {
    let json = json!({"routes": [{"name": "r", "sticky": {"experiment": "e", "cookie": {"name": "tg"}},
                                  "variants": [{"name": "v", "status": 503}]}]});
    let workers = Workers::new(1, &json.to_string());
    let first = SimRequest::get("/");
    let known = SimRequest::get("/").header("cookie", b"tg=0123456789abcdef0123456789abcdef; tg-renewed=1");
    for (request, expected) in [(first, 2), (known, 0)] {
        let reply = crate::routing::reply(workers.all[0].request(&request));
        let cookies = reply.headers.iter().filter(|(name, _)| name == "set-cookie");
        assert_eq!(cookies.count(), expected, "{request:?}");
    }
}
