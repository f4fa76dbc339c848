//! What earlier filters left about a request, such as the claims of a token.

use serde_json::{json, Value};
use tidegate_tests::{Bootstrap, Client, Envoy, Upstream};

use super::setup::{assert_calm, filter, start};

/// Copies headers to metadata with Envoy's own filter, to `tidegate.test`.
fn from_headers(bootstrap: Bootstrap) -> Bootstrap {
    let kind = "type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config";
    let rule = |header: &str, key: &str| {
        json!({
            "header": header,
            "on_header_present": {"metadata_namespace": "tidegate.test", "key": key, "type": "STRING"},
            "remove": true,
        })
    };
    bootstrap.filter(json!({
        "name": "envoy.filters.http.header_to_metadata",
        "typed_config": {"@type": kind, "request_rules": [rule("x-tier", "tier"), rule("x-group", "group")]},
    }))
}

/// Leaves what the JWT filter leaves of a token: claims below a key of its namespace.
const CLAIMS: &str = r#"
function envoy_on_request(handle)
  local subject = handle:headers():get("x-subject")
  if subject then
    local claims = {sub = subject, level = 3, staff = true, address = {country = "is"}}
    handle:streamInfo():dynamicMetadata():set("envoy.filters.http.jwt_authn", "claims", claims)
  end
end"#;

fn by(name: &str, filter: &str, path: &[&str], more: &Value) -> Value {
    let metadata = crate::setup::with(json!({"filter": filter, "path": path}), more);
    json!({"name": name, "match": {"metadata": [metadata]}, "variants": [{"name": name, "cluster": "up"}]})
}

fn envoy(upstream: &Upstream, routes: &[Value]) -> Envoy {
    let config = json!({"routes": routes, "order": "first_match", "headers": {"response": "x-taken"}});
    let bootstrap = from_headers(Bootstrap::new()).lua(CLAIMS).wasm(&filter(&config));
    let bootstrap = bootstrap.route(json!({
        "match": {"prefix": "/", "headers": [{"name": "x-tidegate-cluster", "present_match": true}]},
        "route": {"cluster_header": "x-tidegate-cluster"},
    }));
    start(&bootstrap.cluster("up", &[upstream.addr()]).direct_response("/", 200, "plain"), 1)
}

#[test]
fn metadata_of_earlier_filters_can_be_a_match() {
    const JWT: &str = "envoy.filters.http.jwt_authn";
    let upstream = Upstream::fixed(200, "");
    let routes = [
        by("gold", "tidegate.test", &["tier"], &json!({"exact": "gold"})),
        by("tiered", "tidegate.test", &["tier"], &json!({})),
        by("alice", JWT, &["claims", "sub"], &json!({"exact": "alice"})),
        by("iceland", JWT, &["claims", "address", "country"], &json!({"exact": "is"})),
        by("no-group", "tidegate.test", &["group"], &json!({"invert": true})),
    ];
    let envoy = envoy(&upstream, &routes);
    let mut client = Client::connect(envoy.addr());
    #[rustfmt::skip]
    let cases: [(&[(&str, &str)], &str); 7] = [
        (&[("x-tier", "gold")],                           "gold"),
        (&[("x-tier", "golden")],                         "tiered"),
        (&[("x-tier", "tin"), ("x-subject", "alice")],    "tiered"),
        (&[("x-subject", "alice")],                       "alice"),
        (&[("x-subject", "bob")],                         "iceland"),
        (&[],                                             "no-group"),
        (&[("x-group", "any")],                           "plain"),
    ];
    for (headers, expected) in cases {
        let answer = client.get("/", headers);
        let taken = answer.header("x-taken").unwrap_or_else(|| answer.text());
        assert_eq!(taken, expected, "{headers:?}");
    }
    assert_calm(&envoy);
}
