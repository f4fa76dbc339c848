//! The bodies of the fuzz targets, as plain functions.
//!
//! `fuzz/` wraps each in five lines for cargo-fuzz; `tests/regressions.rs` runs the saved
//! inputs through the same functions on a stable toolchain.

mod discovery;
mod flights;
mod history;
mod poller;
mod registry;

use std::sync::Arc;

use tidegate_glue::pairs;
use tidegate_policy::breaker::cells::index::Index;
use tidegate_policy::breaker::{self, BreakerParams, CircuitBreaker, Record};
use tidegate_policy::config::json::Json;
use tidegate_policy::http::path;
use tidegate_policy::http::{Attribute, Placement, Stage, Verdict};
use tidegate_policy::net::address;
use tidegate_policy::ratelimit::state::Block;
use tidegate_policy::ratelimit::RateLimitWithHeaders;
use tidegate_policy::routing::ramp::State;
use tidegate_policy::routing::tally::{self, Tally};
use tidegate_policy::routing::{self, Routing};

pub use discovery::cells as discovery_cells;
pub use discovery::{config as discovery_config, dns_message, lease, registry_json, resolver};
pub use flights::exchange as discovery_exchange;
pub use poller::poller as discovery_poller;

use history::History;

use crate::{SimHost, SimRequest, SimResponse, SimStore, Worker};

/// A fuzz body: must not panic, whatever the bytes.
pub type Body = fn(&[u8]);

/// Every body with the name of its target and of its folder of saved inputs.
pub const BODIES: [(&str, Body); 21] = [
    ("block", block),
    ("breaker_cells", breaker_cells),
    ("breaker_config", breaker_config),
    ("breaker_exchange", breaker_exchange),
    ("breaker_history", breaker_history),
    ("config", config),
    ("discovery_cells", discovery::cells),
    ("discovery_config", discovery::config),
    ("discovery_exchange", flights::exchange),
    ("discovery_poller", poller::poller),
    ("dns_message", discovery::dns_message),
    ("header_pairs", header_pairs),
    ("json", json),
    ("lease", discovery::lease),
    ("ramp_cells", ramp_cells),
    ("registry_json", discovery::registry_json),
    ("request", request),
    ("resolver", discovery::resolver),
    ("routing_config", routing_config),
    ("routing_exchange", routing_exchange),
    ("routing_history", routing_history),
];

/// Decoding a cell is total, and what was decoded survives the round trip.
pub fn block(bytes: &[u8]) {
    let block = Block::decode(bytes);
    assert_eq!(Block::decode(&block.encode()), block);
}

/// Decoding a breaker's cells is total, and what was decoded survives the round trip.
pub fn breaker_cells(bytes: &[u8]) {
    let (slots, rest) = bytes.split_first().map_or((1, bytes), |(first, rest)| (u32::from(first % 3), rest));
    let params = BreakerParams { slots: slots + 1, ..BreakerParams::default() };
    let record = Record::decode(rest, &params);
    assert_eq!(Record::decode(&record.encode(), &params), record);
    let index = Index::decode(rest);
    assert_eq!(Index::decode(&index.encode()), index);
    let mut block = rest.to_vec();
    block.resize(breaker::cells::block::size(params.slots), 0);
    for way in 0..breaker::cells::block::WAYS {
        let record = breaker::cells::block::record(&block, way, &params);
        breaker::cells::block::put(&mut block, way, 1 << 48, &record, &params);
        assert_eq!(breaker::cells::block::record(&block, way, &params), record);
    }
    assert_eq!(breaker::cells::block::find(&block, 1 << 48, &params), Some(0));
    let _ = breaker::cells::block::room(&block, &params, 0);
}

/// A breaker's configuration is a policy or at least one problem.
pub fn breaker_config(bytes: &[u8]) {
    match breaker::Policy::parse(bytes) {
        Ok(policy) => assert!(!policy.breakers.is_empty()),
        Err(error) => assert!(error.problems.iter().any(|problem| !problem.found.is_empty())),
    }
}

/// Exchanges made of any bytes come to an end. Each line is one: `name:value` is a header of its
/// request, its response and its trailers, and the first bytes are details, flags and an address.
pub fn breaker_exchange(bytes: &[u8]) {
    const CONFIG: &str = r#"{"breakers": [
        {"name": "a", "target": {"cluster": "up"}, "consecutive_failures": 1, "base_open_ms": 1, "max_open_ms": 1,
         "half_open_permits": 1, "match": {"path": {"prefix": "/x"}}, "fallback": [{"cluster": "b"}]},
        {"name": "k", "target": {"key": [{"header": "k"}]}, "consecutive_failures": 1, "table": {"keys": 16}},
        {"name": "e", "target": {"endpoint": "up"}, "consecutive_failures": 1, "table": {"keys": 16}},
        {"name": "s", "target": {"route": "r"}, "minimum_calls": 1, "admission": {}}]}"#;
    let host = || SimHost::new(Arc::new(SimStore::default()));
    for worker in [Worker::<CircuitBreaker, _>::new(CONFIG, host()), Worker::attempt(CONFIG, host())] {
        let Ok(worker) = worker else { panic!("the configuration is wrong") };
        for (line, ms) in bytes.split(|b| *b == b'\n').zip(0..) {
            worker.host.set(tidegate_policy::time::Span::from_millis(ms));
            one_exchange(&worker, line);
        }
        worker.tick();
    }
}

fn one_exchange(worker: &Worker<CircuitBreaker, SimHost>, line: &[u8]) {
    let at = line.iter().position(|b| *b == b':').unwrap_or(line.len());
    let (name, value) = line.split_at(at);
    let (name, value) = (String::from_utf8_lossy(name), value.get(1..).unwrap_or_default());
    let text = String::from_utf8_lossy(value);
    let request = SimRequest::get("/x").header(&name, value).header("te", b"trailers");
    let request = request.attribute(Attribute::Cluster, b"up").attribute(Attribute::Route, b"r");
    let request = request.attribute(Attribute::Endpoint, value).attribute(Attribute::Chosen, value);
    let response = SimResponse::none().header(&name, &text).attribute(Attribute::Details, value);
    let response = response.attribute(Attribute::Flags, value).attribute(Attribute::Endpoints, value);
    let (verdict, exchange) = worker.begin(&request);
    let _ = worker.outcome(&exchange);
    if matches!(verdict, Verdict::Continue(_)) {
        match line.len() % 3 {
            0 => worker.end_with_trailers(exchange, &response, &response),
            1 => worker.abort(exchange, &response),
            _ => drop(worker.end(exchange, &response)),
        }
    }
}

/// Exchanges with bodies, cuts and departures come to an end, and a breaker that they opened closes: two
/// bytes are a step of `History`.
pub fn breaker_history(bytes: &[u8]) {
    const CONFIG: &str = r#"{"breakers": [
        {"name": "a", "target": {"cluster": "up"}, "consecutive_failures": 2, "minimum_calls": 4,
         "slow_call_ms": 50, "slow_rate_percent": 50, "base_open_ms": 100, "max_open_ms": 1000,
         "half_open_permits": 3, "max_half_open_ms": 1000},
        {"name": "k", "target": {"key": [{"header": "x-user"}]}, "minimum_calls": 3, "table": {"keys": 16}},
        {"name": "r", "target": {"route": "r"}, "minimum_calls": 1, "admission": {}},
        {"name": "e", "target": {"endpoint": "up"}, "consecutive_failures": 2, "table": {"keys": 16}}]}"#;
    let host = || SimHost::new(Arc::new(SimStore::default()));
    for worker in [Worker::<CircuitBreaker, _>::new(CONFIG, host()), Worker::attempt(CONFIG, host())] {
        let Ok(worker) = worker else { panic!("the configuration is wrong") };
        let mut history = History::new(&worker);
        history.run(bytes);
        assert!(history.recovers(), "no honest request passes any more");
    }
}

/// A configuration is a policy or at least one problem.
pub fn config(bytes: &[u8]) {
    if let Err(error) = RateLimitWithHeaders::configure(bytes, Placement::Downstream) {
        assert!(!error.problems.is_empty());
        assert!(error.problems.iter().all(|problem| !problem.found.is_empty()));
    }
}

/// Decoding the host's list of headers is total, no larger than its bytes, and what was decoded survives the
/// round trip, behind what the list had before.
pub fn header_pairs(bytes: &[u8]) {
    let mut list = vec![(&b"before"[..], &b"1"[..])];
    pairs::decode(bytes, &mut list);
    let own = list.split_off(1);
    assert_eq!(list, [(&b"before"[..], &b"1"[..])]);
    assert!(own.iter().map(|(name, value)| name.len() + value.len() + 10).sum::<usize>() <= bytes.len());
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let texts = own.iter().map(|(name, value)| Some((text(name)?, text(value)?)));
    if let Some(texts) = texts.collect::<Option<Vec<_>>>() {
        let (again, mut decoded) = (pairs::encode(&texts), Vec::new());
        pairs::decode(&again, &mut decoded);
        assert_eq!(decoded, own);
    }
}

/// Parsing JSON is total.
pub fn json(bytes: &[u8]) {
    if let Ok(json) = Json::parse(bytes) {
        let _ = json.to_string();
    }
}

/// Decoding a ramp's cells is total, and what was decoded survives the round trip.
pub fn ramp_cells(bytes: &[u8]) {
    let state = State::decode(bytes);
    assert_eq!(State::decode(&state.encode()), state);
    let tag = tally::tag(bytes).unwrap_or(1);
    let number =
        |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |n| u64::from_le_bytes(*n));
    for interval in [number(8), number(8 + (tally::BYTES - 8) / 2), 0, 1, u64::MAX] {
        let tally = Tally::read(bytes, tag, interval);
        let _ = (tally.variant.sample(), tally.baseline.sample(), tally.merge_into(bytes, tag));
        let cell = tally.merge_into(&tally::empty(tag), tag).unwrap_or_default();
        assert_eq!(Tally::read(&cell, tag, interval), tally);
    }
}

/// A routing configuration is a policy or at least one problem.
pub fn routing_config(bytes: &[u8]) {
    match routing::Policy::parse(bytes) {
        Ok(policy) => assert!(!policy.routes.is_empty()),
        Err(error) => assert!(error.problems.iter().any(|problem| !problem.found.is_empty())),
    }
}

/// Exchanges made of any bytes come to an end. Each line is one: `name:value` is a header of its
/// request, its response and its trailers, and some metadata.
pub fn routing_exchange(bytes: &[u8]) {
    const CONFIG: &str = r#"{"force": {"secret": "0123456789abcdef", "from": ["10.0.0.0/8"]},
        "headers": {"random": "x-dice", "variant": "x-v", "bucket": "x-b", "response": "x-v"}, "routes": [
        {"name": "a", "match": [{"headers": [{"name": "h", "prefix": "p"}], "cookies": [{"name": "c"}]},
                                {"metadata": [{"filter": "f", "path": ["k"], "exact": "x"}]}],
         "variants": [{"name": "s", "status": 500}]},
        {"name": "b", "sticky": {"experiment": "e", "cookie": {"name": "tg"}, "by": [{"header": "x-user"},
                {"cookie": "u"}, {"query_parameter": "q"}, {"client_address": {"trusted_hops": 1}}]},
         "mirror": {"cluster": "m", "percent": 50},
         "variants": [{"name": "v", "cluster": "x", "weight": 90}, {"name": "w", "cluster": "y", "weight": 10,
            "ramp": {"steps": [{"weight": 50, "hold_ms": 500}], "interval_ms": 500, "abort": {"min_samples": 1}}}]}]}"#;
    let host = SimHost::new(Arc::new(SimStore::default()));
    let Ok(worker) = Worker::<Routing, _>::new(CONFIG, host) else { panic!("the configuration is wrong") };
    for (line, at) in bytes.split(|b| *b == b'\n').zip(0_u64..) {
        worker.host.set(tidegate_policy::time::Span::from_millis(at.saturating_mul(100)));
        let split = line.iter().skip(1).position(|b| *b == b':').map_or(line.len(), |at| at + 1);
        let (name, value) = line.split_at(split);
        let (name, value) = (String::from_utf8_lossy(name), value.get(1..).unwrap_or_default());
        let text = String::from_utf8_lossy(value);
        let request = SimRequest::get("/x?q=1").header(&name, value).metadata(&["f", "k"], value);
        let response = SimResponse::none().header(&name, &text).attribute(Attribute::Details, value);
        let (verdict, exchange) = worker.begin(&request);
        let _ = worker.outcome(&exchange);
        if matches!(verdict, Verdict::Continue(_)) {
            match line.len() % 3 {
                0 => worker.end_with_trailers(exchange, &response, &response),
                1 => worker.abort(exchange, &response),
                _ => drop(worker.end(exchange, &response)),
            }
        }
        worker.tick();
    }
}

/// Exchanges with bodies, cuts and departures come to an end, whatever the ramp makes of them.
pub fn routing_history(bytes: &[u8]) {
    const CONFIG: &str = r#"{"routes": [{"name": "r", "sticky": {"experiment": "e", "by": [{"header": "x-user"}]}, "variants": [
        {"name": "v", "cluster": "x", "weight": 50},
        {"name": "w", "cluster": "y", "weight": 50, "ramp": {"steps": [{"weight": 60, "hold_ms": 500}],
         "interval_ms": 500, "abort": {"min_samples": 1, "max_p99_ms": 50}}}]}]}"#;
    let host = SimHost::new(Arc::new(SimStore::default()));
    let Ok(worker) = Worker::<Routing, _>::new(CONFIG, host) else { panic!("the configuration is wrong") };
    let mut history = History::new(&worker);
    history.run(bytes);
    assert!(history.recovers(), "no honest request passes any more");
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
