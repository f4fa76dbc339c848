//! `tidegate explain`.

use serde_json::Value;

use super::tidegate;

fn json(args: &[&str]) -> Value {
    let ran = tidegate(&[&["explain", "--json"], args].concat());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    serde_json::from_str(&ran.out).unwrap()
}

/// What is told of a rule.
fn rule<'t>(told: &'t Value, name: &str) -> &'t Value {
    let filters = told["filters"].as_array().unwrap().iter();
    let mut rules = filters.flat_map(|filter| filter["rules"].as_array().unwrap());
    rules.find(|rule| rule["name"] == name).unwrap_or_else(|| panic!("no rule {name}"))
}

#[test]
fn a_limit_that_does_not_apply_says_which_condition_fails() {
    let told = json(&["envoy-config/ratelimit.yaml", "-r", "POST /login", "-H", "x-api-key: me"]);
    assert_eq!(rule(&told, "per-client")["applies"], false);
    assert_eq!(rule(&told, "per-client")["missing"][0], r#"path {"prefix":"/api"}"#);
    assert_eq!(rule(&told, "login")["key"][0]["value"], "192.0.2.1");
    let told = json(&["envoy-config/ratelimit.yaml", "-r", "GET /api/7", "-H", "x-api-key: me"]);
    assert_eq!(rule(&told, "per-client")["key"][0]["value"], "me");
}

#[test]
fn a_limit_is_reached_and_the_reply_is_the_clients() {
    let told = json(&["envoy-config/chain.yaml", "--times", "101"]);
    let answers = told["answers"].as_array().unwrap();
    let kinds: Vec<&str> = answers.iter().map(|answer| answer["kind"].as_str().unwrap()).collect();
    assert_eq!((&kinds[..100], kinds[100]), (&["goes"; 100][..], "answered"));
    assert_eq!(
        (&told["answer"]["status"], &told["answer"]["by"]),
        (&Value::from(429), &Value::from("ratelimit"))
    );
    assert_eq!(told["filters"][1]["reached"], false);
    // At 50 a second there is room again.
    let told = json(&["envoy-config/chain.yaml", "--times", "150", "--every", "20"]);
    assert_eq!(told["answer"]["kind"], "goes");
}

/// `shared/policy` has the bucket of this user among its vectors.
#[test]
fn one_module_and_four_filters_tell_the_same_of_a_variant() {
    for file in ["envoy-config/chain.yaml", "envoy-config/fused.yaml"] {
        let told = json(&[file, "-r", "/checkout", "-H", "x-user: alice"]);
        assert_eq!(told["answer"]["cluster"], "checkout-v1", "{file}");
        assert_eq!(rule(&told, "checkout-v2")["applies"], false, "{file}");
        assert_eq!(rule(&told, "checkout-v1")["applies"], true, "{file}");
        let facts =
            told["filters"].as_array().unwrap().iter().map(|filter| &filter["facts"]["tidegate.routing"]);
        assert!(facts.clone().any(|fact| fact == "checkout-v1 checkout stable sticky 2539"), "{file}");
    }
    let told = json(&["envoy-config/chain.yaml", "-r", "/orders/7"]);
    assert_eq!(told["answer"]["cluster"], "discovered");
    assert!(told["answer"]["endpoint"].as_str().unwrap().starts_with("127.0.0.1:1000"));
}

#[test]
fn a_breaker_opens_falls_back_and_refuses() {
    let told = json(&["envoy-config/breaker.yaml", "--times", "12", "--status", "503"]);
    let clusters: Vec<&str> = told["answers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| answer["cluster"].as_str().unwrap_or("-"))
        .collect();
    assert_eq!(clusters[..5], ["checkout"; 5]);
    assert_eq!(clusters[5..10], ["checkout-backup"; 5]);
    assert_eq!(clusters[10..], ["-"; 2]);
}

/// Where a control plane has its own names for clusters, those of the policies are told.
#[test]
fn a_route_for_a_value_is_known_by_the_value() {
    let shop = "tools/tidegate/tests/files/shop-kubernetes.yaml";
    let rendered = tidegate(&["render", shop, "--for", "envoy-gateway"]).out;
    let args = ["explain", "--json", "-", "--status", "503", "--times", "6"];
    let told: Value = serde_json::from_str(&super::fed(&args, &rendered).out).unwrap();
    assert_eq!(
        (&told["answers"][0]["cluster"], &told["answer"]["cluster"]),
        (&"checkout".into(), &"backup".into())
    );
    let told = json(&["tools/tidegate/tests/files/shop.yaml", "-r", "/orders"]);
    assert_eq!(told["answer"]["cluster"], "", "no cluster of the file leads to an endpoint");
}

#[test]
fn what_cannot_be_explained_is_said() {
    let ran = tidegate(&["explain", "tools/tidegate/tests/files/wrong.yaml"]);
    assert!(ran.code == 1 && ran.err.contains("limits[0].requests"), "{}", ran.err);
    assert_eq!(tidegate(&["explain", "envoy-config/chain.yaml", "-H", "no header"]).code, 2);
    assert_eq!(tidegate(&["explain", "envoy-config/chain.yaml", "--from", "nowhere"]).code, 2);
    let ran = tidegate(&["explain", "envoy-config/chain.yaml", "--chain", "x"]);
    assert!(ran.code == 2 && ran.err.contains("there is edge"), "{}", ran.err);
}
