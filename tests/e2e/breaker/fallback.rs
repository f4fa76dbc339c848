//! Where refused requests go instead, and that clients cannot steer.

use serde_json::{json, Value};
use tidegate_tests::{eventually, Answer, Bootstrap, Client, Envoy, Upstream};

use super::setup::{
    assert_metrics, assert_transitions, breaker, filter, guarded, is_refusal, start, with_1_2_and_4_workers,
    SOON,
};

/// The two routes of the example: by the header where there is one, else to the cluster `up`.
fn routed(breakers: &[Value], clusters: &[(&str, &Upstream)]) -> Bootstrap {
    let header = json!([{"name": "x-tidegate-cluster", "present_match": true}]);
    let bootstrap = Bootstrap::new().balanced().wasm(&filter(breakers));
    let bootstrap = clusters.iter().fold(bootstrap, |all, (name, up)| all.cluster(name, &[up.addr()]));
    bootstrap
        .access_log("%RESPONSE_CODE% %UPSTREAM_CLUSTER% %FILTER_STATE(wasm.tidegate.breaker:PLAIN)%")
        .route(json!({
            "match": {"prefix": "/", "headers": header},
            "route": {"cluster_header": "x-tidegate-cluster"},
        }))
        .forward("/", "up")
}

/// Three connections, so that several workers are asked.
fn clients(envoy: &Envoy) -> [Client; 3] {
    [(); 3].map(|()| Client::connect(envoy.addr()))
}

/// Asks each time on the next connection; the bodies.
fn ask(clients: &mut [Client], count: usize) -> Vec<String> {
    let len = clients.len();
    (0..count).map(|number| clients[number % len].get("/", &[]).text()).collect()
}

#[test]
fn a_chain_of_fallbacks_ends_at_the_first_that_is_closed() {
    with_1_2_and_4_workers(|workers| {
        let [up, spare, last] = [503, 200, 200].map(|status| Upstream::fixed(status, "up"));
        spare.switch(Answer::new(200, "spare"));
        last.switch(Answer::new(200, "last"));
        let reply = json!({"status": 200, "body": "closed for a moment", "headers": {"x-a": "b"}});
        let chain = json!({"fallback": [{"cluster": "spare"}, {"cluster": "last"}, {"reply": reply}]});
        let named = breaker("of-last", &json!({"target": {"cluster": "last"}, "consecutive_failures": 2}));
        let breakers = [breaker("up", &chain), named];
        let envoy = start(&routed(&breakers, &[("up", &up), ("spare", &spare), ("last", &last)]), workers);
        let mut clients = clients(&envoy);

        assert_eq!(ask(&mut clients, 5), ["up"; 5]);
        assert_eq!(ask(&mut clients, 6), ["spare"; 6]);
        // A success that is not told yet would end a run of failures that is younger than itself.
        assert_metrics(&envoy, "up-fallback-1", &[("succeeded", 6)]);
        spare.switch(Answer::new(500, "spare"));
        assert_eq!(ask(&mut clients, 5), ["spare"; 5]);
        assert_eq!(ask(&mut clients, 6), ["last"; 6]);
        assert_metrics(&envoy, "of-last", &[("succeeded", 6)]);
        last.switch(Answer::new(500, "last"));
        assert_eq!(ask(&mut clients, 2), ["last"; 2]);
        assert_eq!(ask(&mut clients, 3), ["closed for a moment"; 3]);

        let answer = clients[0].get("/", &[]);
        assert_eq!((answer.status, is_refusal(&answer)), (200, true));
        assert_eq!((answer.header("x-a").as_deref(), answer.header("retry-after")), (Some("b"), None));
        assert_eq!([up.count(), spare.count(), last.count()], [5, 11, 8]);
        assert_metrics(&envoy, "up", &[("admitted", 5), ("fell_back", 19), ("refused", 4), ("state", 1)]);
        assert_metrics(
            &envoy,
            "up-fallback-1",
            &[("admitted", 11), ("succeeded", 6), ("failed", 5), ("state", 1)],
        );
        assert_metrics(&envoy, "of-last", &[("admitted", 8), ("succeeded", 6), ("failed", 2), ("state", 1)]);
        assert_transitions(
            &envoy,
            &[
                "up: closed -> open (consecutive)",
                "up-fallback-1: closed -> open (consecutive)",
                "of-last: closed -> open (consecutive)",
            ],
        );
        eventually("the access log", SOON, || {
            let log = envoy.access_log();
            let count = |line: &str| log.lines().filter(|got| *got == line).count();
            count("200 spare fallback:up") == 6
                && count("200 last fallback:up") == 6
                && count("503 up -") == 5
        });
    });
}

#[test]
fn the_fallback_cluster_is_told_apart_from_the_one_that_fails() {
    // Success of the spare cluster must not close, nor its failure keep open, the breaker of `up`.
    let [up, spare] = [503, 200].map(|status| Upstream::fixed(status, "up"));
    spare.switch(Answer::new(200, "spare"));
    let fields = json!({"base_open_ms": 200, "half_open_permits": 1, "fallback": [{"cluster": "spare"}]});
    let envoy = start(&routed(&[breaker("up", &fields)], &[("up", &up), ("spare", &spare)]), 2);
    let mut clients = clients(&envoy);
    assert_eq!(ask(&mut clients, 5), ["up"; 5]);
    assert_eq!(ask(&mut clients, 3), ["spare"; 3]);
    up.switch(Answer::new(200, "up again"));
    eventually("recovery", SOON, || ask(&mut clients, 1) == ["up again"]);
    assert_eq!(ask(&mut clients, 6), ["up again"; 6]);
    assert_metrics(&envoy, "up", &[("state", 0), ("probes", 1), ("refused", 0)]);
}

/// The header is removed, and Envoy chooses the route anew: the plain one.
#[test]
fn a_cluster_that_a_client_names_is_ignored() {
    with_1_2_and_4_workers(|workers| {
        let [up, spare] = [200, 200].map(|status| Upstream::fixed(status, "up"));
        let envoy = start(&routed(&[breaker("up", &json!({}))], &[("up", &up), ("spare", &spare)]), workers);
        let mut clients = clients(&envoy);
        for name in ["spare", "up", "nobody", ""] {
            for client in &mut clients {
                let answer =
                    client.get("/", &[("x-tidegate-cluster", name), ("x-tidegate-cluster", "spare")]);
                assert_eq!((answer.status, answer.text().as_str()), (200, "up"), "{name}");
            }
        }
        assert_eq!((up.count(), spare.count()), (12, 0));
        assert!(up.seen().iter().all(|seen| seen.header("x-tidegate-cluster").is_none()));
        // They pass without being counted.
        assert_metrics(&envoy, "up", &[("admitted", 0), ("refused", 0)]);
        assert_transitions(&envoy, &[]);
    });
}

#[test]
fn nobody_gets_past_an_open_breaker_by_naming_a_cluster() {
    with_1_2_and_4_workers(|workers| {
        let [up, spare] = [503, 200].map(|status| Upstream::fixed(status, "up"));
        let fields = json!({"fallback": [{"cluster": "spare"}]});
        let envoy = start(&routed(&[breaker("up", &fields)], &[("up", &up), ("spare", &spare)]), workers);
        let mut clients = clients(&envoy);
        assert_eq!(ask(&mut clients, 5), ["up"; 5]);
        for name in ["spare", "up", "nobody"] {
            for client in &mut clients {
                let answer = client.get("/", &[("x-tidegate-cluster", name)]);
                assert_eq!((answer.status, is_refusal(&answer)), (503, true), "{name}");
            }
        }
        assert_eq!((up.count(), spare.count()), (5, 0));
        assert_metrics(&envoy, "up", &[("refused", 9), ("fell_back", 0)]);
    });
}

/// A cluster without endpoints said nothing to the breaker: none of 20 requests got the fallback.
#[test]
fn a_cluster_without_endpoints_falls_back_at_once() {
    with_1_2_and_4_workers(|workers| {
        let spare = Upstream::fixed(200, "spare");
        let breakers = [breaker("up", &json!({"fallback": [{"cluster": "spare"}]}))];
        let envoy = start(&routed(&breakers, &[("spare", &spare)]).cluster("up", &[]), workers);
        let answers = ask(&mut clients(&envoy), 20);
        assert_eq!(answers[1..], ["spare"; 19], "the first says {:?}", answers[0]);
        assert_eq!(spare.count(), 19);
        assert_metrics(&envoy, "up", &[("admitted", 1), ("failed", 1), ("fell_back", 19), ("state", 1)]);
        assert_transitions(&envoy, &["up: closed -> open (no_healthy_upstream)"]);
    });
}

#[test]
fn a_cluster_without_endpoints_opens_without_a_fallback_as_by_other_failures() {
    let envoy = start(&routed(&[breaker("up", &json!({}))], &[]).cluster("up", &[]), 2);
    let mut clients = clients(&envoy);
    let refused = (0..20).filter(|n| is_refusal(&clients[n % 3].get("/", &[]))).count();
    assert_eq!(refused, 15);
    assert_transitions(&envoy, &["up: closed -> open (consecutive)"]);
}

/// A `VirtualService` of Istio cannot have the route that a fallback needs.
#[test]
fn a_fallback_without_a_route_is_counted_and_left_out() {
    let [up, spare] = [503, 200].map(|status| Upstream::fixed(status, "no"));
    let fields = json!({"fallback": [{"cluster": "spare"}]});
    let bootstrap = guarded(&[breaker("up", &fields)], up.addr()).cluster("spare", &[spare.addr()]);
    let envoy = start(&bootstrap, 1);
    let mut client = Client::connect(envoy.addr());
    let statuses = [(); 9].map(|()| {
        let answer = client.get("/", &[]);
        (answer.status, is_refusal(&answer))
    });
    // Five open the breaker, and one finds out.
    let expected = [[(503, false); 6].as_slice(), &[(503, true); 3]].concat();
    assert_eq!(statuses.as_slice(), expected);
    assert_eq!((up.count(), spare.count()), (6, 0));
    assert_metrics(&envoy, "up", &[("failed", 6), ("fell_back", 1), ("misrouted", 1), ("refused", 3)]);
    assert_metrics(&envoy, "up-fallback-1", &[("admitted", 1), ("failed", 0), ("state", 0)]);
    let log = envoy.log();
    let told = log
        .lines()
        .filter(|line| line.contains("a request that fell back to cluster spare went to cluster up"));
    assert_eq!(told.count(), 1, "{log}");
}
