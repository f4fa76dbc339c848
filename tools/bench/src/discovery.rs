//! Rows of the discovery filter: an upstream a hop away whose address the filter writes.
//!
//! One endpoint gets all requests: the others are of lower priority, so that they are known and looked
//! through, but only one upstream runs.

use std::net::SocketAddr;

use serde_json::{json, Value};
use tidegate_tests::paths;

use crate::rows::{row, Filter, Row};

/// Stands for the upstream's port, which is not known yet.
const PORT: &str = "the upstream's port";

/// Rows with the discovery filter, and those that they are compared with.
#[must_use]
pub fn rows() -> Vec<Row> {
    let ours = || paths::module("discovery");
    let with = |config| Filter::Wasm(ours(), Some(config));
    let hop = |id: &str, title: &str, filter| row(id, title, filter).addressed();
    let empty = Filter::Wasm(paths::probe("empty"), None);
    let twice = |attempts| Filter::WasmTwice(ours(), document(3, 1, &json!({"attempts": attempts})));
    let maglev = json!({"balance": {"maglev": {"hash_key": {"header": "x-user-id"}}}});
    vec![
        hop("dst", "no filter, the client names it", Filter::None),
        hop("dst-empty", "empty SDK filter, the client names it", empty),
        hop("found", "3 endpoints, by turns", with(document(3, 1, &json!({})))).most(1.4, "dst-empty"),
        hop("found-1000", "1,000 endpoints", with(document(1_000, 1, &json!({})))).most(1.1, "found"),
        hop("found-200", "the last of 200 services", with(document(3, 200, &json!({})))).most(1.1, "found"),
        hop("found-ewma", "by latency", with(document(3, 1, &json!({"balance": "peak_ewma"})))),
        hop("found-maglev", "by the hash of a header", with(document(3, 1, &maglev))),
        hop("attempt", "3 attempts, around each as well", twice(3)),
    ]
}

/// So many services of so many endpoints, the last of which takes the requests.
#[must_use]
pub fn document(endpoints: u16, services: usize, fields: &Value) -> Value {
    let own = json!({"address": "127.0.0.1", "port": PORT});
    let other = |n: u16| {
        let [high, low] = n.to_be_bytes();
        json!({"address": format!("127.1.{high}.{low}"), "port": 9, "priority": 1})
    };
    let list: Vec<_> = std::iter::once(own).chain((1..endpoints).map(other)).collect();
    let mut service = json!({"name": "shop", "registry": "local", "match": {"host": "shop.example.com"}});
    for (name, value) in fields.as_object().into_iter().flatten() {
        service[name] = value.clone();
    }
    let unused = |n: usize| {
        json!({"name": format!("s{n}"), "registry": "local", "static": {"service": "shop"},
                                   "match": {"host": format!("s{n}.example.com")}})
    };
    let services: Vec<_> = (1..services).map(unused).chain([service]).collect();
    json!({
        "registries": {"local": {"static": {"services": {"shop": list}}}},
        "services": services,
        "allow": ["127.0.0.0/8:1-65535"],
    })
}

/// The document with the upstream's port.
#[must_use]
pub fn at(config: &Value, upstream: SocketAddr) -> Value {
    let text = config.to_string().replace(&format!("\"{PORT}\""), &upstream.port().to_string());
    serde_json::from_str(&text).unwrap_or_else(|_| config.clone())
}
