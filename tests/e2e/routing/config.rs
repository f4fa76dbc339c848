//! Configurations that Envoy accepts and refuses, and what it says.

use serde_json::{json, Value};
use tidegate_tests::{Client, Envoy, Options};

use super::setup::{assert_calm, filter, start, steered, Pair};

/// The lines that the filter logs while Envoy refuses to start, without what comes before them, and
/// while `--mode validate` says no.
fn problems(config: &Value) -> Vec<String> {
    let json = steered(&[filter(config)]).json();
    let started = Envoy::start(&json, &Options::default()).unwrap_err().log;
    assert!(started.ends_with("[exit status: 1]\n"), "{started}");
    let (started, validated) = (lines(&started), lines(&Envoy::validate(&json).unwrap_err()));
    assert_eq!(started, validated, "what is refused at start and what by validation");
    started
}

fn lines(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| line.split_once("routing: configuration: "));
    lines.map(|(_, problem)| problem.to_owned()).collect()
}

#[test]
fn every_problem_is_told_with_its_path() {
    let ramp = json!({"steps": [{"weight": 5}, {"weight": 2_000_000, "hold_ms": 50}]});
    let config = json!({
        "routes": [
            {"name": "a", "match": {"path": {"prefix": "shop"}}, "variants": []},
            {"name": "a", "variants": [{"name": "v", "cluster": "c", "status": 500}, {"name": "v"}]},
            {"name": "b c", "variants": [{"name": "v", "cluster": "c"}], "sticky": {"experiment": "e"}},
            {"name": "d", "variants": [{"name": "v", "cluster": "c"}, {"name": "w", "cluster": "c", "ramp": ramp}]},
            {"variants": [{"name": "v", "cluster": "c", "weight": 0}], "retry": {"attempts": 4}},
        ],
        "order": "last_match",
        "force": {"secret": "short"},
        "no_match": "refuse",
        "headers": {"mirror": "x-tidegate-cluster"},
        "route": [],
    });
    let expected = [
        "force.secret: does not fit (no message shows it), expected visible ASCII, 16 to 256 bytes",
        "no_match: found \"refuse\", expected one of `pass`, `not_found`",
        "order: found \"last_match\", expected one of `gateway_api`, `first_match`",
        "route: unknown field `route`, expected one of `routes`, `order`, `force`, `headers`, `no_match`, `mode`, `on_failure`, `scope`",
        "routes[0].match.path.prefix: \"shop\" is not a path, expected one that starts with `/`",
        "routes[0].variants: 0 variants are out of range, expected 1 to 16",
        "routes[1].variants[0]: found `cluster` and `status` together, expected only one of them",
        "routes[1].variants[1]: has no destination, expected `cluster`, `service` or `status`",
        "routes[2].name: \"b c\" is not a name, expected letters, digits, `-` and `_`",
        "routes[2].sticky: identifies no client, expected `by` or `cookie`",
        "routes[3].variants[1].ramp.steps[0].hold_ms: missing, expected an integer, 100 to 2592000000 ms, or a text such as \"10s\"",
        "routes[3].variants[1].ramp.steps[1].hold_ms: 50 ms is out of range, expected 100 to 2592000000 ms",
        "routes[3].variants[1].ramp.steps[1].weight: 2000000 is out of range, expected 0 to 1000000",
        "routes[4].retry: retries on nothing, expected `retry_on` or `grpc_on`",
        "routes[4].name: missing, expected a name",
        "routes[1].name: \"a\" is already used, expected another name",
        "routes[1].variants[1].name: \"v\" is already used, expected another name",
        "routes[4].variants: all weigh 0, expected a weight of at least 1",
        "headers.mirror: `x-tidegate-cluster` would carry two things, expected a header for each",
    ];
    assert_eq!(problems(&config), expected);
}

#[test]
fn what_is_no_configuration_is_told_so() {
    let cases = [
        (json!({}), "routes: missing, expected a list of routes"),
        (json!({"routes": []}), "routes: 0 routes are out of range, expected 1 to 64"),
        (json!([]), "configuration: found an empty list, expected an object with `routes`, `order`, `force`, `headers`, `no_match`, `mode`, `on_failure` or `scope`"),
    ];
    for (config, expected) in cases {
        assert_eq!(problems(&config), [expected]);
    }
}

#[test]
fn the_example_of_the_issue_is_accepted() {
    let text = r#"{"routes": [{"name": "checkout", "match": [{"path": {"prefix": "/checkout"}}],
                     "sticky": {"experiment": "checkout-v2", "by": [{"header": "x-user"}, {"cookie": "tg"}]},
                     "variants": [{"name": "stable", "cluster": "stable", "weight": 90}, {"name": "canary", "cluster": "canary", "weight": 10,
                                   "ramp": {"steps": [{"weight": 25, "hold_ms": 60000}, {"weight": 50, "hold_ms": 60000}], "abort": {"min_success_percent": 99, "min_samples": 100}}}]}]}"#;
    let pair = Pair::new();
    let bootstrap = pair.join(steered(&[filter(&Value::Null).raw_config(text)]));
    assert_eq!(Envoy::validate(&bootstrap.json()), Ok(()));
    let envoy = start(&bootstrap, 2);
    let mut client = Client::connect(envoy.addr());
    assert!(["stable", "canary"].contains(&client.get("/checkout/1", &[("x-user", "a")]).text().as_str()));
    assert_eq!(client.get("/checkouts", &[]).text(), "plain");
    assert_calm(&envoy);
}

#[test]
fn the_largest_configuration_is_served() {
    let pair = Pair::new();
    let ramp = json!({"steps": [{"weight": 1, "hold_ms": 86_400_000}]});
    let variant =
        |index: u32| json!({"name": format!("v{index}"), "cluster": "stable", "weight": 1, "ramp": ramp});
    let variants: Vec<_> = std::iter::once(json!({"name": "base", "cluster": "stable", "weight": 100}))
        .chain((1..16).map(variant))
        .collect();
    let route = |index: u32| {
        let path = json!({"path": {"exact": format!("/{index}")}});
        json!({"name": format!("route-{index}"), "match": path, "variants": variants})
    };
    let routes: Vec<_> = (0..64).map(route).collect();
    let envoy = start(&pair.behind(&json!({"routes": routes})), 2);
    let mut client = Client::connect(envoy.addr());
    for index in [0, 31, 63] {
        assert_eq!(client.get(&format!("/{index}"), &[]).text(), "stable");
    }
    assert_eq!(client.get("/64", &[]).text(), "plain");
    assert_eq!(envoy.stats(r"^wasm\..*vm_reload.*$").values().sum::<u64>(), 0);
}
