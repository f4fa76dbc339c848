//! What Envoy, the upstream, the client and access logs get.

use serde_json::{json, Value};
use tidegate_policy::http::{Edit, Verdict};
use tidegate_sim::{SimRequest, SimResponse};

use crate::routing::{cluster, exchange, onward, reply, routes, split, Workers};

fn one(fields: &str, variant: &str) -> String {
    let comma = if fields.is_empty() { "" } else { ", " };
    routes(&format!(r#"{{"name": "r"{comma}{fields}, "variants": [{{"name": "v", {variant}}}]}}"#))
}

/// One route with these headers configured, and a caller to trust.
fn with_headers(headers: &str) -> String {
    let route = json!({
        "name": "r", "mirror": {"cluster": "shadow"}, "variants": [{"name": "v", "cluster": "c"}],
    });
    json!({
        "headers": serde_json::from_str::<Value>(headers).unwrap(),
        "force": {"secret": "0123456789abcdef", "header": "x-pick", "secret_header": "x-key"},
        "routes": [route],
    })
    .to_string()
}

#[test]
fn what_clients_send_to_steer_us_never_goes_on() {
    let all = r#"{"cluster": "x-to", "mirror": "x-copy", "random": "x-dice", "variant": "x-variant", "bucket": "x-bucket"}"#;
    let worker = &Workers::new(1, &with_headers(all)).all[0];
    let names = [
        "x-tidegate-cluster",
        "x_tidegate_cluster",
        "X-Tidegate-Anything",
        "x-tidegate_user",
        "x-to",
        "X-To",
        "x_to",
        "x-copy",
        "x_copy",
        "x-dice",
        "x_dice",
        "x-variant",
        "x_variant",
        "x-bucket",
        "x-pick",
        "x_pick",
        "x-key",
        "x_key",
    ];
    for name in names {
        let request = SimRequest::get("/").header(name, b"evil").header("y", b"1").header(name, b"bad");
        let onward = onward(&request, worker.request(&request));
        let left = onward.all().iter().filter(|(_, value)| value == "evil" || value == "bad");
        assert_eq!(left.count(), 0, "{name}");
        assert_eq!(
            (onward.get("x-to"), onward.get("x-copy"), onward.get("y")),
            ("c", "shadow", "1"),
            "{name}"
        );
    }
    for name in ["x-top", "x-tidegat", "xx-to", "x-request-id"] {
        let request = SimRequest::get("/").header(name, b"kept");
        assert_eq!(onward(&request, worker.request(&request)).get(name), "kept");
    }
}

#[test]
fn the_chosen_variant_stands_in_the_configured_headers() {
    let all = r#"{"cluster": "x-to", "random": "x-dice", "variant": "x-variant", "bucket": "x-bucket", "response": "x-served-by"}"#;
    let worker = &Workers::new(1, &with_headers(all)).all[0];
    let request = SimRequest::get("/");
    let (verdict, exchange) = worker.begin(&request);
    let (onward, label) = (onward(&request, verdict), worker.outcome(&exchange).unwrap());
    let response = worker.end(exchange, &SimResponse::upstream(200));
    let bucket = onward.get("x-bucket");
    assert_eq!(label, format!("c r v drawn {bucket}"));
    assert_eq!((onward.get("x-to"), onward.get("x-dice"), onward.get("x-variant")), ("c", bucket, "v"));
    assert!(bucket.parse::<u32>().is_ok_and(|bucket| bucket < 10_000), "{bucket}");
    assert_eq!(response, [Edit::SetResponseHeader("x-served-by".to_owned(), "v".to_owned())]);
}

/// An id that a client sent again had its variant again, so that who had found one kept it.
#[test]
fn no_client_decides_a_draw() {
    let fields = r#""mirror": {"cluster": "m", "percent": 50}, "match": {"percent": 50}"#;
    let text = split(fields).replace(": 90", ": 50").replace(": 10}", ": 50}");
    let worker = &Workers::new(1, &text).all[0];
    let plain = || SimRequest::get("/");
    #[rustfmt::skip]
    let cases = [
        plain().header("x-request-id", b"4bf92f35-77b3-4da6-a3ce-929d0e0e4736"),
        plain().header("x-request-id", b"a").header("x-request-id", b"b"),
        plain().header("x-request-id", b""),
        plain().header("x-envoy-external-request-id", b"a").header("x-client-trace-id", b"a"),
        plain().header("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        plain().header("cookie", b"tg=a").header("authorization", b"Bearer a").from(None),
        plain().header("x-tidegate-random", b"1").header("x-tidegate-cluster", b"two"),
    ];
    for request in cases {
        let (mut drawn, mut mirrored) = ([0; 3], 0);
        for _ in 0..1_000 {
            let onward = onward(&request, worker.request(&request));
            let cluster =
                ["one", "two", ""].iter().position(|known| *known == onward.get("x-tidegate-cluster"));
            drawn[cluster.unwrap()] += 1;
            mirrored += u32::from(onward.get("x-tidegate-mirror") == "m");
        }
        // A half of them is routed, and of that a half each: 250, with a deviation of 14; mirrored likewise.
        for (count, expected) in [(drawn[0], 250), (drawn[1], 250), (mirrored, 250)] {
            assert!(u32::abs_diff(count, expected) < 70, "{drawn:?}, {mirrored} mirrored: {request:?}");
        }
    }
}

#[test]
fn requests_are_drawn_anew() {
    let worker = &Workers::new(1, &split("")).all[0];
    let labels: std::collections::BTreeSet<_> =
        (0..100).map(|_| exchange(worker, &SimRequest::get("/"), 200).0).collect();
    assert!(labels.len() > 90, "{}", labels.len());
}

#[test]
fn a_share_of_requests_is_mirrored() {
    #[rustfmt::skip]
    let cases = [
        // fields                                            of 10,000
        (r#"{"cluster": "shadow"}"#,                          10_000..=10_000),
        (r#"{"cluster": "shadow", "percent": 0}"#,            0..=0),
        // 500 and 4 standard deviations of 22.
        (r#"{"cluster": "shadow", "percent": 5}"#,            412..=588),
    ];
    for (mirror, expected) in cases {
        let worker = &Workers::new(1, &one(&format!(r#""mirror": {mirror}"#), r#""cluster": "c""#)).all[0];
        let request = SimRequest::get("/");
        let mirrored = (0..10_000).filter(|_| {
            let onward = onward(&request, worker.request(&request));
            assert_eq!(onward.get("x-tidegate-cluster"), "c");
            onward.get("x-tidegate-mirror") == "shadow"
        });
        let count = mirrored.count();
        assert!(expected.contains(&count), "{mirror}: {count}");
    }
}

#[test]
fn timeouts_and_retries_are_set_in_place_of_what_clients_send() {
    let fields = r#""timeouts": {"request_ms": 1500, "per_try_timeout_ms": 300, "hedge_on_per_try_timeout": true},
        "retry": {"retry_on": ["5xx", "reset"], "grpc_on": ["unavailable"], "attempts": 3, "statuses": [409], "headers": ["X-Again"]}"#;
    let worker = &Workers::new(1, &one(fields, r#""cluster": "c""#)).all[0];
    let request = SimRequest::get("/").header("x-envoy-max-retries", b"99");
    let onward = onward(&request, worker.request(&request));
    let expected = [
        ("x-envoy-upstream-rq-timeout-ms", "1500"),
        ("x-envoy-upstream-rq-per-try-timeout-ms", "300"),
        ("x-envoy-hedge-on-per-try-timeout", "true"),
        ("x-envoy-retry-on", "5xx,reset"),
        ("x-envoy-retry-grpc-on", "unavailable"),
        ("x-envoy-retriable-status-codes", "409"),
        ("x-envoy-retriable-header-names", "x-again"),
        ("x-envoy-max-retries", "2"),
    ];
    for (name, value) in expected {
        assert_eq!(onward.get(name), value, "{name}");
    }
}

#[test]
fn a_variant_that_is_a_status_answers() {
    #[rustfmt::skip]
    let cases = [
        // status  grpc status
        (500,      2),
        (503,      14),
        (404,      12),
    ];
    for (status, grpc_status) in cases {
        let workers = Workers::new(1, &one("", &format!(r#""status": {status}"#)));
        let (verdict, exchange) = workers.all[0].begin(&SimRequest::get("/"));
        let outcome = workers.all[0].outcome(&exchange).unwrap_or_default();
        assert!(outcome.starts_with("- r v drawn "), "{outcome}");
        let plain = reply(verdict);
        assert_eq!((plain.status, plain.grpc_status), (status, grpc_status));
        assert_eq!(plain.details, "tidegate_routing_status:r", "{status}");
        assert!(plain.body.contains("This variant answers with a status only"), "{}", plain.body);
        assert_eq!(workers.count("variant.v.requests"), 1);
    }
}

#[test]
fn a_service_is_named_in_the_label_and_sets_no_cluster() {
    let worker = &Workers::new(1, &one("", r#""service": {"name": "cart", "tag": "v2"}"#)).all[0];
    let request = SimRequest::get("/").header("x-tidegate-cluster", b"evil");
    assert_eq!(cluster(worker, &request), "-");
    assert!(exchange(worker, &request, 200).0.starts_with("cart;tag=v2 r v drawn "));
}

#[test]
fn a_route_that_observes_changes_nothing_and_counts() {
    let fields = r#""mode": "observe", "mirror": {"cluster": "m"}, "timeouts": {"request_ms": 5},
        "sticky": {"experiment": "e", "cookie": {"name": "tg"}}"#;
    let json = split(fields).replacen('{', r#"{"headers": {"response": "x-v", "variant": "x-w"}, "#, 1);
    let workers = Workers::new(1, &json);
    let request = SimRequest::get("/").header("x-w", b"evil");
    assert_eq!(
        workers.all[0].request(&request),
        Verdict::Continue(vec![Edit::RemoveRequestHeader("x-w".into())]),
        "only what clients must not send goes",
    );
    assert_eq!(exchange(&workers.all[0], &SimRequest::get("/"), 200), (String::new(), Vec::new()));
    assert_eq!(workers.all[0].request(&SimRequest::get("/")), Verdict::Continue(Vec::new()));
    assert_eq!((workers.count("observed"), workers.count("sticky")), (3, 0));
    assert_eq!(workers.count("variant.stable.requests") + workers.count("variant.canary.requests"), 0);
}

#[test]
fn a_variant_that_is_a_status_is_only_observed() {
    let workers = Workers::new(1, &one(r#""mode": "observe""#, r#""status": 500"#));
    assert_eq!(workers.all[0].request(&SimRequest::get("/")), Verdict::Continue(Vec::new()));
}
