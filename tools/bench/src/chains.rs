//! All four filters before one hop: a hot key, a sticky route to a service, a closed breaker, an endpoint. As a
//! chain of modules, and in one module.

use serde_json::{json, Value};
use tidegate_tests::paths::module;

use crate::discovery::document;
use crate::rows::{limits, row, Filter, Row, FAST};

const CHAINS: &str = "all filters, a hop";

/// The chain, and the module with one part more each time.
#[must_use]
pub fn rows() -> Vec<Row> {
    let parts = parts();
    let four = parts.iter().map(|(name, config)| (module(name), config.clone())).collect();
    let mut rows = vec![row("chain", "four modules in one chain", Filter::Chain(four))];
    let titles = ["limits", "limits, routing", "limits, routing, a breaker", "all four"];
    let mut config = json!({});
    for ((count, title), (name, part)) in (1..).zip(titles).zip(parts) {
        config[name] = part;
        let filter = Filter::Wasm(module("fused"), Some(config.clone()));
        rows.push(row(&format!("fused-{count}"), &format!("one module: {title}"), filter));
    }
    rows.into_iter().map(|row| row.addressed().under(CHAINS)).collect()
}

/// The documents of the filters, in order.
fn parts() -> [(&'static str, Value); 4] {
    let variant =
        |name: &str, weight: u32| json!({"name": name, "service": {"name": "shop"}, "weight": weight});
    let route = json!({
        "name": "a",
        "match": [{"path": {"prefix": "/api"}}],
        "sticky": {"experiment": "e", "by": [{"header": "x-user-id"}]},
        "variants": [variant("stable", 90), variant("canary", 10)],
    });
    let breaker = json!({"name": "a", "target": {"cluster": "to"}});
    [
        ("ratelimit", limits(1, FAST)),
        ("routing", json!({"routes": [route]})),
        ("breaker", json!({"breakers": [breaker]})),
        ("discovery", document(3, 1, &json!({}))),
    ]
}
