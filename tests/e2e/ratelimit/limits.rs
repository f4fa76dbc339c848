//! Several limits, modes, costs and matches.

use serde_json::json;
use tidegate_tests::{Client, Envoy, Options, Request};

use crate::setup::{ask, assert_counters, by_key, limit, limited, start, with};

#[test]
fn no_limit_is_charged_when_one_refuses() {
    let each = by_key("each", 2);
    let all = limit("all", &json!({"constant": "all"}), 7);
    for limits in [json!([each, all]), json!([all, each])] {
        let envoy = start(&json!({"limits": limits}), 2);
        let mut client = Client::connect(envoy.addr());
        // Had the refusals of `a` been charged to `all`, nothing would be left for `b`.
        assert_eq!(ask(&mut client, "a", 10), [&[200; 2][..], &[429; 8]].concat());
        assert_eq!(ask(&mut client, "b", 3), [200, 200, 429]);
        assert_eq!(ask(&mut client, "c", 3), [200, 200, 429]);
        // `all` has one left, and its refusals are not charged to `e`.
        assert_eq!((ask(&mut client, "d", 1), ask(&mut client, "e", 3)), (vec![200], vec![429; 3]));
        let policy = client.get("/", &[("x-key", "e")]).header("ratelimit").unwrap();
        assert!(policy.contains(r#""each";r=2"#) && policy.contains(r#""all";r=0"#), "{policy}");

        assert_counters(&envoy, "each", &[("admitted", 7), ("refused", 10)]);
        assert_counters(&envoy, "all", &[("admitted", 7), ("refused", 4)]);
    }
}

#[test]
fn a_refusal_names_every_limit_that_refuses() {
    let limits = json!([by_key("one", 1), by_key("two", 1), by_key("three", 2)]);
    let envoy = start(&json!({"limits": limits}), 1);
    let mut client = Client::connect(envoy.addr());
    assert_eq!(ask(&mut client, "a", 1), [200]);
    let refused = client.get("/", &[("x-key", "a")]);
    let body: serde_json::Value = serde_json::from_str(&refused.text()).unwrap();
    assert_eq!(body["violated-policies"], json!(["one", "two"]));
}

#[test]
fn observing_limits_count_and_never_refuse() {
    let observe = with(by_key("seen", 2), &json!({"mode": "observe"}));
    let config = json!({"limits": [observe], "log_admitted": true});
    let bootstrap = limited(&config).access_log("%FILTER_STATE(wasm.tidegate.ratelimit:PLAIN)%");
    let envoy = Envoy::start(&bootstrap.json(), &Options::workers(2)).unwrap();
    assert_eq!(ask(&mut Client::connect(envoy.addr()), "a", 5), [200; 5]);
    assert_counters(&envoy, "seen", &[("admitted", 2), ("observed", 3), ("refused", 0)]);
    let log = envoy.access_log().replace('"', "");
    assert_eq!(log, "admitted\nadmitted\nobserved:seen\nobserved:seen\nobserved:seen\n");
}

#[test]
fn the_mode_at_the_top_is_the_default_of_each_limit() {
    let enforced = with(by_key("enforced", 3), &json!({"mode": "enforce"}));
    let config = json!({"mode": "observe", "limits": [by_key("seen", 1), enforced]});
    let envoy = start(&config, 1);
    assert_eq!(ask(&mut Client::connect(envoy.addr()), "a", 5), [200, 200, 200, 429, 429]);
    // What `enforced` refuses, `seen` neither admits nor observes.
    assert_counters(&envoy, "seen", &[("admitted", 1), ("observed", 2), ("refused", 0)]);
    assert_counters(&envoy, "enforced", &[("admitted", 3), ("refused", 2)]);
}

#[test]
fn a_request_costs_what_the_limit_says() {
    let limits = json!([with(by_key("dear", 10), &json!({"cost": 3})), by_key("cheap", 4)]);
    let envoy = start(&json!({"limits": limits}), 1);
    let mut client = Client::connect(envoy.addr());
    assert_eq!(ask(&mut client, "a", 4), [200, 200, 200, 429]);
    let told = client.get("/", &[("x-key", "a")]).header("ratelimit").unwrap();
    assert!(told.contains(r#""dear";r=1;"#) && told.contains(r#""cheap";r=1;"#), "{told}");
}

#[test]
fn a_limit_applies_where_its_match_holds() {
    let get = |path: &str| Request::get(path);
    let cases = [
        // match                                          applies                    does not
        (json!({"path": {"exact": "/a"}}), get("/a?x=1"), get("/a/")),
        (json!({"path": {"prefix": "/api"}}), get("/api/users"), get("/apis")),
        (json!({"path": {"template": "/u/{id}/o"}}), get("/u/7/o"), get("/u/7/p")),
        (json!({"method": "POST"}), Request::new("POST", "/").body("x"), get("/")),
        (
            json!({"host": "*.shop.test"}),
            get("/").header("host", "eu.shop.test:80"),
            get("/").header("host", "shop.test"),
        ),
        (
            json!({"headers": [{"name": "x-tier", "exact": "free"}]}),
            get("/").header("x-tier", "free"),
            get("/").header("x-tier", "paid"),
        ),
        (json!({"path": {"prefix": "/a"}, "method": "GET"}), get("/a"), Request::new("DELETE", "/a")),
        (json!([{"path": {"exact": "/x"}}, {"path": {"exact": "/y"}}]), get("/y"), get("/z")),
    ];
    for (matches, applies, passes) in cases {
        let all = limit("some", &json!({"constant": "all"}), 1);
        let envoy = start(&json!({"limits": [with(all, &json!({"match": matches}))]}), 1);
        let mut client = Client::connect(envoy.addr());
        let mut ask = |request: &Request| [(); 3].map(|()| client.send(request).status);
        assert_eq!(ask(&applies), [200, 429, 429], "{matches}");
        assert_eq!(ask(&passes), [200; 3], "{matches}");
        assert_counters(&envoy, "some", &[("admitted", 1), ("refused", 2)]);
    }
}
