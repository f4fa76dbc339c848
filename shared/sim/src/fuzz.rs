//! The bodies of the fuzz targets, as plain functions.
//!
//! `fuzz/` wraps each in five lines for cargo-fuzz; `tests/regressions.rs` runs the saved
//! inputs through the same functions on a stable toolchain.

use std::sync::Arc;

use tidegate_policy::config::json::Json;
use tidegate_policy::http::path;
use tidegate_policy::http::{Placement, Stage};
use tidegate_policy::key::address;
use tidegate_policy::ratelimit::state::Block;
use tidegate_policy::ratelimit::RateLimitWithHeaders;

use crate::{SimHost, SimRequest, SimStore, Worker};

/// A fuzz body: must not panic, whatever the bytes.
pub type Body = fn(&[u8]);

/// Every body with the name of its target and of its folder of saved inputs.
pub const BODIES: [(&str, Body); 4] =
    [("block", block), ("config", config), ("json", json), ("request", request)];

/// Decoding a cell is total, and what was decoded survives the round trip.
pub fn block(bytes: &[u8]) {
    let block = Block::decode(bytes);
    assert_eq!(Block::decode(&block.encode()), block);
}

/// A configuration is a policy or at least one problem.
pub fn config(bytes: &[u8]) {
    if let Err(error) = RateLimitWithHeaders::configure(bytes, Placement::Downstream) {
        assert!(!error.problems.is_empty());
        assert!(error.problems.iter().all(|problem| !problem.what.is_empty()));
    }
}

/// Parsing JSON is total.
pub fn json(bytes: &[u8]) {
    if let Ok(json) = Json::parse(bytes) {
        let _ = json.to_string();
    }
}

/// A request made of any bytes gets a verdict. Lines are headers, `name:value`.
pub fn request(bytes: &[u8]) {
    const CONFIG: &str = r#"{"limits": [
        {"name": "a", "requests": 1, "per_ms": 1000,
         "match": [{"path": {"template": "/{x}/**"}, "headers": [{"name": "h", "prefix": "p"}]}, {"host": "*.b"}],
         "key": [{"header": "h"}, {"cookie": "c"}, {"query_parameter": "q"}, {"path_segment": 1}, "host",
                 "method", {"client_address": {"trusted_hops": 2}}]},
        {"name": "b", "requests": 1, "per_ms": 1000, "key": [{"header": "h"}], "on_missing_key": "refuse"}
    ], "table": {"keys": 16}, "headers_on_admitted": true}"#;
    let host = SimHost::new(Arc::new(SimStore::default()));
    let Ok(worker) = Worker::<RateLimitWithHeaders, _>::new(CONFIG, host) else {
        panic!("the configuration is wrong")
    };
    let lines: Vec<(String, Vec<u8>)> = bytes
        .split(|b| *b == b'\n')
        .map(|line| {
            let at = line.iter().skip(1).position(|b| *b == b':').map_or(line.len(), |at| at + 1);
            let (name, value) = line.split_at(at);
            (String::from_utf8_lossy(name).into_owned(), value.get(1..).unwrap_or_default().to_vec())
        })
        .collect();
    let request = lines.iter().fold(SimRequest::get("/x/y?q=1"), |r, (name, value)| r.header(name, value));
    let _ = worker.exchange(&request);
    let _ = worker.exchange(&request);
    let _ = path::cookie(bytes, "c");
    let _ = path::query_parameter(bytes, "q");
    let _ = address::parse(bytes);
}
