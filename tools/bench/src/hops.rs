//! Rows of the breaker and of routing: an upstream a hop away, in a cluster of fixed addresses.

use serde_json::{json, Value};
use tidegate_tests::paths;

use crate::rows::{row, Filter, Row, ROUTED};

/// A proxied hop, with and without a breaker.
pub(crate) fn breakers() -> Vec<Row> {
    let ours = paths::module("breaker");
    let with = |config| Filter::Wasm(ours.clone(), Some(config));
    let empty = Filter::Wasm(paths::probe("empty"), None);
    let cluster = json!({"name": "a", "target": {"cluster": "upstream"}});
    let ten: Vec<_> = (0..9)
        .map(|n| json!({"name": format!("b{n}"), "target": {"cluster": format!("other-{n}")}}))
        .chain([cluster.clone()])
        .collect();
    let key = json!({"name": "k", "target": {"key": [{"header": "x-tenant"}]}});
    let open = json!({"name": "a", "target": {"cluster": "upstream"}, "state": "forced_open"});
    let away = json!({"name": "a", "target": {"cluster": "upstream"}, "state": "forced_open",
                      "fallback": [{"cluster": "other"}]});
    let config = |list: Value| with(json!({"breakers": list}));
    let hop = |id: &str, title: &str, filter| row(id, title, filter).proxied();
    vec![
        hop("hop", "no filter", Filter::None),
        hop("hop-empty", "empty SDK filter", empty),
        hop("closed", "closed", config(json!([cluster]))).most(1.3, "hop-empty"),
        hop("closed-ten", "closed, the last of ten", config(json!(ten))),
        hop("closed-key", "closed, by a header", config(json!([key]))),
        hop("open", "open, refused", config(json!([open]))).status(503),
        hop("open-away", "open, to its fallback", config(json!([away]))),
    ]
}

/// Routed within Envoy, so that a row is the filter and the route that is chosen anew.
pub(crate) fn routes() -> Vec<Row> {
    let ours = paths::module("routing");
    let with = |config| Filter::Wasm(ours.clone(), Some(config));
    let variants = json!([{"name": "stable", "cluster": "upstream", "weight": 90},
                          {"name": "canary", "cluster": "other", "weight": 10}]);
    let route = |rest: Value| {
        let mut route = json!({"name": "a", "match": [{"path": {"prefix": "/api"}}], "variants": variants});
        for (name, value) in rest.as_object().into_iter().flatten() {
            route[name] = value.clone();
        }
        with(json!({"routes": [route]}))
    };
    let sticky = json!({"sticky": {"experiment": "e", "by": [{"header": "x-user-id"}]}});
    let ramped = json!([{"name": "stable", "cluster": "upstream", "weight": 90},
                        {"name": "canary", "cluster": "other", "weight": 10,
                         "ramp": {"steps": [{"weight": 25, "hold_ms": 86_400_000}]}}]);
    let many: Vec<_> = (0..31)
        .map(|n| {
            json!({"name": format!("r{n}"), "match": [{"path": {"prefix": format!("/other/{n}")}}],
                   "variants": [{"name": "v", "cluster": "upstream"}]})
        })
        .chain([json!({"name": "a", "match": [{"path": {"prefix": "/api"}}], "variants": variants})])
        .collect();
    let hop = |id: &str, title: &str, filter| row(id, title, filter).proxied().under(ROUTED);
    vec![
        hop("sticky", "one match on path, a sticky header", route(sticky)).most(1.4, "hop-empty"),
        hop("drawn", "one match on path, by weight", route(json!({}))),
        hop("ramp", "by weight, with a ramp", route(json!({"variants": ramped}))),
        hop("routes", "by weight, the last of 32 routes", with(json!({"routes": many}))),
    ]
}
