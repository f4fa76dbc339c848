//! What becomes of a request whose service has no endpoint, or that is for no service, and of what
//! clients may not say.

use tidegate_policy::http::{Edit, Verdict};
use tidegate_sim::{SimRequest, SimResponse};

use crate::discovery::{
    answer, config, fixed, header, of, outcome, polled, question, reached, sent, sent_as, word, Workers,
};

const ONE: [&str; 1] = ["10.0.0.1:80"];

#[test]
fn a_request_before_the_first_snapshot_waits_for_it_and_no_longer() {
    for (fields, hold) in [("", 2_000), (r#""hold_ms": 500"#, 500), (r#""hold_ms": 30000"#, 30_000)] {
        let workers = Workers::new(1, &config("", fields));
        let worker = &workers.all[0];
        workers.at(1_000);
        let (first, mut exchange) = worker.begin(&SimRequest::get("/"));
        let (_, mut other) = worker.begin(&SimRequest::get("/"));
        assert_eq!(word(&first), "waits", "{hold}");
        workers.at(1_000 + hold - 1);
        assert_eq!(word(&worker.wait(&mut exchange)), "waits", "{hold}");
        workers.at(1_000 + hold);
        assert_eq!(word(&worker.wait(&mut exchange)), "503 not_known_yet", "{hold}");
        assert_eq!((workers.memory(), outcome(worker, &exchange)), (0, "orders - not_known_yet".to_owned()));
        // A later request would wait in vain.
        assert_eq!(sent(worker), "503 not_known_yet", "{hold}");
        // The other is asked again just then, because there is an answer.
        worker.tick();
        worker.answer(&answer(&question(worker), 10, &ONE));
        assert_eq!(word(&worker.wait(&mut other)), "10.0.0.1:80", "{hold}");
        worker.end(other, &SimResponse::upstream(200));
        worker.tick();
        assert_eq!((workers.count("held"), workers.count("refused"), workers.count("requests")), (2, 2, 3));
    }
    let workers = Workers::new(1, &config("", r#""hold_ms": 0"#));
    assert_eq!(sent(&workers.all[0]), "503 not_known_yet");
}

#[test]
fn a_refusal_has_its_reason() {
    #[rustfmt::skip]
    let cases = [
        // why                 status  what Consul has             fields                                 title
        ("unknown_service",    404,    &[][..],                    "",                                    "The registry does not know the service"),
        ("no_endpoints",       200,    &[],                        "",                                    "The service has no endpoint"),
        ("no_endpoints",       200,    &["192.168.0.1:80"],        "",                                    "The service has no endpoint"),
        ("none_in_subset",     200,    &["10.0.0.1:80"],           r#""subset": {"tags": ["v2"]}"#,       "No endpoint of the service is in the requested subset"),
    ];
    for (why, status, list, fields, title) in cases {
        let workers = Workers::new(1, &config("", fields));
        let worker = &workers.all[0];
        worker.tick();
        let asked = question(worker);
        worker.answer(&if status == 200 { answer(&asked, 10, list) } else { asked.answer(status) });
        let (verdict, exchange) = worker.begin(&SimRequest::get("/"));
        let Verdict::Reply(reply) = verdict else { panic!("{why}: {verdict:?}") };
        assert_eq!((reply.status, reply.grpc_status), (503, 14), "{why}");
        assert_eq!(reply.details, format!("tidegate_discovery_{why}:orders"));
        let body = r#"{"type":"about:blank","title":"T","status":503,"service":"orders","reason":"R"}"#;
        assert_eq!(reply.body, body.replace('T', title).replace("R\"", &format!("{why}\"")));
        let expected = [
            ("content-type", "application/problem+json"),
            ("retry-after", "1"),
            ("cache-control", "no-store"),
        ];
        assert_eq!(reply.headers, expected.map(|(n, v)| (n.to_owned(), v.to_owned())), "{why}");
        assert_eq!(outcome(worker, &exchange), format!("orders - {why}"));
        let grpc = SimRequest::request("POST", "/").header("content-type", b"application/grpc");
        let Verdict::Reply(reply) = worker.request(&grpc) else { panic!("{why}") };
        assert_eq!(reply.body, format!("{title}: orders"));
    }
}

#[test]
fn on_failure_allow_lets_a_request_go_on() {
    let json = config("", "").replace(r#""allow":"#, r#""on_failure": "allow", "allow":"#);
    let workers = Workers::new(1, &json);
    let worker = &workers.all[0];
    let forged = SimRequest::get("/").header("x-envoy-original-dst-host", b"10.0.0.9:80");
    let removed = vec![Edit::RemoveRequestHeader("x-envoy-original-dst-host".to_owned())];
    let (verdict, mut exchange) = worker.begin(&forged);
    assert_eq!(verdict, Verdict::Await(removed.clone()), "it waits first");
    workers.at(2_000);
    assert_eq!(worker.wait(&mut exchange), Verdict::Continue(Vec::new()));
    worker.tick();
    worker.answer(&question(worker).answer(404));
    assert_eq!(worker.request(&forged), Verdict::Continue(removed));
    worker.tick();
    assert_eq!((workers.count("refused"), workers.memory()), (2, 0));
}

#[test]
fn a_configured_reply_is_sent() {
    let own = r#""reply": {"status": 502, "body": "later", "content_type": "text/plain"}, "allow":"#;
    let workers = Workers::new(1, &config("", r#""hold_ms": 0"#).replace(r#""allow":"#, own));
    let Verdict::Reply(reply) = workers.all[0].request(&SimRequest::get("/")) else { panic!("no reply") };
    assert_eq!((reply.status, reply.body.as_str()), (502, "later"));
    assert!(reply.headers.contains(&("content-type".to_owned(), "text/plain".to_owned())));
}

/// What a request leaves with, of what a client sent; `steer` is the field of the configuration.
fn left(steer: &str, fields: &str, sent: &[&'static str]) -> Vec<&'static str> {
    let json = fixed(&ONE, fields).replace(r#""allow":"#, &format!(r#"{steer} "allow":"#));
    let workers = Workers::new(1, &json);
    let request = sent.iter().fold(SimRequest::get("/"), |request, name| request.header(name, b"9"));
    let Verdict::Continue(edits) = workers.all[0].request(&request) else { panic!("refused") };
    let removed = |edit: &Edit| match edit {
        Edit::DropRequestHeader(name) | Edit::RemoveRequestHeader(name) => Some(name.clone()),
        _ => None,
    };
    let kept = |name: &&&str| !edits.iter().any(|edit| removed(edit).is_some_and(|own| own == **name));
    // What is removed is not set before.
    let last = edits.iter().rposition(|edit| removed(edit).is_some());
    let first = edits.iter().position(|edit| matches!(edit, Edit::SetRequestHeader(..)));
    assert!(last.is_none_or(|last| first.is_some_and(|first| last < first)), "{edits:?}");
    sent.iter().filter(kept).copied().collect()
}

#[test]
fn client_headers_neither_choose_endpoints_nor_cause_retries() {
    let own = [
        "x-envoy-original-dst-host",
        "x_envoy_original_dst_host",
        "x-envoy_original-dst_host",
        "x-tidegate-endpoints",
        "x-tidegate_endpoints",
        "x-envoy-retry-on",
        "x_envoy_retry_on",
        "x-envoy-retry-grpc-on",
        "x-envoy-max-retries",
        "x-envoy-max_retries",
        "x-envoy-hedge-on-per-try-timeout",
    ];
    let others = ["x-user", "x-envoy-original-dst-hos", "x-envoy-original-dst-host2", "x-to", "accept"];
    let all = [&own[..], &others[..]].concat();
    for fields in ["", r#""attempts": 3"#] {
        assert_eq!(left("", fields, &all), others, "{fields}");
        assert_eq!(left(r#""steer": "override_host","#, fields, &all), others, "{fields}");
        let named = r#""steer": {"original_dst": {"header": "x-to"}},"#;
        let without = others.iter().filter(|name| **name != "x-to").copied().collect::<Vec<_>>();
        assert_eq!(left(named, fields, &all), without, "{fields}");
    }
}

#[test]
fn a_request_for_no_service_goes_on_without_such_headers_or_gets_404() {
    let json = fixed(&ONE, "").replace(r#""prefix": "/""#, r#""prefix": "/orders""#);
    let forged = SimRequest::get("/x").header("x-envoy-original-dst-host", b"10.0.0.9:80");
    let workers = Workers::new(1, &json);
    let removed = vec![Edit::RemoveRequestHeader("x-envoy-original-dst-host".to_owned())];
    assert_eq!(workers.all[0].request(&forged), Verdict::Continue(removed));
    assert_eq!(workers.metric("tidegate.discovery.unmatched"), 1);
    let json = json.replace(r#""allow":"#, r#""no_match": "not_found", "allow":"#);
    let workers = Workers::new(1, &json);
    let Verdict::Reply(reply) = workers.all[0].request(&forged) else { panic!("it went on") };
    assert_eq!((reply.status, reply.details.as_str()), (404, "tidegate_discovery_no_service"));
    assert_eq!(sent_as(&workers.all[0], &SimRequest::get("/orders/7")), "10.0.0.1:80");
}

#[test]
fn override_host_gets_all_candidates_in_order() {
    let three = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];
    for (attempts, expected) in [(1, 1), (2, 2), (3, 3), (5, 3)] {
        let json = fixed(&three, &format!(r#""attempts": {attempts}"#));
        let json = json.replace(r#""allow":"#, r#""steer": "override_host", "allow":"#);
        let workers = Workers::new(1, &json);
        let Verdict::Continue(edits) = workers.all[0].request(&SimRequest::get("/")) else {
            panic!("refused")
        };
        let list = header(&edits, "x-tidegate-endpoints").expect("a list");
        let distinct: std::collections::BTreeSet<&str> = list.split(',').collect();
        assert_eq!((distinct.len(), list.split(',').count()), (expected, attempts), "{list}");
        assert!(distinct.iter().all(|one| three.contains(one)), "{list}");
    }
}

/// Behind its end Envoy's own policy chose among all, critical ones included.
#[test]
fn the_list_of_override_host_ends_with_the_last_good_one() {
    let json = polled("", r#""attempts": 3"#).replace(r#""allow":"#, r#""steer": "override_host", "allow":"#);
    let workers =
        Workers::knowing(1, &json, &["10.0.0.1:80 critical", "10.0.0.2:80", "10.0.0.3:80 critical"]);
    let Verdict::Continue(edits) = workers.all[0].request(&SimRequest::get("/")) else { panic!("refused") };
    assert_eq!(header(&edits, "x-tidegate-endpoints"), Some("10.0.0.2:80,10.0.0.2:80,10.0.0.2:80"));
}

#[test]
fn unhealthy_endpoints_serve_when_there_are_no_others() {
    let workers = Workers::new(1, &polled("", ""));
    let worker = &workers.all[0];
    worker.tick();
    worker.answer(&answer(&question(worker), 10, &["10.0.0.1:80 critical", "10.0.0.2:80 critical"]));
    assert_eq!(reached(worker), "1 2");
    assert_eq!((workers.count("endpoints"), workers.count("healthy")), (2, 0));
}

#[test]
fn degraded_endpoints_serve_when_healthy_ones_are_too_few() {
    #[rustfmt::skip]
    let cases = [
        (&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80 warning"][..], "1 2 3"),
        (&["10.0.0.1:80 critical", "10.0.0.2:80 warning", "10.0.0.3:80 warning"],   "2 3"),
        (&["10.0.0.1:80 warning", "10.0.0.2:80 warning"],                           "1 2"),
    ];
    for (list, expected) in cases {
        let workers = Workers::knowing(1, &polled("", ""), list);
        assert_eq!(reached(&workers.all[0]), expected, "{list:?}");
    }
}

#[test]
fn a_fallback_registry_serves_while_the_first_has_not_answered() {
    let service = r#""fallback": [{"registry": "spare"}]"#;
    let spare =
        r#""spare": {"static": {"services": {"orders": [{"address": "10.0.0.9", "port": 80}]}}}, "main":"#;
    let json = of(r#""consul": {"cluster": "consul"}"#, "", service).replace(r#""main":"#, spare);
    let workers = Workers::new(1, &json);
    let worker = &workers.all[0];
    assert_eq!(sent(worker), "10.0.0.9:80");
    worker.tick();
    worker.answer(&answer(&question(worker), 10, &ONE));
    assert_eq!(sent(worker), "10.0.0.1:80");
}
