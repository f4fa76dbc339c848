//! Breakers of services and variants: which requests are theirs, in every layout of the filters.

use std::cell::RefCell;
use std::sync::Arc;

use tidegate_policy::breaker::CircuitBreaker;
use tidegate_policy::discovery::Discovery;
use tidegate_policy::fused::Fused;
use tidegate_policy::http::{Attribute, Header, Request, Stage};
use tidegate_policy::routing::Routing;
use tidegate_sim::chain::Link;
use tidegate_sim::{Of, Passage, SimChain, SimHost, SimRequest, SimResponse, SimRoute, SimStore, To, Worker};

use crate::discovery::fixed;

/// The routes of the documents: a fallback's or a variant's cluster, what has an endpoint, the rest.
const ROUTES: [SimRoute; 3] = [
    SimRoute { name: "", of: Of::Having("x-tidegate-cluster"), to: To::Named("x-tidegate-cluster") },
    SimRoute { name: "", of: Of::Having("x-envoy-original-dst-host"), to: To::Cluster("discovered") },
    SimRoute { name: "", of: Of::All, to: To::Cluster("") },
];

/// Sends `x-want: variant` to the service, and all else to it as well.
const ROUTING: &str = r#"{"routes": [
    {"name": "shop", "variants": [{"name": "all", "service": {"name": "orders", "tag": "v1"}}]}]}"#;

fn worker<S: Stage>(store: &Arc<SimStore>, json: &str) -> Worker<S, SimHost> {
    Worker::new(json, SimHost::new(Arc::clone(store))).unwrap_or_else(|error| panic!("{json}: {error:?}"))
}

fn breaker(target: &str, fields: &str) -> String {
    crate::breaker::of(target, fields)
}

/// A service `orders` that takes what routing sends it, or all requests.
fn orders(routed: bool) -> String {
    let json = fixed(&["10.0.0.1:80"], r#""subset": {"fallback": "any_endpoint"}"#);
    if routed {
        json.replace(r#""match": {"path": {"prefix": "/"}}, "#, "")
    } else {
        json
    }
}

/// Where requests with this status go, or the status that a filter answered, separated by spaces.
fn went(chain: &SimChain<'_>, status: u32, count: usize) -> String {
    let one = |_| match chain.send(&[], &|_| SimResponse::upstream(status), &RefCell::default()) {
        Passage::Answered(reply) => reply.status.to_string(),
        Passage::Held => "held".to_owned(),
        Passage::Went { cluster, .. } => cluster,
    };
    (0..count).map(one).collect::<Vec<_>>().join(" ")
}

const GUARDED: &str = "discovered discovered discovered discovered discovered 503 503 503";

/// The issue's story: 8 of 8 failing requests passed, and no metric moved.
#[test]
fn a_breaker_of_a_service_opens_in_each_layout_of_the_documents() {
    let json = breaker(r#"{"service": "orders"}"#, "");
    for (routed, order) in [(false, "db"), (true, "rbd"), (true, "rdb")] {
        let store = Arc::new(SimStore::default());
        let routing = worker::<Routing>(&store, ROUTING);
        let discovery = worker::<Discovery>(&store, &orders(routed));
        let breaker = worker::<CircuitBreaker>(&store, &json);
        let link = |letter| match letter {
            'r' => &routing as &dyn Link,
            'd' => &discovery,
            _ => &breaker,
        };
        let chain = SimChain::new(order.chars().map(link).collect(), &ROUTES);
        assert_eq!(went(&chain, 503, 8), GUARDED, "{order}");
        let failed = breaker.counter("tidegate.breaker.breaker.a.failed");
        assert_eq!(breaker.host.count(failed), 5, "{order}");
    }
}

/// In one module the breaker is asked first, and discovery says what it will choose.
#[test]
fn a_breaker_in_the_module_of_discovery_knows_the_service_in_advance() {
    for routed in [false, true] {
        let json = format!(
            r#"{{"breaker": {}, "discovery": {}}}"#,
            breaker(r#"{"service": "orders"}"#, ""),
            orders(routed)
        );
        let store = Arc::new(SimStore::default());
        let routing = worker::<Routing>(&store, ROUTING);
        let both = worker::<Fused>(&store, &json);
        let mut links: Vec<&dyn Link> = vec![&both];
        if routed {
            links.insert(0, &routing);
        }
        assert_eq!(went(&SimChain::new(links, &ROUTES), 503, 8), GUARDED, "{routed}");
    }
}

/// What an Istio `VirtualService` can say: the header's value is matched, and the cluster has a long name.
#[test]
fn a_breaker_of_a_variant_opens_however_envoy_is_steered() {
    let routing = r#"{"routes": [{"name": "checkout", "variants": [
        {"name": "stable", "cluster": "v1", "weight": 0}, {"name": "canary", "cluster": "v2", "weight": 1}]}]}"#;
    let long = "outbound|80|v2|shop.prod.svc.cluster.local";
    let matched =
        [("v2", long), ("v1", "outbound|80|v1|shop.prod.svc.cluster.local")].map(|(value, cluster)| {
            SimRoute { name: "", of: Of::Saying("x-tidegate-cluster", value), to: To::Cluster(cluster) }
        });
    for (target, guarded) in [
        (r#"{"variant": "checkout/canary"}"#.to_owned(), true),
        (r#"{"cluster": "v2"}"#.to_owned(), true),
        (r#"{"variant": "checkout/stable"}"#.to_owned(), false),
        (r#"{"variant": "canary/checkout"}"#.to_owned(), false),
        (format!(r#"{{"cluster": "{long}"}}"#), false),
    ] {
        let store = Arc::new(SimStore::default());
        let routing = worker::<Routing>(&store, routing);
        let breaker = worker::<CircuitBreaker>(&store, &breaker(&target, ""));
        let chain = SimChain::new(vec![&routing, &breaker], &matched);
        let expected = match guarded {
            true => format!("{} 503 503 503", [long; 5].join(" ")),
            false => [long; 8].join(" "),
        };
        assert_eq!(went(&chain, 503, 8), expected, "{target}");
    }
}

#[test]
fn only_what_goes_to_a_service_is_the_services() {
    #[rustfmt::skip]
    let cases: [(&str, Option<&str>, Option<&str>, bool); 9] = [
        // name                        discovery says                  routing says                    guarded
        ("by discovery",               Some("orders 10.0.0.1:80 0.1"), None,                           true),
        ("foretold",                   Some("orders"),                 None,                           true),
        ("another",                    Some("orders2 10.0.0.1:80 0.1"), None,                          false),
        ("no endpoint, sent on",       Some("orders - no_endpoints"),  Some("orders shop all drawn 1"), false),
        ("by routing",                 None,                           Some("orders shop all drawn 1"), true),
        ("a part of it",               None,                           Some("orders;tag=v1 shop all drawn 1"), true),
        ("another by routing",         None,                           Some("ordersx shop all drawn 1"), false),
        ("discovery has the last say", Some("cart 10.0.0.1:80 0.1"),   Some("orders shop all drawn 1"), false),
        ("nothing is said",            None,                           None,                           false),
    ];
    for (name, discovered, chosen, guarded) in cases {
        let worker = worker::<CircuitBreaker>(
            &Arc::default(),
            &breaker(r#"{"service": "orders"}"#, r#""state": "forced_open""#),
        );
        let mut request = SimRequest::get("/");
        for (which, text) in [(Attribute::Discovered, discovered), (Attribute::Chosen, chosen)] {
            if let Some(text) = text {
                request = request.attribute(which, text.as_bytes());
            }
        }
        let (word, _) = crate::breaker::ask(&worker, &request);
        assert_eq!(word, if guarded { '-' } else { '+' }, "{name}");
    }
}

/// Routing says whether it chose a cluster or a service: of a cluster there is a header.
#[test]
fn a_cluster_with_the_name_of_a_service_is_another_target() {
    let json = breaker(r#"{"service": "orders"}"#, r#""state": "forced_open""#);
    let worker = worker::<CircuitBreaker>(&Arc::default(), &json);
    let chosen = b"orders shop all drawn 1";
    let request =
        SimRequest::get("/").header("x-tidegate-cluster", b"orders").attribute(Attribute::Chosen, chosen);
    assert_eq!(crate::breaker::ask(&worker, &request).0, '+');
}

/// The route of a request may be anything: what filters of ours chose is known.
#[test]
fn a_forged_header_puts_no_service_in_doubt() {
    let json = breaker(r#"{"service": "orders"}"#, r#""state": "forced_open""#);
    let worker = worker::<CircuitBreaker>(&Arc::default(), &json);
    let forged = || SimRequest::get("/").header("x-tidegate-cluster", b"x");
    assert_eq!(crate::breaker::ask(&worker, &forged()).0, '+');
    let ours = forged().attribute(Attribute::Discovered, b"orders 10.0.0.1:80 0.1");
    assert_eq!(crate::breaker::ask(&worker, &ours).0, '-');
}

/// A request that notes what is asked of the host.
struct Asked<'a>(SimRequest<'a>, RefCell<Vec<Attribute>>);

impl Request for Asked<'_> {
    fn headers(&self) -> &[Header<'_>] {
        self.0.headers()
    }

    fn peer(&self) -> Option<std::net::IpAddr> {
        None
    }

    fn lone_header(&self, name: &str) -> Option<Vec<u8>> {
        self.0.lone_header(name)
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        self.1.borrow_mut().push(which);
        Request::attribute(&self.0, which)
    }
}

/// A text costs as much as a small filter.
#[test]
fn what_filters_chose_is_asked_once_and_only_for_a_target_that_needs_it() {
    use Attribute::{Chosen, Cluster, Discovered};
    let (two_services, two_variants) =
        (r#"{"service": "a"}, {"service": "b"}"#, r#"{"variant": "r/a"}, {"variant": "r/b"}"#);
    #[rustfmt::skip]
    let cases = [
        // targets                                        discovery speaks  asked for texts
        (r#"{"cluster": "a"}, {"cluster": "b"}"#.to_owned(),  true,         vec![Cluster]),
        (two_services.to_owned(),                             true,         vec![Discovered]),
        (two_services.to_owned(),                             false,        vec![Discovered, Chosen]),
        (two_variants.to_owned(),                             true,         vec![Chosen]),
        (format!("{two_services}, {two_variants}"),           false,        vec![Discovered, Chosen]),
    ];
    for (targets, speaks, expected) in cases {
        let breakers = targets.split(", ").enumerate();
        let breakers = breakers.map(|(n, target)| format!(r#"{{"name": "b{n}", "target": {target}}}"#));
        let json = format!(r#"{{"breakers": [{}]}}"#, breakers.collect::<Vec<_>>().join(", "));
        let worker = worker::<CircuitBreaker>(&Arc::default(), &json);
        let mut request =
            SimRequest::get("/").attribute(Cluster, b"x").attribute(Chosen, b"x shop all drawn 1");
        if speaks {
            request = request.attribute(Discovered, b"x 10.0.0.1:80 0.1");
        }
        let asked = Asked(request, RefCell::default());
        let _ = worker.request(&asked);
        let texts: Vec<_> =
            asked.1.into_inner().into_iter().filter(|which| *which != Attribute::Steering).collect();
        assert_eq!(texts, expected, "{targets}");
    }
}

/// The metrics of the service `orders`: requests, failures, ejections.
fn learned(discovery: &Worker<Discovery, SimHost>) -> [u64; 3] {
    ["requests", "failures", "ejections"].map(|word| {
        discovery.tick();
        let name = format!("tidegate.discovery.service.orders.{word}");
        discovery.host.count(discovery.counter(&name))
    })
}

/// The fallback's cluster has endpoints of its own, whose answers say nothing of the service's.
#[test]
fn what_a_fallback_answers_is_not_the_endpoints() {
    let fields = r#""consecutive_failures": 3, "fallback": [{"cluster": "backup"}]"#;
    let json = breaker(r#"{"service": "orders"}"#, fields);
    for (routed, order) in [(false, "db"), (true, "rbd"), (true, "rdb")] {
        let store = Arc::new(SimStore::default());
        let routing = worker::<Routing>(&store, ROUTING);
        let discovery = worker::<Discovery>(&store, &orders(routed));
        let breaker = worker::<CircuitBreaker>(&store, &json);
        let link = |letter| match letter {
            'r' => &routing as &dyn Link,
            'd' => &discovery,
            _ => &breaker,
        };
        let chain = SimChain::new(order.chars().map(link).collect(), &ROUTES);
        // After three failures the backup's own breaker opens, too, and clients are refused.
        let backup = "discovered discovered discovered backup backup backup 503 503";
        assert_eq!(went(&chain, 503, 8), backup, "{order}");
        let [requests, failures, ejections] = learned(&discovery);
        assert_eq!((failures, ejections), (3, 0), "{order}");
        assert_eq!(requests, if order == "rbd" { 3 } else { 8 }, "{order}");
    }
}

/// No route obeys the header of the fallback, so the request goes to the service's cluster all the same.
#[test]
fn a_services_fallback_that_does_not_arrive_is_noticed() {
    let fields = r#""consecutive_failures": 3, "base_open_ms": 60000, "fallback": [{"cluster": "backup"}]"#;
    let store = Arc::new(SimStore::default());
    let discovery = worker::<Discovery>(&store, &orders(false));
    let breaker = worker::<CircuitBreaker>(&store, &breaker(r#"{"service": "orders"}"#, fields));
    let chain = SimChain::new(vec![&discovery, &breaker], &ROUTES[1..]);
    let count = |word: &str| breaker.host.count(breaker.counter(&format!("tidegate.breaker.breaker.{word}")));
    breaker.tick();
    assert_eq!(went(&chain, 200, 1), "discovered");
    assert_eq!(went(&chain, 503, 3), "discovered discovered discovered");
    assert_eq!(went(&chain, 503, 3), "discovered 503 503");
    assert_eq!([count("a.misrouted"), count("a.failed"), count("a-fallback-1.failed")], [1, 4, 0]);
    let notes = breaker.host.take_notes();
    assert!(notes.iter().any(|line| line.contains("went to cluster discovered")), "{notes:?}");
}
