//! What clients, upstreams and access logs are told.

use serde_json::{json, Value};
use tidegate_tests::{eventually, Answer, Client, Envoy};

use super::setup::{assert_calm, assert_metrics, route, routes, start, variant, Pair, SOON};
use crate::setup::with;

/// An Envoy whose access log has what the filter leaves, and Envoy's own reason.
fn logged(pair: &Pair, config: &Value) -> Envoy {
    let format = "%FILTER_STATE(wasm.tidegate.routing:PLAIN)%|%RESPONSE_CODE_DETAILS%";
    start(&pair.behind(config).access_log(format), 1)
}

fn lines(envoy: &Envoy, count: usize) -> Vec<String> {
    eventually("the access log", SOON, || {
        let lines: Vec<String> = envoy.access_log().lines().map(str::to_owned).collect();
        (lines.len() == count).then_some(lines)
    })
}

#[test]
fn the_answer_says_the_variant_where_that_is_configured() {
    let pair = Pair::new();
    pair.stable
        .switch(Answer::new(200, "stable").header("x-variant", "from upstream").header("set-cookie", "a=b"));
    let sticky = json!({"experiment": "e", "cookie": {"name": "tg"}});
    let route = route(&json!({"variants": [variant("stable", 1)], "sticky": sticky}));
    let config = with(routes(&[route]), &json!({"headers": {"response": "x-variant"}}));
    let envoy = start(&pair.behind(&config), 1);
    let answer = Client::connect(envoy.addr()).get("/", &[]);
    let values = |name: &str| -> Vec<String> {
        let found = answer.headers.iter().filter(|(header, _)| header == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    };
    assert_eq!(values("x-variant"), ["stable"]);
    let cookies = values("set-cookie");
    assert_eq!((cookies.len(), cookies[0].as_str()), (3, "a=b"));
    assert!(cookies[1].starts_with("tg=") && cookies[2].starts_with("tg-renewed=1; "), "{cookies:?}");
}

#[test]
fn the_access_log_says_cluster_route_variant_reason_and_bucket() {
    let pair = Pair::new();
    let sticky = json!({"experiment": "e", "by": [{"header": "x-user"}]});
    let only =
        json!({"sticky": sticky, "match": {"path": {"prefix": "/shop"}}, "variants": [variant("stable", 1)]});
    let force = json!({"secret": "0123456789abcdef"});
    let envoy = logged(&pair, &with(routes(&[route(&only)]), &json!({"force": force})));
    let mut client = Client::connect(envoy.addr());
    client.get("/shop", &[("x-user", "alice")]);
    client.get(
        "/shop",
        &[("x-user", "alice"), ("x-force-variant", "stable"), ("x-force-secret", "0123456789abcdef")],
    );
    client.get("/shop", &[]);
    client.get("/else", &[]);
    let lines = lines(&envoy, 4);
    assert_eq!(lines[0], "stable shop stable sticky 6072|via_upstream");
    assert_eq!(lines[1], "stable shop stable forced 6072|via_upstream");
    assert!(lines[2].starts_with("stable shop stable drawn "), "{lines:?}");
    assert_eq!(lines[3], "-|direct_response");
    assert!(!envoy.access_log().contains("alice"));
}

#[test]
fn a_variant_can_be_a_status() {
    let pair = Pair::new();
    let closed = route(&json!({"name": "closed", "variants": [{"name": "gone", "status": 410}]}));
    let envoy = logged(&pair, &with(routes(&[closed]), &json!({"headers": {"response": "x-variant"}})));
    let answer = Client::connect(envoy.addr()).get("/", &[]);
    assert_eq!(answer.status, 410);
    assert_eq!(answer.header("content-type").as_deref(), Some("application/problem+json"));
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let title = "This variant answers with a status only";
    assert_eq!(body, json!({"type": "about:blank", "title": title, "status": 410}));
    let line = lines(&envoy, 1).remove(0);
    assert!(line.starts_with("- closed gone drawn "), "{line}");
    assert!(line.ends_with("|tidegate_routing_status:closed"), "{line}");
    assert_metrics(&envoy, "closed", &[("variant.gone.requests", 1)]);
    assert_calm(&envoy);
}

/// As the Gateway API has it for a backend that is not there: its share gets 500.
#[test]
fn a_status_has_a_weight_like_any_variant() {
    let pair = Pair::new();
    let broken = json!({"name": "broken", "status": 500, "weight": 50});
    let envoy = pair.start(route(&json!({"variants": [variant("stable", 50), broken]})), 2);
    let report = super::setup::storm(&envoy, 1_000, &tidegate_tests::Request::get("/"));
    assert_eq!(report.count(200) + report.count(500), 1_000);
    // Six standard deviations of a half of 1,000.
    assert!(report.count(500).abs_diff(500) <= 95, "{:?}", report.by_status());
    assert_eq!(pair.stable.count() as u64, report.count(200));
}
