//! Refused requests: other clusters, replies, and headers that clients must not steer by.

use tidegate_policy::http::{Attribute, Edit, Verdict};
use tidegate_sim::{SimRequest, SimResponse};

use crate::breaker::{ask, calls, config, end, reply, to, up, Workers};

/// Opens at the first failure; one probe.
const ONE: &str = r#""consecutive_failures": 1, "half_open_permits": 1, "base_open_ms": 1000"#;

fn with(fallback: &str) -> Workers {
    Workers::new(1, &config(&format!(r#"{ONE}, "fallback": [{fallback}]"#)))
}

fn set(header: &str, cluster: &str) -> Edit {
    Edit::SetRequestHeader(header.into(), cluster.into())
}

/// Asks for the cluster `up`; ends an exchange that went on as the letter says. Where it went.
fn goes(workers: &Workers, letter: char) -> String {
    let (verdict, exchange) = workers.all[0].begin(&up());
    match verdict {
        Verdict::Await(edits) => panic!("it waits, {edits:?}"),
        Verdict::Reply(reply) => reply.status.to_string(),
        Verdict::Continue(edits) => {
            end(&workers.all[0], exchange, letter);
            match edits.as_slice() {
                [] => "up".to_owned(),
                [Edit::SetRequestHeader(_, cluster)] => cluster.to_string(),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn refused_requests_go_to_the_first_fallback_that_is_closed() {
    let workers = with(r#"{"cluster": "backup"}, {"cluster": "spare"}, {"reply": {"status": 502}}"#);
    let went = ["F", "S", "F", "S", "F", "S"].map(|letter| goes(&workers, letter.chars().next().unwrap()));
    assert_eq!(went, ["up", "backup", "backup", "spare", "spare", "502"]);
    assert_eq!((workers.count("fell_back"), workers.count("refused")), (4, 1));
    assert_eq!(workers.count_of("a-fallback-1", "transitions.consecutive"), 1);
    assert_eq!(workers.count_of("a-fallback-2", "admitted"), 2);
    // All three are due for their probe, the first one first.
    let went = ["S", "F"].map(|letter| goes(workers.at(1_000), letter.chars().next().unwrap()));
    assert_eq!(went, ["up", "up"]);
    assert_eq!(goes(&workers, 'S'), "backup", "its probe");
    assert_eq!(workers.count_of("a-fallback-1", "probes"), 1);
}

#[test]
fn access_logs_name_the_fallback() {
    let workers = with(r#"{"cluster": "backup"}"#);
    goes(&workers, 'F');
    let (verdict, exchange) = workers.all[0].begin(&up());
    assert_eq!(verdict, Verdict::Continue(vec![set("x-tidegate-cluster", "backup")]));
    assert_eq!(workers.all[0].outcome(&exchange).as_deref(), Some("fallback:a"));
}

#[test]
fn a_static_reply_is_as_configured() {
    let workers = with(
        r#"{"reply": {"status": 200, "body": "closed for a moment", "content_type": "text/x", "headers": {"x-why": "busy"}}}"#,
    );
    goes(&workers, 'F');
    let reply = reply(workers.all[0].begin(&up()).0);
    assert_eq!((reply.status, reply.body.as_str()), (200, "closed for a moment"));
    let expected = [
        ("content-type", "text/x"),
        ("x-tidegate-breaker", "open"),
        ("x-why", "busy"),
        ("cache-control", "no-store"),
    ];
    assert_eq!(reply.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn without_a_working_fallback_the_filter_replies() {
    let json = r#"{"reply": {"status": 599, "body": "no"}, "cluster_header": "X-To",
        "breakers": [{"name": "a", "target": {"cluster": "up"}, "consecutive_failures": 1,
                      "fallback": [{"cluster": "backup"}]}]}"#;
    let workers = Workers::new(1, json);
    assert_eq!(["F", "F", "S"].map(|l| goes(&workers, l.chars().next().unwrap())), ["up", "backup", "599"]);
}

#[test]
fn a_fallback_uses_the_breaker_that_its_cluster_has() {
    let json = format!(
        r#"{{"cluster_header": "x-to", "breakers": [
            {{"name": "a", "target": {{"cluster": "up"}}, {ONE}, "fallback": [{{"cluster": "backup"}}]}},
            {{"name": "b", "target": {{"cluster": "backup"}}, "consecutive_failures": 2}}]}}"#
    );
    let workers = Workers::new(1, &json);
    assert_eq!(calls(&workers.all[0], &to("backup"), "F"), "+");
    assert_eq!(goes(&workers, 'F'), "up");
    let (verdict, exchange) = workers.all[0].begin(&up());
    assert_eq!(verdict, Verdict::Continue(vec![set("x-to", "backup")]));
    end(&workers.all[0], exchange, 'F');
    assert_eq!(goes(&workers, 'S'), "503", "both are open");
    assert_eq!(calls(&workers.all[0], &to("backup"), "S"), "-");
}

#[test]
fn a_fallback_whose_breaker_observes_is_used() {
    let json = format!(
        r#"{{"breakers": [{{"name": "a", "target": {{"cluster": "up"}}, {ONE}, "fallback": [{{"cluster": "backup"}}]}},
            {{"name": "b", "target": {{"cluster": "backup"}}, "mode": "observe", {ONE}}}]}}"#
    );
    let workers = Workers::new(1, &json);
    assert_eq!(calls(&workers.all[0], &to("backup"), "F"), "+");
    assert_eq!(["F", "S"].map(|l| goes(&workers, l.chars().next().unwrap())), ["up", "backup"]);
}

/// Breakers of a key, a route and a cluster, in this order, each with one permit.
fn three() -> Workers {
    let one = format!(r#"{ONE}, "jitter_percent": 0"#);
    let json = format!(
        r#"{{"breakers": [{{"name": "k", "target": {{"key": [{{"header": "k"}}]}}, {one}}},
            {{"name": "r", "target": {{"route": "main"}}, {one}}},
            {{"name": "a", "target": {{"cluster": "up"}}, {one}}}]}}"#
    );
    Workers::new(1, &json)
}

fn meets_all<'a>() -> SimRequest<'a> {
    up().attribute(Attribute::Route, b"main").header("k", b"x")
}

#[test]
fn a_request_that_one_breaker_refuses_gives_back_the_permits_of_others() {
    let workers = three();
    let worker = &workers.all[0];
    assert_eq!(calls(worker, &meets_all(), "F"), "+");
    // The cluster's fails once more, as a probe, and stays open for longer than the others.
    let (_, probe) = ask(workers.at(1_000).all.first().unwrap(), &up());
    end(worker, probe, 'F');
    let (verdict, exchange) = worker.begin(&meets_all());
    assert!(matches!(verdict, Verdict::Reply(_)));
    assert_eq!(worker.outcome(&exchange).as_deref(), Some("refused:a"));
    assert_eq!((workers.count_of("k", "ignored"), workers.count_of("r", "ignored")), (1, 1));
    // Their permits are free for other requests.
    let others = SimRequest::get("/").attribute(Attribute::Route, b"main").header("k", b"x");
    assert_eq!(calls(worker, &others, "SS"), "p+");
}

#[test]
fn an_outcome_is_for_every_breaker_that_the_request_met() {
    let workers = three();
    assert_eq!(calls(&workers.all[0], &meets_all(), "F"), "+");
    let opened = ["k", "r", "a"].map(|name| workers.count_of(name, "transitions.consecutive"));
    assert_eq!(opened, [1, 1, 1]);
}

fn forged<'a>() -> SimRequest<'a> {
    up().header("x-tidegate-cluster", b"up")
}

#[test]
fn a_forged_cluster_is_removed() {
    for fields in ["", r#", "match": {"method": "GET"}"#] {
        let workers = Workers::new(1, &config(&format!("{ONE}{fields}")));
        let remove = Edit::RemoveRequestHeader("x-tidegate-cluster".to_owned());
        let (verdict, exchange) = workers.all[0].begin(&forged());
        assert_eq!(verdict, Verdict::Continue(vec![remove]));
        // Nobody knows which cluster it went to.
        workers.all[0].end(exchange, &SimResponse::upstream(503));
        assert_eq!((workers.calls("S").as_str(), workers.count("failed")), ("+", 0));
    }
}

#[test]
fn a_forged_cluster_passes_no_open_breaker() {
    for (target, opener) in [(r#"{"cluster": "up"}"#, up()), (r#"{"route": "main"}"#, meets_all())] {
        let json = crate::breaker::of(target, ONE);
        let workers = Workers::new(1, &json);
        assert_eq!(calls(&workers.all[0], &opener, "F"), "+");
        let elsewhere = to("other").header("x-tidegate-cluster", b"third");
        let (verdict, _) = workers.all[0].begin(&elsewhere);
        assert_eq!(reply(verdict).details, "tidegate_breaker_open:a");
        // Not even as a probe.
        let (verdict, _) = workers.at(1_000).all[0].begin(&elsewhere);
        assert!(matches!(verdict, Verdict::Reply(_)));
        assert_eq!(workers.count("probes"), 0);
    }
}

#[test]
fn a_forged_request_that_is_refused_gives_back_the_permits_of_others() {
    let workers = three();
    let worker = &workers.all[0];
    assert_eq!(calls(worker, &SimRequest::get("/").header("k", b"x"), "F"), "+");
    assert_eq!(calls(workers.at(500).all.first().unwrap(), &up(), "F"), "+");
    workers.at(1_000);
    let request = meets_all().header("x-tidegate-cluster", b"third");
    assert!(matches!(worker.begin(&request).0, Verdict::Reply(_)));
    assert_eq!(workers.count_of("k", "probes"), 1);
    assert_eq!(calls(worker, &SimRequest::get("/").header("k", b"x"), "SS"), "p+");
}

#[test]
fn the_choice_of_an_earlier_filter_of_ours_is_kept() {
    for fields in ["", r#", "match": {"method": "GET"}"#] {
        let workers = Workers::new(1, &config(&format!("{ONE}{fields}")));
        let chosen = to("other").header("x-tidegate-cluster", b"up").attribute(Attribute::Chosen, b"up");
        let (verdict, exchange) = workers.all[0].begin(&chosen);
        assert_eq!(verdict, Verdict::Continue(Vec::new()), "the header stays");
        workers.all[0].end(exchange, &SimResponse::upstream(503));
        assert_eq!(workers.calls("S"), "-", "and it is the cluster");
        // Another value is still forged.
        let other = to("other").header("x-tidegate-cluster", b"x").attribute(Attribute::Chosen, b"up");
        assert!(matches!(workers.all[0].begin(&other).0, Verdict::Reply(_)));
    }
}

/// Requests to `up`, whose cluster has no healthy endpoint: `.` got Envoy's 503, `f` the fallback, `-` a
/// refusal.
fn without_endpoints(workers: &Workers, requests: usize) -> String {
    let gone = SimResponse::local(503, "no_healthy_upstream", 1 << 1);
    let one = |_| {
        let (verdict, exchange) = workers.all[0].begin(&up());
        let label = workers.all[0].outcome(&exchange).unwrap_or_default();
        match verdict {
            Verdict::Reply(_) => '-',
            _ if label.starts_with("fallback:") => 'f',
            _ => {
                workers.all[0].end(exchange, &gone);
                '.'
            }
        }
    };
    (0..requests).map(one).collect()
}

/// None of 20 requests got the fallback: a cluster without endpoints said nothing.
#[test]
fn a_cluster_without_endpoints_opens_and_falls_back_at_once() {
    let fallback = r#""fallback": [{"cluster": "b"}]"#;
    #[rustfmt::skip]
    let cases = [
        // fields                                        20 requests
        (fallback,                                       ".fffffffffffffffffff"),
        (r#""fallback": [{"reply": {}}]"#,               ".-------------------"),
        ("",                                             ".....---------------"),
        (r#""failure_flags": ["UF"]"#,                   "...................."),
        (r#""consecutive_failures": 0, "fallback": [{"cluster": "b"}]"#, ".fffffffffffffffffff"),
    ];
    for (fields, expected) in cases {
        let workers = Workers::new(1, &config(fields));
        assert_eq!(without_endpoints(&workers, 20), expected, "{fields}");
    }
    let held = Workers::new(1, &config(&format!(r#""state": "metrics_only", {fallback}"#)));
    assert_eq!(without_endpoints(&held, 20), "....................");
}

/// Each open time is as short as the first, so that endpoints that are back get requests again.
#[test]
fn one_probe_finds_out_that_there_are_still_no_endpoints() {
    let workers = Workers::new(1, &config(r#""fallback": [{"cluster": "b"}]"#));
    for at in [0, 5_000, 10_000, 15_000] {
        assert_eq!(without_endpoints(workers.at(at), 3), ".ff", "at {at}");
    }
    assert_eq!(workers.count("transitions.no_healthy_upstream"), 4);
    assert_eq!(workers.at(20_000).calls("SSSSSS"), "pppppp".replacen("pppppp", "ppppp+", 1));
}

/// A route for `CONNECT`, or of another virtual host, leads to the same cluster and obeys no header. One client
/// that used it took the fallback from all for ten seconds.
#[test]
fn a_request_of_another_route_takes_no_fallback_from_others() {
    let fields = r#""state": "forced_open", "fallback": [{"cluster": "backup"}]"#;
    let on = |route| up().attribute(Attribute::Route, route);
    let goes = |workers: &Workers, route, cluster: &[u8]| {
        let (verdict, exchange) = workers.all[0].begin(&on(route));
        let one = 1_u64.to_le_bytes();
        let response = SimResponse::upstream(200).attribute(Attribute::Cluster, cluster);
        drop(workers.all[0].end(exchange, &response.attribute(Attribute::AttemptCount, &one)));
        verdict == Verdict::Continue(vec![set("x-tidegate-cluster", "backup")])
    };
    let workers = Workers::new(1, &config(fields));
    assert!(goes(&workers, b"connect", b"up"));
    assert!(!goes(&workers, b"connect", b"up"), "it does not arrive");
    assert!(goes(&workers, b"main", b"backup"));
    // Routes without names: what arrives is believed.
    let workers = Workers::new(1, &config(fields));
    let went = [b"backup", &b"up"[..], b"up", b"backup"].map(|cluster| goes(&workers, b"", cluster));
    assert_eq!((went, workers.count("misrouted")), ([true; 4], 2));
    // Until none did for a while.
    workers.at(10_000);
    assert_eq!([b"up", &b"backup"[..]].map(|cluster| goes(&workers, b"", cluster)), [true, false]);
}
